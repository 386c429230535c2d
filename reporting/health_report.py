"""The institutional report: how the system is doing, as one frozen value from one moment. It is built even while
databases are down, and then says which figures are missing and why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from emo_site import display
from monitoring import health, time_series
from monitoring.choices import HealthStatus
from monitoring.health import ProbeResult
from monitoring.models import SystemHealth
from monitoring.time_series import TimeSeries
from orders.choices import ACTIVE_GROUP, EventKind
from orders.models import OrderEvent, StagedOrder
from reporting import database_load
from reporting.charts import Slot, status_strip
from reporting.database_load import DatabaseLoad
from reporting.figures import Figure

HISTORY = timedelta(hours=24)
RECENT_EVENTS = 20
RECENT_FILES = timedelta(hours=24)
TONES = {
    HealthStatus.HEALTHY: "good",
    HealthStatus.WARNING: "warn",
    HealthStatus.ERROR: "bad",
    HealthStatus.UNKNOWN: "muted",
}


@dataclass(frozen=True, kw_only=True)
class Component:
    """One probe's word now, and what was recorded of it in the last 24 hours."""

    name: str
    status: str
    tone: str
    score: float | None
    critical: bool
    message: str
    remedy: str
    response_ms: float | None
    response_text: str
    history: tuple[Slot, ...]
    history_summary: str


@dataclass(frozen=True, kw_only=True)
class Database:
    """One database as its probes see it; texts are "n/a" where it did not answer."""

    alias: str
    status: str
    tone: str
    engine: str
    role: str
    latency_ms: float | None
    lag_seconds: float | None
    latency_text: str
    lag_text: str
    migrations: str


@dataclass(frozen=True, kw_only=True)
class Activity:
    at: datetime
    at_text: str
    what: str
    order: str
    actor: str


@dataclass(frozen=True, kw_only=True)
class InstitutionalReport:
    """`system_health_score` from 0 to 100, None where no probe knows. Order figures are None where the orders'
    database can't be read; `missing` then says why.
    """

    timestamp: datetime
    environment: str
    version: str
    demo: bool
    database_healthy: bool
    database_dialect: str
    migration_status: str
    system_health_score: float | None
    system_status: str
    system_tone: str
    pulled_down_by: tuple[str, ...]
    total_orders: int | None
    active_orders: int | None
    recent_files_count: int | None
    missing: tuple[str, ...]
    headline: tuple[Figure, ...]
    databases: tuple[Database, ...]
    components: tuple[Component, ...]
    recent_activity: tuple[Activity, ...]
    load: DatabaseLoad
    time_series: tuple[TimeSeries, ...]


@dataclass(frozen=True, kw_only=True)
class _Orders:
    total: int
    active: int
    demo: bool
    recent_files: int
    activity: tuple[Activity, ...]


def build(*, now: datetime, results: Sequence[ProbeResult]) -> InstitutionalReport:
    """Puts together what the probes just found, what was recorded of them, and what the orders are doing."""
    missing: list[str] = []
    home = next((result for result in results if result.name == "database:default"), None)
    usable = home is not None and home.finding.status != HealthStatus.ERROR
    orders = _orders(now, missing) if usable else None
    if not usable:
        missing.append("Orders: the default database can't be used.")
    history = _history(results, now, missing)
    series = _time_series(results, now, missing)
    score, status = health.system_score(results), health.worst_status(results)
    return InstitutionalReport(
        timestamp=now,
        environment=settings.EMO_ENV,
        version=settings.EMO_VERSION,
        demo=orders.demo if orders else False,
        database_healthy=usable,
        database_dialect=_dialect(home),
        migration_status=_migration_status(results),
        system_health_score=None if score is None else float(score),
        system_status=status.label,
        system_tone=TONES[status],
        pulled_down_by=tuple(
            f"{result.name}: {result.finding.status}"
            for result in results
            if result.score is not None and result.score < 100
        ),
        total_orders=orders.total if orders else None,
        active_orders=orders.active if orders else None,
        recent_files_count=orders.recent_files if orders else None,
        missing=tuple(missing),
        headline=_headline(results, orders),
        databases=tuple(_database(alias, results) for alias in settings.DATABASES),
        components=tuple(_component(result, history.get(result.name, []), now) for result in results),
        recent_activity=orders.activity if orders else (),
        load=database_load.build(results),
        time_series=series,
    )


def _orders(now: datetime, missing: list[str]) -> _Orders | None:
    try:
        by_status = StagedOrder.objects.counted_by_status()
        files = (
            OrderEvent.objects.filter(kind=EventKind.STAGED, at__gte=now - RECENT_FILES)
            .exclude(order__source_file="")
            .values("order__source_file")
            .distinct()
            .count()
        )
        events = OrderEvent.objects.select_related("order").defer("seen", "order__workflow_state", "order__metadata")
        activity = tuple(
            Activity(
                at=event.at,
                at_text=display.moment(event.at),
                what=_what(event),
                order=f"{event.order.symbol} {event.order.client_order_id}",
                actor=event.actor_name,
            )
            for event in events.order_by("-at", "-sequence")[:RECENT_EVENTS]
        )
        demo = StagedOrder.objects.demo().exists()
    except DatabaseError as error:
        missing.append(f"Orders: {_first_line(error)}")
        return None
    return _Orders(
        total=sum(by_status.values()),
        active=sum(by_status.get(status, 0) for status in ACTIVE_GROUP),
        demo=demo,
        recent_files=files,
        activity=activity,
    )


def _what(event: OrderEvent) -> str:
    """The kind, and the status that the order has since, where the kind does not say it already."""
    kind, status = event.get_kind_display(), event.get_to_status_display()
    return kind if kind == status else f"{kind}: {status}"


def _history(
    results: Sequence[ProbeResult], now: datetime, missing: list[str]
) -> dict[str, list[tuple[datetime, str]]]:
    """Component -> (time, status) of its records of the last 24 hours, oldest first."""
    found: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    if _time_series_are_down(results):
        missing.append("History: the database of recorded health can't be used.")
        return found
    try:
        for name, at, status in SystemHealth.objects.since(now - HISTORY).values_list(
            "component_name", "timestamp", "status"
        ):
            found[name].append((at, status))
    except DatabaseError as error:
        missing.append(f"History: {_first_line(error)}")
    return found


def _time_series_are_down(results: Sequence[ProbeResult]) -> bool:
    down = {result.name for result in results if result.finding.status == HealthStatus.ERROR}
    return bool({"database:default", "database:timeseries"} & down)


def _time_series(results: Sequence[ProbeResult], now: datetime, missing: list[str]) -> tuple[TimeSeries, ...]:
    if _time_series_are_down(results):
        return ()
    found, why = time_series.look_or_say_why(now=now)
    if why:
        missing.append(f"Time series: {why}")
    return found


def _component(result: ProbeResult, history: list[tuple[datetime, str]], now: datetime) -> Component:
    finding = result.finding
    return Component(
        name=result.name,
        status=finding.status.label,
        tone=TONES[finding.status],
        score=None if result.score is None else float(result.score),
        critical=result.critical,
        message=finding.message,
        remedy=finding.remedy,
        response_ms=result.response_ms,
        response_text="n/a" if result.response_ms is None else f"{result.response_ms:.0f} ms",
        history=status_strip(history, end=now),
        history_summary=_history_summary(history),
    )


def _history_summary(history: list[tuple[datetime, str]]) -> str:
    if not history:
        return "nothing recorded in 24 h"
    bad = sum(status in (HealthStatus.WARNING, HealthStatus.ERROR) for _, status in history)
    records = "1 record" if len(history) == 1 else f"{len(history):,} records"
    return f"{records} in 24 h, {bad:,} not healthy"


def _database(alias: str, results: Sequence[ProbeResult]) -> Database:
    by_name = {result.name: result for result in results}
    connection, migrations = by_name.get(f"database:{alias}"), by_name.get(f"migrations:{alias}")
    metrics = connection.finding.metrics if connection else {}
    status = connection.finding.status if connection else HealthStatus.UNKNOWN
    return Database(
        alias=alias,
        status=status.label,
        tone=TONES[status],
        engine=f"{metrics['engine']} {metrics['version']}" if "engine" in metrics else "n/a",
        role=str(metrics.get("role", "n/a")),
        latency_ms=metrics.get("latency_ms"),
        lag_seconds=metrics.get("lag_seconds"),
        latency_text=f"{metrics['latency_ms']:.1f} ms" if "latency_ms" in metrics else "n/a",
        lag_text=_lag(metrics),
        migrations=migrations.finding.message if migrations else "not probed",
    )


def _lag(metrics: dict[str, Any]) -> str:
    if "lag_seconds" not in metrics:
        return "n/a"
    lag = metrics["lag_seconds"]
    return "none: not a standby" if lag is None else f"{lag:.1f} s"


def _dialect(home: ProbeResult | None) -> str:
    return str(home.finding.metrics.get("engine", "n/a")) if home else "n/a"


def _migration_status(results: Sequence[ProbeResult]) -> str:
    found = [result for result in results if result.name.startswith("migrations:")]
    behind = [result for result in found if result.finding.status != HealthStatus.HEALTHY]
    if behind:
        return "; ".join(f"{result.name.partition(':')[2]}: {result.finding.message}" for result in behind)
    return "up to date" if found else "not probed"


def _headline(results: Sequence[ProbeResult], orders: _Orders | None) -> tuple[Figure, ...]:
    score = health.system_score(results)
    known = sum(result.score is not None for result in results)
    why = "" if orders else "the orders' database can't be used"
    return (
        Figure(
            label="System health",
            value=display.score(score),
            note=f"mean of {known} of {len(results)} components, 100 best; a failing critical one caps it at"
            f" {health.CRITICAL_CAP}"
            if known
            else "no probe knows",
        ),
        Figure(
            label="Orders",
            value=display.count(orders.total) if orders else "n/a",
            note=why or "all that were ever staged",
        ),
        Figure(
            label="Active orders",
            value=display.count(orders.active) if orders else "n/a",
            note=why or "approved, submitted, partially filled",
        ),
        Figure(
            label="Recent files",
            value=display.count(orders.recent_files) if orders else "n/a",
            note=why or "order files staged from in the last 24 h",
        ),
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
