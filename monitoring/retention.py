"""Lets old market events and health records go, by the way that the server has. The only writer of RetentionRun.

No other table can be named here: orders and their audit are never let go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Model
from django.utils import timezone

from emo_site.db.aliases import database_of
from emo_site.db.timescale import chunks
from emo_site.db.timescale.capabilities import look_up
from emo_site.db.timescale.hypertables import existing
from monitoring import chunk_settings, clock, shards
from monitoring.choices import RetentionWay
from monitoring.chunk_settings import Change
from monitoring.models import MarketEvent, RetentionRun, SystemHealth

TASK = "apply_retention"
# Rows in one transaction: short enough that nobody waits for its locks, long enough that commits don't matter.
BATCH = 5_000


class NotATimeSeries(ValueError):
    """Retention was asked of a table that is not let go by age."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """A table that is kept for a time. `segment_by` is the column that its rows are asked for by."""

    model: type[Model]
    setting: str
    segment_by: str

    @property
    def keep(self) -> timedelta | None:
        """None: for ever."""
        days = getattr(settings, self.setting)
        return None if days is None else timedelta(days=days)


_SERIES = {
    "market_events": Series(model=MarketEvent, setting="EMO_RETAIN_MARKET_EVENTS_DAYS", segment_by="symbol"),
    "system_health": Series(model=SystemHealth, setting="EMO_RETAIN_SYSTEM_HEALTH_DAYS", segment_by="component_name"),
}
TABLES = tuple(_SERIES)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What retention would do to one table now.

    `rows` and `chunks` are what would go; on the server's own policy (POLICY) only whole chunks go, and `rows` are
    those in them. `refusal` says why nothing is done unless confirmed, `warnings` what the settings ask in vain.
    """

    table: str
    way: RetentionWay
    keep: timedelta | None
    cutoff: datetime | None
    using: str
    """The database whose rows they are."""
    rows: int = 0
    chunks: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    changes: tuple[Change, ...] = ()
    refusal: str = ""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def series(table: str) -> Series:
    """Raises NotATimeSeries for every table but the two."""
    if table not in _SERIES:
        raise NotATimeSeries(f"table={table!r}: only {' and '.join(TABLES)} are let go by age")
    return _SERIES[table]


def databases(table: str, *, home: str | None = None) -> list[str]:
    """Those in which the table's rows lie: several where market events are spread over shards.

    `home` is where to ask for them, by default the database of the time series.
    """
    home = home or database_of("monitoring")
    return shards.holding(home) if table == shards.TABLE else [home]


def plan(table: str, *, now: datetime, using: str | None = None) -> Plan:
    """Looks only, at the rows of one of `databases(table)`; by default that of the time series. `now` is aware.

    Raises NotATimeSeries and what the driver raises.
    """
    wanted = series(table)
    using = using or database_of("monitoring")
    connection = connections[using]
    way, licence = _way(connection, table)
    cutoff = None if wanted.keep is None else now - wanted.keep
    rows, dropped = _doomed(connection, table, way, cutoff)
    newest = _edge(using, table, "-timestamp", timestamp__lte=now)
    refusal = ""
    # Where nothing would go, a wrong clock does no harm.
    if wanted.keep is not None and (rows or dropped):
        server_now = _server_now(connection, now)
        refusal = clock.doubt(now=now, server_now=server_now, newest=newest, keep=wanted.keep)
    warnings = () if licence == chunks.COMMUNITY else tuple(filter(None, [chunk_settings.unlicensed(table, licence)]))
    return Plan(
        table=table,
        way=way,
        keep=wanted.keep,
        cutoff=cutoff,
        rows=rows,
        chunks=dropped,
        using=using,
        oldest=_edge(using, table, "timestamp"),
        newest=newest,
        changes=_changes(connection, wanted, table, way, licence),
        refusal=refusal,
        warnings=warnings,
        notes=_notes(using, table, now),
    )


def apply(planned: Plan, *, confirmed: bool) -> RetentionRun | None:
    """Does what was planned, and returns its record; None where it was refused or nothing is to be let go.

    A refused plan is done only where `confirmed`. Each step commits by itself, together with what it adds to the
    record (which of a shard's rows is in another database, and committed just before). Raises what the driver raises;
    the record then says how far it got and why it ended.
    """
    wanted = series(planned.table)
    if planned.refusal and not confirmed:
        return None
    connection = connections[planned.using]
    with transaction.atomic(using=connection.alias):
        for change in planned.changes:
            change.make()
    if planned.cutoff is None or wanted.keep is None:
        return None
    run = RetentionRun.objects.create(
        table_name=planned.table, way=planned.way, cutoff=planned.cutoff, started_at=timezone.now()
    )
    with _recorded(run):
        _STEPS[planned.way](connection, planned, run)
    return run


@contextmanager
def _recorded(run: RetentionRun) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        # Where the database is gone, the first error is the one to be heard of.
        failure = (str(error).strip().splitlines() or [type(error).__name__])[0]
        try:
            RetentionRun.objects.filter(pk=run.pk).update(failure=failure, finished_at=timezone.now())
        except DatabaseError as second:
            raise error from second
        raise
    RetentionRun.objects.filter(pk=run.pk).update(finished_at=timezone.now())
    run.refresh_from_db()


def _count(run: RetentionRun, *, rows: int, chunks: int = 0) -> None:
    RetentionRun.objects.filter(pk=run.pk).update(rows=F("rows") + rows, chunks=F("chunks") + chunks)


# ---- the three ways ----------------------------------------------------------------------------------------------


def _by_policy(connection: BaseDatabaseWrapper, planned: Plan, run: RetentionRun) -> None:
    """Runs the server's own job now, which it would also do by itself within a day."""
    found = chunks.policy(connection, planned.table, chunks.RETENTION)
    if found is None:
        raise DatabaseError(f"{planned.table}: the retention policy that was made is gone")
    before = chunks.count_chunks(connection, planned.table)
    chunks.run_job(connection, found.job_id)
    dropped = before - chunks.count_chunks(connection, planned.table)
    _count(run, rows=planned.rows if dropped else 0, chunks=max(dropped, 0))


def _by_chunks(connection: BaseDatabaseWrapper, planned: Plan, run: RetentionRun) -> None:
    """Whole chunks at once, then what is too old in the one chunk that the cutoff lies in."""
    assert planned.cutoff is not None  # noqa: S101  # apply() looked
    with transaction.atomic(using=connection.alias):
        _, end = chunks.chunks_before(connection, planned.table, planned.cutoff)
        rows = _older(connection, planned.table, end) if end else 0
        _count(run, rows=rows, chunks=chunks.drop_chunks(connection, planned.table, planned.cutoff))
    _by_batches(connection, planned, run)


def _by_batches(connection: BaseDatabaseWrapper, planned: Plan, run: RetentionRun) -> None:
    statement = _DELETE_SQLITE if connection.vendor == "sqlite" else _DELETE_POSTGRESQL
    cutoff = connection.ops.adapt_datetimefield_value(planned.cutoff)
    parameters = [cutoff, BATCH] if connection.vendor == "sqlite" else [cutoff, BATCH, cutoff]
    gone = BATCH
    while gone:
        with transaction.atomic(using=connection.alias):
            with connection.cursor() as cursor:
                cursor.execute(statement.format(table=connection.ops.quote_name(planned.table)), parameters)
                gone = cursor.rowcount
            _count(run, rows=gone)
    if series(planned.table).model._base_manager.using(connection.alias).filter(timestamp__lt=planned.cutoff).exists():
        raise DatabaseError(f"{planned.table}: some old rows are locked by another transaction; run it again")


_STEPS: dict[RetentionWay, Callable[[BaseDatabaseWrapper, Plan, RetentionRun], None]] = {
    RetentionWay.POLICY: _by_policy,
    RetentionWay.CHUNKS: _by_chunks,
    RetentionWay.BATCHES: _by_batches,
}

_DELETE_SQLITE = (
    "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE timestamp < %s ORDER BY timestamp LIMIT %s)"
)
# Materialized: a subquery with a limit and locks could otherwise be asked again for each row, and give others.
_DELETE_POSTGRESQL = """
WITH doomed AS MATERIALIZED (
    SELECT timestamp, id FROM {table} WHERE timestamp < %s ORDER BY timestamp LIMIT %s FOR UPDATE SKIP LOCKED
)
DELETE FROM {table} AS old USING doomed
WHERE old.timestamp = doomed.timestamp AND old.id = doomed.id AND old.timestamp < %s
"""


# ---- looking -----------------------------------------------------------------------------------------------------


def _way(connection: BaseDatabaseWrapper, table: str) -> tuple[RetentionWay, str | None]:
    """By which way rows leave this table, and TimescaleDB's licence where it is a hypertable."""
    if table not in existing(connection):
        return RetentionWay.BATCHES, None
    licence = look_up(connection).licence
    return (RetentionWay.POLICY if licence == chunks.COMMUNITY else RetentionWay.CHUNKS), licence


def _doomed(connection: BaseDatabaseWrapper, table: str, way: RetentionWay, cutoff: datetime | None) -> tuple[int, int]:
    """Rows and chunks that would go."""
    if cutoff is None:
        return 0, 0
    if way == RetentionWay.BATCHES:
        return _older(connection, table, cutoff), 0
    count, end = chunks.chunks_before(connection, table, cutoff)
    if way == RetentionWay.POLICY:
        return (_older(connection, table, end) if end else 0), count
    return _older(connection, table, cutoff), count


def _older(connection: BaseDatabaseWrapper, table: str, cutoff: datetime) -> int:
    return series(table).model._base_manager.using(connection.alias).filter(timestamp__lt=cutoff).count()


def _edge(using: str, table: str, order: str, **conditions: Any) -> datetime | None:
    rows = series(table).model._base_manager.using(using).filter(**conditions).order_by(order)
    return rows.values_list("timestamp", flat=True).first()


def _server_now(connection: BaseDatabaseWrapper, now: datetime) -> datetime:
    """The server's clock; SQLite has none but this machine's."""
    if connection.vendor != "postgresql":
        return now
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
        return moment


def _changes(
    connection: BaseDatabaseWrapper, wanted: Series, table: str, way: RetentionWay, licence: str | None
) -> tuple[Change, ...]:
    if way == RetentionWay.BATCHES:
        return ()
    changes = chunk_settings.interval_change(connection, table)
    if licence == chunks.COMMUNITY:
        changes += chunk_settings.compression_changes(connection, table, segment_by=wanted.segment_by)
        changes += chunk_settings.retention_changes(connection, table, wanted.keep)
    return tuple(changes)


def _notes(using: str, table: str, now: datetime) -> tuple[str, ...]:
    future = _edge(using, table, "-timestamp", timestamp__gt=now)
    return (f"{table}: there are rows from the future, up to {future:%Y-%m-%d %H:%M} UTC",) if future else ()
