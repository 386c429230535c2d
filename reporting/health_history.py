"""What was recorded of the desk's health: the state at a moment, uptimes, the course of hours, two weeks compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from emo_site import display
from monitoring import health_hours, uptime
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.models import Incident, SystemHealth
from monitoring.uptime import HOLDS, HOUR, SYSTEM, Tally
from reporting.capacity import Reading
from reporting.charts import Hour

DAY = 24 * HOUR
WEEK = 7 * DAY
WINDOWS = (("24 h", DAY), ("7 d", WEEK), ("30 d", 30 * DAY))
ESTIMATOR = (
    "Uptime is the share of the known time in which a component was healthy or warning. A record speaks until the next"
    f" one, for {HOLDS // timedelta(minutes=1)} minutes at most; the rest is unknown and counts for neither side."
    " Periods begin at a full hour."
)
# Records that are not summed up yet are read so far back, and no further.
_UNSUMMED = 26 * HOUR
_DISK = "disk"
_DISK_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class Uptime:
    """Shares from 0 to 1; `up_share` of the known time, None where nothing is known; `unknown_share` of all time."""

    period: str
    since: datetime
    up_share: float | None
    unknown_share: float
    records: int
    up_text: str
    note_text: str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One figure of the last seven days and of the seven before; None where it is not known, as `reason` says."""

    name: str
    unit: str
    this_week: float | None
    week_before: float | None
    difference: float | None
    reason: str
    this_text: str
    before_text: str
    difference_text: str


@dataclass(frozen=True, kw_only=True)
class History:
    """`uptimes` and `hours` by component, SYSTEM for the desk; `hours` of a day, `system` of a week."""

    uptimes: Mapping[str, tuple[Uptime, ...]]
    hours: Mapping[str, tuple[Hour, ...]]
    system: tuple[Hour, ...]
    compared: tuple[Compared, ...]
    not_summed_up_since: datetime | None


def read(*, now: datetime) -> History:
    """Up to `now`, which may be long ago. Ten queries, however many records there are. Raises DatabaseError."""
    end = uptime.full_hour(now)
    summed = health_hours.summed_up_to()
    # Of the past everything is summed up; what is left is the hour that `now` lies in.
    tail_from = min(end, max(summed or end - _UNSUMMED, end - _UNSUMMED))
    tail = health_hours.not_summed_up(tail_from, now)
    last_day = {**health_hours.by_hour(end - DAY, tail_from), **_since(tail, end - DAY)}
    system = {
        **health_hours.by_hour(end - 2 * WEEK, tail_from, component=SYSTEM),
        **{key: tally for key, tally in tail.items() if key[0] == SYSTEM},
    }
    sums = [_sum(last_day)]
    sums += [_added(health_hours.totals(end - length, tail_from), _sum(tail)) for _, length in WINDOWS[1:]]
    names = {name for each in sums for name in each}
    return History(
        uptimes={name: _uptimes(name, sums, end, now) for name in names},
        hours={name: _course(name, last_day, end - DAY, now) for name in names},
        system=_course(SYSTEM, system, end - WEEK, now),
        compared=_compared(system, end, now),
        not_summed_up_since=_behind(summed, tail_from),
    )


def results_at(at: datetime) -> list[ProbeResult]:
    """What every component had last said by then, of those that were still heard: one query. Raises DatabaseError."""
    return list(_last_words(at - HOLDS, at).values())


def fresh_results(names: Sequence[str], *, now: datetime, within: timedelta) -> list[ProbeResult] | None:
    """What the monitor recorded of these probes a moment ago; None where one of them is missing."""
    found = _last_words(now - within, now)
    return [found[name] for name in names] if all(name in found for name in names) else None


def newest_record(*, now: datetime) -> datetime | None:
    rows = SystemHealth.objects.filter(environment=settings.EMO_ENV, timestamp__lte=now)
    return rows.order_by("-timestamp").values_list("timestamp", flat=True).first()


def disk_readings(*, now: datetime) -> list[Reading]:
    """The first free bytes that the probe of the disk recorded on each of the last 30 days (UTC), oldest first."""
    rows = SystemHealth.objects.filter(environment=settings.EMO_ENV, component_name=_DISK, timestamp__lte=now)
    found: list[Reading] = []
    day = now.replace(hour=0, minute=0, second=0, microsecond=0) - _DISK_DAYS * DAY
    # Day by day along the index: to group by day would read every record of the month.
    while first := rows.filter(timestamp__gte=day).order_by("timestamp").values_list("timestamp", "metrics").first():
        at, metrics = first
        if isinstance(free := metrics.get("free_bytes"), int):
            found.append(Reading(at=at, free_bytes=free))
        day = at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    return found


def _last_words(after: datetime, until: datetime) -> dict[str, ProbeResult]:
    rows = SystemHealth.objects.filter(environment=settings.EMO_ENV, timestamp__gt=after, timestamp__lte=until)
    return {row.component_name: _result(row) for row in rows.order_by("timestamp", "id")}


def _result(row: SystemHealth) -> ProbeResult:
    finding = Finding(
        status=HealthStatus(row.status),
        message=str(row.metadata.get("message", "")),
        remedy=str(row.metadata.get("remedy", "")),
        metrics=row.metrics,
    )
    return ProbeResult(
        name=row.component_name,
        critical=bool(row.metadata.get("critical")),
        finding=finding,
        at=row.timestamp,
        response_ms=row.response_ms,
    )


def _behind(summed: datetime | None, tail_from: datetime) -> datetime | None:
    """Since when records wait to be summed up that a report no longer reads one by one."""
    rows = SystemHealth.objects.filter(environment=settings.EMO_ENV, timestamp__lt=tail_from)
    if summed is not None:
        if summed >= tail_from:
            return None
        rows = rows.filter(timestamp__gte=summed)
    return rows.order_by("timestamp").values_list("timestamp", flat=True).first()


def _since(tallies: Mapping[tuple[str, datetime], Tally], start: datetime) -> dict[tuple[str, datetime], Tally]:
    return {key: tally for key, tally in tallies.items() if key[1] >= start}


def _sum(tallies: Mapping[tuple[str, datetime], Tally]) -> dict[str, Tally]:
    found: dict[str, Tally] = {}
    for (name, _), tally in tallies.items():
        found[name] = found[name] + tally if name in found else tally
    return found


def _added(first: Mapping[str, Tally], second: Mapping[str, Tally]) -> dict[str, Tally]:
    return {name: first.get(name, Tally()) + second.get(name, Tally()) for name in {*first, *second}}


def _uptimes(name: str, sums: Sequence[Mapping[str, Tally]], end: datetime, now: datetime) -> tuple[Uptime, ...]:
    return tuple(
        _uptime(period, end - length, sums[place].get(name, Tally()), now)
        for place, (period, length) in enumerate(WINDOWS)
    )


def _uptime(period: str, since: datetime, tally: Tally, now: datetime) -> Uptime:
    unknown = 1 - tally.known_share(now - since)
    return Uptime(
        period=period,
        since=since,
        up_share=tally.up_share,
        unknown_share=unknown,
        records=tally.records,
        up_text=percent(tally.up_share),
        note_text=f"n = {display.count(tally.records)}, {unknown_text(unknown)}",
    )


def percent(share: float | None) -> str:
    """Cut and not rounded: 99.999 % is not 100."""
    return "n/a" if share is None else f"{math.floor(share * 10_000 + 1e-7) / 100:g} %"


def unknown_text(share: float) -> str:
    if share < 0.0005:
        return "nothing unknown"
    return "under 1 % unknown" if share < 0.01 else f"{share * 100:.0f} % unknown"


def _course(
    name: str, tallies: Mapping[tuple[str, datetime], Tally], start: datetime, now: datetime
) -> tuple[Hour, ...]:
    """Every hour from `start` to `now`, also those of which nothing is known."""
    found = []
    at = start
    while at < now:
        tally = tallies.get((name, at), Tally())
        found.append(
            Hour(
                at=at,
                status=str(tally.worst or "none"),
                score=tally.mean_score,
                known_share=tally.known_share(min(HOUR, now - at)),
                records=tally.records,
            )
        )
        at += HOUR
    return tuple(found)


def _compared(system: Mapping[tuple[str, datetime], Tally], end: datetime, now: datetime) -> tuple[Compared, ...]:
    """Full hours only: two weeks of the same length."""
    this, before = (
        _sum({key: tally for key, tally in system.items() if start <= key[1] < start + WEEK}).get(SYSTEM, Tally())
        for start in (end - WEEK, end - 2 * WEEK)
    )
    incidents = Incident.objects.filter(environment=settings.EMO_ENV)
    begun = [
        float(incidents.filter(began_at__gte=start, began_at__lt=start + WEEK).count())
        for start in (end - WEEK, end - 2 * WEEK)
    ]
    up = [None if tally.up_share is None else tally.up_share * 100 for tally in (this, before)]
    recorded = "nothing was recorded"
    return (
        compare("Mean score", "points", this.mean_score, before.mean_score, reason=recorded, digits=1),
        compare("Uptime of the desk", "%", *up, reason=recorded, digits=2),
        compare("Incidents begun", "", *begun, reason="", digits=0),
    )


def compare(name: str, unit: str, this: float | None, before: float | None, *, reason: str, digits: int) -> Compared:
    difference = None if this is None or before is None else this - before
    missing = [week for week, value in (("this week", this), ("the week before", before)) if value is None]

    def shown(value: float | None, sign: str = "") -> str:
        return "n/a" if value is None else f"{value:{sign},.{digits}f} {unit}".strip()

    return Compared(
        name=name,
        unit=unit,
        this_week=this,
        week_before=before,
        difference=difference,
        reason=f"{reason} in {' and '.join(missing)}" if missing else "",
        this_text=shown(this),
        before_text=shown(before),
        difference_text=shown(difference, "+"),
    )
