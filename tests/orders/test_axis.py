"""Round numbers along an axis, and their places."""

from __future__ import annotations

from decimal import Decimal as D
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.axis import STEPS, Scale, round_numbers


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        ("0", "100", 5, ["0", "20", "40", "60", "80", "100"]),
        ("-437", "179", 7, ["-400", "-300", "-200", "-100", "0", "100"]),
        ("1.3", "1.9", 4, ["1.4", "1.6", "1.8"]),
        ("427.3", "497.9", 4, ["440", "460", "480"]),
        ("0.0001", "0.0009", 4, ["0.0002", "0.0004", "0.0006", "0.0008"]),
        ("-7", "18", 10, ["-5", "-2.5", "0", "2.5", "5", "7.5", "10", "12.5", "15", "17.5"]),
    ],
)
def test_marks_are_numbers_that_people_count_in(low: str, high: str, most: int, expected: list[str]) -> None:
    assert list(round_numbers(D(low), D(high), most)) == [D(each) for each in expected]


@given(
    st.decimals(-(10**8), 10**8, places=4),
    st.decimals("0.0001", 10**8, places=4),
    st.integers(min_value=1, max_value=12),
)
def test_marks_are_even_inside_and_not_too_many(low: D, length: D, most: int) -> None:
    marks = round_numbers(low, low + length, most)
    assert len(marks) <= most + 1
    assert all(low <= mark <= low + length for mark in marks)
    steps = {after - before for before, after in pairwise(marks)}
    assert len(steps) <= 1
    assert all(step / D(10) ** step.adjusted() in STEPS for step in steps)


def test_a_range_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="low=5: must be below high=5"):
        round_numbers(D(5), D(5), 4)


def test_a_scale_may_run_either_way() -> None:
    down = Scale(low=D(0), high=D(10), start=200, end=100)
    assert [(tick.label, tick.at) for tick in down.ticks(2)] == [("0", 200.0), ("5", 150.0), ("10", 100.0)]
