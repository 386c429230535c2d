"""Figures read as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from emo_site import display


@pytest.mark.parametrize(
    ("elapsed", "text"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(seconds=120), "2 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=47), "47 h"),
        (timedelta(hours=48), "2 d"),
        (timedelta(days=400), "400 d"),
    ],
)
def test_age_is_in_the_one_unit_that_matters(elapsed: timedelta, text: str) -> None:
    assert display.age(elapsed) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (Decimal("1234.5"), "1,234.50"), (Decimal("-0.005"), "-0.00"), (Decimal(0), "0.00")],
)
def test_money_has_two_decimals_or_none_at_all(value: Decimal | None, text: str) -> None:
    assert display.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (Decimal("100.00000000"), "100"), (Decimal("0.50"), "0.5"), (Decimal("12000"), "12,000")],
)
def test_a_quantity_has_no_trailing_zeros(value: Decimal | None, text: str) -> None:
    assert display.number(value) == text


def test_a_moment_is_in_utc_and_says_so() -> None:
    east = timezone(timedelta(hours=2))
    assert display.moment(datetime(2025, 11, 3, 1, 0, tzinfo=east)) == "2025-11-02 23:00:00 UTC"
    assert display.moment(datetime(2025, 11, 3, 1, 0, tzinfo=UTC)) == "2025-11-03 01:00:00 UTC"
