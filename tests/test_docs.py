"""What the documentation says is what the code does."""

from __future__ import annotations

import inspect
import re

from django.core.management import get_commands

from orders import execution_quality
from orders.choices import TRANSITIONS
from tests.run import PROJECT

OWN_APPS = {"emo_site", "jobs", "orders", "monitoring", "reporting"}


def _table(path: str, first: str) -> list[list[str]]:
    """The rows of the table whose heading begins with `first`, as lists of cells."""
    text = (PROJECT / path).read_text()
    lines = text[text.index(f"| {first} |") :].split("\n\n")[0].splitlines()
    return [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]] for line in lines[2:]
    ]


def test_the_table_of_transitions_is_the_one_in_the_code() -> None:
    documented = {status: set(after.split(", ")) - {"-"} for status, after in _table("docs/workflow.md", "status")}
    assert documented == {str(status): {str(item) for item in after} for status, after in TRANSITIONS.items()}


def test_every_figure_of_execution_quality_is_documented_with_its_arguments() -> None:
    text = " ".join((PROJECT / "docs/execution-quality.md").read_text().split())
    own = [
        item
        for name, item in vars(execution_quality).items()
        if inspect.isfunction(item) and item.__module__ == execution_quality.__name__ and not name.startswith("_")
    ]
    assert own
    # add_up is how the workflow counts fills, and no figure of its own.
    for function in own:
        if function is not execution_quality.add_up:
            arguments = inspect.signature(function).parameters.values()
            keywords_only = all(argument.kind is argument.KEYWORD_ONLY for argument in arguments)
            shown = [
                argument.name + ("=…" if keywords_only else "")
                if argument.default is argument.empty
                else f"{argument.name}={argument.default}"
                for argument in arguments
            ]
            assert f"`{function.__name__}({', '.join(shown)})`" in text, function.__name__


def test_the_points_of_an_execution_score_are_documented() -> None:
    shorter = 100 - execution_quality.LATENCY_POINTS
    shared = {
        "fill_rate": execution_quality.FILL_RATE_POINTS,
        "slippage": execution_quality.SLIPPAGE_POINTS,
    }
    rows = {part: (alone, beside) for part, alone, beside, *_ in _table("docs/execution-quality.md", "part | points")}
    assert rows == {
        **{part: (f"{points}", f"{points * shorter / 100:.0f}") for part, points in shared.items()},
        "latency": ("-", f"{execution_quality.LATENCY_POINTS}"),
    }


def test_every_variable_that_settings_read_is_in_the_readme() -> None:
    settings = (PROJECT / "emo_site/settings.py").read_text()
    read = set(re.findall(r"env\.\w+\(\s*\"([A-Z_]+)\"", settings))
    documented = {name for row in _table("README.md", "variable") for name in re.findall(r"`([A-Z_]+)`", row[0])}
    assert read == documented


def test_every_command_of_ours_is_in_the_documentation() -> None:
    pages = [PROJECT / "README.md", PROJECT / "Makefile", *sorted((PROJECT / "docs").glob("*.md"))]
    text = "".join(page.read_text() for page in pages)
    for name, app in get_commands().items():
        if app in OWN_APPS:
            assert f"manage.py {name}" in text, name


def test_files_that_the_documentation_links_to_exist() -> None:
    for page in [*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
