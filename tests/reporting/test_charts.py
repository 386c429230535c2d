"""Series become SVG primitives."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from reporting.charts import Hour, runs, score_line, shares

START = datetime(2025, 11, 3, 12, 0, tzinfo=UTC)


def hour(place: int, status: str = "healthy", score: float | None = 100.0) -> Hour:
    return Hour(at=START + timedelta(hours=place), status=status, score=score, known_share=1.0, records=60)


def gap(place: int) -> Hour:
    return Hour(at=START + timedelta(hours=place), status="none", score=None, known_share=0.0, records=0)


def test_hours_that_are_alike_become_one_bar() -> None:
    [run] = runs([hour(place) for place in range(25)])
    assert (run.x, run.width, run.y, run.height, run.records) == (0, 24.85, 0.0, 10.0, 1500)
    assert (run.since, run.until) == (START, START + timedelta(hours=25))
    assert run.title_text == "12:00 to 12:59: healthy, mean score 100"


def test_a_gap_is_a_bar_of_its_own_and_not_healthy() -> None:
    found = runs([hour(0), gap(1), gap(2), hour(3)])
    assert [(run.x, run.status, run.score) for run in found] == [
        (0, "healthy", 100),
        (1, "none", None),
        (3, "healthy", 100),
    ]
    assert found[1].title_text == "13:00 to 14:59: nothing recorded"


def test_a_score_of_nothing_can_still_be_seen() -> None:
    [run] = runs([hour(0, "error", 0.0)])
    assert (run.y, run.height) == (8.0, 2.0)


_HOURS = st.lists(
    st.tuples(st.sampled_from(["healthy", "warning", "error", "none"]), st.integers(min_value=0, max_value=100))
).map(lambda found: [gap(n) if status == "none" else hour(n, status, score) for n, (status, score) in enumerate(found)])


@settings(deadline=None)
@given(_HOURS)
def test_no_hour_is_lost_or_made_better(hours: list[Hour]) -> None:
    found = runs(hours)
    told = [run.status for run in found for _ in range(round(run.width + 0.15))]
    assert told == [each.status for each in hours]
    assert sum(run.records for run in found) == sum(each.records for each in hours)


@settings(deadline=None)
@given(_HOURS)
def test_a_line_breaks_where_nothing_was_recorded(hours: list[Hour]) -> None:
    line = score_line(hours)
    points = [re.findall(r"[ML]", path) for path in line.paths]
    assert sum(map(len, points)) == sum(each.score is not None for each in hours)
    known = "".join("x" if each.score is not None else " " for each in hours)
    assert [len(part) for part in known.split()] == [len(part) for part in points]


def test_a_line_runs_from_0_at_the_bottom_to_100_at_the_top() -> None:
    line = score_line([hour(0, score=100.0), hour(1, score=0.0)], width=200, height=100)
    assert line.paths == ("M50.0,0.0 L150.0,100.0",)


def test_days_are_marked_at_midnight() -> None:
    line = score_line([hour(place) for place in range(24)], width=240)
    assert [(tick.at, tick.text) for tick in line.x_ticks] == [(120.0, "Tue 04 Nov")]


def test_bars_are_measured_against_the_largest() -> None:
    bars = shares([("a", 4, "good"), ("b", 1, "bad"), ("c", 0, "bad")])
    assert [(bar.label, bar.value, bar.width) for bar in bars] == [("a", "4", 100.0), ("b", "1", 25.0), ("c", "0", 0.0)]
    assert shares([]) == ()
    assert shares([("a", 0, "good")])[0].width == 0.0
