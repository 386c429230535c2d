"""Appends to the audit trail of an order. Call it inside the transaction that changes the order."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from orders.choices import EventKind, OrderStatus
from orders.models import OrderEvent, StagedOrder
from orders.seals import seal


def sealed(
    order: StagedOrder,
    *,
    sequence: int,
    previous: str,
    at: datetime,
    kind: EventKind,
    actor: User | str,
    from_status: str,
    to_status: str,
    reason: str,
    seen: dict[str, Any],
) -> OrderEvent:
    """An event with its seal, not yet written. `order` has its id; `previous` is the seal of its event before.

    `actor` is a person, or the name of what acted where no person did.
    """
    event = OrderEvent(
        order=order,
        sequence=sequence,
        at=at,
        kind=kind,
        actor=None if isinstance(actor, str) else actor,
        actor_name=actor if isinstance(actor, str) else actor.get_username(),
        from_status=from_status,
        to_status=OrderStatus(to_status),
        reason=reason,
        seen=seen,
    )
    event.seal = seal(
        settings.EMO_AUDIT_KEY.encode(),
        previous=previous,
        order_id=order.pk,
        sequence=event.sequence,
        at=event.at,
        kind=event.kind,
        actor_id=event.actor_id,
        actor_name=event.actor_name,
        from_status=event.from_status,
        to_status=event.to_status,
        reason=event.reason,
        seen=event.seen,
    )
    return event


def append(
    order: StagedOrder,
    *,
    kind: EventKind,
    actor: User | str,
    from_status: str,
    at: datetime,
    reason: str = "",
    seen: dict[str, Any] | None = None,
) -> OrderEvent:
    """One row: `order.status` is what the order became, `order.event_count` the row's place in its history.

    It follows `order.audit_head`, which becomes the row's seal, in the database too.
    """
    event = sealed(
        order,
        sequence=order.event_count,
        previous=order.audit_head,
        at=at,
        kind=kind,
        actor=actor,
        from_status=from_status,
        to_status=order.status,
        reason=reason,
        seen=seen or {},
    )
    event.save(force_insert=True)
    StagedOrder.objects.filter(pk=order.pk).update(audit_head=event.seal)
    order.audit_head = event.seal
    return event
