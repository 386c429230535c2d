"""An order, and what is held beside it, as the signed legs that the option rules compute with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from orders.options import InvalidOptionSymbol, Leg, format_osi
from orders.ticket import Ticket


def legs_of(ticket: Ticket, unit_price: Decimal | None) -> list[Leg]:
    """The order's legs with their expiries; together they cost `unit_price` for each unit ordered.

    Only a combination's net price is known, not that of each leg: the whole of it stands on one leg, a debit on a long
    one and a credit on a short one, where margin looks for it. `unit_price` None: premium not counted.
    """
    if ticket.legs:
        legs = ticket.option_legs(None)
        return legs if unit_price is None else _paid(legs, unit_price * ticket.quantity * ticket.multiplier)
    expiry = ticket.option.expiry if ticket.option else None
    return [replace(leg, expiry=expiry, underlying=ticket.underlying) for leg in ticket.option_legs(unit_price)]


def osi_of(leg: Leg) -> str:
    """The padded OSI symbol that quotes are kept under; empty for stock and where it can't be told."""
    if leg.right == "S" or leg.expiry is None or leg.strike is None:
        return ""
    try:
        return format_osi(leg.underlying, leg.expiry, leg.right, leg.strike)
    except InvalidOptionSymbol:
        # An underlying that is longer than a root may be; it has no such quotes.
        return ""


def net_unit_price(ticket: Ticket, prices: Sequence[Decimal | None]) -> Decimal | None:
    """What one combination costs when its legs cost `prices` per unit, in the ticket's order; None where one is not
    known.
    """
    total = Decimal(0)
    for leg, price in zip(legs_of(ticket, None), prices, strict=True):
        if price is None:
            return None
        total += leg.units * price
    return total / (ticket.quantity * ticket.multiplier)


def _paid(legs: Iterable[Leg], total: Decimal) -> list[Leg]:
    kept = list(legs)
    places = range(len(kept))
    place = next((each for each in places if kept[each].quantity * total > 0 and kept[each].right != "S"), None)
    if place is None:
        place = next((each for each in places if kept[each].quantity * total > 0), 0)
    kept[place] = replace(kept[place], price=total / kept[place].units)
    return kept
