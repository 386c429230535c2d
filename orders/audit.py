"""Appends to the audit trail of an order. Call it inside the transaction that changes the order."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User

from orders.choices import EventKind, OrderStatus
from orders.models import OrderEvent, StagedOrder


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

    `actor` is a person, or the name of what acted where no person did.
    """
    return OrderEvent.objects.create(
        order=order,
        sequence=order.event_count,
        at=at,
        kind=kind,
        actor=None if isinstance(actor, str) else actor,
        actor_name=actor if isinstance(actor, str) else actor.get_username(),
        from_status=from_status,
        to_status=OrderStatus(order.status),
        reason=reason,
        seen=seen or {},
    )
