"""Migrates databases one after the other, under a lock each, and without making the running desk queue up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.loader import MigrationLoader

from emo_site.db import migration_records
from emo_site.db.aliases import is_replica
from emo_site.db.health import own_connection, unapplied_migrations
from emo_site.db.migration_lock import LockLost, LockTaken, MigrationLock, exclusive
from emo_site.db.migration_records import MissingTables
from emo_site.db.roles import RolesRefused, complete_grants
from emo_site.db.timescale.hypertables import HypertableRefused

# While a migration waits for a table's lock, everybody who comes after it waits too, readers included. So it waits
# this long, lets the others through, and tries again.
LOCK_TIMEOUT_SECONDS = 3.0
PAUSE_SECONDS = 3.0
ATTEMPTS = 5
_LOCK_NOT_AVAILABLE = "55P03"

# Of CommandError `migrate` makes use where two migrations follow the same one.
_FAILURES = (LockLost, DatabaseError, HypertableRefused, RolesRefused, InconsistentMigrationHistory, CommandError)

Say = Callable[[str], None]


class NotMigrated(Exception):
    """The message names what failed, what is done and what was not begun."""


@dataclass(frozen=True, kw_only=True)
class Pending:
    """What one database lacks: migrations in order, and tables whose migrations are recorded as applied."""

    alias: str
    migrations: tuple[str, ...]
    missing: tuple[MissingTables, ...]

    def __bool__(self) -> bool:
        return bool(self.migrations or self.missing)


def aliases() -> list[str]:
    """The databases in the order in which they are migrated; replicas follow their primary by themselves."""
    return [alias for alias in settings.DATABASES if not is_replica(alias)]


def pending(alias: str) -> Pending:
    """Asks one database, changing nothing; SELECT on it is enough. Raises what the driver raises."""
    if not exists(alias):
        everything = dict.fromkeys(node for leaf in _graph().leaf_nodes() for node in _graph().forwards_plan(leaf))
        return Pending(alias=alias, migrations=tuple(map(".".join, everything)), missing=())
    with own_connection(alias) as connection:
        return Pending(
            alias=alias,
            migrations=tuple(unapplied_migrations(connection)),
            missing=tuple(migration_records.missing_tables(connection)),
        )


def migrate(*, wait: float, verbosity: int, stdout: TextIO, say: Say) -> None:
    """Migrates every database in order. `wait`: seconds of patience with another who migrates one of them.

    All of them must answer, and all locks be had, before the first is touched. Raises NotMigrated.
    """
    done: list[str] = []
    with ExitStack() as locks:
        held: dict[str, MigrationLock] = {}
        for alias in aliases():
            try:
                held[alias] = locks.enter_context(exclusive(alias, wait=wait, say=say))
                _refuse_lost_tables(alias)
            except (LockTaken, DatabaseError, NotMigrated) as error:
                raise NotMigrated(f"{_said(alias, error)}. Nothing was migrated.") from error
        for alias in aliases():
            if verbosity:
                stdout.write(f"== {alias}\n")
            try:
                held[alias].require()
                _migrate_one(alias, verbosity=verbosity, stdout=stdout, say=say)
            except _FAILURES as error:
                left = [other for other in aliases() if other not in {*done, alias}]
                raise NotMigrated(
                    f"{_said(alias, error)}. Migrated: {', '.join(done) or 'none'}. {alias} is at its last migration"
                    f" that succeeded. Not begun: {', '.join(left) or 'none'}."
                ) from error
            done.append(alias)


def _refuse_lost_tables(alias: str) -> None:
    if not exists(alias):
        return
    with own_connection(alias) as connection:
        for missing in migration_records.missing_tables(connection):
            if not missing.mendable:
                raise NotMigrated(f"{missing}: its rows are lost. Restore a backup; an empty table would hide it")


def _migrate_one(alias: str, *, verbosity: int, stdout: TextIO, say: Say) -> None:
    with outside_pool(alias) as connection:
        for missing in migration_records.missing_tables(connection):
            say(f"{alias}: {missing}; making it (the time series lived elsewhere when they were migrated)")
            migration_records.make_tables(connection, missing.app_label)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                call_command("migrate", database=alias, verbosity=verbosity, stdout=stdout, interactive=False)
                break
            except OperationalError as error:
                if not _waited_for_a_lock(error):
                    raise
                blockers = _blockers(connection)
                if attempt == ATTEMPTS or not _may_be_repeated(connection):
                    raise OperationalError(f"a table's lock was not to be had, {blockers}") from error
                say(f"{alias}: a table is locked, {blockers}; trying again in {PAUSE_SECONDS:g} s")
                time.sleep(PAUSE_SECONDS)
        if connection.vendor == "postgresql":
            for statement in complete_grants(connection):
                if verbosity:
                    stdout.write(f"  {statement}\n")


@contextmanager
def outside_pool(alias: str) -> Iterator[BaseDatabaseWrapper]:
    """All that asks for the alias gets a connection of its own, with time-outs that fit a migration."""
    pooled = connections[alias]
    if pooled.vendor != "postgresql":
        yield pooled
        return
    with own_connection(alias) as own:
        connections[alias] = own
        try:
            with own.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS:g}s'")
                # What bounds a request would cut off an index that takes its time.
                cursor.execute("SET statement_timeout = 0")
                cursor.execute("SET idle_in_transaction_session_timeout = 0")
            yield own
        finally:
            connections[alias] = pooled


def _waited_for_a_lock(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def _may_be_repeated(connection: BaseDatabaseWrapper) -> bool:
    """Whether the migration that failed left nothing behind: one that is not atomic may have done half of it."""
    next_one = next(iter(unapplied_migrations(connection)), None)
    if next_one is None:
        return True
    app_label, name = next_one.split(".", 1)
    node = _graph().nodes[app_label, name]
    return node is None or node.atomic


_BLOCKERS = """
SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), 'a program'), a.usename,
       string_agg(DISTINCT c.relname::text, ', '), date_trunc('second', clock_timestamp() - a.xact_start)::text
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p')
WHERE l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
AND c.relnamespace = 'public'::regnamespace AND a.pid <> pg_backend_pid()
GROUP BY 1, 2, 3, a.xact_start ORDER BY 5 DESC NULLS LAST LIMIT 3
"""


def _blockers(connection: BaseDatabaseWrapper) -> str:
    """Who holds locks on the desk's tables at this moment."""
    with connection.cursor() as cursor:
        cursor.execute(_BLOCKERS)
        found = [
            f"pid {pid} ({program} of {user}, in a transaction for {age or 'an unknown time'}) uses {tables}"
            for pid, program, user, tables, age in cursor.fetchall()
        ]
    return "; ".join(found) or "whoever held it has ended since"


def exists(alias: str) -> bool:
    """False for a SQLite file that the migration will make."""
    connection = connections[alias]
    name = str(connection.settings_dict["NAME"])
    return connection.vendor != "sqlite" or name.startswith("file:") or Path(name).is_file()


def _graph() -> MigrationGraph:
    graph: MigrationGraph = MigrationLoader(None).graph
    return graph


def _said(alias: str, error: Exception) -> str:
    text = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
    return text if text.startswith(f"{alias}: ") else f"{alias}: {text}"
