"""Orders as dictionaries, as the old bot had them, become facts like those that the desk stores. Pure.

A dictionary names symbol, type, quantity, value, status and created_at, and may name executed_at, filled_quantity and
expires_at. Whatever else the desk knows of an order may be there too, by the name of its column; so may `reviewer` (a
user name), `overrides` (codes of rules), and `points` (by the codes of rules). What else is there is not looked at, and
of the type only that it is there: no figure depends on it. An empty text is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from orders import order_facts
from orders.choices import OrderStatus, Side
from orders.instruments import terms_of_symbol
from orders.legacy_import import fields
from orders.order_facts import POINTS, FillSums, Known
from orders.ticket import MAX_PRICE, MAX_QUANTITY, InvalidTicket, check_symbol

REQUIRED = ("symbol", "type", "quantity", "value", "status", "created_at")
# The desk's words, and what the bot says for them.
STATUSES = {
    **{str(status): status for status in OrderStatus},
    "staged": OrderStatus.PENDING_REVIEW,
    "pending": OrderStatus.PENDING_REVIEW,
    "active": OrderStatus.SUBMITTED,
    "sent": OrderStatus.SUBMITTED,
    "filled": OrderStatus.EXECUTED,
    "canceled": OrderStatus.CANCELLED,
    "failed": OrderStatus.BROKER_REJECTED,
}
_LARGEST_VALUE = Decimal(10) ** 16
_PRICES = ("price", "decision_price", "approval_price", "arrival_price", "average_fill_price", "end_price")
_QUOTED = ("arrival_bid", "arrival_ask")
_SCORES = ("risk_score", "compliance_score", "performance_score")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Facts of the good ones, `order` being the place in what was given; a line about each of the others."""

    facts: tuple[dict[str, Any], ...]
    bad: tuple[str, ...]


def take(orders: Iterable[Any]) -> Taken:
    facts, bad = [], []
    for place, each in enumerate(orders):
        try:
            facts.append({"order": place, **facts_of(each)})
        except InvalidTicket as error:
            bad.append(f"orders[{place}]: {error}")
    return Taken(facts=tuple(facts), bad=tuple(bad))


def facts_of(order: Any) -> dict[str, Any]:
    """By the names of the columns of OrderFacts. Raises InvalidTicket, which names field, value and rule."""
    if not isinstance(order, Mapping):
        raise InvalidTicket("order", order, "must be a dictionary")
    for name in REQUIRED:
        if name not in order:
            raise InvalidTicket(name, None, "is missing")
    if not fields.text("type", order["type"]):
        raise InvalidTicket("type", order["type"], "must not be empty")
    known = _known(order)
    executed_at = fields.optional_moment("executed_at", order.get("executed_at"))
    # Programs that write whole seconds have executed an order "before" the fraction at which it was made.
    if executed_at is not None and executed_at <= known.created_at - timedelta(seconds=1):
        raise InvalidTicket("executed_at", order["executed_at"], f"must not be before created_at, {known.created_at}")
    fills = FillSums(
        fees=_number(order, "fees", low=-MAX_PRICE, high=MAX_PRICE) or Decimal(0),
        first_at=fields.optional_moment("first_fill_at", order.get("first_fill_at")) or executed_at,
        last_at=executed_at,
    )
    return {
        "created_at": known.created_at,
        "expires_at": fields.optional_moment("expires_at", order.get("expires_at")),
        "strategy": fields.text("strategy", order.get("strategy")),
        "underlying": fields.text("underlying", order.get("underlying")) or terms_of_symbol(known.symbol).underlying,
        "reviewer": fields.text("reviewer", order.get("reviewer")) or None,
        "violations": fields.text("violations", order.get("violations")),
        "overrides": tuple((code, None) for code in _texts(order, "overrides")),
        **order_facts.of_order(known),
        **order_facts.of_fills(known, fills),
        **_points(order),
    }


def _known(order: Mapping[str, Any]) -> Known:
    symbol = fields.symbol("symbol", order["symbol"])
    check_symbol("symbol", symbol)
    status = fields.word("status", order["status"], STATUSES)
    if status is None:
        raise InvalidTicket("status", order["status"], "is missing")
    quantity = _number(order, "quantity", low=Decimal(0), high=MAX_QUANTITY)
    if not quantity:
        raise InvalidTicket("quantity", order["quantity"], "must be above 0")
    filled = _number(order, "filled_quantity", low=Decimal(0), high=MAX_QUANTITY)
    if filled is None:
        # The bot says of what it executed only that it did.
        filled = quantity if status == OrderStatus.EXECUTED else Decimal(0)
    return Known(
        symbol=symbol,
        side=fields.word("side", order.get("side"), {str(side): side for side in Side}) or Side.BUY,
        status=status,
        quantity=quantity,
        created_at=fields.moment("created_at", order["created_at"]),
        filled_quantity=filled,
        notional=_number(order, "value", low=Decimal(0), high=_LARGEST_VALUE),
        reviewed_at=fields.optional_moment("reviewed_at", order.get("reviewed_at")),
        submitted_at=fields.optional_moment("submitted_at", order.get("submitted_at")),
        **{name: _number(order, name, low=-MAX_PRICE, high=MAX_PRICE) for name in _PRICES},
        **{name: _number(order, name, low=Decimal(0), high=MAX_PRICE) for name in _QUOTED},
        **{name: _number(order, name, low=Decimal(0), high=Decimal(100)) for name in _SCORES},
    )


def _number(order: Mapping[str, Any], name: str, *, low: Decimal, high: Decimal) -> Decimal | None:
    found = fields.optional_number(name, order.get(name))
    if found is not None and not low <= found <= high:
        raise InvalidTicket(name, order[name], f"must be from {low:f} to {high:f}")
    return found


def _texts(order: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = order.get(name) or ()
    if not isinstance(value, list | tuple):
        raise InvalidTicket(name, value, "must be a list of texts")
    return tuple(fields.text(name, each) for each in value)


def _points(order: Mapping[str, Any]) -> dict[str, int]:
    value = order.get("points") or {}
    if not isinstance(value, Mapping) or not set(value) <= set(POINTS):
        raise InvalidTicket("points", value, "must be a dictionary by the codes of rules that add to the risk score")
    found = {code: _number(value, code, low=Decimal(0), high=Decimal(100)) or Decimal(0) for code in value}
    return {POINTS[code]: int(points * 100) for code, points in found.items()}
