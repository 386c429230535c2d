"""Hours summed up, held against the records that they were made from."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError

from monitoring import health_hours, uptime
from monitoring.choices import HealthStatus
from monitoring.models import HealthHour, SystemHealth
from monitoring.uptime import HOUR, SYSTEM, Tally
from tests.factories import NOW

pytestmark = pytest.mark.django_db

Counting = Callable[[int], AbstractContextManager[None]]

SCORES = {"healthy": 100, "warning": 60, "error": 0, "unknown": 0}


def recorded(at: datetime, status: str = "healthy", *, component: str = "disk", environment: str = "dev") -> None:
    SystemHealth.objects.create(
        component_name=component,
        status=status,
        health_score=Decimal(SCORES[status]),
        timestamp=at,
        environment=environment,
        metadata={"critical": component == "database"},
    )


def a_day(seed: int = 7) -> datetime:
    """Rounds of two components with gaps, errors and unknowns over ten hours; returns where they begin."""
    chance, at = random.Random(seed), NOW - 10 * HOUR
    start = at
    while at < NOW:
        for component in ("disk", "database"):
            status = chance.choices(["healthy", "warning", "error", "unknown"], [80, 8, 8, 4])[0]
            recorded(at, status, component=component)
        at += timedelta(seconds=chance.choice([60, 60, 61.234567, 90, 700, 5000]))
    return start


def test_summed_up_hours_are_the_records_to_the_microsecond() -> None:
    start = a_day()
    assert health_hours.roll_up(now=NOW + timedelta(hours=2)) > 5
    records = health_hours._read(SystemHealth.objects.all())
    exact = uptime.tally(records, start=start, end=NOW + HOUR, judge=health_hours.judge)
    assert health_hours.totals(start, NOW + HOUR) == exact
    assert set(exact) == {"disk", "database", SYSTEM}


def test_what_is_not_summed_up_reads_the_same() -> None:
    start = a_day()
    live = health_hours.not_summed_up(start, NOW)
    health_hours.roll_up(now=NOW + HOUR)
    assert health_hours.by_hour(start, NOW) == live


def test_what_spoke_before_the_hour_speaks_in_it() -> None:
    """Only the last word of each is read: the desk was down by then, and is until the next round."""
    for minutes, component, status in (
        (19, "database", "healthy"),
        (8, "database", "error"),
        (7, "disk", "healthy"),
        (-2, "disk", "healthy"),
        (-5, "disk", "healthy"),
    ):
        recorded(NOW - timedelta(minutes=minutes), status, component=component)
    found = health_hours.not_summed_up(NOW, NOW + HOUR)
    minute = 60_000_000
    assert found["database", NOW].error == 2 * minute
    assert (found[SYSTEM, NOW].error, found[SYSTEM, NOW].healthy) == (2 * minute, 13 * minute)


def test_an_hour_is_summed_up_once_it_is_over_and_settled() -> None:
    recorded(NOW - timedelta(minutes=30))
    assert health_hours.roll_up(now=NOW + timedelta(minutes=4)) == 0
    assert health_hours.summed_up_to() is None
    assert health_hours.roll_up(now=NOW + timedelta(minutes=5)) == 1
    assert health_hours.summed_up_to() == NOW
    assert health_hours.roll_up(now=NOW + timedelta(minutes=5)) == 0


def test_records_that_came_late_are_summed_up_again() -> None:
    recorded(NOW - timedelta(minutes=30))
    health_hours.roll_up(now=NOW + HOUR)
    recorded(NOW - timedelta(minutes=25), "error")
    health_hours.roll_up(now=NOW + HOUR, since=NOW - timedelta(minutes=25))
    found = HealthHour.objects.get(component_name="disk")
    assert (found.records, found.healthy, found.error) == (2, 5 * 60_000_000, 10 * 60_000_000)


def test_long_silence_is_stepped_over() -> None:
    recorded(NOW - timedelta(days=300, minutes=20))
    recorded(NOW - timedelta(minutes=20))
    assert health_hours.roll_up(now=NOW + HOUR) == 2


def test_another_environments_records_are_not_counted() -> None:
    recorded(NOW - timedelta(minutes=30), "error", environment="prod")
    assert health_hours.roll_up(now=NOW + HOUR) == 0


def test_a_critical_error_takes_the_desk_down_and_another_does_not() -> None:
    at = NOW - timedelta(minutes=30)
    recorded(at, "error", component="disk")
    assert health_hours.not_summed_up(NOW - HOUR, NOW)[SYSTEM, NOW - HOUR].worst == HealthStatus.WARNING
    recorded(at, "error", component="database")
    assert health_hours.not_summed_up(NOW - HOUR, NOW)[SYSTEM, NOW - HOUR].worst == HealthStatus.ERROR


def test_hours_are_read_in_few_queries(django_assert_num_queries: Counting) -> None:
    a_day()
    recorded(NOW - 5 * HOUR - timedelta(minutes=5))
    with django_assert_num_queries(3):
        health_hours.not_summed_up(NOW - 5 * HOUR, NOW)
    with django_assert_num_queries(1):
        assert health_hours.totals(NOW - HOUR, NOW) == {}


def test_no_tally_can_be_longer_than_its_hour() -> None:
    with pytest.raises(IntegrityError):
        HealthHour.objects.create(component_name="x", hour=NOW, healthy=3_600_000_000, error=1)


def test_tallies_add_up() -> None:
    assert Tally(healthy=1, records=2) + Tally(error=3, records=1) == Tally(healthy=1, error=3, records=3)
