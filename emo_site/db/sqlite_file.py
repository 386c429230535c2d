"""A SQLite file as it lies on the disk: is it whole, how long is its WAL, how much of it is empty."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

MOST_NAMED = 5
# SQLite asks us after so many of its own instructions: several thousand times a second.
_ASK_AFTER = 10_000


@dataclass(frozen=True, kw_only=True)
class SqliteFile:
    """Bytes. `problems` are SQLite's own words, at most MOST_NAMED; None where the check did not end in time."""

    problems: tuple[str, ...] | None
    size: int
    empty: int
    wal: int

    @property
    def empty_percent(self) -> float:
        return 100 * self.empty / max(1, self.size)


def look_at(connection: BaseDatabaseWrapper, *, seconds: float) -> SqliteFile:
    """Checks every page, without the rows against their indexes, for at most `seconds`."""
    page_size, pages, empty = (
        _one(connection, f"PRAGMA {name}") for name in ("page_size", "page_count", "freelist_count")
    )
    return SqliteFile(
        problems=_problems(connection, seconds),
        size=page_size * pages,
        empty=page_size * empty,
        wal=_wal(connection),
    )


def _problems(connection: BaseDatabaseWrapper, seconds: float) -> tuple[str, ...] | None:
    connection.ensure_connection()
    own: sqlite3.Connection = connection.connection
    ends_at = time.monotonic() + seconds
    own.set_progress_handler(lambda: time.monotonic() > ends_at, _ASK_AFTER)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA quick_check({MOST_NAMED})")
            found = [str(line) for (line,) in cursor.fetchall()]
    except DatabaseError as error:
        code = getattr(error.__cause__, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_INTERRUPT:
            return None
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return (str(error),)
        raise
    finally:
        own.set_progress_handler(None, 0)
    return tuple(line for line in found if line != "ok")


def _wal(connection: BaseDatabaseWrapper) -> int:
    path = Path(f"{connection.settings_dict['NAME']}-wal")
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _one(connection: BaseDatabaseWrapper, question: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return int(cursor.fetchone()[0])
