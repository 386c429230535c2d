"""Days of a strategy: what each earned, and returns that leave no day out and make none up."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from reporting.strategy_comparison import cumulative
from reporting.strategy_series import StoredDay, series

D = Decimal
MONDAY = date(2025, 11, 3)


def stored(day: int, realised: str | None = "0", unrealised: str | None = "0", **changes: Any) -> StoredDay:
    values: dict[str, Any] = {"fees": D(0), "growth": 0.01, "trades": 0, "won": 0, "lost": 0}
    return StoredDay(
        day=MONDAY + timedelta(days=day),
        realised=None if realised is None else D(realised),
        unrealised=None if unrealised is None else D(unrealised),
        **{**values, **changes},
    )


def test_a_day_earned_what_it_realised_and_what_its_prices_moved() -> None:
    found = series("s", [stored(0, "0", "6", fees=D(1)), stored(1, "5", "4"), stored(2, "3", "0", fees=D(2))])
    assert [each.gross for each in found.days] == [D(6), D(3), D(-1)]
    assert [each.net for each in found.days] == [D(5), D(3), D(-3)]
    assert (found.total.gross, found.total.fees, found.total.net) == (D(8), D(3), D(5))


def test_a_price_that_is_missing_in_between_loses_no_money() -> None:
    found = series("s", [stored(0, "0", "6"), stored(1, "0", None, no_money="no price"), stored(2, "2", "9")])
    assert [each.net for each in found.days] == [D(6), None, None]
    assert [value for _, value in cumulative(found.days)] == [D(6), None, D(11)]
    assert found.total.net == D(11)


def test_what_has_no_price_at_the_end_is_not_known_and_says_why() -> None:
    found = series("s", [stored(0, "0", "6"), stored(1, "1", None, no_money="no price of X is on record")])
    assert (found.total.net, found.total.reason) == (None, "no price of X is on record")
    from_there = series(
        "s", [stored(0, "0", None, no_money="no price"), stored(1, "1", "2")], first=MONDAY + timedelta(1)
    )
    assert from_there.total.reason == "what was held before 2025-11-04 has no price"


def test_weekdays_without_a_position_count_and_weekends_do_not() -> None:
    found = series("s", [stored(0), stored(4), stored(8)]).returns
    assert [day.day for day in found.days] == [3, 4, 5, 6, 7, 10, 11]
    assert found.values == (0.01, 0.0, 0.0, 0.0, 0.01, 0.0, 0.01)


def test_a_range_counts_its_idle_days_between_the_first_and_the_last_of_all() -> None:
    found = series("s", [stored(0), stored(3)], first=MONDAY + timedelta(1), last=MONDAY + timedelta(10)).returns
    assert found.values == (0.0, 0.0, 0.01)


def test_days_before_equity_is_on_record_are_left_out_and_counted() -> None:
    none = {"growth": None, "no_growth": "no equity"}
    found = series("s", [stored(0, **none), stored(2, **none), stored(3)]).returns
    assert (found.values, found.passed, found.reason) == ((0.01,), 3, "")
    nothing = series("s", [stored(0, **none)]).returns
    assert (nothing.values, nothing.reason) == ((), "no equity")


def test_a_day_without_a_return_breaks_the_series() -> None:
    found = series("s", [stored(0), stored(1, growth=None, no_growth="no price of X"), stored(2)]).returns
    assert (found.values, found.reason) == ((), "no price of X")


def test_a_range_without_days_says_so() -> None:
    for first, last, said in (
        (MONDAY + timedelta(9), None, "no day on record from 2025-11-12"),
        (MONDAY + timedelta(9), MONDAY + timedelta(10), "no day on record from 2025-11-12 to 2025-11-13"),
        (None, MONDAY - timedelta(1), "no day on record until 2025-11-02"),
    ):
        found = series("s", [stored(0)], first=first, last=last)
        assert (found.returns.reason, found.total.reason, found.total.net) == (said, said, None)
