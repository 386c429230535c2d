"""Orders, their legs, what happened to them, their fills, and what decides about them.

orders/workflow.py is the only writer of orders, legs, events and fills; each other table names its own.
"""

from orders.models.control import PolicyVersion, RuleOverride, SavedFilter, TradingStateChange
from orders.models.event import OrderAccess, OrderEvent, RefusedDecision
from orders.models.exposure import EquityHigh, StagedRisk
from orders.models.facts import OrderDayChange, OrderFacts
from orders.models.feed import FeedPlace, OrderNews
from orders.models.fill import ExecutedOrder, Position, PositionSnapshot, UnmatchedFill
from orders.models.order import OrderLeg, StagedOrder, new_client_order_id

__all__ = [
    "EquityHigh",
    "ExecutedOrder",
    "FeedPlace",
    "OrderAccess",
    "OrderDayChange",
    "OrderEvent",
    "OrderFacts",
    "OrderLeg",
    "OrderNews",
    "PolicyVersion",
    "Position",
    "PositionSnapshot",
    "RefusedDecision",
    "RuleOverride",
    "SavedFilter",
    "StagedOrder",
    "StagedRisk",
    "TradingStateChange",
    "UnmatchedFill",
    "new_client_order_id",
]
