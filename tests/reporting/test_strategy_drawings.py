"""Drawings of strategies: every value has its place, what is not known breaks the line, and texts say the same."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from reporting.strategy_drawings import HEIGHT, WIDTH, axis_percent, curve, histogram, sparkline
from reporting.strategy_figures import percent, shown

MONDAY = date(2025, 11, 3)


def days(*values: float | None) -> list[tuple[date, float | None]]:
    return [(MONDAY + timedelta(days=place), value) for place, value in enumerate(values)]


def numbers(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.-]+)", path)]


def test_a_curve_places_each_value_between_its_ticks() -> None:
    found = curve(days(0, 100, -50), lambda value: f"{value:g}")
    [path] = found.line.paths
    ticks = {tick.text: tick.at for tick in found.line.y_ticks}
    assert numbers(path) == [(0, ticks["0"]), (WIDTH / 2, ticks["100"]), (WIDTH, ticks["-50"])]
    assert found.zero == ticks["0"]
    assert (ticks["100"], ticks["-50"]) == (0, HEIGHT)
    assert found.said_text == "Lowest -50 on 2025-11-05, highest 100 on 2025-11-04, last -50 on 2025-11-05."


def test_what_is_not_known_breaks_the_line() -> None:
    found = curve(days(1, 2, None, 3), str)
    assert [len(numbers(path)) for path in found.line.paths] == [2, 1]
    assert found.zero is None or found.zero >= 0


def test_a_level_line_has_a_scale_too() -> None:
    for value in (0.0, 5.0, -5.0):
        found = curve(days(value, value), str)
        assert len(found.line.y_ticks) >= 2
        assert all(0 <= y <= HEIGHT for _, y in numbers(found.line.paths[0]))


def test_a_long_line_is_thinned_and_keeps_its_last_day() -> None:
    found = curve(days(*map(float, range(5000))), str)
    points = numbers(found.line.paths[0])
    assert len(points) <= 360
    assert points[-1][0] == WIDTH
    assert "last 4999.0" in found.said_text


def test_a_band_goes_around_the_line() -> None:
    found = curve(days(1, None, 3, 4), str, bounds=[(0, 2), None, (2, 4), (3, 5)])
    assert [len(numbers(path)) for path in found.band] == [2, 4]
    assert all(0 <= y <= HEIGHT for path in found.band for _, y in numbers(path))


def test_a_histogram_counts_every_return_once_and_marks_are_where_their_value_is() -> None:
    values = [-0.02, -0.01, 0.0, 0.0, 0.01, 0.03]
    found = histogram(values, [("VaR", -0.02), ("CVaR", 0.03)])
    assert sum(bar.count for bar in found.bars) == len(values)
    assert [mark.at for mark in found.marks] == [0, WIDTH]
    for bar in found.bars:
        assert bar.count == sum(bar.low <= value < bar.high for value in values) or bar is found.bars[-1]
    assert max(bar.tall for bar in found.bars) == HEIGHT
    equal = histogram([0.01, 0.01], [])
    assert sum(bar.count for bar in equal.bars) == 2


def test_a_sparkline_says_what_it_shows() -> None:
    found = sparkline([5.0, -3.0, 2.0], lambda value: f"{value:g}")
    assert found.said_text == "lowest -3, highest 5, last 2"
    assert len(numbers(found.path)) == 4


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "ratio", "n/a"),
        (0.1234, "fraction", "12.34 %"),
        (-0.000036, "fraction", "-0.0036 %"),
        (0.0, "fraction", "0.00 %"),
        (-1e-12, "fraction", "0.000000 %"),
        (1.5, "fraction", "150.00 %"),
        (-0.0041, "ratio", "-0.0041"),
        (12345.678, "ratio", "12,345.68"),
        (0.00001, "probability", "< 0.1 %"),
        (0.99999, "probability", "> 99.9 %"),
        (1.0, "probability", "100.0 %"),
        (1234.5, "money", "1,234.50"),
        (412.6, "periods", "413"),
    ],
)
def test_small_figures_keep_their_digits(value: float | None, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_signs_are_told_where_colours_are_shown() -> None:
    assert [percent(value, signed=True) for value in (0.01, -0.01, 0.0)] == ["+1.00 %", "-1.00 %", "0.00 %"]
    assert [axis_percent(value) for value in (0.025, 0.0)] == ["+2.5 %", "0 %"]
