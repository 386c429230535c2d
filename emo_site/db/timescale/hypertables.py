"""Turning a table into a hypertable, with its key kept."""

from __future__ import annotations

import re

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from emo_site.db.timescale.capabilities import Capabilities, look_up


class HypertableRefused(Exception):
    """A hypertable should exist and can't be made; the message says what to do."""


def expected(capabilities: Capabilities) -> bool:
    """Hypertables should exist wherever the server has the extension on its disk."""
    return capabilities.available is not None or capabilities.installed is not None


def existing(connection: BaseDatabaseWrapper) -> set[str]:
    """Names of the hypertables of this database; empty where the extension is not enabled."""
    if look_up(connection).installed is None:
        return set()
    with connection.cursor() as cursor:
        cursor.execute("SELECT hypertable_name FROM timescaledb_information.hypertables")
        return {row[0] for row in cursor.fetchall()}


def make_hypertable(connection: BaseDatabaseWrapper, table: str, *, time_column: str, chunk_interval: str) -> bool:
    """Makes the table a hypertable, rows included, keyed by (time, id); True where it is one afterwards.

    False on servers without TimescaleDB: the table stays an ordinary one. Raises HypertableRefused where the
    extension is there but can't be used. Call it inside a transaction: it is all or nothing.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", table):
        raise ValueError(f"table={table!r}: a lower-case name is needed")
    if not expected(look_up(connection)):
        return False
    _enable_extension(connection)
    if table in existing(connection):
        return True
    with connection.cursor() as cursor:
        # TimescaleDB wants the time in every unique key. The key leads with it: lists are newest first, and a load
        # that arrives in time order touches one end of the index.
        cursor.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{_primary_key(connection, table)}"')
        cursor.execute(f'ALTER TABLE "{table}" ADD CONSTRAINT "{table}_pkey" PRIMARY KEY ("{time_column}", "id")')
        cursor.execute(
            "SELECT create_hypertable(%s::regclass, %s::name, chunk_time_interval => %s::interval,"
            " create_default_indexes => false, migrate_data => true)",
            [f'"{table}"', time_column, chunk_interval],
        )
    return True


def _primary_key(connection: BaseDatabaseWrapper, table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_catalog.pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'",
            [f'"{table}"'],
        )
        return str(cursor.fetchone()[0])


def _enable_extension(connection: BaseDatabaseWrapper) -> None:
    capabilities = look_up(connection)
    if capabilities.installed is not None:
        return
    name = connection.settings_dict["NAME"]
    if not capabilities.preloaded:
        # CREATE EXTENSION would end the connection with FATAL, and the reason with it.
        raise HypertableRefused(
            f"Database {name!r}: TimescaleDB {capabilities.available} is installed on the server but not loaded. Add"
            " timescaledb to shared_preload_libraries, restart the server and run the command again; or set"
            " EMO_TIMESCALE=off to keep ordinary tables."
        )
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except DatabaseError as error:
        raise HypertableRefused(
            f"Database {name!r}: TimescaleDB could not be enabled ({str(error).strip()}). As a superuser run"
            f" CREATE EXTENSION timescaledb; in that database and run the command again; or set EMO_TIMESCALE=off to"
            " keep ordinary tables."
        ) from error
