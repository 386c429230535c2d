"""What an order stands for among the risk that was staged on its day. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from orders.choices import OrderStatus

_S = OrderStatus
# Orders that take, or may yet take, risk: what is blocked can't reach the broker, what is over without a fill did not.
LIVE = frozenset({_S.PENDING_REVIEW, _S.APPROVED, _S.SUBMITTED, _S.PARTIALLY_FILLED})
STANDING = LIVE | {_S.EXECUTED}
# A trading day is New York's: listed options end by its calendar.
TRADING_ZONE = ZoneInfo("America/New_York")
SHARDS = 16


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Counts and money that one order adds to its day, or that one change of it adds or takes away."""

    orders: int = 0
    max_loss: Decimal = Decimal(0)
    unbounded: int = 0
    unknown: int = 0

    def __add__(self, other: Standing) -> Standing:
        return Standing(
            orders=self.orders + other.orders,
            max_loss=self.max_loss + other.max_loss,
            unbounded=self.unbounded + other.unbounded,
            unknown=self.unknown + other.unknown,
        )

    def __sub__(self, other: Standing) -> Standing:
        return Standing(
            orders=self.orders - other.orders,
            max_loss=self.max_loss - other.max_loss,
            unbounded=self.unbounded - other.unbounded,
            unknown=self.unknown - other.unknown,
        )

    def __bool__(self) -> bool:
        return bool(self.orders or self.max_loss or self.unbounded or self.unknown)


def standing(status: str, *, max_loss: Decimal | None, unbounded: bool, filled: Decimal) -> Standing:
    """Of an order as its row says. One that was cancelled or has expired after a part was filled counts whole."""
    if status not in STANDING and not filled:
        return Standing()
    return Standing(
        orders=1,
        max_loss=max_loss or Decimal(0),
        unbounded=int(unbounded),
        unknown=int(max_loss is None and not unbounded),
    )


def trading_day(moment: datetime) -> date:
    return moment.astimezone(TRADING_ZONE).date()


def shard_of(order_id: UUID) -> int:
    """The last digit of a time-ordered id is random."""
    return order_id.int % SHARDS


def in_shard_of(other: UUID, order_id: UUID) -> UUID:
    """`order_id` with its last digit changed to that of the other order."""
    return UUID(int=order_id.int - shard_of(order_id) + shard_of(other))
