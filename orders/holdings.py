"""What a fill does to a position: quantities add up, and what it cost is carried at average cost. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from orders.choices import Instrument, LegAction, Side
from orders.instruments import Terms, terms_of_leg, terms_of_symbol

if TYPE_CHECKING:
    from orders.models import OrderLeg, StagedOrder

CENT_STEP = Decimal("1e-6")
ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Move:
    """One instrument's change by one fill: signed quantity, and the cash paid for it (negative: received)."""

    terms: Terms
    quantity: Decimal
    cost: Decimal


def moves(
    order: StagedOrder, legs: Sequence[OrderLeg], position: int | None, quantity: Decimal, price: Decimal
) -> list[Move]:
    """What a fill of `quantity` at `price` of the order (of its leg `position`, or as a whole) changes, by key.

    The net price of a combination can't be told apart: all of it is booked on the combination's first leg, so that what
    the combination cost is right and what each leg cost is not.
    """
    if not legs:
        terms = terms_of_symbol(order.symbol)
        signed = -quantity if order.side == Side.SELL else quantity
        return [Move(terms=terms, quantity=signed, cost=signed * price * terms.multiplier)]
    if position is not None:
        leg = next(each for each in legs if each.position == position)
        signed = _signed(leg, quantity)
        return [Move(terms=_terms(leg), quantity=signed, cost=signed * price * leg.multiplier)]
    share = quantity / order.quantity
    net = price * quantity * max(leg.multiplier for leg in legs if leg.instrument != Instrument.STOCK or len(legs) == 1)
    parts = [
        Move(
            terms=_terms(leg),
            quantity=_signed(leg, leg.quantity * share).quantize(Decimal("1e-8")),
            cost=net if place == 0 else ZERO,
        )
        for place, leg in enumerate(legs)
    ]
    return _merged(parts)


def _terms(leg: OrderLeg) -> Terms:
    return terms_of_leg(
        instrument=leg.instrument,
        symbol=leg.symbol,
        strike=leg.strike,
        expiry=leg.expiry,
        multiplier=leg.multiplier,
    )


def _signed(leg: OrderLeg, quantity: Decimal) -> Decimal:
    return -quantity if leg.action == LegAction.SELL else quantity


def _merged(parts: Iterable[Move]) -> list[Move]:
    """One move for each instrument, by key: whoever locks positions locks them in this order."""
    found: dict[str, Move] = {}
    for part in parts:
        before = found.get(part.terms.key)
        found[part.terms.key] = (
            part
            if before is None
            else replace(before, quantity=before.quantity + part.quantity, cost=before.cost + part.cost)
        )
    return [found[key] for key in sorted(found)]


def after(quantity: Decimal, cost: Decimal, move: Move) -> tuple[Decimal, Decimal]:
    """(quantity, cost) after the move. What grows adds its cost; what shrinks keeps its average; what turns over is as
    new as the rest of the move. (orders/journal.py says the same in SQL.)
    """
    total = quantity + move.quantity
    if quantity == 0 or (quantity > 0) == (move.quantity > 0):
        return total, cost + move.cost
    if abs(move.quantity) <= abs(quantity):
        return total, (cost * total / quantity).quantize(CENT_STEP, ROUND_HALF_UP)
    return total, (move.cost * total / move.quantity).quantize(CENT_STEP, ROUND_HALF_UP)
