"""One step of an order: who may take it, whether the table allows it, its sealed event, and the write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, User

from orders import audit, compliance, journal
from orders.assessment import Severity
from orders.choices import TRANSITIONS, EventKind, OrderStatus
from orders.entitlement import require
from orders.holdings import Move
from orders.journal import Change
from orders.models import ExecutedOrder, StagedOrder
from orders.order_facts import FillSums
from orders.reading import Recorded, read
from orders.refusal import Refused
from orders.ticket import InvalidTicket, check_text

BROKER_ORDER_ID_LENGTH = 128

# What a person needs to lead an order to a status. (Its creator may cancel it without.)
PERMISSIONS = {
    OrderStatus.APPROVED: ("orders.review_stagedorder", "approve orders"),
    OrderStatus.REJECTED: ("orders.review_stagedorder", "reject orders"),
    OrderStatus.CANCELLED: ("orders.cancel_stagedorder", "cancel orders of others"),
    OrderStatus.SUBMITTED: ("orders.submit_stagedorder", "submit orders"),
    OrderStatus.BROKER_REJECTED: ("orders.execute_stagedorder", "record the broker's answers"),
}


def found(order_id: UUID, expected_events: int | None = None) -> Recorded:
    """The order as it is on record. Raises Refused where there is none, and where its history has gone on beyond the
    number of events that the caller has seen.
    """
    recorded = read([order_id]).get(order_id)
    if recorded is None:
        raise unknown(order_id)
    require_seen(recorded.order, expected_events)
    return recorded


def unknown(order_id: UUID) -> Refused:
    return Refused("UNKNOWN_ORDER", f"There is no order {order_id}.")


def require_seen(order: StagedOrder, expected_events: int | None) -> None:
    if expected_events is not None and order.event_count != expected_events:
        raise overtaken(order.pk)


def overtaken(order_id: UUID) -> Refused:
    """Says what somebody else did meanwhile."""
    order = StagedOrder.objects.filter(pk=order_id).first()
    if order is None:
        return unknown(order_id)
    last = order.events.order_by("-sequence").first()
    did = f" ({last.get_kind_display()} by {last.actor_name}, {last.at:%H:%M:%S} UTC)" if last else ""
    return Refused(
        "CHANGED_MEANWHILE", f"Somebody else was faster: the order is {order.get_status_display()} by now{did}."
    )


def check(order: StagedOrder, to: OrderStatus, *, actor: User) -> None:
    """Raises the refusal that the order's row and the actor alone tell: permission, four eyes, status.

    Pages ask it what to offer; it reads nothing, and the rules may still refuse.
    """
    permission, what = PERMISSIONS[to]
    if to != OrderStatus.CANCELLED or actor.pk != order.created_by_id:
        require(actor, permission, what)
    if to in (OrderStatus.APPROVED, OrderStatus.REJECTED):
        check_four_eyes(order, actor)
    check_legal(order, to)


def check_four_eyes(order: StagedOrder, actor: AbstractBaseUser) -> None:
    verdict = compliance.self_approval(created_by=order.created_by.get_username(), reviewer=actor.get_username())
    if verdict.severity == Severity.BLOCK:
        raise Refused(verdict.code, verdict.message)


def check_legal(order: StagedOrder, to: OrderStatus) -> None:
    if to not in TRANSITIONS[OrderStatus(order.status)]:
        raise Refused("ILLEGAL_TRANSITION", f"This {order.get_status_display()} order can't become {to.label}.")


def check_acknowledged(order: StagedOrder, broker_order_id: str) -> None:
    """Only what was handed to the broker, under an id, is acknowledged. Raises Refused, InvalidTicket."""
    check_text("broker_order_id", broker_order_id, BROKER_ORDER_ID_LENGTH)
    if not broker_order_id.strip():
        raise InvalidTicket("broker_order_id", broker_order_id, "the broker's id of the order is needed")
    if order.submitted_at is None:
        raise Refused("NOT_AT_BROKER", f"This {order.get_status_display()} order was never handed to the broker.")


def require_reason(reason: str, message: str) -> None:
    if not reason.strip():
        raise Refused("REASON_REQUIRED", message)


def seen_before(order: StagedOrder) -> dict[str, Any]:
    """What a decision that judges nothing anew was made on: the last assessment."""
    return {
        "risk_score": None if order.risk_score is None else str(order.risk_score),
        "compliance_score": None if order.compliance_score is None else str(order.compliance_score),
        "violations": order.violations,
        "policy_version": order.workflow_state.get("assessment", {}).get("policy_version"),
    }


def change(
    order: StagedOrder,
    to: OrderStatus,
    *,
    kind: EventKind,
    actor: User | str,
    now: datetime,
    reason: str = "",
    seen: dict[str, Any] | None = None,
    columns: dict[str, Any] | None = None,
    state_number: int | None = None,
    fill: ExecutedOrder | None = None,
    fill_sums: FillSums | None = None,
    moves: Sequence[Move] = (),
    from_status: str | None = None,
) -> Change:
    """The change with its sealed event, not yet written. `order` is as its reader saw it; `from_status` is told instead
    of its status where that was only passed through.
    """
    event = audit.sealed(
        order,
        sequence=order.event_count + 1,
        previous=order.audit_head,
        at=now,
        kind=kind,
        actor=actor,
        from_status=order.status if from_status is None else from_status,
        to_status=to,
        reason=reason,
        seen=seen_before(order) if seen is None else seen,
    )
    return Change(
        order=order,
        event=event,
        columns=columns or {},
        state_number=state_number,
        fill=fill,
        fill_sums=fill_sums,
        moves=moves,
    )


def take(wanted: Change) -> StagedOrder:
    """Writes the change, or says who was faster."""
    if not journal.write(wanted):
        raise not_written(wanted)
    return wanted.order


def not_written(wanted: Change) -> Refused:
    order = wanted.order
    same = StagedOrder.objects.filter(pk=order.pk, status=order.status, event_count=order.event_count)
    if wanted.state_number is not None and same.exists():
        return Refused(
            "TRADING_STATE_CHANGED", "The trading state was changed meanwhile; nothing was done. Look again."
        )
    return overtaken(order.pk)
