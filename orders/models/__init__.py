"""Orders, their legs, what happened to them, their fills, and what decides about them.

orders/workflow.py is the only writer of orders, legs, events and fills; each other table names its own.
"""

from orders.models.control import PolicyVersion, RuleOverride, SavedFilter, TradingStateChange
from orders.models.event import OrderAccess, OrderEvent
from orders.models.exposure import EquityHigh, StagedRisk
from orders.models.fill import ExecutedOrder, Position, PositionSnapshot, UnmatchedFill
from orders.models.order import OrderLeg, StagedOrder, new_client_order_id

__all__ = [
    "EquityHigh",
    "ExecutedOrder",
    "OrderAccess",
    "OrderEvent",
    "OrderLeg",
    "PolicyVersion",
    "Position",
    "PositionSnapshot",
    "RuleOverride",
    "SavedFilter",
    "StagedOrder",
    "StagedRisk",
    "TradingStateChange",
    "UnmatchedFill",
    "new_client_order_id",
]
