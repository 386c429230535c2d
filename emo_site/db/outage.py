"""Which database errors mean "not now" (the server is away, full or overloaded) and not "never" (a mistake of ours)."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from django.db import DatabaseError, InterfaceError
from psycopg_pool import PoolTimeout

from emo_site.db.connections import CommitUnconfirmed

# SQLSTATE classes and codes, PostgreSQL's manual, appendix A.
_CLASSES = ("08", "53")  # connection exceptions; out of disk, memory or connections
_CODES = frozenset(
    {
        "25006",  # the server became read-only
        "40001",  # could not be serialised: safe to repeat
        "40P01",  # deadlock: safe to repeat
        "55P03",  # a lock was not to be had in time
        "57014",  # statement time-out
        "57P01",  # the server was shut down
        "57P02",  # another process of the server crashed
        "57P03",  # the server starts or stops
        "57P05",  # idle for too long
        "25P03",  # idle in a transaction for too long
        "58030",  # input or output failed
    }
)
# Beginnings of codes: the connection is gone or was never had, whatever the statement.
_LOST = ("08", "57P0", "53300", "25006")
_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN")
_REASONS = {
    "25006": "The database takes no writes at the moment.",
    "53100": "The database's disk is full.",
    "53300": "The database takes no more connections.",
    "40001": "Somebody else changed the same rows.",
    "40P01": "Somebody else changed the same rows.",
    "55P03": "Somebody else holds a lock on it.",
    "57014": "The database took too long.",
    "SQLITE_BUSY": "The database file is locked by another program.",
    "SQLITE_FULL": "The database's disk is full.",
    "SQLITE_READONLY": "The database file is read-only.",
}


def is_outage(error: BaseException | None) -> bool:
    """Whether the same request may succeed later, with nothing about it changed."""
    return any(map(_says_so, _chain(error)))


def is_pool_timeout(error: BaseException | None) -> bool:
    """Whether there was no connection to be had in time."""
    return any(isinstance(each, PoolTimeout) for each in _chain(error))


def is_lost_connection(error: BaseException | None) -> bool:
    """Whether no server answered, or stopped answering: another server may do better at once."""
    return any(
        isinstance(each, PoolTimeout | InterfaceError | psycopg.InterfaceError)
        or (isinstance(each, psycopg.Error) and _is_lost(each))
        for each in _chain(error)
    )


def _is_lost(error: psycopg.Error) -> bool:
    # libpq's own errors (no route, connection lost) have no code.
    return isinstance(error, psycopg.OperationalError) if error.sqlstate is None else error.sqlstate.startswith(_LOST)


def reason_of(error: BaseException | None) -> str:
    """What happened, in words without names of hosts, people or statements."""
    for each in _chain(error):
        if isinstance(each, PoolTimeout):
            return "No database server could be reached, or all connections are in use."
        if isinstance(each, CommitUnconfirmed):
            return "The database has committed, but no standby has confirmed it."
        code = getattr(each, "sqlstate", None) or getattr(each, "sqlite_errorname", "")
        if code in _REASONS:
            return _REASONS[code]
    return "The connection to the database was lost."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def _says_so(error: BaseException) -> bool:
    if isinstance(error, PoolTimeout | psycopg.InterfaceError | InterfaceError):
        return True
    if isinstance(error, psycopg.Error):
        code = error.sqlstate
        return _is_lost(error) if code is None else code[:2] in _CLASSES or code in _CODES
    name = getattr(error, "sqlite_errorname", "")
    return not isinstance(error, DatabaseError) and name.startswith(_SQLITE)
