"""What fills cost: each one, the sums, the review's delay, and the implementation shortfall."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D
from typing import Any
from uuid import uuid4

import pytest

from orders.choices import FillKind, Side
from orders.models import ExecutedOrder, StagedOrder
from orders.order_costs import OrderCosts, order_costs
from tests.factories import NOW


def order(**changes: Any) -> StagedOrder:
    values: dict[str, Any] = {
        "symbol": "SPY",
        "side": Side.BUY,
        "quantity": D(4),
        "created_at": NOW,
        "reviewed_at": NOW + timedelta(minutes=12),
        "decision_price": D("400.00"),
        "approval_price": D("400.10"),
        "arrival_price": D("400.15"),
        "filled_quantity": D(3),
        "average_fill_price": D("400.20"),
    }
    return StagedOrder(**{**values, **changes})


def fill(execution_id: str, quantity: str, price: str, **changes: Any) -> ExecutedOrder:
    values: dict[str, Any] = {
        "id": uuid4(),
        "execution_id": execution_id,
        "side": Side.BUY,
        "execution_quantity": D(quantity),
        "execution_price": D(price),
        "execution_timestamp": NOW + timedelta(minutes=15),
        "fees": D("0.65"),
        "performance_metrics": {
            "slippage_bps": "5.00",
            "benchmark": "quote at the last assessment",
            "benchmark_price": "400.00",
        },
    }
    return ExecutedOrder(**{**values, **changes})


def costs(found: StagedOrder, *fills: ExecutedOrder, end: str | None = "401.00", multiplier: int = 1) -> OrderCosts:
    return order_costs(
        found,
        fills,
        positions={7: 2},
        multiplier=multiplier,
        multipliers={7: 100},
        end_price=None if end is None else D(end),
    )


def parts(found: OrderCosts) -> dict[str, str]:
    return {cost.label: cost.money for cost in found.costs}


FILLS = (fill("B-1", "1", "400.20"), fill("B-2", "2", "400.20"))


def test_the_parts_of_the_shortfall_add_up_to_it() -> None:
    found = costs(order(), *FILLS)
    assert parts(found) == {
        "Review, decision to approval": "+0.40",
        "Slippage of the fills": "+0.60",
        # Once in what the fills cost, once as a part of the shortfall.
        "Fees": "+1.30",
        "Fills in all": "+1.90",
        "Review delay of what was filled": "+0.30",
        "Broker delay": "+0.15",
        "Execution": "+0.15",
        "Opportunity": "+1.00",
        "Implementation shortfall": "+2.90",
    }
    assert [cost.label for cost in found.costs].count("Fees") == 2
    assert [cost.label for cost in found.costs if cost.total] == ["Fills in all", "Implementation shortfall"]
    assert found.costs[-1].note == "+18.12 bps of the decision's value"


def test_the_review_is_told_in_minutes_and_in_money() -> None:
    row = costs(order(side=Side.SELL)).costs[0]
    assert (row.money, row.note) == ("-0.40", "12.0 min; 400 to 400.1, for the whole quantity")


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"reviewed_at": None}, "nobody has decided yet"),
        ({"decision_price": None}, "12.0 min; no price is on record for when it was staged"),
        ({"approval_price": None}, "12.0 min; no price is on record for when it was approved"),
    ],
)
def test_a_review_without_prices_has_no_money_and_says_why(changes: dict[str, Any], note: str) -> None:
    row = costs(order(**changes)).costs[0]
    assert (row.money, row.note) == ("n/a", note)


def test_a_combinations_review_is_counted_at_its_net_price() -> None:
    credit = order(
        side=Side.AS_DEFINED, quantity=D(2), decision_price=D("-1.25"), approval_price=D("-1.05"), filled_quantity=D(0)
    )
    assert costs(credit, multiplier=100).costs[0].money == "+40.00"


@pytest.mark.parametrize(
    ("changes", "fills", "end", "note"),
    [
        ({"decision_price": None}, FILLS, "401", "no price is on record for when it was staged"),
        ({"arrival_price": None}, FILLS, "401", "no price is on record for when it was submitted"),
        ({}, FILLS, None, "no price is on record for what was not filled"),
        (
            {},
            (fill("L-1", "1", "2", leg_id=7),),
            "401",
            "its legs were filled one by one, their fills have no net price",
        ),
    ],
)
def test_a_shortfall_that_cannot_be_told_says_why(
    changes: dict[str, Any], fills: tuple[ExecutedOrder, ...], end: str | None, note: str
) -> None:
    row = costs(order(**changes), *fills, end=end).costs[-1]
    assert (row.label, row.money, row.note) == ("Implementation shortfall", "n/a", note)


def test_without_a_price_at_the_approval_the_delay_is_in_one_piece() -> None:
    assert parts(costs(order(approval_price=None), *FILLS))["Delay"] == "+0.45"


def test_a_fill_without_a_benchmark_leaves_the_sum_without_a_figure() -> None:
    bare = fill("B-3", "1", "400", performance_metrics={"slippage_bps": None, "reason": "n/a: no quote"})
    found = costs(order(), *FILLS, bare)
    assert parts(found)["Slippage of the fills"] == parts(found)["Fills in all"] == "n/a"
    assert found.costs[1].note == "1 of 3 fills have no benchmark price"
    assert (found.fills[2].slippage, found.fills[2].slippage_money) == ("n/a: no quote", "")


def test_what_the_row_keeps_goes_before_what_its_metrics_say() -> None:
    kept = fill("B-1", "1", "400.20", slippage_bps=D("4.5"), slippage_money=D("0.18"))
    assert costs(order(), kept).fills[0].slippage_money == "+0.18"
    assert costs(order(), kept).fills[0].slippage.startswith("+4.50 bps")


def test_corrected_and_busted_fills_are_struck_linked_and_not_counted() -> None:
    first, second = FILLS
    correction = fill("B-1c", "1", "400.30", kind=FillKind.CORRECTION, corrects=first)
    bust = fill("B-2b", "2", "400.20", kind=FillKind.BUST, corrects=second)
    found = costs(order(filled_quantity=D(1)), first, second, correction, bust)
    told = {row.execution_id: (row.struck, row.note, row.other) for row in found.fills}
    assert told == {
        "B-1": (True, "corrected by B-1c", f"fill-{correction.pk}"),
        "B-2": (True, "taken back by B-2b", f"fill-{bust.pk}"),
        "B-1c": (False, "takes the place of B-1", f"fill-{first.pk}"),
        "B-2b": (True, "takes back B-2", f"fill-{second.pk}"),
    }
    assert {row.anchor for row in found.fills} == {f"fill-{each.pk}" for each in (first, second, correction, bust)}
    assert parts(found)["Slippage of the fills"] == "+0.30"
    assert parts(found)["Fills in all"] == "+0.95"


def test_an_order_without_fills_has_only_its_review() -> None:
    found = costs(order(filled_quantity=D(0)))
    assert list(parts(found)) == ["Review, decision to approval"]
    assert found.note == "Nothing has been filled."


def test_an_order_that_was_given_up_whole_tells_what_that_cost() -> None:
    given_up = order(filled_quantity=D(0), average_fill_price=None, arrival_price=None, end_price=D("401"))
    told = parts(costs(given_up))
    assert (told["Opportunity"], told["Implementation shortfall"]) == ("+4.00", "+4.00")
    assert [label for label, money in told.items() if label != "Opportunity" and money == "+0.00"] == [
        "Review delay of what was filled",
        "Broker delay",
        "Execution",
        "Fees",
    ]
