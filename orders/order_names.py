"""What an order is called on pages and in messages."""

from __future__ import annotations

from emo_site import display
from orders.choices import Side
from orders.models import StagedOrder


def title(order: StagedOrder) -> str:
    """ "buy 2 SPY", or "1 SPY combination" where the legs say the sides."""
    quantity = display.number(order.quantity)
    if order.side == Side.AS_DEFINED:
        return f"{quantity} {order.symbol} combination"
    return f"{order.get_side_display()} {quantity} {order.symbol}"


def named(order: StagedOrder) -> str:
    """How a message about several orders tells them apart."""
    return f"{title(order)} [{order.client_order_id}]"
