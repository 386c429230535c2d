"""What the documentation says is what the code does."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, get_commands, load_command_class

import monitoring
import orders
from orders import execution_quality
from orders.choices import TRANSITIONS
from tests import documented
from tests.run import PROJECT

pytestmark = pytest.mark.once


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
    for name in documented.ours():
        assert f"manage.py {name}" in text, name


# What stands for a value in a synopsis, where a word alone would not do.
_VALUES = {
    "ORDER": "01928f6e-0000-7000-8000-000000000000",
    "ID": "01928f6e-0000-7000-8000-000000000000",
    "N": "1",
    "NUMBER": "1",
    "S": "10",
    "DAY": "2025-11-03",
    "TIME": "2025-11-03T15:00:00Z",
    "F": "csv",
}


@pytest.mark.parametrize(("page", "command", "synopsis"), documented.synopses())
def test_a_command_takes_what_the_documentation_gives_it(page: str, command: str, synopsis: str) -> None:
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    for call in documented.calls(synopsis):
        try:
            parser.parse_args([_VALUES.get(word, word) for word in call])
        except (CommandError, SystemExit) as error:
            pytest.fail(f"{page}: manage.py {command} {' '.join(call)}: {error}")


def test_every_alert_of_prometheus_has_its_remedy_in_the_runbook() -> None:
    rules = yaml.safe_load((PROJECT / "deploy/monitoring/emo-desk.rules.yml").read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    rows = _table("docs/operations.md", "alert")
    assert [alert.strip("`") for alert, *_ in rows] == alerts
    assert all(means and do for _, means, do in rows)


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """A page that no other leads to is one, and a link to a heading that there is not."""
    arguments = ("-q", "-W", "--keep-going", "-b", "html", "-d", f"{tmp_path}/trees", "docs", f"{tmp_path}/site")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    assert not built.stderr
    pages = {page.stem for page in (PROJECT / "docs").glob("*.md")}
    assert pages == {page.stem for page in (tmp_path / "site").glob("*.html")} - {"genindex", "search"}


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
