"""The bot's SQLite files: known by their header, opened so that nothing in or beside them changes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from orders.legacy_import.report import Unreadable

HEADER = b"SQLite format 3\x00"
# Byte 18 of the header, the file format's write version: 2 where changes go through a write-ahead log.
_WRITE_VERSION, _WITH_LOG = 18, 2
_WAIT_SECONDS = 2
Row = dict[str, Any]


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection. What SQLite refuses (locked, damaged, no database) is raised as Unreadable."""
    try:
        with closing(sqlite3.connect(_address(path), uri=True, timeout=_WAIT_SECONDS)) as connection:
            connection.text_factory = _text
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            yield connection
    except sqlite3.Error as error:
        raise Unreadable(f"SQLite: {error}") from error


def tables(connection: sqlite3.Connection) -> list[str]:
    """Names of the real tables; views and virtual tables run code of the file's author, so they are left alone."""
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    )
    return [name for (name,) in rows]


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(table)})")]


def count(connection: sqlite3.Connection, table: str) -> int:
    (number,) = connection.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()  # noqa: S608  # quoted
    return int(number)


def rows(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Each row by column, in the order they were written; column names in lower case."""
    cursor = connection.execute(f"SELECT * FROM {_quoted(table)}")  # noqa: S608  # quoted; the file's own table
    names = [column[0].lower() for column in cursor.description]
    for values in cursor:
        yield dict(zip(names, values, strict=True))


def _address(path: Path) -> str:
    """Read-only where another program may be writing; immutable where none can, or SQLite would leave files behind."""
    logs = [side for side in (path.with_name(path.name + end) for end in ("-wal", "-journal")) if _has_content(side)]
    if not os.access(path.parent, os.W_OK):
        if logs:
            raise Unreadable(f"{logs[0].name} holds changes that can't be merged: the folder is read-only")
        return _uri(path, "immutable=1")
    with path.open("rb") as file:
        header = file.read(_WRITE_VERSION + 1)
    # A log's absence says that no program has the database open: it removes the log when it closes.
    settled = len(header) > _WRITE_VERSION and header[_WRITE_VERSION] == _WITH_LOG and not logs
    return _uri(path, "immutable=1" if settled else "mode=ro")


def _uri(path: Path, options: str) -> str:
    return f"{path.absolute().as_uri()}?{options}"


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _text(raw: bytes) -> str:
    """Text that is not UTF-8 keeps its odd bytes as surrogates, so that only its own row is refused."""
    return raw.decode("utf-8", "surrogateescape")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
