"""When a disk will be full, and when that can't be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reporting.capacity import Reading, disk_trend

START = datetime(2025, 11, 1, tzinfo=UTC)
GIB = 2**30


def readings(*free_gib: float) -> list[Reading]:
    return [Reading(at=START + timedelta(days=day), free_bytes=int(free * GIB)) for day, free in enumerate(free_gib)]


def test_a_steady_loss_is_carried_on() -> None:
    trend = disk_trend(readings(100, 98, 96, 94))
    assert (trend.bytes_per_day, trend.days_left, trend.text, trend.n_days) == (-2.0 * GIB, 47.0, "47 days", 4)


def test_a_day_of_cleaning_up_does_not_carry_the_rate_away() -> None:
    """The mean slope of these is a gain."""
    trend = disk_trend(readings(100, 99, 98, 97, 150, 96, 95))
    assert trend.bytes_per_day == pytest.approx(-1 * GIB, rel=0.2)


@pytest.mark.parametrize(
    ("free", "reason"),
    [
        ((), "0 days are on record, 3 are needed"),
        ((100,), "1 day is on record, 3 are needed"),
        ((100, 90), "2 days are on record, 3 are needed"),
        ((100, 100, 100), "free space is not shrinking"),
        ((90, 95, 100), "free space is not shrinking"),
    ],
)
def test_what_can_not_be_told_says_why(free: tuple[float, ...], reason: str) -> None:
    trend = disk_trend(readings(*free))
    assert (trend.days_left, trend.text, trend.reason) == (None, "n/a", reason)


def test_days_that_were_not_recorded_are_no_days_of_loss() -> None:
    gap = [Reading(at=START + timedelta(days=day), free_bytes=(100 - day) * GIB) for day in (0, 1, 9, 10)]
    assert disk_trend(gap).bytes_per_day == -1.0 * GIB


@pytest.mark.parametrize(("free", "text"), [((9, 8, 7), "7.0 days"), ((5000, 4999, 4998), "over 10 years")])
def test_days_are_told_as_exactly_as_they_are_known(free: tuple[float, ...], text: str) -> None:
    assert disk_trend(readings(*free)).text == text


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=50), st.integers(min_value=3, max_value=30))
def test_a_line_is_found_exactly(loss: int, days: int) -> None:
    trend = disk_trend(readings(*(10_000 - loss * day for day in range(days))))
    assert trend.bytes_per_day == -loss * GIB
