"""Figures of periods from days: sums, returns, and the reasons of what there is not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reporting.choices import Period
from reporting.strategy_days import MARKET, Day, Mark, end_of, start_of
from reporting.strategy_periods import Priced, bounds, columns, earned
from reporting.trades import Held, Method

D = Decimal
MONDAY = date(2025, 11, 3)
AT = datetime(2025, 11, 3, 15, tzinfo=UTC)


def held(quantity: int = 1, cost: int = 100, instrument: str = "SPY") -> Held:
    return Held(instrument=instrument, quantity=D(quantity), multiplier=1, opened_at=AT, cost=D(cost), fees=D(0))


def priced(
    day: int = 0,
    realised: str = "0",
    *,
    price: str | None = None,
    equity: str | None = "1000",
    results: tuple[str, ...] = (),
    parts: tuple[Held, ...] = (),
    **changes: Any,
) -> Priced:
    on = MONDAY + timedelta(days=day)
    values: dict[str, Any] = {
        "day": on,
        "start": start_of(on),
        "end": end_of(on),
        "inputs": "",
        "fills": 1,
        "cost": D(0),
        "realised": D(realised),
        "fees": D(0),
        "closed": (),
        "held": parts,
        "last_prices": {},
        "used": {},
        "gaps": (),
        "notes": (),
    }
    return Priced(
        day=Day(**{**values, **changes}),
        results=tuple(map(D, results)),
        marks={} if price is None else {"SPY": Mark(price=D(price), at=AT, source=MARKET)},
        equity=None if equity is None else Mark(price=D(equity), at=AT, source=MARKET),
    )


def row(*days: Priced, period: Period = Period.ALL) -> dict[str, Any]:
    return columns(period, earned(days), method=Method.FIFO, as_of=AT, final=False)


def figure(found: dict[str, Any], name: str) -> tuple[object, int, str]:
    each = found["risk_metrics"]["figures"][name]
    return each["value"], each["n"], each["reason"]


def test_day_earns_what_it_realised_and_what_prices_moved_less_fees() -> None:
    days = earned(
        [
            priced(0, price="110", parts=(held(),), fees=D(2)),
            priced(1, price="105", parts=(held(),)),
            priced(2, "20", fees=D(1)),
        ]
    )
    assert [each.net for each in days] == [D(8), D(-5), D(14)]
    assert [each.growth for each in days] == [0.008, -0.005, 0.014]


def test_quiet_weekdays_count_as_returns_of_zero_and_weekends_do_not() -> None:
    found = row(priced(0, "10"), priced(3, "10"), priced(9, "-5"))
    assert figure(found, "annual_volatility")[1] == 8
    assert found["total_return"] == pytest.approx(1.01 * 1.01 * 0.995 - 1)
    with_saturday = row(priced(4, "10"), priced(5, "10"), priced(7, "10"))
    assert figure(with_saturday, "annual_volatility")[1] == 3


def test_returns_begin_with_the_first_equity_on_record_and_break_where_it_is_lost() -> None:
    late = row(priced(0, "10", equity=None), priced(1, "10"), priced(2, "10"))
    assert figure(late, "total_return")[1:] == (2, "")
    broken = row(priced(0, "10"), priced(1, "10", equity=None), priced(2, "10"))
    reason = "no equity of the account is on record before 2025-11-04"
    assert figure(broken, "total_return") == (None, 0, reason)
    assert figure(broken, "sharpe_ratio") == (None, 0, reason)
    # Figures of trades need no equity.
    assert "equity" not in figure(broken, "win_rate")[2]
    assert figure(broken, "net_pnl") == ("30", 3, "")


@pytest.mark.parametrize("equity", ["0", "-5"])
def test_account_without_money_has_no_return(equity: str) -> None:
    assert figure(row(priced(0, "10", equity=equity)), "total_return") == (
        None,
        0,
        f"the account's equity was {equity} as 2025-11-03 began",
    )


def test_period_is_priced_at_its_ends_also_where_a_day_in_between_is_not() -> None:
    parts = (held(),)
    days = [priced(0, price="100", parts=parts), priced(1, parts=parts), priced(2, price="107", parts=parts)]
    found = row(*days)
    assert (found["unrealized_pnl"], figure(found, "net_pnl")) == (D(7), ("7", 3, ""))
    assert figure(found, "total_return") == (None, 0, "no price of SPY is on record by 2025-11-04")
    days = earned(days)
    alone = columns(Period.DAY, days[2:], method=Method.FIFO, as_of=AT, final=False)
    assert figure(alone, "net_pnl") == (None, 1, "what was held before 2025-11-05 has no price")
    assert figure(alone, "total_return")[2] == "what was held before 2025-11-05 has no price"


def test_gap_leaves_no_money_behind() -> None:
    found = row(priced(0, "10", gaps=("nobody knows",)), priced(1, "5", gaps=("nobody knows",)))
    for name in ("realized_pnl", "unrealized_pnl", "net_pnl", "total_return"):
        assert figure(found, name)[0] is None
        assert figure(found, name)[2] == "nobody knows"
    assert found["realized_pnl"] is None


def test_trades_are_won_or_lost_after_fees_and_those_of_zero_are_neither() -> None:
    found = row(priced(results=("5", "-3", "0", "1.5")))
    assert (found["total_trades"], found["winning_trades"], found["losing_trades"]) == (4, 2, 1)
    assert figure(found, "win_rate") == (pytest.approx(2 / 3), 3, "")


def test_without_trades_their_figures_say_why_there_are_none() -> None:
    found = row(priced())
    assert figure(found, "total_trades") == (0, 0, "")
    value, n, reason = figure(found, "win_rate")
    assert (value, n) == (None, 0)
    assert reason


def test_day_has_only_the_figures_that_one_day_can_have() -> None:
    day, all_of_it = row(priced(), period=Period.DAY), row(priced())
    assert "annual_volatility" in all_of_it["risk_metrics"]["figures"]
    assert "annual_volatility" not in day["risk_metrics"]["figures"]
    assert figure(day, "sharpe_ratio")[0] is None


def test_day_that_lost_everything_and_day_that_more_than_doubled_are_figures_like_others() -> None:
    assert row(priced(0, "-1000"))["total_return"] == -1
    assert row(priced(0, "1500"))["total_return"] == 1.5


def test_what_is_held_is_told_by_instrument() -> None:
    found = row(priced(price="105", parts=(held(2, 200), held(1, 103))))
    assert found["risk_metrics"]["held"] == [
        {
            "instrument": "SPY",
            "quantity": "3",
            "multiplier": 1,
            "cost": "303",
            "opened_at": AT.isoformat(),
            "price": "105",
            "priced_at": AT.isoformat(),
            "priced_by": "market",
        }
    ]
    missing = row(priced(parts=(held(),)))["risk_metrics"]["held"]
    assert (missing[0]["price"], missing[0]["priced_at"], missing[0]["priced_by"]) == (None, None, None)


def test_periods_begin_and_end_at_midnight_in_new_york() -> None:
    first, last = date(2025, 10, 30), date(2025, 12, 2)
    day = date(2025, 11, 5)
    found = {period: bounds(period, day, first=first, last=last) for period in Period}
    assert found[Period.DAY] == (start_of(day), end_of(day))
    assert found[Period.WEEK] == (start_of(MONDAY), end_of(date(2025, 11, 9)))
    assert found[Period.MONTH] == (start_of(date(2025, 11, 1)), end_of(date(2025, 11, 30)))
    assert found[Period.ALL] == (start_of(first), end_of(last))
    december = bounds(Period.MONTH, date(2025, 12, 31), first=first, last=last)
    assert december == (start_of(date(2025, 12, 1)), end_of(date(2025, 12, 31)))


money = st.decimals("-1000", "1000", places=6)


@given(steps=st.lists(st.tuples(money, st.decimals("0", "500", places=2), st.booleans()), min_size=1, max_size=12))
@settings(deadline=None)
def test_days_add_up_to_their_period(steps: list[tuple[Decimal, Decimal, bool]]) -> None:
    days = [
        priced(place, str(realised), price=str(price), parts=(held(),) if open_ else ())
        for place, (realised, price, open_) in enumerate(steps)
    ]
    made = earned(days)
    found = row(*days)
    net = sum((each.net or D(0) for each in made), D(0))
    assert D(found["risk_metrics"]["figures"]["net_pnl"]["value"]) == net
    last = steps[-1]
    level = last[1] - 100 if last[2] else D(0)
    assert found["realized_pnl"] + level == net
    assert found["unrealized_pnl"] == level
