"""The kill switch: trading halts, and what is not at the broker yet is withdrawn (RTS 6 article 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import QuerySet

from emo_site.db.fields import current_environment
from orders import journal, trading_state
from orders.choices import EventKind, OrderStatus, TradingState
from orders.entitlement import require
from orders.models import OrderEvent, StagedOrder, TradingStateChange
from orders.reading import read
from orders.refusal import Refused
from orders.steps import change

NOT_AT_BROKER = (OrderStatus.DRAFT, OrderStatus.BLOCKED, OrderStatus.PENDING_REVIEW, OrderStatus.APPROVED)
AT_BROKER = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
_BATCH = 500
ROUNDS = 20
_BECAUSE = "kill switch: "


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What the kill switch did. `left` are orders at the broker: the desk has no wire to it, so a person withdraws them
    there. `halted` is None where trading was halted before.
    """

    halted: TradingStateChange | None
    cancelled: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How many orders the kill switch would withdraw now, and how many it would leave at the broker."""

    withdrawn: int
    left: int


def reach() -> Reach:
    counts = StagedOrder.objects.filter(environment=current_environment()).open().counted_by_status()
    return Reach(
        withdrawn=sum(counts.get(status, 0) for status in NOT_AT_BROKER),
        left=sum(counts.get(status, 0) for status in AT_BROKER),
    )


def withdrawals(halted: TradingStateChange) -> QuerySet[OrderEvent]:
    """What the kill switch withdrew with that change, and later while trading stayed halted; in the order of time."""
    events = OrderEvent.objects.filter(
        kind=EventKind.CANCELLED,
        at__gte=halted.at,
        reason__startswith=_BECAUSE,
        order__environment=halted.environment,
    )
    following = TradingStateChange.objects.filter(environment=halted.environment, number=halted.number + 1).first()
    return (events if following is None else events.filter(at__lt=following.at)).order_by("at", "id")


def left_at_broker() -> QuerySet[StagedOrder]:
    """What a person must withdraw there, oldest first."""
    return StagedOrder.objects.filter(environment=current_environment(), status__in=AT_BROKER).order_by("created_at")


def pull(*, actor: User, now: datetime, reason: str) -> Pulled:
    """Halts trading first, so that nothing more is approved or submitted, then withdraws whatever has not been sent.

    Pulling it again withdraws what was staged since. Raises Refused where the actor may not, or names no reason.
    """
    try:
        halted = trading_state.change(TradingState.HALTED, actor=actor, now=now, reason=reason)
    except Refused as refused:
        if refused.code != "SAME_STATE":
            raise
        halted = None
        require(actor, *trading_state.HALTS)
    orders = StagedOrder.objects.filter(environment=current_environment())
    cancelled: list[str] = []
    # Whoever changed one of them meanwhile is overruled in the next round, unless it has reached the broker. What a bot
    # goes on staging is blocked by the halt itself: there is no need to run after it for ever.
    for _ in range(ROUNDS):
        waiting = list(orders.filter(status__in=NOT_AT_BROKER).order_by("created_at").values_list("pk", flat=True))
        if not waiting:
            break
        for start in range(0, len(waiting), _BATCH):
            cancelled += _cancel(waiting[start : start + _BATCH], actor, now, reason)
    left = tuple(left_at_broker().values_list("client_order_id", flat=True))
    return Pulled(halted=halted, cancelled=tuple(cancelled), left=left)


def _cancel(order_ids: Sequence[UUID], actor: User, now: datetime, reason: str) -> list[str]:
    changes = [
        change(
            recorded.order,
            OrderStatus.CANCELLED,
            kind=EventKind.CANCELLED,
            actor=actor,
            now=now,
            reason=f"{_BECAUSE}{reason}",
        )
        for recorded in read(order_ids).values()
        if recorded.order.status in NOT_AT_BROKER
    ]
    written = journal.write_each(changes)
    return [each.order.client_order_id for each, done in zip(changes, written, strict=True) if done]
