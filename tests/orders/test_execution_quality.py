"""What fills cost. Positive is a cost to us."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.execution_quality import average_fill_price, execution_score, fill_rate, slippage_bps

D = Decimal
QUANTITIES = st.decimals("0.01", "1000000", places=2)
PRICES = st.decimals("0.01", "100000", places=2)


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
    assert min(prices) - D("1e-15") <= average <= max(prices) + D("1e-15")


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
