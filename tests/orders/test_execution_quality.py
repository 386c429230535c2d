"""What fills cost. Positive is a cost to us."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.execution_quality import (
    IMPACT_HORIZONS,
    arrival_price,
    average_fill_price,
    effective_spread,
    execution_score,
    fill_rate,
    implementation_shortfall,
    market_impact,
    price_after,
    price_improvement,
    slippage_bps,
    slippage_money,
    slippage_of_spread,
    twap,
    vwap,
)

D = Decimal
QUANTITIES = st.decimals("0.01", "1000000", places=2)
PRICES = st.decimals("0.01", "100000", places=2)
# As fine and as large as the tables hold them; prices of combinations may be negative.
FINE_QUANTITIES = st.decimals("0.00000001", "1000000", places=8)
ANY_PRICES = st.decimals("-100000", "100000", places=6)
SIDES = st.sampled_from(["buy", "sell"])
FILLS = st.lists(st.tuples(FINE_QUANTITIES, ANY_PRICES), max_size=6)
SECONDS = st.integers(0, 3600)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OTHER_SIDE = {"buy": "sell", "sell": "buy"}


@pytest.mark.parametrize(
    ("fills", "average"),
    [
        ([], None),
        ([(D(2), D(10))], D(10)),
        ([(D(1), D(10)), (D(3), D(14))], D(13)),
        ([(D(1), D("-1.20")), (D(1), D("1.20"))], D(0)),
    ],
)
def test_average_is_weighted_by_quantity(fills: list[tuple[Decimal, Decimal]], average: Decimal | None) -> None:
    assert average_fill_price(fills) == average


@given(st.lists(st.tuples(QUANTITIES, PRICES), min_size=1, max_size=8))
def test_average_lies_between_the_extremes(fills: list[tuple[Decimal, Decimal]]) -> None:
    average = average_fill_price(fills)
    prices = [price for _, price in fills]
    assert average is not None
    assert min(prices) <= average <= max(prices)


@pytest.mark.parametrize(
    ("side", "fill", "benchmark", "cost"),
    [
        ("buy", D(101), D(100), D(100)),
        ("buy", D(99), D(100), D(-100)),
        ("sell", D(99), D(100), D(100)),
        ("sell", D(101), D(100), D(-100)),
        ("sell", D(100), D(100), D(0)),
    ],
)
def test_slippage_is_positive_where_it_costs(side: str, fill: Decimal, benchmark: Decimal, cost: Decimal) -> None:
    assert slippage_bps(side, fill, benchmark) == cost


@given(PRICES, PRICES)
def test_what_costs_a_buyer_gains_a_seller(fill: Decimal, benchmark: Decimal) -> None:
    assert slippage_bps("buy", fill, benchmark) == -slippage_bps("sell", fill, benchmark)


@pytest.mark.parametrize(("side", "benchmark"), [("as_defined", D(1)), ("", D(1)), ("buy", D(0)), ("buy", D(-1))])
def test_slippage_without_side_or_benchmark_is_refused(side: str, benchmark: Decimal) -> None:
    with pytest.raises(ValueError, match=r"is needed|needs a price above 0"):
        slippage_bps(side, D(1), benchmark)


@pytest.mark.parametrize(("filled", "rate"), [(D(0), D(0)), (D(1), D("0.25")), (D(4), D(1)), (D(9), D(1))])
def test_overfill_is_no_better_than_a_fill(filled: Decimal, rate: Decimal) -> None:
    assert fill_rate(filled, D(4)) == rate


@pytest.mark.parametrize(
    ("filled", "slippage", "total"),
    [
        (D(4), D(0), D(100)),
        (D(4), D(-30), D(100)),
        (D(2), D(0), D(75)),
        (D(4), D(25), D(75)),
        (D(4), D(50), D(50)),
        (D(4), D(5000), D(50)),
        (D(0), D(50), D(0)),
        (D(4), None, None),
    ],
)
def test_score_is_half_fill_and_half_price(filled: Decimal, slippage: Decimal | None, total: Decimal | None) -> None:
    assert execution_score(filled=filled, ordered=D(4), slippage=slippage).total == total


@given(QUANTITIES, QUANTITIES, st.decimals("-100000", "100000", places=2))
def test_score_lies_between_0_and_100_and_is_the_sum_of_its_parts(
    filled: Decimal, ordered: Decimal, slippage: Decimal
) -> None:
    score = execution_score(filled=filled, ordered=ordered, slippage=slippage)
    assert score.total is not None
    assert score.slippage is not None
    assert score.total == score.fill_rate + score.slippage
    assert 0 <= score.total <= 100


Case = tuple[tuple[Any, ...], tuple[Any, ...]]

SHORTFALLS: dict[str, Case] = {
    # The example of Perold's measure in Managing Investment Portfolios (Maginn, Tuttle, Pinto, McLeavey), 3rd edition,
    # chapter 10. Decided at 10.00, next day's close 10.05, then 700 of 1000 bought at 10.07, the rest gone at 10.08,
    # commission 14. Delay 700 x 0.05 = 35, execution 700 x 0.02 = 14, missed 300 x 0.08 = 24, 35 + 14 + 24 + 14 = 87.
    # Paper gains 1000 x 0.08 = 80, the real portfolio 700 x 0.01 - 14 = -7: 87 again, 0.87 % of 10000.
    "the textbook's": (
        ("buy", 1000, D("10.00"), D("10.05"), [(700, D("10.07"))], D("10.08"), 14),
        (None, None, 35, 14, 24, 14, 87, 87),
    ),
    # The same with a review that ended at 10.02: 700 x 0.02 = 14 and 700 x 0.03 = 21.
    "with a review": (
        ("buy", 1000, D("10.00"), D("10.05"), [(700, D("10.07"))], D("10.08"), 14, D("10.02")),
        (14, 21, 35, 14, 24, 14, 87, 87),
    ),
    # Sold while the price rose: each part but the fees turns round, -35 - 14 - 24 + 14 = -59.
    "a sale": (
        ("sell", 1000, D("10.00"), D("10.05"), [(700, D("10.07"))], D("10.08"), 14, D("10.02")),
        (-14, -21, -35, -14, -24, 14, -59, -59),
    ),
    # Ten contracts of 100: decided 2.00, approved 2.10, arrived 2.05, four at 2.06, four at 2.08, end 2.30, fees 5.20.
    # Review 800 x 0.10 = 80, broker 800 x -0.05 = -40, execution 400 x 0.01 + 400 x 0.03 = 16, missed 200 x 0.30 = 60,
    # 40 + 16 + 60 + 5.20 = 121.20; of 10 x 2.00 x 100 = 2000 that is 606 bps.
    "options": (
        ("buy", 10, D("2.00"), D("2.05"), [(4, D("2.06")), (4, D("2.08"))], D("2.30"), D("5.20"), D("2.10"), 100),
        (80, -40, 40, 16, 60, D("5.20"), D("121.20"), 606),
    ),
    # An average that does not terminate (31/3) costs no digit: execution 10 + 10 + 11 - 3 x 10 = 1.
    "thirds": (
        ("buy", 3, 10, 10, [(1, 10), (1, 10), (1, 11)], 10),
        (None, None, 0, 1, 0, 0, 1, D("333.3333333333333333333333333")),
    ),
    # Nothing filled: all of it is missed, 5 x (12 - 10) = 10 of 50; where it would have arrived does not matter.
    "nothing filled": (("buy", 5, 10, None, [], 12), (None, None, 0, 0, 10, 0, 10, 2000)),
    # All filled: the end does not matter. 5 x (11 - 10) + 5 x (12 - 11).
    "all filled": (("buy", 5, 10, 11, [(5, 12)], None), (None, None, 5, 5, 0, 0, 10, 2000)),
    # 6 of 5: delay 6 x 1, execution 6 x 1, nothing missed whatever the end; 12 of 5 x 10 = 2400 bps.
    "overfilled": (("buy", 5, 10, 11, [(6, 12)], 99), (None, None, 6, 6, 0, 0, 12, 2400)),
    # A combination given for a credit, decided at -1.20: 2 x (-1.10 + 1.20) = 0.20 and 2 x (-1.05 + 1.10) = 0.10. There
    # is no paper value above 0 to take a share of.
    "a credit": (
        ("buy", 2, D("-1.20"), D("-1.10"), [(2, D("-1.05"))], None),
        (None, None, D("0.20"), D("0.10"), 0, 0, D("0.30"), None),
    ),
    "decided at 0": (("sell", 1, 0, 0, [(1, -1)], None, -2), (None, None, 0, 1, 0, -2, -1, None)),
}


@pytest.mark.parametrize(("given", "wanted"), SHORTFALLS.values(), ids=SHORTFALLS)
def test_shortfall_of_worked_examples(given: tuple[Any, ...], wanted: tuple[Any, ...]) -> None:
    found = implementation_shortfall(*given)
    assert tuple(vars(found).values()) == wanted
    assert "-0" not in {str(value.normalize()) for value in vars(found).values() if value is not None}


@given(
    SIDES,
    FINE_QUANTITIES,
    ANY_PRICES,
    ANY_PRICES,
    FILLS,
    ANY_PRICES,
    ANY_PRICES,
    st.none() | ANY_PRICES,
    st.sampled_from([1, 100]),
)
def test_parts_of_a_shortfall_add_up_exactly(
    side: str,
    quantity: Decimal,
    decision: Decimal,
    arrival: Decimal,
    fills: list[tuple[Decimal, Decimal]],
    end: Decimal,
    fees: Decimal,
    approval: Decimal | None,
    multiplier: int,
) -> None:
    found = implementation_shortfall(side, quantity, decision, arrival, fills, end, fees, approval, multiplier)
    with localcontext(prec=200):
        assert found.total == found.delay + found.execution + found.opportunity + found.fees
        if found.review_delay is None or found.broker_delay is None:
            assert approval is None
            assert found.review_delay is found.broker_delay is None
        else:
            assert found.delay == found.review_delay + found.broker_delay
        # What was paid for what was filled, and the end's price for what was not, against the decision's for all of it.
        filled, paid = sum(q for q, _ in fills), sum(q * p for q, p in fills)
        left = max(D(0), quantity - filled)
        against = paid + left * end - (filled + left) * decision
        assert found.total - fees == (against if side == "buy" else -against) * multiplier
    assert (found.total_bps is None) == (decision <= 0)


@given(FINE_QUANTITIES, ANY_PRICES, ANY_PRICES, FILLS, ANY_PRICES, ANY_PRICES)
def test_a_shortfall_turns_round_with_the_side(
    quantity: Decimal,
    decision: Decimal,
    arrival: Decimal,
    fills: list[tuple[Decimal, Decimal]],
    end: Decimal,
    approval: Decimal,
) -> None:
    bought, sold = (
        implementation_shortfall(side, quantity, decision, arrival, fills, end, approval_price=approval)
        for side in OTHER_SIDE
    )
    for name, value in vars(bought).items():
        other = vars(sold)[name]
        assert (value is None and other is None) or value.compare_total_mag(other) == 0
        assert value is None or (value > 0) == (other < 0)


def test_a_figure_does_not_depend_on_the_callers_decimal_context() -> None:
    given = (
        "buy",
        3,
        D("10.12345678"),
        D("10.2"),
        [(1, D("10.3")), (1, D("11.00000001"))],
        D("12"),
        D("0.01"),
        D("10.15"),
    )
    wanted = implementation_shortfall(*given)
    with localcontext(prec=4):
        assert implementation_shortfall(*given) == wanted
        assert average_fill_price([(D(1), D("10.0001")), (D(2), D("10.0002"))]) == D("10.00016666666666666666666667")


SHORTFALL = {
    "side": "buy",
    "quantity": D(5),
    "decision_price": D(10),
    "arrival_price": D(11),
    "fills": [(D(3), D(12))],
    "end_price": D(13),
}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"side": "BUY"}, "side='BUY': buy or sell is needed"),
        ({"side": None}, "side=None: buy or sell is needed"),
        ({"quantity": D(0)}, "quantity=0: must be above 0"),
        ({"quantity": D(-5)}, "quantity=-5: must be above 0"),
        ({"quantity": 5.0}, "quantity=5.0: must be a Decimal or an int, not float"),
        ({"quantity": True}, "quantity=True: must be a Decimal or an int, not bool"),
        ({"decision_price": "10"}, "decision_price='10': must be a Decimal or an int, not str"),
        ({"decision_price": D("NaN")}, "decision_price=NaN: must be finite"),
        ({"decision_price": D("sNaN")}, "decision_price=sNaN: must be finite"),
        ({"end_price": D("-Infinity")}, "end_price=-Infinity: must be finite"),
        ({"end_price": D("1e40")}, "end_price=1E+40: must have at most 40 digits before and after the point"),
        ({"fees": D("1e-41")}, "fees=1E-41: must have at most 40 digits before and after the point"),
        ({"fees": None}, "fees=None: must be a Decimal or an int, not NoneType"),
        ({"approval_price": 10.5}, "approval_price=10.5: must be a Decimal or an int, not float"),
        ({"multiplier": 0}, "multiplier=0: must be above 0"),
        ({"fills": [(D(1), D(9)), (D(0), D(9))]}, "fills[1].quantity=0: must be above 0"),
        ({"fills": [(D(1), D("Infinity"))]}, "fills[0].price=Infinity: must be finite"),
        ({"arrival_price": None}, "arrival_price=None: 3 units are filled, what they cost needs a price"),
        ({"end_price": None}, "end_price=None: 2 units are left, what they cost needs a price"),
    ],
)
def test_a_shortfall_of_what_is_no_figure_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the whole text is compared)
        implementation_shortfall(**{**SHORTFALL, **wrong})
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: average_fill_price([(D(0), D(1))]), "fills[0].quantity=0: must be above 0"),
        (lambda: average_fill_price([(D(1), 1.5)]), "fills[0].price=1.5: must be a Decimal or an int, not float"),
        (lambda: slippage_bps("buy", D("NaN"), D(1)), "fill_price=NaN: must be finite"),
        (lambda: slippage_bps("buy", D(1), 1.0), "benchmark_price=1.0: must be a Decimal or an int, not float"),
        (lambda: fill_rate(D(-1), D(4)), "filled=-1: must not be below 0"),
        (lambda: fill_rate(D(1), D(0)), "ordered=0: must be above 0"),
        (lambda: execution_score(filled=1, ordered=0, slippage=1), "ordered=0: must be above 0"),
        (
            lambda: execution_score(filled=1, ordered=2, slippage=1.5),
            "slippage=1.5: must be a Decimal or an int, not float",
        ),
        (lambda: execution_score(filled=1, ordered=2, spread_slippage=D("NaN")), "spread_slippage=NaN: must be finite"),
        (
            lambda: execution_score(filled=1, ordered=2, latency=timedelta(milliseconds=-1)),
            "latency=-0.001000 s: must not be below 0",
        ),
        (lambda: slippage_money("buy", D(2), D(1), D(0)), "quantity=0: must be above 0"),
        (lambda: slippage_money("buy", D(2), D(1), D(1), -100), "multiplier=-100: must be above 0"),
        (lambda: slippage_money("hold", D(2), D(1), D(1)), "side='hold': buy or sell is needed"),
        (lambda: slippage_of_spread("", D(2), D(1), D(1), D(1)), "side='': buy or sell is needed"),
        (
            lambda: slippage_of_spread("buy", D(2), D(1), D(1), None),
            "ask=None: must be a Decimal or an int, not NoneType",
        ),
        (lambda: effective_spread("", D(2), D(1)), "side='': buy or sell is needed"),
        (lambda: effective_spread("buy", D(2), 1.5), "mid=1.5: must be a Decimal or an int, not float"),
        (lambda: price_improvement("", D(2), D(1), D(3)), "side='': buy or sell is needed"),
        (lambda: price_improvement("sell", D(2), D("NaN"), D(3)), "bid=NaN: must be finite"),
        (lambda: market_impact("", D(2), D(1)), "side='': buy or sell is needed"),
        (lambda: market_impact("buy", D(2), D("NaN")), "later_price=NaN: must be finite"),
        (lambda: vwap([(D(1), D(1)), (D(-1), D(1))]), "trades[1].quantity=-1: must not be below 0"),
        (lambda: vwap([(D(0), D(1)), (D(1), 1.5)]), "trades[1].price=1.5: must be a Decimal or an int, not float"),
        (
            lambda: twap([(NOON, D(1)), (datetime(2026, 3, 2, 12), D(1))], NOON),  # noqa: DTZ001
            "quotes[1].at=2026-03-02 12:00:00: must be a datetime with a time zone",
        ),
        (
            lambda: twap([], datetime(2026, 3, 2, 12)),  # noqa: DTZ001
            "end=2026-03-02 12:00:00: must be a datetime with a time zone",
        ),
        (
            lambda: arrival_price([], datetime(2026, 3, 2, 12)),  # noqa: DTZ001
            "at=2026-03-02 12:00:00: must be a datetime with a time zone",
        ),
        (
            lambda: arrival_price([(datetime(2026, 3, 2, 12), D(1))], NOON),  # noqa: DTZ001
            "trades[0].at=2026-03-02 12:00:00: must be a datetime with a time zone",
        ),
        (lambda: arrival_price([(NOON, "1")], NOON), "trades[0].price='1': must be a Decimal or an int, not str"),
        (lambda: arrival_price([], NOON.date()), "at=2026-03-02: must be a datetime with a time zone"),
        (
            lambda: price_after([], datetime(2026, 3, 2, 12), timedelta(1)),  # noqa: DTZ001
            "filled_at=2026-03-02 12:00:00: must be a datetime with a time zone",
        ),
        (lambda: price_after([], NOON, timedelta(0)), "horizon=0:00:00: must be above 0"),
    ],
)
def test_what_is_no_figure_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the whole text is compared)
        call()
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("side", "fill", "benchmark", "quantity", "multiplier", "cost"),
    [
        ("buy", D("2.06"), D("2.05"), 4, 100, 4),  # 0.01 x 400
        ("sell", D("2.06"), D("2.05"), 4, 100, -4),
        ("buy", D("-1.05"), D("-1.10"), 2, 1, D("0.10")),  # a credit 0.05 too small, twice
        ("sell", D("1.5"), D("1.5"), 7, 100, 0),
    ],
)
def test_slippage_in_money_counts_every_unit(
    side: str, fill: Decimal, benchmark: Decimal, quantity: int, multiplier: int, cost: Decimal
) -> None:
    assert slippage_money(side, fill, benchmark, quantity, multiplier) == cost
    assert str(slippage_money(side, fill, benchmark, quantity, multiplier))[:2] != "-0"


@pytest.mark.parametrize(
    ("side", "fill", "bid", "ask", "percent"),
    [
        # Against the mid: the far side costs half of the spread, the near side gains it.
        ("buy", D("2.10"), D("2.00"), D("2.10"), 50),
        ("buy", D("2.00"), D("2.00"), D("2.10"), -50),
        ("sell", D("2.00"), D("2.00"), D("2.10"), 50),
        ("sell", D("2.04"), D("2.00"), D("2.10"), 10),  # 0.01 of 0.10
        ("buy", D("-1.00"), D("-1.20"), D("-1.00"), 50),
        ("buy", D("0.05"), D("-0.05"), D("0.05"), 50),
        ("buy", D("2.10"), D("2.00"), D("2.00"), None),
        ("buy", D("2.10"), D("2.01"), D("2.00"), None),
    ],
)
def test_slippage_of_a_spread_needs_a_spread(
    side: str, fill: Decimal, bid: Decimal, ask: Decimal, percent: int | None
) -> None:
    assert slippage_of_spread(side, fill, (bid + ask) / 2, bid, ask) == percent


@pytest.mark.parametrize(
    ("side", "fill", "spread", "improvement", "impact"),
    [
        # Quoted 2.00 to 2.10, so mid 2.05; later 2.08.
        ("buy", D("2.10"), D("0.10"), 0, D("-0.02")),
        ("buy", D("2.06"), D("0.02"), D("0.04"), D("0.02")),
        ("buy", D("2.11"), D("0.12"), D("-0.01"), D("-0.03")),
        ("sell", D("2.00"), D("0.10"), 0, D("-0.08")),
        ("sell", D("2.07"), D("-0.04"), D("0.07"), D("-0.01")),
        ("sell", D("2.09"), D("-0.08"), D("0.09"), D("0.01")),
    ],
)
def test_what_a_fill_cost_against_the_quote_and_what_came_after(
    side: str, fill: Decimal, spread: Decimal, improvement: Decimal, impact: Decimal
) -> None:
    assert effective_spread(side, fill, D("2.05")) == spread
    assert price_improvement(side, fill, D("2.00"), D("2.10")) == improvement
    assert market_impact(side, fill, D("2.08")) == impact


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_crossed_quote_improves_no_price_and_a_locked_one_may(side: str) -> None:
    assert price_improvement(side, D(2), D("2.01"), D("2.00")) is None
    assert price_improvement(side, D(2), D(2), D(2)) == 0


@given(ANY_PRICES, ANY_PRICES, FINE_QUANTITIES)
def test_costs_turn_round_with_the_side(fill: Decimal, benchmark: Decimal, quantity: Decimal) -> None:
    bought, sold = (
        (
            slippage_money(side, fill, benchmark, quantity, 100),
            slippage_of_spread(side, fill, benchmark, D(1), D(3)),
            effective_spread(side, fill, benchmark),
            market_impact(side, fill, benchmark),
        )
        for side in OTHER_SIDE
    )
    for cost, other in zip(bought, sold, strict=True):
        assert cost is not None
        assert other is not None
        assert cost.compare_total_mag(other) == 0
        assert (cost > 0) == (other < 0)


@given(SIDES, PRICES, PRICES, PRICES)
def test_improvement_is_half_the_quoted_spread_less_half_the_effective_one(
    side: str, fill: Decimal, one: Decimal, other: Decimal
) -> None:
    bid, ask = sorted((one, other))
    improvement = price_improvement(side, fill, bid, ask)
    assert improvement == (ask - bid) / 2 - effective_spread(side, fill, (bid + ask) / 2) / 2


def _after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("horizon", "price"),
    [
        (timedelta(seconds=1), None),  # the trade at the fill's own moment may be the fill
        (timedelta(seconds=2), D(12)),
        (IMPACT_HORIZONS[0], D(13)),
        (IMPACT_HORIZONS[1], D(14)),
    ],
)
def test_price_after_a_fill_is_never_older_than_the_fill(horizon: timedelta, price: Decimal | None) -> None:
    trades = [(_after(3600), D(14)), (_after(0), D(11)), (_after(-5), D(10)), (_after(2), D(12)), (_after(60), D(13))]
    assert price_after(trades, NOON, horizon) == price


@pytest.mark.parametrize(
    ("at", "price"),
    [(-1, None), (0, D(10)), (4.999999, D(10)), (5, D(12)), (8, D(12)), (9, D(9)), (9999, D(9))],
)
def test_arrival_price_is_the_last_trade_at_or_before_the_moment(at: float, price: Decimal | None) -> None:
    trades = [(_after(9), D(9)), (_after(0), D(10)), (_after(5), D(11)), (_after(5), D(12))]
    assert arrival_price(trades, _after(at)) == price


def test_arrival_price_knows_the_hour_that_comes_twice() -> None:
    first = datetime(2026, 11, 1, 1, 30, tzinfo=ZoneInfo("America/New_York"))
    again = first.replace(fold=1)
    assert arrival_price([(again, D(2)), (first, D(1))], again) == 2
    assert arrival_price([(again, D(2)), (first, D(1))], first) == 1


@given(st.lists(SECONDS, max_size=8), SECONDS, SECONDS)
def test_arrival_price_never_goes_back_in_time(trades: list[int], one: int, other: int) -> None:
    # The price of each trade is its second.
    prices = [(_after(second), D(second)) for second in trades]
    earlier, later = (arrival_price(prices, _after(at)) for at in sorted((one, other)))
    assert earlier is None or (later is not None and earlier <= later)
    assert earlier == max((D(second) for second in trades if second <= min(one, other)), default=None)


@pytest.mark.parametrize(
    ("trades", "price"),
    [
        ([], None),
        ([(D(0), D(10))], None),
        ([(D(100), D(10)), (D(300), D(14))], 13),  # (1000 + 4200) / 400
        ([(D(100), D(10)), (D(0), D(99)), (D(300), D(14))], 13),
        ([(D(0), None), (D(1), D("-0.5"))], D("-0.5")),
        ([(1, 10), (1, 10), (1, 11)], D("10.33333333333333333333333333")),
    ],
)
def test_vwap_is_weighted_by_volume(trades: list[tuple[Decimal, Any]], price: Decimal | None) -> None:
    assert vwap(trades) == price


@given(st.lists(st.tuples(FINE_QUANTITIES, ANY_PRICES), min_size=1, max_size=8), ANY_PRICES)
def test_vwap_lies_between_the_extremes_and_knows_no_order(
    trades: list[tuple[Decimal, Decimal]], untraded: Decimal
) -> None:
    found = vwap(trades)
    assert found is not None
    assert min(price for _, price in trades) <= found <= max(price for _, price in trades)
    assert vwap([(D(0), untraded), *reversed(trades)]) == found


@pytest.mark.parametrize(
    ("quotes", "end", "price"),
    [
        ([], 60, None),
        ([(0, D(10))], 60, 10),
        ([(0, D(10))], 0, None),
        ([(61, D(10))], 60, None),
        ([(0, D(10)), (15, D(14))], 60, 13),  # (10 x 15 + 14 x 45) / 60
        ([(15, D(14)), (0, D(10))], 60, 13),
        ([(0, D(10)), (15, D(99)), (15, D(14))], 60, 13),
        ([(0, D(10)), (15, D(14)), (60, D(99)), (70, D(99))], 60, 13),
        ([(40, D(10)), (55, D("-2"))], 60, 7),  # from the first quote: (10 x 15 - 2 x 5) / 20
        ([(0, 10), (0.000001, 40)], 0.000003, 30),  # (10 x 1 + 40 x 2) / 3
    ],
)
def test_twap_is_weighted_by_the_time_a_quote_held(
    quotes: list[tuple[float, Decimal]], end: float, price: Decimal | None
) -> None:
    assert twap([(_after(at), price) for at, price in quotes], _after(end)) == price


@given(
    st.lists(st.tuples(SECONDS, ANY_PRICES), min_size=1, max_size=8, unique_by=lambda quote: quote[0]),
    st.integers(0, 7),
    st.integers(1, 3600),
)
def test_a_quote_that_is_repeated_does_not_move_the_twap(
    quotes: list[tuple[int, Decimal]], place: int, later: int
) -> None:
    given_quotes = sorted((_after(at), price) for at, price in quotes)
    end = _after(3601)
    found = twap(given_quotes, end)
    assert found is not None
    assert min(price for _, price in quotes) <= found <= max(price for _, price in quotes)
    at, price = given_quotes[place % len(given_quotes)]
    # Once at the same moment, and once more while it holds.
    until = min([end, *(other for other, _ in given_quotes if other > at)])
    again = min(at + timedelta(seconds=later), until - timedelta(microseconds=1))
    assert twap([(again, price), (at, price), *given_quotes], end) == found


NO_PRICE = "n/a: neither a benchmark price above 0 nor a quoted spread is known"
NO_SPREAD = "n/a: no quoted spread is known; slippage counts in basis points"
NO_LATENCY = "n/a: the time from submission to the first fill is not known"


@pytest.mark.parametrize(
    ("known", "parts", "total", "missing"),
    [
        ({}, {"fill_rate": 25}, None, {"slippage": NO_PRICE, "latency": NO_LATENCY}),
        ({"slippage": D(25)}, {"fill_rate": 25, "slippage": 25}, 50, {"spread": NO_SPREAD, "latency": NO_LATENCY}),
        # 10 % of the spread is a fifth of the worst, 50: four fifths of 50 points are left.
        ({"spread_slippage": D(10)}, {"fill_rate": 25, "slippage": 40}, 65, {"latency": NO_LATENCY}),
        ({"spread_slippage": D(-30)}, {"fill_rate": 25, "slippage": 50}, 75, {"latency": NO_LATENCY}),
        ({"spread_slippage": D(51)}, {"fill_rate": 25, "slippage": 0}, 25, {"latency": NO_LATENCY}),
        ({"slippage": D(25), "spread_slippage": D(10)}, {"fill_rate": 25, "slippage": 40}, 65, {"latency": NO_LATENCY}),
        # 40, 40 and 20 points: half of 40, four fifths of 40, three quarters of 20.
        (
            {"spread_slippage": D(10), "latency": timedelta(seconds=15)},
            {"fill_rate": 20, "slippage": 32, "latency": 15},
            67,
            {},
        ),
        (
            {"slippage": D(0), "latency": timedelta(0)},
            {"fill_rate": 20, "slippage": 40, "latency": 20},
            80,
            {"spread": NO_SPREAD},
        ),
        (
            {"slippage": D(0), "latency": timedelta(hours=9)},
            {"fill_rate": 20, "slippage": 40, "latency": 0},
            60,
            {"spread": NO_SPREAD},
        ),
        ({"latency": timedelta(seconds=15)}, {"fill_rate": 20, "latency": 15}, None, {"slippage": NO_PRICE}),
    ],
)
def test_score_counts_what_is_known_and_names_what_is_not(
    known: dict[str, Any], parts: dict[str, int], total: int | None, missing: dict[str, str]
) -> None:
    score = execution_score(filled=D(2), ordered=D(4), **known)
    assert score.parts == parts
    assert score.total == total
    assert score.missing == missing


@given(
    FINE_QUANTITIES,
    FINE_QUANTITIES,
    st.none() | ANY_PRICES,
    st.none() | ANY_PRICES,
    st.none() | st.timedeltas(timedelta(0), timedelta(minutes=3)),
)
def test_the_parts_shown_are_the_whole_score(
    filled: Decimal, ordered: Decimal, slippage: Decimal | None, spread: Decimal | None, latency: timedelta | None
) -> None:
    score = execution_score(filled=filled, ordered=ordered, slippage=slippage, spread_slippage=spread, latency=latency)
    named = {"fill_rate", "slippage", "latency"}
    assert set(score.parts) | set(score.missing) - {"spread"} == named
    assert not set(score.parts) & set(score.missing)
    assert all(0 <= points <= 50 for points in score.parts.values())
    if slippage is None and spread is None:
        assert score.total is None
    else:
        # In any order, in the usual 28 digits: nothing is lost.
        assert score.total == sum(score.parts.values()) == sum(reversed(score.parts.values()))
        assert 0 <= score.total <= 100


@given(FINE_QUANTITIES, FINE_QUANTITIES, ANY_PRICES)
def test_a_score_of_fill_rate_and_basis_points_is_stored_as_ever(
    filled: Decimal, ordered: Decimal, slippage: Decimal
) -> None:
    cent = D("0.01")
    before = 50 * min(D(1), filled / ordered) + 50 * (1 - min(max(slippage, D(0)), D(50)) / 50)
    score = execution_score(filled=filled, ordered=ordered, slippage=slippage)
    assert score.total is not None
    assert score.total.quantize(cent) == before.quantize(cent)
