"""What an outage left behind in databases and time series: each with what can be done about it, and how."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db import migration
from emo_site.db.aliases import database_of, is_replica
from emo_site.db.health import own_connection
from emo_site.db.timescale.capabilities import look_up
from emo_site.db.timescale.hypertables import HypertableRefused, existing, expected
from monitoring.choices import HealthStatus
from monitoring.chunk_settings import partition
from monitoring.probes import hypertables_of
from monitoring.server_probes import ReplicationProbe


class NotMended(Exception):
    """A step that was to put something right was refused; it changed nothing."""


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing that is not as it should be. `mend` does what `would` says, in a transaction of its own, and returns
    what it did; None where only a person can help. `closes`: afterwards it is as it should be."""

    kind: str
    database: str
    subject: str
    found: str
    would: str
    mend: Callable[[], str] | None = None
    closes: bool = True


def unmigrated() -> Iterator[Leftover]:
    """A standby that was promoted may lack the migration that its primary had just run."""
    for alias in migration.aliases():
        pending = migration.pending(alias)
        for missing in pending.missing:
            if not missing.mendable:
                yield Leftover(
                    kind="lost tables",
                    database=alias,
                    subject=missing.app_label,
                    found=str(missing),
                    would="left to a person: restore a backup; an empty table would hide that rows are lost",
                )
        if pending.migrations or any(missing.mendable for missing in pending.missing):
            names = [*map(str, pending.missing), *pending.migrations]
            yield Leftover(
                kind="unmigrated",
                database=alias,
                subject=f"{len(names)} not applied",
                found=", ".join(names[:5]) + (" …" if len(names) > 5 else ""),
                would="manage.py migrate_all (it needs the migrator's URL where the desk has roles)",
                mend=_migrate,
            )


def _migrate() -> str:
    said: list[str] = []
    try:
        migration.migrate(wait=60, verbosity=0, stdout=io.StringIO(), say=said.append)
    except migration.NotMigrated as error:
        raise NotMended(str(error)) from error
    return "; ".join(["every database is migrated", *said])


def time_series() -> Iterator[Leftover]:
    """Tables that should be hypertables, and chunks whose table is gone."""
    alias = database_of("monitoring")
    with own_connection(alias) as connection:
        if not expected(look_up(connection)):
            return
        found = existing(connection)
        present = set(connection.introspection.table_names())
        lost = _lost_chunks(connection)
    for table in sorted((hypertables_of(alias) & present) - found if settings.EMO_TIMESCALE == "auto" else ()):
        yield Leftover(
            kind="missing hypertable",
            database=alias,
            subject=table,
            found="an ordinary table on a server with TimescaleDB",
            would="make it a hypertable, its rows included (the table is locked meanwhile)",
            mend=lambda table=table: _make_hypertable(alias, table),  # type: ignore[misc]  # the loop's own value
        )
    for chunk, period in lost:
        yield Leftover(
            kind="missing chunk",
            database=alias,
            subject=chunk,
            found=f"the catalogue names it and there is no such table; it held {period}",
            would="left to a person: its rows are lost; restore a backup beside and copy them",
        )


# Read from the catalogue itself: the views that are made for people leave out what has no table.
_LOST_CHUNKS = """
SELECT format('%I.%I', c.schema_name, c.table_name),
       coalesce((SELECT format('%s from %s to %s', h.table_name, to_timestamp(s.range_start / 1e6)::date,
                               to_timestamp(s.range_end / 1e6)::date)
                 FROM _timescaledb_catalog.chunk_constraint k JOIN _timescaledb_catalog.dimension_slice s
                 ON s.id = k.dimension_slice_id WHERE k.chunk_id = c.id LIMIT 1), h.table_name::text)
FROM _timescaledb_catalog.chunk c JOIN _timescaledb_catalog.hypertable h ON h.id = c.hypertable_id
WHERE NOT c.dropped AND to_regclass(format('%I.%I', c.schema_name, c.table_name)) IS NULL ORDER BY 1
"""


def _lost_chunks(connection: BaseDatabaseWrapper) -> list[tuple[str, str]]:
    if look_up(connection).installed is None:
        return []
    with connection.cursor() as cursor:
        # Without parameters: the question has percent signs of its own.
        cursor.execute(_LOST_CHUNKS)
        return list(cursor.fetchall())


def _make_hypertable(alias: str, table: str) -> str:
    try:
        partition(alias, table)
    except HypertableRefused as error:
        raise NotMended(str(error)) from error
    return f"{table} is a hypertable"


def replicas() -> Iterator[Leftover]:
    """Replicas that are down, receive nothing, or were promoted. None can be put right from here."""
    for alias in filter(is_replica, settings.DATABASES):
        finding = ReplicationProbe(alias=alias).run()
        if finding.status != HealthStatus.HEALTHY:
            yield Leftover(
                kind="replica",
                database=alias,
                subject=str(connections[alias].settings_dict["HOST"]),
                found=finding.message,
                would=f"left to a person: {finding.remedy}",
            )
