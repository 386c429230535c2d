"""What fills cost. Positive is a cost to us."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.execution_quality import (
    average_fill_price,
    execution_score,
    fill_rate,
    implementation_shortfall,
    slippage_bps,
)

D = Decimal
QUANTITIES = st.decimals("0.01", "1000000", places=2)
PRICES = st.decimals("0.01", "100000", places=2)
# As fine and as large as the tables hold them; prices of combinations may be negative.
FINE_QUANTITIES = st.decimals("0.00000001", "1000000", places=8)
ANY_PRICES = st.decimals("-100000", "100000", places=6)
SIDES = st.sampled_from(["buy", "sell"])
FILLS = st.lists(st.tuples(FINE_QUANTITIES, ANY_PRICES), max_size=6)
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
    ],
)
def test_what_is_no_figure_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the whole text is compared)
        call()
    assert str(refused.value) == message
