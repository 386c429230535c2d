"""A pooler between the desk and its server (PgBouncer in transaction mode), where a session lasts one transaction.

Said by `?pooler=transaction` in a database's URL, for processes that serve. Then nothing of the desk outlives a
transaction on the server: no prepared statement, no setting, no cursor, no lock; and the time-outs, which the pooler
takes from nobody, are its own to set (connect_query in deploy/pgbouncer/pgbouncer.ini).
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper

TRANSACTION = "transaction"
# Beside Django's own keys of a database. libpq knows no such option.
KEY = "POOLER"

_IN_FORCE = """
SELECT name, setting::bigint FROM pg_catalog.pg_settings
 WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout') ORDER BY name
"""


class NoSession(ImproperlyConfigured):
    """A lock that lives as long as its session was wanted where sessions are handed around."""


def settings() -> dict[str, Any]:
    """What Django must know of such a database."""
    # A cursor that outlives its statement is left behind on a server that somebody else has by then.
    return {KEY: TRANSACTION, "DISABLE_SERVER_SIDE_CURSORS": True}


def between(database: dict[str, Any]) -> bool:
    """Whether Django's settings of a database say that a pooler is between."""
    return database.get(KEY) == TRANSACTION


def require_session(connection: BaseDatabaseWrapper) -> None:
    """Raises NoSession where this connection (to PostgreSQL) has none of its own, whether the URL says so or not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
        # The server names its process as it lets us in; a pooler lets us in itself, by a number that it makes up.
        told = connection.connection.info.backend_pid
    if between(connection.settings_dict) or told not in (0, pid):
        raise NoSession(
            f"Database {connection.alias!r} is reached through a pooler, which hands its sessions around: a lock held"
            " by a session would be anybody's. Give this process the server's own URL (docs/scaling.md)."
        )


def timeouts_missing(connection: BaseDatabaseWrapper, *, statement_seconds: int) -> tuple[str, ...]:
    """Which time-outs are not in force behind a pooler, in words; a statement may take `statement_seconds`."""
    if not between(connection.settings_dict):
        return ()
    with connection.cursor() as cursor:
        cursor.execute(_IN_FORCE)
        found: dict[str, int] = dict(cursor.fetchall())
    missing = [f"{name} is 0" for name, milliseconds in found.items() if not milliseconds]
    if found["statement_timeout"] > statement_seconds * 1000:
        missing.append(f"statement_timeout is {found['statement_timeout']} ms, more than {statement_seconds} s")
    return tuple(missing)
