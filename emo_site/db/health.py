"""What a database server is: engine, role, lag, migration state. Asks one connection; raises what the driver raises."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import OperationalError

from emo_site.db import deadline, pooler
from emo_site.db.aliases import apps_of
from emo_site.db.timescale.capabilities import look_up

MIGRATIONS_TABLE = MigrationRecorder.Migration._meta.db_table


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """`latency_ms` of one SELECT 1 on an open connection; `lag_seconds` None on a primary and on SQLite;
    `timeouts_missing` where a pooler is between (emo_site/db/pooler.py).
    """

    alias: str
    engine: str
    version: str
    role: str
    latency_ms: float
    connect_ms: float
    lag_seconds: float | None
    timeouts_missing: tuple[str, ...] = ()


_ROLE = """
SELECT pg_is_in_recovery(),
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
       current_setting('server_version')
"""


@contextmanager
def own_connection(alias: str) -> Iterator[BaseDatabaseWrapper]:
    """A connection outside the pool, closed afterwards.

    A pool that can't connect says only that it waited; the server's own word (refused, wrong password, no such
    database) comes from connecting. And a probe must not take a connection that a request is waiting for.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        _require_file(connection)
        require_writable_file(connection)
        yield connection
        return
    own = outside_the_pool(alias)
    try:
        yield own
    finally:
        own.close()


def outside_the_pool(alias: str) -> BaseDatabaseWrapper:
    """A connection of the caller's own, not connected yet; the caller closes it. Not for SQLite."""
    connection = connections[alias]
    options = {key: value for key, value in connection.settings_dict["OPTIONS"].items() if key != "pool"}
    own: BaseDatabaseWrapper = type(connection)({**connection.settings_dict, "OPTIONS": options}, alias)
    return own


@contextmanager
def asked_within(alias: str, seconds: float) -> Iterator[BaseDatabaseWrapper]:
    """`own_connection`, each statement of which a server ends after `seconds`; and nobody here waits longer in all.

    The server must know too: what it goes on with, after nobody waits for it any more, costs it just as much.
    """
    with deadline.within(seconds), own_connection(alias) as connection:
        # Behind a pooler a setting of the session would be the next one's: there one transaction holds it.
        one_transaction = pooler.between(connection.settings_dict)
        if connection.vendor == "postgresql":
            if one_transaction:
                connection.set_autocommit(False)
            with connection.cursor() as cursor:
                milliseconds = str(round(seconds * 1000))
                cursor.execute("SELECT set_config('statement_timeout', %s, %s)", [milliseconds, one_transaction])
        yield connection
        if one_transaction:
            # A session that is left in a transaction is thrown away by the pooler.
            connection.rollback()


@contextmanager
def models_asked_within(alias: str, seconds: float) -> Iterator[None]:
    """The same for questions that are asked through models, over the thread's own connection, as pages ask them.

    Raises the driver's word at once where the database can't be connected to.
    """
    connection = connections[alias]
    with deadline.within(seconds):
        require_answer(alias)
        if connection.vendor != "postgresql":
            # A transaction would be one that writes: it would hold up everybody who does.
            yield
            return
        with transaction.atomic(using=alias):
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(round(seconds * 1000))])
            yield


def require_answer(alias: str) -> None:
    """Raises the driver's own word where the database can't be connected to, at once and not after the pool's wait."""
    with own_connection(alias) as connection:
        connection.ensure_connection()


def _require_file(connection: BaseDatabaseWrapper) -> None:
    # Connecting would make an empty file, and call it healthy. (Tests keep a database in memory: file:…)
    name = str(connection.settings_dict["NAME"])
    if not name.startswith("file:") and not Path(name).is_file():
        raise OperationalError(f"there is no file {name}; manage.py migrate makes it")


def require_writable_file(connection: BaseDatabaseWrapper) -> None:
    """Raises OperationalError where SQLite could not write its file, or beside it (WAL), and would not say which."""
    name = str(connection.settings_dict["NAME"])
    if name.startswith("file:"):
        return
    for place, what in ((Path(name), "file"), (Path(name).parent, "folder")):
        if not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise OperationalError(f"the {what} {place} is read-only for this process")


def look_at(connection: BaseDatabaseWrapper) -> ServerFacts:
    """Connects, runs SELECT 1 and asks who is there."""
    started = time.perf_counter()
    connection.ensure_connection()
    connected = time.perf_counter()
    with connection.cursor() as cursor:
        asked = time.perf_counter()
        cursor.execute("SELECT 1")
        cursor.fetchone()
        answered = time.perf_counter()
        role, lag, engine = "primary", None, connection.vendor
        if connection.vendor == "postgresql":
            cursor.execute(_ROLE)
            standby, lag, version = cursor.fetchone()
            role = "standby" if standby else "primary"
        else:
            cursor.execute("SELECT sqlite_version()")
            version = cursor.fetchone()[0]
    capabilities = look_up(connection)
    if capabilities.installed is not None:
        engine, version = "timescaledb", f"{capabilities.installed} on PostgreSQL {version}"
    return ServerFacts(
        alias=connection.alias,
        engine=engine,
        version=str(version),
        role=role,
        latency_ms=round((answered - asked) * 1000, 3),
        connect_ms=round((connected - started) * 1000, 3),
        lag_seconds=None if lag is None else float(lag),
        timeouts_missing=pooler.timeouts_missing(connection, statement_seconds=settings.EMO_REQUEST_TIMEOUT_SECONDS),
    )


def unapplied_migrations(connection: BaseDatabaseWrapper) -> list[str]:
    """Migrations of the apps that live in this database and are not applied there, in order ("orders.0002_…").

    Read over the given connection: Django's own executor asks by alias, and so would wait for the pool.
    """
    return missing_migrations(connection.alias, applied_migrations(connection))


def missing_migrations(alias: str, applied: set[tuple[str, str]]) -> list[str]:
    """What a database of this alias lacks where `applied` (app, name) are applied, in order."""
    graph = MigrationLoader(None).graph
    here = set(apps_of(alias, [config.label for config in apps.get_app_configs()]))
    planned = dict.fromkeys(node for leaf in graph.leaf_nodes() for node in graph.forwards_plan(leaf))
    return [
        f"{app_label}.{name}"
        for app_label, name in planned
        if app_label in here
        and (app_label, name) not in applied
        # A squashed migration counts as applied where all that it replaces are.
        and not applied.issuperset(graph.nodes[app_label, name].replaces or [(app_label, name)])
    ]


def applied_migrations(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    """(app, name) of every migration on record in this database; none where it is empty."""
    with connection.cursor() as cursor:
        if MIGRATIONS_TABLE not in connection.introspection.table_names(cursor):
            return set()
        cursor.execute(f"SELECT app, name FROM {MIGRATIONS_TABLE}")  # noqa: S608  # Django's own table
        return set(cursor.fetchall())
