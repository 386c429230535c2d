"""What the documentation says is what the code does."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re

from django.core.management import get_commands

import monitoring
import orders
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


def _probe_classes() -> dict[str, type]:
    """Every class of the desk that a setting could name as a probe, by its path."""
    found = {}
    for package in (monitoring, orders):
        for info in pkgutil.iter_modules(package.__path__):
            if not info.name.endswith("probes"):
                continue
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for name, item in vars(module).items():
                if inspect.isclass(item) and item.__module__ == module.__name__ and hasattr(item, "run"):
                    found[f"{module.__name__}.{name}"] = item
    return found


def test_every_probe_is_documented_with_its_name_its_thresholds_and_what_to_do() -> None:
    rows = {row[1].strip("`"): row for row in _table("docs/probes.md", "probe")}
    classes = _probe_classes()
    assert len(classes) > 25
    assert rows.keys() == classes.keys()
    for path, item in classes.items():
        name, _, says, thresholds, remedy = rows[path]
        given = {"alias": "default", "path": "/"}
        fields = {each.name: each.default for each in dataclasses.fields(item)}
        probe = item(**{key: given[key] for key, default in fields.items() if default is dataclasses.MISSING})
        assert name == f"`{probe.name.replace(':default', ':ALIAS')}`" + ("\\*" if probe.critical else ""), path
        shown = ", ".join(f"`{key}={default}`" for key, default in fields.items() if default is not dataclasses.MISSING)
        assert (thresholds, bool(says), bool(remedy)) == (shown, True, True), path


def test_every_probe_is_asked_by_some_desk() -> None:
    settings = (PROJECT / "emo_site/settings.py").read_text()
    assert [path for path in _probe_classes() if f'"{path}"' not in settings] == []
