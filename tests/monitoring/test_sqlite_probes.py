"""A SQLite file that is damaged, whose WAL grows, or that is mostly empty, is told."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections

from emo_site.db import sqlite_file
from emo_site.db.sqlite_file import SqliteFile
from monitoring import sqlite_probes
from monitoring.health import Finding
from monitoring.sqlite_probes import SqliteProbe

pytestmark = pytest.mark.sqlite
MIB = 2**20
SOUND = SqliteFile(problems=(), size=200 * MIB, empty=0, wal=0)


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (SOUND, ("healthy", "whole; 210 MB, WAL 0 bytes")),
        (replace(SOUND, empty=150 * MIB, size=99 * MIB), ("healthy", "whole; 104 MB, WAL 0 bytes")),
        (
            replace(SOUND, empty=150 * MIB),
            ("warning", "210 MB, WAL 0 bytes; 75 % of it is empty (limit 50 %)"),
        ),
        (
            replace(SOUND, wal=300 * MIB),
            ("warning", "210 MB, WAL 315 MB (limit 256 MiB): it is not taken into the file"),
        ),
        (
            replace(SOUND, problems=("*** in database main ***", "Page 4: never used")),
            ("error", "The file is damaged: *** in database main ***; Page 4: never used"),
        ),
        (
            replace(SOUND, problems=None),
            ("unknown", "210 MB, WAL 0 bytes; too large to be checked within 2 s"),
        ),
        (OperationalError("there is no file x"), ("unknown", "Can't be asked: there is no file x")),
    ],
)
def test_sqlite(monkeypatch: pytest.MonkeyPatch, db: None, found: Any, expected: tuple[str, str]) -> None:
    def look(*args: object, **kwargs: object) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(sqlite_file, "look_at", look)
    finding = SqliteProbe(alias="default").run()
    assert said(finding) == expected
    assert bool(finding.remedy) == (finding.status != "healthy")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: None) -> Iterator[Path]:
    """A file of 50,000 rows, which the probe looks at instead of the desk's own."""
    path = tmp_path / "file.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as own, own:
        own.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)")
        own.executemany("INSERT INTO t VALUES (?, ?)", [(number, "x" * 50) for number in range(50_000)])
    own_settings = connections["default"].settings_dict
    wrapper = type(connections["default"])({**own_settings, "NAME": str(path)}, "default")

    @contextlib.contextmanager
    def asked(alias: str, seconds: float) -> Iterator[Any]:
        yield wrapper

    monkeypatch.setattr(sqlite_probes, "asked_within", asked)
    yield path
    wrapper.close()


def test_a_real_file_is_whole(file: Path) -> None:
    finding = SqliteProbe(alias="default").run()
    assert (str(finding.status), finding.metrics["checked"]) == ("healthy", True), finding.message
    assert finding.metrics["size_bytes"] == file.stat().st_size


def test_a_page_that_was_overwritten_is_found(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(4096 * 100)
        stream.write(b"\xff" * 4096)
    finding = SqliteProbe(alias="default").run()
    assert str(finding.status) == "error"
    assert finding.message.startswith("The file is damaged: ")
    assert "manage.py restore FILE" in finding.remedy


def test_a_check_that_takes_too_long_is_ended_and_the_connection_stays_good(file: Path) -> None:
    finding = SqliteProbe(alias="default", check_seconds=0).run()
    assert said(finding)[0] == "unknown"
    assert finding.metrics["checked"] is False
    assert str(SqliteProbe(alias="default").run().status) == "healthy"


def test_a_real_wal_is_measured(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("UPDATE t SET text = 'y'")
        other.commit()
        finding = SqliteProbe(alias="default", warn_wal_mib=0.1).run()
    assert str(finding.status) == "warning"
    assert finding.metrics["wal_bytes"] > MIB // 10
    assert "it is not taken into the file" in finding.message


def test_the_desks_own_database_is_whole(db: None) -> None:
    assert str(SqliteProbe(alias="default").run().status) == "healthy"
