"""For how long a component was known to be well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring import uptime
from monitoring.choices import HealthStatus
from monitoring.uptime import HOLDS, HOUR, LOOK_BACK, SYSTEM, Record, Tally

START = datetime(2025, 11, 3, 12, 0, tzinfo=UTC)
SECOND = 1_000_000
MINUTE = 60 * SECOND


def said(minutes: float, status: str = "healthy", *, component: str = "disk", critical: bool = False) -> Record:
    score = {"healthy": 10_000, "warning": 6_000}.get(status, 0)
    return Record(component, START + timedelta(minutes=minutes), status, score, critical)


def judge(records: Sequence[Record]) -> tuple[str, int]:
    scores = [record.score for record in records if record.status != "unknown"]
    if not scores:
        return "unknown", 0
    bad = any(record.critical and record.status == "error" for record in records)
    return ("error" if bad else "healthy"), sum(scores) // len(scores)


def tally(*records: Record, hours: int = 1) -> dict[str, Tally]:
    return uptime.tally(records, start=START, end=START + hours * HOUR, judge=judge)


def test_a_record_speaks_until_the_next_one() -> None:
    found = tally(said(0), said(4, "error"), said(6))["disk"]
    assert (found.healthy, found.error, found.records) == (14 * MINUTE, 2 * MINUTE, 3)
    assert found.up_share == 14 / 16
    assert found.worst == HealthStatus.ERROR


def test_a_gap_is_unknown_and_never_healthy() -> None:
    found = tally(said(0), said(50))["disk"]
    assert (found.healthy, found.known) == (20 * MINUTE, 20 * MINUTE)
    assert found.known_share(HOUR) == pytest.approx(20 / 60)


def test_nothing_recorded_is_no_uptime_at_all() -> None:
    assert tally() == {}
    assert Tally().up_share is Tally().mean_score is Tally().worst is None


def test_what_the_probe_did_not_know_is_neither_up_nor_down() -> None:
    found = tally(said(0, "unknown"), said(5, "healthy"))["disk"]
    assert (found.unknown, found.healthy, found.up_share, found.mean_score) == (5 * MINUTE, 10 * MINUTE, 1.0, 100.0)


def test_a_record_from_before_the_stretch_still_speaks_in_it() -> None:
    found = tally(said(-4, "error"))["disk"]
    assert (found.error, found.records) == (6 * MINUTE, 0)


def test_a_record_at_the_end_belongs_to_the_next_stretch() -> None:
    assert tally(said(60)) == {}
    assert tally(said(55))["disk"].healthy == 5 * MINUTE


def test_scores_are_weighted_by_time() -> None:
    found = tally(said(0), said(5, "warning"), said(10, "error"))["disk"]
    assert found.mean_score == pytest.approx((5 * 100 + 5 * 60 + 10 * 0) / 20)


def test_the_desk_is_down_while_a_critical_component_is() -> None:
    down = said(2, "error", component="database", critical=True)
    found = tally(said(0, component="database", critical=True), said(0), down, said(5))[SYSTEM]
    assert (found.healthy, found.error) == (2 * MINUTE, 13 * MINUTE)


def test_a_component_that_fell_silent_no_longer_counts_for_the_desk() -> None:
    # The database was in error and is not heard of again.
    found = tally(said(0, "error", component="database", critical=True), said(9), said(11), said(20))[SYSTEM]
    assert (found.error, found.healthy) == (11 * MINUTE, 19 * MINUTE)


_RECORDS = st.lists(
    st.builds(
        said,
        st.integers(min_value=-40, max_value=200).map(lambda n: n * 1.37),
        st.sampled_from(["healthy", "warning", "error", "unknown"]),
        component=st.sampled_from(["a", "b", "c"]),
        critical=st.booleans(),
    ),
    max_size=40,
).map(lambda records: sorted(records, key=lambda record: record.at))


@settings(deadline=None)
@given(_RECORDS)
def test_the_hours_add_up_to_the_whole(records: list[Record]) -> None:
    whole = uptime.tally(records, start=START, end=START + 3 * HOUR, judge=judge)
    parts: dict[str, Tally] = {}
    for hour in (START + n * HOUR for n in range(3)):
        there = [record for record in records if hour - LOOK_BACK <= record.at < hour + HOUR]
        for name, found in uptime.tally(there, start=hour, end=hour + HOUR, judge=judge).items():
            parts[name] = parts.get(name, Tally()) + found
    assert parts == whole


@settings(deadline=None)
@given(_RECORDS)
def test_every_second_is_what_the_last_record_said(records: list[Record]) -> None:
    """Beside a count that is too simple to be wrong: what held at each whole second."""
    whole = [Record(r.component, r.at.replace(microsecond=0), r.status, r.score, r.critical) for r in records]
    found = uptime.tally(whole, start=START, end=START + HOUR, judge=judge).get("a", Tally())
    counted = {"healthy": 0, "warning": 0, "error": 0, "unknown": 0}
    mine = [record for record in whole if record.component == "a"]
    for second in range(3600):
        at = START + timedelta(seconds=second)
        last = next((record for record in reversed(mine) if record.at <= at), None)
        if last and at < last.at + HOLDS:
            counted[last.status] += SECOND
    assert {name: getattr(found, name) for name in counted} == counted
