"""docs/legacy.md: each example runs as a program of its own and prints what the page says; each name is on it."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emo_site import legacy
from tests.desk import empty_database, environment_of, manage
from tests.run import PROJECT

PAGE = (PROJECT / "docs/legacy.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CLASSES = (legacy.DBRouter, legacy.EnhancedRouter, legacy.EnhancedOrderReview, legacy.InstitutionalIntegration)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a fresh, migrated desk on the engine that this run is about."""
    with empty_database(tmp_path_factory.mktemp("desk")) as url:
        environment = {"EMO_ENV": "dev", "EMO_DB_URL": url, "PYTHONPATH": str(PROJECT)}
        ran = manage("migrate_all", "--verbosity", "0", environment=environment)
        assert ran.status == 0, ran.err
        yield environment


def printed(code: str, environment: dict[str, str], folder: Path) -> tuple[list[str], str]:
    """The lines on standard output, and what went to standard error."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env=environment_of(environment | {"EMO_DATA_DIR": str(folder)}),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines(), ran.stderr


def promised(example: str) -> list[str]:
    return re.findall(r"# → (.+)", example)


def fits(said: str, promise: str) -> bool:
    """… in a promise stands for anything."""
    return re.fullmatch(".+".join(map(re.escape, promise.split("…"))), said) is not None


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_prints_what_the_page_says_and_warns(number: int, desk: dict[str, str], tmp_path: Path) -> None:
    lines, errors = printed(EXAMPLES[number], desk, tmp_path)
    wanted = promised(EXAMPLES[number])
    assert wanted
    assert len(lines) == len(wanted), lines
    for said, promise in zip(lines, wanted, strict=True):
        assert fits(said, promise), (said, promise)
    assert "is an old name: use " in errors
    for path in re.findall(r"saved?: (.+\.html)|report: (.+\.html)", "\n".join(lines)):
        assert Path("".join(path)).is_relative_to(tmp_path)


def test_no_password_is_printed(desk: dict[str, str], tmp_path: Path) -> None:
    password = re.search(r"://[^:/]+:([^@]+)@", desk["EMO_DB_URL"])
    for example in EXAMPLES:
        if "get_database_url" in example or "get_status" in example:
            lines, errors = printed(example.replace('"staged_orders" in status["tables"]', "status"), desk, tmp_path)
            assert password is None or password[1] not in "\n".join(lines) + errors


def test_there_are_examples_of_every_name() -> None:
    assert len(EXAMPLES) == 6
    code = "\n".join(EXAMPLES)
    missing = [
        f"{kind.__name__}.{name}"
        for kind in CLASSES
        for name in vars(kind)
        if not name.startswith("_") and not re.search(rf"\.{name}\(", code)
    ]
    assert missing == []


def test_the_table_names_each_door_with_its_arguments_and_its_new_way() -> None:
    rows = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            rows[re.sub(r"^`\.?|\(.*", "", cells[0])] = (cells[0], cells[2])
    doors: dict[str, Any] = {}
    for kind in CLASSES:
        public = {name: item for name, item in vars(kind).items() if not name.startswith("_")}
        prefix = "DBRouter." if kind is legacy.DBRouter else ""
        doors |= {f"{prefix}{name}": item for name, item in public.items() if callable(getattr(item, "__func__", item))}
    doors |= {kind.__name__: kind.__init__ for kind in CLASSES if "__init__" in vars(kind)}
    doors |= {"get_enhanced_router": legacy.get_enhanced_router, "run_migrations": legacy.run_migrations}
    for name, item in doors.items():
        function = inspect.unwrap(getattr(item, "__func__", item))
        shown, new = rows[name]
        arguments = [
            {each.VAR_KEYWORD: "**"}.get(each.kind, "")
            + each.name
            + ("" if each.default is each.empty else f"={each.default}")
            for each in inspect.signature(function).parameters.values()
            if each.name not in ("self", "cls")
        ]
        assert f"({', '.join(arguments)})`" in shown, name
        source = inspect.getsource(function)
        [said] = re.findall(r'@_old\("(.+)"\)', source)
        assert said == new.replace("`", ""), name


def test_promises_are_compared_strictly() -> None:
    assert fits("a 12 b", "a … b")
    assert not fits("a  c", "a … b")
    assert not fits("aXb", "a.b")
