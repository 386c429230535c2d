"""What the market paid when the rest of orders was given up that the broker had. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import OperationalError

from emo_site.db.aliases import is_with_orders
from monitoring.models import MarketEvent
from monitoring.prices import LatestPrice
from orders.choices import AT_BROKER, OPEN
from orders.models import StagedOrder

Columns = dict[str, Decimal | None]


def columns(orders: Iterable[StagedOrder], *, now: datetime) -> dict[UUID, Columns]:
    """The columns that an order gets with its end at `now`, by its id: of one that the broker has its end_price, of any
    other none. One query at most, however many orders.

    The price is None where none was on record since the order was staged (an older one says nothing of what became of
    it), of an order whose own price was not known then either (every combination), and where market data of another
    database are away: nobody is kept from withdrawing an order.
    """
    given_up = [order for order in orders if order.status in OPEN & AT_BROKER]
    asked = sorted({order.symbol for order in given_up if order.decision_price is not None})
    prices = _latest(asked, now) if asked else {}
    return {order.pk: {"end_price": _price_of(order, prices)} for order in given_up}


def _price_of(order: StagedOrder, prices: dict[str, LatestPrice]) -> Decimal | None:
    found = prices.get(order.symbol)
    if found is None or order.decision_price is None or found.at < order.created_at:
        return None
    return found.price


def _latest(symbols: list[str], now: datetime) -> dict[str, LatestPrice]:
    try:
        return MarketEvent.objects.latest_prices(symbols, at=now)
    except OperationalError:
        if is_with_orders(MarketEvent._meta.app_label):
            # The orders are where the market data are: nothing at all works.
            raise
        return {}
