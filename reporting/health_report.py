"""The institutional report: how the system is doing, as one frozen value from one moment. It is built even while
databases are down, and then says which figures are missing and why.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import django
import psutil
from django.conf import settings
from django.db import DatabaseError

from emo_site import display
from emo_site.outages import will_be_repeated
from monitoring import health, time_series
from monitoring.choices import HealthStatus
from monitoring.health import ProbeResult
from monitoring.time_series import TimeSeries, size_text
from monitoring.uptime import SYSTEM
from orders.choices import ACTIVE_GROUP
from orders.models import OrderEvent, StagedOrder
from reporting import database_load, health_history
from reporting.applied_migrations import Applied, applied_migrations
from reporting.background_work import BackgroundWork, background_work
from reporting.backup_state import BackupState, backup_state
from reporting.capacity import DiskTrend, disk_trend
from reporting.charts import Line, Run, runs, score_line
from reporting.components import TONES, Cap, Component, Cost, OtherCosts, components, costs, other_costs
from reporting.database_load import DatabaseLoad
from reporting.databases import Database, databases
from reporting.error_list import ErrorRow, error_list
from reporting.figures import Figure, said_by
from reporting.file_activity import File, event_files, order_files
from reporting.health_history import ESTIMATOR, Compared, History, Uptime
from reporting.incident_list import IncidentRow, incident_list
from reporting.order_day import OrderDay, order_day

RECENT_EVENTS = 20

_Part = TypeVar("_Part")


@dataclass(frozen=True, kw_only=True)
class Activity:
    at: datetime
    at_text: str
    what: str
    order: str
    actor: str


@dataclass(frozen=True, kw_only=True)
class Versions:
    """Of what runs here, and since when this process does."""

    desk: str
    python: str
    django: str
    process: str
    started_at: datetime
    uptime_text: str


@dataclass(frozen=True, kw_only=True)
class InstitutionalReport:
    """`system_health_score` from 0 to 100, None where no probe knows. What can't be told is None, and `missing` or the
    text beside it says why. `past`: made from what was recorded, for a moment that is over.
    """

    timestamp: datetime
    past: bool
    environment: str
    version: str
    versions: Versions
    demo: bool
    database_healthy: bool
    database_dialect: str
    migration_status: str
    system_health_score: float | None
    system_status: str
    system_tone: str
    pulled_down_by: tuple[str, ...]
    costs: tuple[Cost, ...]
    other_costs: OtherCosts | None
    cap: Cap | None
    total_orders: int | None
    active_orders: int | None
    recent_files_count: int | None
    missing: tuple[str, ...]
    headline: tuple[Figure, ...]
    databases: tuple[Database, ...]
    components: tuple[Component, ...]
    system_uptimes: tuple[Uptime, ...]
    system_hours: tuple[Run, ...]
    score_line: Line | None
    uptime_method: str
    compared: tuple[Compared, ...]
    incidents: tuple[IncidentRow, ...] | None
    errors: tuple[ErrorRow, ...] | None
    background: BackgroundWork | None
    orders_today: OrderDay | None
    recent_activity: tuple[Activity, ...]
    recent_files: tuple[File, ...]
    disk: DiskTrend | None
    disk_rate_text: str
    backups: BackupState
    migrations: tuple[Applied, ...]
    load: DatabaseLoad | None
    time_series: tuple[TimeSeries, ...]


@dataclass(frozen=True, kw_only=True)
class _Orders:
    total: int
    active: int | None
    demo: bool
    n_files: int
    files: tuple[File, ...]
    activity: tuple[Activity, ...]
    day: OrderDay


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    history: History
    incidents: tuple[IncidentRow, ...]
    errors: tuple[ErrorRow, ...]
    disk: DiskTrend
    files: tuple[File, ...]


def build(*, now: datetime, results: Sequence[ProbeResult]) -> InstitutionalReport:
    """Puts together what the probes just found, what was recorded of them, and what the orders are doing."""
    return _built(now, results, past=False)


def build_past(*, at: datetime) -> InstitutionalReport:
    """The report of a moment that is over, from what was recorded; raises DatabaseError where that can't be read."""
    return _built(at, health_history.results_at(at), past=True)


def _built(now: datetime, results: Sequence[ProbeResult], *, past: bool) -> InstitutionalReport:
    missing: list[str] = []
    home = next((result for result in results if result.name == "database:default"), None)
    usable = home is not None and home.finding.status != HealthStatus.ERROR
    if past and not results:
        missing.append(_nothing_recorded())
    orders = None
    if usable or past:
        orders = _tried(lambda: _orders(now, results, past=past), "Orders", missing)
    else:
        missing.append("Orders: the default database can't be used.")
    background = None
    if usable and not past:
        background = _tried(lambda: background_work(now=now), "Background work", missing)
    recorded = _what_was_recorded(results, now, missing, past=past)
    history = recorded.history if recorded else None
    load = None if past else database_load.build(results)
    series = () if past else _time_series(results, now, missing)
    score, status = health.system_score(results), health.worst_status(results)
    paid, cap = costs(results)
    return InstitutionalReport(
        timestamp=now,
        past=past,
        environment=settings.EMO_ENV,
        version=settings.EMO_VERSION,
        versions=_versions(),
        demo=orders.demo if orders else False,
        database_healthy=usable,
        database_dialect=_dialect(home),
        migration_status=_migration_status(results),
        system_health_score=None if score is None else float(score),
        system_status=status.label,
        system_tone=TONES[status],
        pulled_down_by=tuple(f"{cost.name}: {cost.status}" for cost in paid),
        costs=paid,
        other_costs=other_costs(paid),
        cap=cap,
        total_orders=orders.total if orders else None,
        active_orders=orders.active if orders else None,
        recent_files_count=orders.n_files if orders else None,
        missing=tuple(missing),
        headline=_headline(results, orders, history, recorded.disk if recorded else None, past=past),
        databases=databases(results, load),
        components=components(results, history),
        system_uptimes=history.uptimes.get(SYSTEM, ()) if history else (),
        system_hours=runs(history.system) if history else (),
        score_line=score_line(history.system) if history else None,
        uptime_method=ESTIMATOR,
        compared=history.compared if history else (),
        incidents=recorded.incidents if recorded else None,
        errors=recorded.errors if recorded else None,
        background=background,
        orders_today=orders.day if orders else None,
        recent_activity=orders.activity if orders else (),
        recent_files=_files(orders, recorded),
        disk=recorded.disk if recorded else None,
        disk_rate_text=_rate_text(recorded.disk) if recorded else "n/a",
        backups=backup_state(now=now, results=results),
        migrations=applied_migrations(now=now, results=results),
        load=load,
        time_series=series,
    )


def _tried(part: Callable[[], _Part], name: str, missing: list[str]) -> _Part | None:
    try:
        return part()
    except DatabaseError as error:
        # Each of the parts would wait for the same server, and the page be short of all of them.
        if will_be_repeated(error):
            raise
        missing.append(f"{name}: {said_by(error)}")
        return None


def _nothing_recorded() -> str:
    days = settings.EMO_RETAIN_SYSTEM_HEALTH_DAYS
    kept = "kept for ever" if days is None else f"kept for {days} days"
    return f"Components: nothing was recorded at that moment, or it is gone (records are {kept}; hours stay)."


def _orders(now: datetime, results: Sequence[ProbeResult], *, past: bool) -> _Orders:
    n_files, files = order_files(now=now)
    by_status = {} if past else StagedOrder.objects.counted_by_status()
    return _Orders(
        total=StagedOrder.objects.filter(created_at__lte=now).count() if past else sum(by_status.values()),
        active=None if past else sum(by_status.get(status, 0) for status in ACTIVE_GROUP),
        demo=StagedOrder.objects.demo().exists(),
        n_files=n_files,
        files=files,
        activity=_activity(now),
        day=order_day(now=now, results=results),
    )


def _activity(now: datetime) -> tuple[Activity, ...]:
    events = OrderEvent.objects.select_related("order").defer("seen", "order__workflow_state", "order__metadata")
    return tuple(
        Activity(
            at=event.at,
            at_text=display.moment(event.at),
            what=_what(event),
            order=f"{event.order.symbol} {event.order.client_order_id}",
            actor=event.actor_name,
        )
        for event in events.filter(at__lte=now).order_by("-at", "-sequence")[:RECENT_EVENTS]
    )


def _what(event: OrderEvent) -> str:
    """The kind, and the status that the order has since, where the kind does not say it already."""
    kind, status = event.get_kind_display(), event.get_to_status_display()
    return kind if kind == status else f"{kind}: {status}"


def _what_was_recorded(
    results: Sequence[ProbeResult], now: datetime, missing: list[str], *, past: bool
) -> _Recorded | None:
    if not past and _time_series_are_down(results):
        missing.append("History: the database of recorded health can't be used.")
        return None
    recorded = _tried(lambda: _recorded(now), "History", missing)
    if recorded and (behind := recorded.history.not_summed_up_since):
        missing.append(
            f"History: records since {display.moment(behind)} are not summed up yet, and count as unknown: run"
            " manage.py roll_up_health."
        )
    return recorded


def _recorded(now: datetime) -> _Recorded:
    return _Recorded(
        history=health_history.read(now=now),
        incidents=incident_list(now=now),
        errors=error_list(now=now),
        disk=disk_trend(health_history.disk_readings(now=now)),
        files=event_files(now=now),
    )


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


def _files(orders: _Orders | None, recorded: _Recorded | None) -> tuple[File, ...]:
    found = (orders.files if orders else ()) + (recorded.files if recorded else ())
    return tuple(sorted(found, key=lambda file: file.at, reverse=True))


def _versions() -> Versions:
    process = psutil.Process()
    started = datetime.fromtimestamp(process.create_time(), UTC)
    return Versions(
        desk=settings.EMO_VERSION,
        python=platform.python_version(),
        django=django.get_version(),
        process=f"{settings.EMO_PROCESS.kind}, pid {process.pid}",
        started_at=started,
        uptime_text=display.age(datetime.now(UTC) - started),
    )


def _dialect(home: ProbeResult | None) -> str:
    return str(home.finding.metrics.get("engine", "n/a")) if home else "n/a"


def _migration_status(results: Sequence[ProbeResult]) -> str:
    found = [result for result in results if result.name.startswith("migrations:")]
    behind = [result for result in found if result.finding.status != HealthStatus.HEALTHY]
    if behind:
        return "; ".join(f"{result.name.partition(':')[2]}: {result.finding.message}" for result in behind)
    return "up to date" if found else "not probed"


def _rate_text(disk: DiskTrend) -> str:
    if disk.bytes_per_day is None:
        return "n/a"
    way = "less" if disk.bytes_per_day < 0 else "more"
    return f"{size_text(int(abs(disk.bytes_per_day)))} {way} free each day"


def _headline(
    results: Sequence[ProbeResult],
    orders: _Orders | None,
    history: History | None,
    disk: DiskTrend | None,
    *,
    past: bool,
) -> tuple[Figure, ...]:
    return (
        _score_figure(results),
        *_uptime_figure(history),
        Figure(
            label="Disk full in",
            value=disk.text if disk else "n/a",
            note=_disk_note(disk),
        ),
        *_order_figures(orders, past=past),
    )


def _score_figure(results: Sequence[ProbeResult]) -> Figure:
    score = health.system_score(results)
    known = sum(result.score is not None for result in results)
    return Figure(
        label="System health",
        value=display.score(score),
        note=f"weighted mean of {known} of {len(results)} components, 100 best; a failing critical one caps it at"
        f" {health.CRITICAL_CAP}"
        if known
        else "no probe knows",
    )


def _uptime_figure(history: History | None) -> tuple[Figure, ...]:
    found = history.uptimes.get(SYSTEM, ()) if history else ()
    if not found:
        return (Figure(label="Uptime, 30 d", value="n/a", note="nothing is recorded" if history else "no history"),)
    last = found[-1]
    return (Figure(label=f"Uptime, {last.period}", value=last.up_text, note=f"no critical error; {last.note_text}"),)


def _disk_note(disk: DiskTrend | None) -> str:
    if disk is None:
        return "no history"
    return disk.reason or f"at this rate, Theil-Sen over {disk.n_days} days"


def _order_figures(orders: _Orders | None, *, past: bool) -> tuple[Figure, ...]:
    why = "" if orders else "the orders' database can't be used"
    return (
        Figure(
            label="Orders",
            value=display.count(orders.total) if orders else "n/a",
            note=why or "all that were ever staged",
        ),
        Figure(
            label="Active orders",
            value=display.count(orders.active) if orders and orders.active is not None else "n/a",
            note=why or ("not recorded" if past else "approved, submitted, partially filled"),
        ),
        Figure(
            label="Recent files",
            value=display.count(orders.n_files) if orders else "n/a",
            note=why or "order files staged from in 24 h",
        ),
    )
