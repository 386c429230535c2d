"""Which orders reduce what is held: they close it or hedge it. Pure.

Such an order is exempt from the rules of size, exposure and drawdown, since an engine that blocks a stop-out is
dangerous (nautilus_trader #4746), and it passes while the desk only reduces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from enum import StrEnum

from orders.assessment import Context
from orders.choices import Side
from orders.cover import ZERO, Position, as_legs, left_over, own_position, position, shares, together, uncovered
from orders.options import payoff
from orders.options.legs import corners
from orders.ticket import Ticket


class Reduction(StrEnum):
    """What an order does to what is held."""

    NONE = "none"
    CLOSES = "closes"
    HEDGES = "hedges"


def reduces(order: Ticket, context: Context) -> bool:
    """Whether the order closes or hedges what is held of its underlying, whichever other open orders are filled."""
    return reduction(order, context) != Reduction.NONE


def reduction(order: Ticket, context: Context) -> Reduction:
    """CLOSES: every leg takes away from what is held of its contract, not beyond, and what is left loses no more.
    (Selling the long leg of a spread takes away too, and leaves the short one naked: that closes nothing.)

    HEDGES: it buys options that make the worst case of what is held better, net of what they cost. They end on one
    day, can lose no more than they cost, and are no more than what is exposed: a put for each share or short put, a
    call for each naked short call.
    """
    if not context.holdings or any(leg.underlying != order.underlying for leg in order.legs):
        return Reduction.NONE
    legs = own_position(order)
    if not legs:
        return Reduction.NONE
    credit = _credit(order, context, legs)
    if all(_takes_away(legs, held, credit) for held in _positions(context)):
        return Reduction.CLOSES
    paid = _debit(order, context)
    if paid is not None and _only_costs(legs) and all(_improves(legs, held, paid) for held in _positions(context)):
        return Reduction.HEDGES
    return Reduction.NONE


def _positions(context: Context) -> Iterator[Position]:
    """What may be held when the order trades: with none of the other open orders filled, with their short legs, and
    with all of them. Two orders that close one position are not both protective.
    """
    yield position(context.holdings)
    if context.open_orders:
        yield left_over(context)
        yield position((*context.holdings, *(leg for order in context.open_orders for leg in order.legs)))


def _takes_away(legs: Position, held: Position, credit: Decimal) -> bool:
    for contract, quantity in legs.items():
        there = held.get(contract, ZERO)
        if quantity * there >= 0 or abs(quantity) > abs(there):
            return False
    after = together(held, legs)
    if uncovered(after) > uncovered(held):
        return False
    return all(_not_worse(_ending(held, day), _ending(after, day), credit) for day in _days(legs, held))


def _not_worse(before: Position, after: Position, credit: Decimal) -> bool:
    points = corners(as_legs(before))
    return _floor(after, points) + credit >= _floor(before, points)


def _improves(legs: Position, held: Position, paid: Decimal) -> bool:
    (day,) = {contract.expiry for contract in legs}
    before = _ending(held, day)
    puts, calls = _bought(legs, "P"), _bought(legs, "C")
    falling = shares(before) - _units(before, "P")
    rising = -shares(before) - _units(before, "C")
    if puts > max(ZERO, falling) or calls > max(ZERO, rising):
        return False
    after = together(before, legs)
    if calls and uncovered(together(held, legs)) >= uncovered(held):
        return False
    points = corners(as_legs(before)) | corners(as_legs(legs))
    return not puts or _floor(after, points) - paid > _floor(before, points)


def _only_costs(legs: Position) -> bool:
    """Options of one expiry that are worth nothing at worst."""
    if any(contract.right == "S" for contract in legs) or len({contract.expiry for contract in legs}) > 1:
        return False
    return _floor(legs, corners(as_legs(legs))) >= 0 and _units(legs, "C") >= 0


def _days(legs: Position, held: Position) -> set[date | None]:
    """The expiries at which a position of these legs may be worth something else than before."""
    concerned = held if shares(legs) else legs
    return {contract.expiry for contract in concerned if contract.right != "S"} or {None}


def _ending(held: Position, day: date | None) -> Position:
    """The options that end on that day, and the shares."""
    return {contract: number for contract, number in held.items() if contract.right == "S" or contract.expiry == day}


def _floor(held: Position, points: Iterable[Decimal]) -> Decimal:
    legs = as_legs(held)
    return min(payoff(legs, spot) for spot in points)


def _units(held: Position, right: str) -> Decimal:
    return sum((number * contract.multiplier for contract, number in held.items() if contract.right == right), ZERO)


def _bought(legs: Position, right: str) -> Decimal:
    return _units({contract: number for contract, number in legs.items() if number > 0}, right)


def _credit(order: Ticket, context: Context, legs: Position) -> Decimal:
    """What the order takes in, 0 where that is not known or belongs to options of several expiries."""
    if len({contract.expiry for contract in legs if contract.right != "S"}) > 1:
        return ZERO
    if order.legs:
        return max(ZERO, -(order.price or ZERO)) * order.quantity * order.multiplier
    if order.side != Side.SELL:
        return ZERO
    # A sale fills at its limit or above it, so at the market where that is higher.
    known = [order.price, context.quote.price if context.quote else None]
    return max((price for price in known if price is not None), default=ZERO) * order.quantity * order.multiplier


def _debit(order: Ticket, context: Context) -> Decimal | None:
    """What the order costs, None where neither its limit nor a quote tells."""
    price = order.price
    if price is None and not order.legs and context.quote is not None:
        price = context.quote.price
    return None if price is None else price * order.quantity * order.multiplier
