"""What is held against an order: positions as sums per contract, and the shares and calls that cover a sale. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from orders.assessment import Context, Holding
from orders.options import Leg
from orders.ticket import Ticket

ZERO = Decimal(0)


class Contract(NamedTuple):
    """One instrument of an underlying: `right` is C, P or S (the stock)."""

    right: str
    strike: Decimal | None
    expiry: date | None
    multiplier: Decimal


Position = Mapping[Contract, Decimal]
"""How many of each contract, positive for long and negative for short; none of them zero."""


def position(legs: Iterable[Holding | Leg]) -> Position:
    """The legs added up by contract, whatever strategy they belong to."""
    totals: defaultdict[Contract, Decimal] = defaultdict(lambda: ZERO)
    for leg in legs:
        totals[Contract(leg.right, leg.strike, leg.expiry, Decimal(leg.multiplier))] += leg.quantity
    return {contract: quantity for contract, quantity in totals.items() if quantity}


def together(first: Position, second: Position) -> Position:
    totals = dict(first)
    for contract, quantity in second.items():
        totals[contract] = totals.get(contract, ZERO) + quantity
    return {contract: quantity for contract, quantity in totals.items() if quantity}


def as_legs(held: Position, underlying: str = "") -> list[Leg]:
    """As legs without premium."""
    return [
        Leg(contract.right, contract.strike, quantity, ZERO, contract.multiplier, contract.expiry, underlying)
        for contract, quantity in held.items()
    ]


def left_over(context: Context) -> Position:
    """What is held once the short legs of the other open orders are filled. Their long legs give nothing yet."""
    short = [leg for order in context.open_orders for leg in order.legs if leg.quantity < 0]
    return position((*context.holdings, *short))


def own_position(order: Ticket) -> Position:
    """The order's legs on its own underlying, as if filled."""
    return position(leg for leg in order.unpriced_legs if leg.underlying == order.underlying)


def shares(held: Position) -> Decimal:
    return sum((quantity * contract.multiplier for contract, quantity in held.items() if contract.right == "S"), ZERO)


def uncovered(held: Position) -> Decimal:
    """Units of the underlying that are short without a bound, 0 where everything is covered.

    Short calls are covered by long calls of their own expiry or by shares; a share covers once, and a long call of
    another expiry covers nothing, since it may end first. Short shares are covered by the long calls of one expiry.
    """
    calls, stock = _call_units(held), shares(held)
    naked = sum((max(ZERO, -units) for units in calls.values()), ZERO)
    if stock >= 0:
        return max(ZERO, naked - stock)
    return naked + max(ZERO, -stock - max((ZERO, *calls.values())))


def free_shares(held: Position) -> Decimal:
    """Long shares that no short call needs as its cover."""
    naked = sum((max(ZERO, -units) for units in _call_units(held).values()), ZERO)
    return max(ZERO, shares(held) - naked)


def covered_legs(order: Ticket, context: Context) -> list[Leg]:
    """The order's legs without premium, and with them what is held to cover them, as if it had cost nothing: what the
    cover itself may lose is no loss of this order.

    Calls of the same expiry go first, the highest strikes before the others, then shares; no more of them than the
    order needs, and none that a held short call or another open order needs.
    """
    legs = [*order.unpriced_legs]
    if not context.holdings or not uncovered(own := own_position(order)):
        return legs
    return [*legs, *as_legs(_cover(own, left_over(context)), order.underlying)]


def _cover(legs: Position, held: Position) -> Position:
    needed = uncovered(legs)
    found: dict[Contract, Decimal] = {}
    if shares(held) < 0:
        # Long calls may be what bounds the short shares.
        return found
    free = {expiry: max(ZERO, units) for expiry, units in _call_units(held).items()}
    short = {expiry: max(ZERO, -units) for expiry, units in _call_units(legs).items()}
    longs = [contract for contract, quantity in held.items() if contract.right == "C" and quantity > 0]
    for contract in sorted(longs, key=lambda each: each.strike or ZERO, reverse=True):
        expiry = contract.expiry
        units = min(needed, free[expiry], short.get(expiry, ZERO), held[contract] * contract.multiplier)
        if units > 0:
            # Counted in single units: a number of contracts might be no finite decimal.
            one = contract._replace(multiplier=Decimal(1))
            found[one] = found.get(one, ZERO) + units
            needed, free[expiry], short[expiry] = needed - units, free[expiry] - units, short[expiry] - units
    if stock := min(needed, free_shares(held)):
        found[Contract("S", None, None, Decimal(1))] = stock
    return found


def _call_units(held: Position) -> dict[date | None, Decimal]:
    """Units of the underlying that the calls of each expiry stand for, long less short."""
    totals: defaultdict[date | None, Decimal] = defaultdict(lambda: ZERO)
    for contract, quantity in held.items():
        if contract.right == "C":
            totals[contract.expiry] += quantity * contract.multiplier
    return totals
