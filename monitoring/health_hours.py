"""Recorded health summed up by the hour, and read back for reports. The only writer of HealthHour.

An hour is summed up when it is over. A report takes the hours from here and what came after them from the records
themselves, by the same function: the figures are those of the records, to the microsecond.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from django.conf import settings
from django.db import transaction
from django.db.models import Case, IntegerField, Max, QuerySet, Sum, When

from emo_site.db.aliases import database_of
from monitoring import health, uptime
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.models import HealthHour, SystemHealth
from monitoring.uptime import HOUR, LOOK_BACK, Record, Tally

# Records bear the time at which their round began, and are written when it is over.
SETTLED = timedelta(minutes=5)

_FIGURES = ("healthy", "warning", "error", "unknown", "score_sum", "records")
_BATCH = 500
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def roll_up(*, now: datetime, since: datetime | None = None) -> int:
    """Sums up every full hour that is over and was not summed up yet; returns how many. Raises DatabaseError.

    `since`: again from that moment's hour on, for records that were written late. May be run by several at once:
    they write the same.
    """
    end = uptime.full_hour(now - SETTLED)
    hour = uptime.full_hour(since) if since is not None else summed_up_to()
    done = 0
    while (start := _next_recorded(hour, end)) is not None:
        done += _sum_up(start)
        hour = start + HOUR
    return done


def summed_up_to() -> datetime | None:
    """The end of the last hour that was summed up; None where none was."""
    last = _hours().order_by("-hour").values_list("hour", flat=True).first()
    return None if last is None else last + HOUR


def totals(since: datetime, until: datetime) -> dict[str, Tally]:
    """Component -> its tally of the summed up hours in [since, until): one query."""
    rows = _hours().filter(hour__gte=since, hour__lt=until).order_by().values("component_name")
    sums = {f"sum_{name}": Sum(name) for name in _FIGURES}
    return {
        name: Tally(**dict(zip(_FIGURES, map(int, figures), strict=True)))
        for name, *figures in rows.annotate(**sums).values_list("component_name", *sums)
    }


def by_hour(since: datetime, until: datetime, *, component: str | None = None) -> dict[tuple[str, datetime], Tally]:
    """(component, hour) -> tally of the summed up hours in [since, until), of all components or one."""
    rows = _hours().filter(hour__gte=since, hour__lt=until).order_by()
    if component is not None:
        rows = rows.filter(component_name=component)
    return {
        (name, hour): Tally(**dict(zip(_FIGURES, figures, strict=True)))
        for name, hour, *figures in rows.values_list("component_name", "hour", *_FIGURES)
    }


def not_summed_up(since: datetime, until: datetime) -> dict[tuple[str, datetime], Tally]:
    """(component, hour) -> tally of [since, until), from the records; `since` is a full hour. Three queries."""
    records = _records(since, until)
    found: dict[tuple[str, datetime], Tally] = {}
    hour = since
    while hour < until:
        end = min(hour + HOUR, until)
        first, last = (bisect_left(records, at, key=lambda record: record.at) for at in (hour - LOOK_BACK, end))
        for name, tally in uptime.tally(records[first:last], start=hour, end=end, judge=judge).items():
            found[name, hour] = tally
        hour += HOUR
    return found


def judge(records: Sequence[Record]) -> tuple[str, int]:
    """The desk as a whole: error while a critical component is one, warning while anything is not healthy; the score
    is that of health.system_score.
    """
    known = [record for record in records if record.status != HealthStatus.UNKNOWN]
    if not known:
        return HealthStatus.UNKNOWN, 0
    if any(record.critical and record.status == HealthStatus.ERROR for record in known):
        status = HealthStatus.ERROR
    elif all(record.status == HealthStatus.HEALTHY for record in known):
        status = HealthStatus.HEALTHY
    else:
        status = HealthStatus.WARNING
    return status, _score(tuple((record.component, record.critical, record.status) for record in records))


@lru_cache(maxsize=256)
def _score(states: tuple[tuple[str, bool, str], ...]) -> int:
    """In hundredths. From one round to the next hardly anything changes."""
    results = [
        ProbeResult(
            name=name,
            critical=critical,
            finding=Finding(status=HealthStatus(status), message=""),
            at=_EPOCH,
            response_ms=None,
        )
        for name, critical, status in states
    ]
    return int((health.system_score(results) or 0) * 100)


def _hours() -> QuerySet[HealthHour]:
    return HealthHour.objects.filter(environment=settings.EMO_ENV)


def _records(since: datetime, until: datetime) -> list[Record]:
    """Those in [since, until) of all components, oldest first, and before them each one's last in LOOK_BACK."""
    rows = SystemHealth.objects.filter(environment=settings.EMO_ENV)
    before = rows.filter(timestamp__gte=since - LOOK_BACK, timestamp__lt=since)
    last = before.order_by().values("component_name").annotate(last=Max("timestamp")).values_list("last", flat=True)
    # A round has one time: all of them are few.
    spoke = rows.filter(timestamp__in=set(last))
    return _read(spoke) + _read(rows.filter(timestamp__gte=since, timestamp__lt=until))


def _read(rows: QuerySet[SystemHealth]) -> list[Record]:
    # As a number: to decode a document for each of 20,000 rows takes longer than to fetch them.
    critical = Case(When(metadata__critical=True, then=1), default=0, output_field=IntegerField())
    columns = rows.annotate(counts=critical).order_by("timestamp", "id")
    return [
        Record(name, at, status, int(score * 100), counts == 1)
        for name, at, status, score, counts in columns.values_list(
            "component_name", "timestamp", "status", "health_score", "counts"
        )
    ]


def _next_recorded(hour: datetime | None, end: datetime) -> datetime | None:
    """The first full hour from `hour` on, and over by `end`, of which anything may be known."""
    rows = SystemHealth.objects.filter(environment=settings.EMO_ENV, timestamp__lt=end)
    if hour is not None:
        rows = rows.filter(timestamp__gte=hour - LOOK_BACK)
    first = rows.order_by("timestamp").values_list("timestamp", flat=True).first()
    if first is None:
        return None
    found = uptime.full_hour(first) if hour is None else max(hour, uptime.full_hour(first))
    return found if found < end else None


def _sum_up(hour: datetime) -> bool:
    """Whether there was anything to sum up: a record of the hour before need not reach into it."""
    tallies = not_summed_up(hour, hour + HOUR)
    # In one order: two that do it at once would else wait for each other.
    rows = [
        HealthHour(
            environment=settings.EMO_ENV,
            component_name=name,
            hour=hour,
            **{figure: getattr(tally, figure) for figure in _FIGURES},
        )
        for (name, _), tally in sorted(tallies.items())
    ]
    with transaction.atomic(using=database_of("monitoring")):
        HealthHour.objects.bulk_create(
            rows,
            batch_size=_BATCH,
            update_conflicts=True,
            unique_fields=["environment", "hour", "component_name"],
            update_fields=list(_FIGURES),
        )
    return bool(rows)
