"""How the two time series lie in their database: size, age, chunks, and what is done about old rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site import display
from emo_site.db.aliases import is_shard
from emo_site.db.estimates import rows_about
from emo_site.db.timescale import chunks
from emo_site.db.timescale.capabilities import look_up
from emo_site.db.timescale.hypertables import existing
from monitoring import retention, shards
from monitoring.chunk_settings import days
from monitoring.models import RetentionRun

# apply_retention runs once a day: two missed ones are no accident.
OVERDUE = timedelta(days=2)
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, kw_only=True)
class TimeSeries:
    """One table. Figures are None where the engine has none; the text beside each says why, or shows it."""

    table: str
    kind: str
    rows_about: int | None
    rows_text: str
    size_bytes: int | None
    size_text: str
    chunks: int | None
    chunk_interval_days: float | None
    chunks_text: str
    oldest: datetime | None
    newest: datetime | None
    span_text: str
    keep_days: int | None
    policy: str
    compression: str
    last_run_at: datetime | None
    last_run_rows: int | None
    last_run: str
    last_run_tone: str


def look(*, now: datetime) -> tuple[TimeSeries, ...]:
    """Both tables, on each shard where they are spread, without counting or reading them through.

    Asked of the replica that the block reads from, where it does: the page of an outage must not wait for the primary.
    Raises what the driver raises.
    """
    home = router.db_for_read(RetentionRun)
    return tuple(
        _look_in(alias, table, now) for table in retention.TABLES for alias in retention.databases(table, home=home)
    )


def _look_in(alias: str, table: str, now: datetime) -> TimeSeries:
    connection = connections[alias]
    with shards.named(alias):
        licence = look_up(connection).licence if table in existing(connection) else None
        return _look_at(connection, table, licence=licence, now=now)


def _look_at(connection: BaseDatabaseWrapper, table: str, *, licence: str | None, now: datetime) -> TimeSeries:
    wanted = retention.series(table)
    rows = rows_about(wanted.model, using=connection.alias)
    size = _size(connection, table, hypertable=licence is not None)
    count = interval = None
    if licence is not None:
        count, interval = chunks.count_chunks(connection, table), chunks.chunk_interval(connection, table)
    oldest, newest = (
        wanted.model._base_manager.using(connection.alias).order_by(order).values_list("timestamp", flat=True).first()
        for order in ("timestamp", "-timestamp")
    )
    run = RetentionRun.objects.filter(table_name=table).order_by("-started_at", "-id").first()
    by_cron = wanted.keep is not None and licence != chunks.COMMUNITY
    last, tone = _run_text(run, now, kept_for_ever=wanted.keep is None, by_cron=by_cron)
    return TimeSeries(
        table=f"{table} on {connection.alias}" if is_shard(connection.alias) else table,
        kind=f"hypertable ({licence} licence)" if licence else "ordinary table",
        rows_about=rows,
        rows_text="n/a: not analysed yet" if rows is None else f"about {rows:,}",
        size_bytes=size,
        size_text="n/a: SQLite keeps all tables in one file" if size is None else size_text(size),
        chunks=count,
        chunk_interval_days=None if interval is None else interval / timedelta(days=1),
        chunks_text=f"{count:,} of {days(interval)}" if interval is not None else "n/a: an ordinary table",
        oldest=oldest,
        newest=newest,
        span_text=f"{display.moment(oldest)} to {display.moment(newest)}" if oldest and newest else "empty",
        keep_days=None if wanted.keep is None else wanted.keep.days,
        policy=_policy_text(connection, table, wanted.keep, licence),
        compression=_compression_text(connection, table, licence),
        last_run_at=run.started_at if run else None,
        last_run_rows=run.rows if run else None,
        last_run=last,
        last_run_tone=tone,
    )


def size_text(size: int) -> str:
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_UNITS[unit]}" if value < 1000 else f"{value:,.0f} {_UNITS[unit]}"


def _size(connection: BaseDatabaseWrapper, table: str, *, hypertable: bool) -> int | None:
    if connection.vendor != "postgresql":
        return None
    if hypertable:
        return chunks.size_in_bytes(connection, table)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [table])
        return int(cursor.fetchone()[0])


def _policy_text(connection: BaseDatabaseWrapper, table: str, keep: timedelta | None, licence: str | None) -> str:
    wanted = "kept for ever" if keep is None else f"kept {days(keep)}"
    if licence != chunks.COMMUNITY:
        return wanted if keep is None else f"{wanted}, by manage.py apply_retention"
    policy = chunks.policy(connection, table, chunks.RETENTION)
    found = policy.period if policy else None
    if found != keep:
        return f"{wanted} by the settings, {days(found)} by the server's policy: run manage.py apply_retention"
    if policy is None:
        return wanted
    ran = f", last run {display.moment(policy.last_run)}: {policy.last_status.lower()}" if policy.last_run else ""
    return f"{wanted}, by the server's policy{ran}"


def _compression_text(connection: BaseDatabaseWrapper, table: str, licence: str | None) -> str:
    if licence is None:
        return "n/a: an ordinary table"
    if licence != chunks.COMMUNITY:
        return f"n/a: not in the {licence} licence"
    policy = chunks.policy(connection, table, chunks.COMPRESSION)
    return f"after {days(policy.period)}" if policy else "off"


def _run_text(run: RetentionRun | None, now: datetime, *, kept_for_ever: bool, by_cron: bool) -> tuple[str, str]:
    if run is None:
        return ("none yet", "muted" if kept_for_ever else "warn")
    what = f"{run.rows:,} rows, {run.chunks:,} chunks" if run.chunks else f"{run.rows:,} rows"
    text = f"{display.age(now - run.started_at)} ago: {what}"
    if run.failure:
        return f"{text}; failed: {run.failure}", "bad"
    if run.finished_at is None:
        return f"{text}; not finished", "warn"
    if by_cron and now - run.started_at > OVERDUE:
        # Refused, or not started at all: neither leaves a record.
        return f"{text}; overdue", "warn"
    return text, "good"


def look_or_say_why(*, now: datetime) -> tuple[tuple[TimeSeries, ...], str]:
    """For a page that is shown while databases are down: the tables, and why there are none."""
    try:
        return look(now=now), ""
    except DatabaseError as error:
        return (), (str(error).strip().splitlines() or [type(error).__name__])[0]
