"""The databases of the report: what their probes say, what their statements take, how large they are, and when one of
them was last promoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site import display
from monitoring.choices import HealthStatus
from monitoring.health import ProbeResult
from monitoring.time_series import size_text
from reporting.components import TONES
from reporting.database_load import DatabaseLoad, milliseconds

_NOW_ONLY = "n/a: not recorded"
_NO_ANSWER = "n/a: no answer"


@dataclass(frozen=True, kw_only=True)
class Database:
    """One database as its probes see it; texts are "n/a" where it did not answer. p50 and p95 are those of the
    statements of the process that built the report, in milliseconds.
    """

    alias: str
    status: str
    tone: str
    engine: str
    role: str
    latency_ms: float | None
    lag_seconds: float | None
    p50_ms: float | None
    p95_ms: float | None
    size_bytes: int | None
    promoted_at: datetime | None
    latency_text: str
    lag_text: str
    statements_text: str
    pool_text: str
    size_text: str
    promoted_text: str
    migrations: str


def databases(results: Sequence[ProbeResult], load: DatabaseLoad | None) -> tuple[Database, ...]:
    """`load` is None for a moment of the past, of which only the probes' words are on record."""
    return tuple(_database(alias, results, load) for alias in settings.DATABASES)


def _database(alias: str, results: Sequence[ProbeResult], load: DatabaseLoad | None) -> Database:
    by_name = {result.name: result for result in results}
    connection, migrations = by_name.get(f"database:{alias}"), by_name.get(f"migrations:{alias}")
    metrics = connection.finding.metrics if connection else {}
    status = connection.finding.status if connection else HealthStatus.UNKNOWN
    size, size_shown, promoted, promoted_shown = _asked(alias, load, usable=status in _USABLE)
    p50, p95, statements = _statements(alias, load)
    return Database(
        alias=alias,
        status=status.label,
        tone=TONES[status],
        engine=f"{metrics['engine']} {metrics['version']}" if "engine" in metrics else "n/a",
        role=str(metrics.get("role", "n/a")),
        latency_ms=metrics.get("latency_ms"),
        lag_seconds=metrics.get("lag_seconds"),
        p50_ms=p50,
        p95_ms=p95,
        size_bytes=size,
        promoted_at=promoted,
        latency_text=f"{metrics['latency_ms']:.1f} ms" if "latency_ms" in metrics else "n/a",
        lag_text=_lag(metrics),
        statements_text=statements,
        pool_text=_pool(alias, load),
        size_text=size_shown,
        promoted_text=promoted_shown,
        migrations=migrations.finding.message if migrations else "not probed",
    )


_USABLE = (HealthStatus.HEALTHY, HealthStatus.WARNING)


def _asked(alias: str, load: DatabaseLoad | None, *, usable: bool) -> tuple[int | None, str, datetime | None, str]:
    """Size and last promotion, with a text each, from the database itself."""
    if load is None or not usable:
        reason = _NOW_ONLY if load is None else _NO_ANSWER
        return None, reason, None, reason
    connection = connections[alias]
    try:
        size = _size(connection)
        promoted, text = _promoted(connection)
    except DatabaseError:
        # It answered its probe and is gone since; the next look will say so.
        return None, _NO_ANSWER, None, _NO_ANSWER
    return size, size_text(size), promoted, text


def _size(connection: BaseDatabaseWrapper) -> int:
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            return int(cursor.fetchone()[0])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


def _promoted(connection: BaseDatabaseWrapper) -> tuple[datetime | None, str]:
    """A promotion (a failover, a switchover, a restored backup) begins a timeline and leaves a file that says so."""
    if connection.vendor != "postgresql":
        return None, "n/a: SQLite has no standby"
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_function_privilege('pg_ls_waldir()', 'EXECUTE')")
        if not cursor.fetchone()[0]:
            return None, "n/a: its role may not look (grant pg_monitor)"
        cursor.execute("SELECT max(modification) FROM pg_ls_waldir() WHERE name LIKE '%.history'")
        at: datetime | None = cursor.fetchone()[0]
    return at, "never, on this server" if at is None else display.moment(at)


def _statements(alias: str, load: DatabaseLoad | None) -> tuple[float | None, float | None, str]:
    if load is None:
        return None, None, _NOW_ONLY
    for row in load.statements:
        if row.alias == alias and row.p50_ms is not None:
            return row.p50_ms, row.p95_ms, f"{milliseconds(row.p50_ms)} / {milliseconds(row.p95_ms)}"
    return None, None, "n/a: none of late"


def _pool(alias: str, load: DatabaseLoad | None) -> str:
    if load is None:
        return _NOW_ONLY
    for pool in load.pools:
        if pool.alias == alias:
            # Why there is none is said where the pools are shown in full.
            return "none" if pool.reason else f"{pool.in_use} of {pool.max_size} in use"
    return "none"


def _lag(metrics: dict[str, Any]) -> str:
    if "lag_seconds" not in metrics:
        return "n/a"
    lag = metrics["lag_seconds"]
    return "none: not a standby" if lag is None else f"{lag:.1f} s"
