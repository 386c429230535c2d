"""Series become SVG primitives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.charts import SEVERITY_ORDER, shares, status_strip

END = datetime(2025, 11, 3, 12, 0, tzinfo=UTC)


def test_a_gap_is_not_healthy() -> None:
    strip = status_strip([], end=END)
    assert len(strip) == 48
    assert {slot.status for slot in strip} == {"none"}
    assert strip[0].title == "12:00: nothing recorded"


def test_the_worst_status_of_a_slot_is_shown() -> None:
    at = END - timedelta(minutes=10)
    strip = status_strip([(at, "healthy"), (at, "error"), (at, "warning")], end=END)
    assert strip[-1].status == "error"
    assert strip[-2].status == "none"


@pytest.mark.parametrize(
    ("ago", "place"),
    [(timedelta(0), 47), (timedelta(minutes=29), 47), (timedelta(minutes=31), 46), (timedelta(hours=24), 0)],
)
def test_a_record_lands_in_its_half_hour(ago: timedelta, place: int) -> None:
    strip = status_strip([(END - ago, "healthy")], end=END)
    assert [slot.x for slot in strip if slot.status == "healthy"] == [place]


def test_what_is_older_than_the_strip_is_left_out() -> None:
    assert {slot.status for slot in status_strip([(END - timedelta(hours=25), "error")], end=END)} == {"none"}


@given(
    st.lists(st.tuples(st.integers(min_value=0, max_value=86_400), st.sampled_from(SEVERITY_ORDER)), min_size=1),
)
def test_no_error_within_the_day_is_hidden(records: list[tuple[int, str]]) -> None:
    strip = status_strip([(END - timedelta(seconds=s), status) for s, status in records], end=END)
    worst = min((status for _, status in records), key=SEVERITY_ORDER.index)
    shown = min((slot.status for slot in strip if slot.status != "none"), key=SEVERITY_ORDER.index)
    assert shown == worst


def test_bars_are_measured_against_the_largest() -> None:
    bars = shares([("a", 4, "good"), ("b", 1, "bad"), ("c", 0, "bad")])
    assert [(bar.label, bar.value, bar.width) for bar in bars] == [("a", "4", 100.0), ("b", "1", 25.0), ("c", "0", 0.0)]
    assert shares([]) == ()
    assert shares([("a", 0, "good")])[0].width == 0.0
