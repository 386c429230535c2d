"""Connections of the backup's own: outside the pool, and without the time-outs that protect the desk's pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler, DatabaseError, OperationalError
from psycopg import IsolationLevel

from emo_site.db.backup.errors import CouldNot

Settings = dict[str, Any]

# A snapshot is held for as long as the dump takes.
_NO_TIME_OUTS = """
SELECT set_config(name, '0', false) FROM pg_settings
 WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_session_timeout',
                'idle_in_transaction_session_timeout')
"""


@contextmanager
def opened(alias: str, settings: Settings, *, one_snapshot: bool = False) -> Iterator[BaseDatabaseWrapper]:
    """A connection by these settings of a database, closed afterwards. Raises CouldNot where there is none.

    `one_snapshot`: on PostgreSQL, everything is read as of one moment, and nothing can be written.
    """
    options = {key: value for key, value in settings.get("OPTIONS", {}).items() if key != "pool"}
    if one_snapshot and is_server(settings):
        options["isolation_level"] = IsolationLevel.REPEATABLE_READ
    # The handler completes the settings; "default" is a name that it insists on.
    own = {**settings, "OPTIONS": options, "CONN_MAX_AGE": 0}
    connection = ConnectionHandler({"default": own, alias: own})[alias]
    try:
        try:
            connection.ensure_connection()
            if connection.vendor == "postgresql":
                _prepare(connection, one_snapshot=one_snapshot)
            else:
                # Django would try it out over the connection that the alias has: the live database.
                connection.features.supports_json_field = True
        except OperationalError as error:
            raise CouldNot(f"{alias}: the database can't be reached ({_first_line(error)})") from error
        yield connection
    except DatabaseError as error:
        raise CouldNot(f"{alias}: the database refused ({_first_line(error)})") from error
    finally:
        connection.close()


def _prepare(connection: BaseDatabaseWrapper, *, one_snapshot: bool) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_NO_TIME_OUTS)
        if one_snapshot:
            connection.set_autocommit(False)
            cursor.execute("SET TRANSACTION READ ONLY")


def is_server(settings: Settings) -> bool:
    return not settings["ENGINE"].endswith("sqlite3")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
