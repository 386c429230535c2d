"""What manage.py recover may put right about an order, each with an event that says so. Nothing is made up."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from orders import audit
from orders.choices import EventKind, OrderStatus
from orders.execution_quality import Filled
from orders.fills import filled_so_far, status_of, sums, takes_fills
from orders.history import is_imported
from orders.models import StagedOrder
from orders.refusal import Refused
from orders.steps import change, found, overtaken, seen_before, take


def mark_unanswered(order_id: UUID, *, now: datetime, actor: str, since: datetime) -> StagedOrder:
    """Writes into the order's history that the broker's answer is missing. The order stays submitted.

    It is not sent again, and neither a fill nor a refusal is made up: a person asks the broker and records the answer.
    """
    order = found(order_id).order
    if order.status != OrderStatus.SUBMITTED:
        raise Refused("ILLEGAL_TRANSITION", f"This {order.get_status_display()} order waits for no answer.")
    if order.events.filter(kind=EventKind.UNANSWERED, at__gte=since).exists():
        raise Refused("MARKED_BEFORE", "Its history says so already.")
    reason = f"no answer since {since:%Y-%m-%d %H:%M:%S} UTC: to be reconciled with the broker, not to be sent again"
    return take(
        change(
            order,
            OrderStatus(order.status),
            kind=EventKind.UNANSWERED,
            actor=actor,
            now=now,
            reason=reason,
            seen=seen_before(order),
        )
    )


def can_rebook(order: StagedOrder, filled: Filled) -> bool:
    """Whether the order's row may be made to say what its fills on record add up to: they tell of no less than it."""
    if filled.quantity == 0 or filled.quantity < order.filled_quantity or not takes_fills(order):
        return False
    # An order that was executed here with fewer fills than that lacks one of them.
    return order.status != OrderStatus.EXECUTED or filled.quantity >= order.quantity or is_imported(order)


def rebook(order_id: UUID, *, now: datetime, actor: str) -> StagedOrder:
    """Adds an order's fills up anew where its row is behind them. Refused where the row tells of more than they do."""
    recorded = found(order_id)
    order, filled = recorded.order, filled_so_far(recorded)
    if not can_rebook(order, filled):
        raise Refused("FILLS_MISSING", "Its fills on record don't account for what the order says.")
    status = status_of(order, filled)
    said = (order.status, order.filled_quantity, order.average_fill_price)
    if said == (status, filled.quantity, filled.average_price):
        raise Refused("FILLS_AGREE", "Its row says by now what its fills add up to.")
    last_at = order.executions.latest("execution_timestamp").execution_timestamp
    return take(
        change(
            order,
            status,
            kind=EventKind.RECOVERED,
            actor=actor,
            now=now,
            reason="added up anew from the fills on record",
            seen={
                "before": {"status": order.status, "filled_quantity": str(order.filled_quantity)},
                "filled_quantity": str(filled.quantity),
                "overfill": {what: str(by) for what, by in filled.overfills.items()},
            },
            columns=sums(recorded, filled, last_at),
            fill_sums=recorded.fill_sums,
        )
    )


def recount_events(order_id: UUID, *, now: datetime, actor: str) -> StagedOrder:
    """Sets an order's event_count right where its complete trail is longer: each further event would be refused.

    Refused where events are missing, since a lower count would hide that they are, and where they don't follow from
    each other: those that the count leaves out may be somebody else's.
    """
    with transaction.atomic():
        order = found(order_id).order
        trail = list(order.events.order_by("sequence").values_list("sequence", "to_status"))
        whole = [sequence for sequence, _ in trail] == list(range(1, len(trail) + 1))
        if not whole or len(trail) <= order.event_count or trail[-1][1] != order.status:
            raise Refused("EVENTS_MISSING", "Its events on record don't account for what the order says.")
        try:
            head = audit.head_of(order)
        except audit.NotWhole as error:
            raise Refused("EVENTS_FORGED", f"Its events on record don't follow from each other: {error}.") from error
        said = order.event_count
        same = StagedOrder.objects.filter(pk=order.pk, event_count=said)
        if same.update(event_count=len(trail), audit_head=head) != 1:
            raise overtaken(order.pk)
        order.event_count, order.audit_head = len(trail), head
        return take(
            change(
                order,
                OrderStatus(order.status),
                kind=EventKind.RECOVERED,
                actor=actor,
                now=now,
                reason=f"event_count said {said}, the trail holds {len(trail)}",
                seen={"before": said},
            )
        )
