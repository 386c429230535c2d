"""Which errors a later try may not meet again, and which are mistakes that stay."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from django.db import IntegrityError, InterfaceError, OperationalError, ProgrammingError
from psycopg import errors
from psycopg_pool import PoolTimeout

from emo_site.db.connections import CommitUnconfirmed, Fenced, NoAnswer
from emo_site.db.outage import is_lost_connection, is_outage, reason_of


def wrapped(kind: type[Exception], cause: Exception) -> Exception:
    """As Django hands it on."""
    error = kind(str(cause))
    error.__cause__ = cause
    return error


def of_sqlite(name: str) -> Exception:
    error = sqlite3.OperationalError("…")
    error.sqlite_errorname = name
    return wrapped(OperationalError, error)


LOST = "The connection to the database was lost."
FULL = "The database's disk is full."


@pytest.mark.parametrize(
    ("error", "outage", "lost", "reason"),
    [
        (
            wrapped(OperationalError, PoolTimeout("…")),
            True,
            True,
            "No database server could be reached, or all connections are in use.",
        ),
        (wrapped(OperationalError, psycopg.OperationalError("server closed the connection")), True, True, LOST),
        (wrapped(OperationalError, NoAnswer("…")), True, True, LOST),
        (wrapped(OperationalError, Fenced("…")), True, True, LOST),
        (InterfaceError("connection already closed"), True, True, LOST),
        (wrapped(OperationalError, errors.AdminShutdown("…")), True, True, LOST),
        (wrapped(OperationalError, errors.CannotConnectNow("…")), True, True, LOST),
        (
            wrapped(OperationalError, CommitUnconfirmed("…")),
            True,
            True,
            "The database has committed, but no standby has confirmed it.",
        ),
        (
            wrapped(OperationalError, errors.ReadOnlySqlTransaction("…")),
            True,
            True,
            "The database takes no writes at the moment.",
        ),
        (
            wrapped(OperationalError, errors.TooManyConnections("…")),
            True,
            True,
            "The database takes no more connections.",
        ),
        (wrapped(OperationalError, errors.DiskFull("…")), True, False, FULL),
        (wrapped(OperationalError, errors.QueryCanceled("…")), True, False, "The database took too long."),
        (wrapped(OperationalError, errors.LockNotAvailable("…")), True, False, "Somebody else holds a lock on it."),
        (
            wrapped(OperationalError, errors.SerializationFailure("…")),
            True,
            False,
            "Somebody else changed the same rows.",
        ),
        (of_sqlite("SQLITE_BUSY"), True, False, "The database file is locked by another program."),
        (of_sqlite("SQLITE_FULL"), True, False, FULL),
        (of_sqlite("SQLITE_READONLY"), True, False, "The database file is read-only."),
        # Mistakes: they would come up again.
        (of_sqlite("SQLITE_ERROR"), False, False, LOST),
        (wrapped(ProgrammingError, errors.UndefinedTable("…")), False, False, LOST),
        (wrapped(IntegrityError, errors.UniqueViolation("…")), False, False, LOST),
        (ValueError("…"), False, False, LOST),
    ],
    ids=lambda value: repr(value) if isinstance(value, Exception) else None,
)
def test_outages_are_told_from_mistakes(error: Exception, outage: bool, lost: bool, reason: str) -> None:
    assert (is_outage(error), is_lost_connection(error)) == (outage, lost)
    if outage:
        assert reason_of(error) == reason
