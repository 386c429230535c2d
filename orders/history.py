"""How an order ended in another system, taken over as it was. For imports only."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from orders import fills, journal
from orders.choices import FILLABLE, REVIEWED, TRANSITIONS, EventKind, OrderStatus
from orders.fill import Fill
from orders.models import StagedOrder
from orders.reading import Recorded
from orders.refusal import Refused
from orders.steps import change, check_four_eyes, found, take


def import_history(
    order_id: UUID,
    *,
    status: OrderStatus,
    actor: User,
    now: datetime,
    reason: str,
    reviewer: User | None = None,
    reviewed_at: datetime | None = None,
    fill: Fill | None = None,
) -> StagedOrder:
    """Takes over how an order ended in another system, as one event that says so.

    The order must be one that was just staged. Nothing is judged anew: it has happened.
    """
    recorded = found(order_id)
    order = recorded.order
    if order.event_count != 1:
        raise Refused("ILLEGAL_TRANSITION", f"This {order.get_status_display()} order has a history of its own.")
    if reviewer is not None:
        check_four_eyes(order, reviewer)
    if status in REVIEWED and (reviewer is None or reviewed_at is None):
        raise Refused("REVIEWER_REQUIRED", f"An order that became {status.label} had a reviewer: who, and when?")
    if fill is not None and status not in FILLABLE:
        raise Refused("NOT_FILLABLE", f"An order that became {status.label} has no fills.")
    review = {
        "reviewed_by_id": reviewer.pk if reviewer else None,
        "reviewed_at": reviewed_at,
        "review_notes": reason if reviewer else "",
    }
    with transaction.atomic():
        came_from = order.status
        # The database lets an order change by legal steps only: it is led along them, and the trail tells it once.
        for step in steps_between(OrderStatus(order.status), status)[:-1]:
            journal.pass_through(order, step, review)
        wanted = change(
            order,
            status,
            kind=EventKind.IMPORTED,
            actor=actor,
            now=now,
            reason=reason,
            seen={},
            columns=review,
            from_status=came_from,
        )
        take(wanted)
        if fill is not None:
            _book(found(order_id), fill, actor=actor, now=now, reason=reason)
    return found(order_id).order


def _book(recorded: Recorded, fill: Fill, *, actor: User, now: datetime, reason: str) -> None:
    fills.write(fills.booked(recorded, fill, actor=actor, now=now, kind=EventKind.IMPORTED, reason=reason))


def steps_between(start: OrderStatus, end: OrderStatus) -> Sequence[OrderStatus]:
    """The shortest legal way from one status to another, without its start: empty where both are the same."""
    ways: dict[OrderStatus, list[OrderStatus]] = {start: []}
    waiting: deque[OrderStatus] = deque([start])
    while waiting:
        status = waiting.popleft()
        if status == end:
            return ways[status]
        for after in sorted(TRANSITIONS[status]):
            if after not in ways:
                ways[after] = [*ways[status], after]
                waiting.append(after)
    raise Refused("ILLEGAL_TRANSITION", f"No way leads from {start.label} to {end.label}.")


def is_imported(order: StagedOrder) -> bool:
    """Whether its end was taken over from another system; what that one executed may come with fewer fills, or none."""
    return order.events.filter(kind=EventKind.IMPORTED).exists()
