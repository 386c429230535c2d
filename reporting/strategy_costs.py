"""What getting in and out cost a strategy, and waiting for a reviewer: from sums over facts of its orders. Pure.

Positive = cost to us. A fill's price is in the P&L already: what slipped is added back to see the P&L before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from reporting.trades import ZERO


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Sums over the orders of a strategy. `known` of the `filled` ones have a price for decision, approval and arrival:
    `slippage` (arrival to fill), `review_delay` (decision to approval) and `decided_value` are of these. `waited_ms`
    is over the `decided` ones.
    """

    orders: int = 0
    filled: int = 0
    known: int = 0
    slippage: Decimal = ZERO
    review_delay: Decimal = ZERO
    decided_value: Decimal = ZERO
    decided: int = 0
    waited_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class ExecutionCost:
    """`at_arrival` is the gross P&L had every fill been at the price of its order's arrival; `cost` is slippage and
    fees, `share` cost / at_arrival. None where `reason` (for the share: `no_share`) says why.
    """

    at_arrival: Decimal | None
    slippage: Decimal | None
    cost: Decimal | None
    share: float | None
    reason: str
    no_share: str


def execution_cost(spent: Spent, *, gross: Decimal | None, fees: Decimal, no_gross: str) -> ExecutionCost:
    if spent.filled and not spent.known:
        reason = "no filled order has a price for its decision, approval and arrival: slippage is not known"
        return ExecutionCost(at_arrival=None, slippage=None, cost=None, share=None, reason=reason, no_share=reason)
    if not spent.filled:
        return ExecutionCost(
            at_arrival=None,
            slippage=None,
            cost=None,
            share=None,
            reason="no order was filled",
            no_share="no order was filled",
        )
    cost = spent.slippage + fees
    if gross is None:
        return ExecutionCost(
            at_arrival=None, slippage=spent.slippage, cost=cost, share=None, reason=no_gross, no_share=no_gross
        )
    at_arrival = gross + spent.slippage
    share, no_share = None, ""
    if at_arrival > 0:
        share = float(cost / at_arrival)
    else:
        no_share = f"the P&L before it is {at_arrival:,.2f}, not above 0"
    return ExecutionCost(
        at_arrival=at_arrival, slippage=spent.slippage, cost=cost, share=share, reason="", no_share=no_share
    )
