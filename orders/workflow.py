"""The life of an order: staging, decisions, submission. With fills.py the only way to change one.

Each change is one conditional UPDATE that names the status it expects and must change exactly one row, together with
one row of the audit trail, whole or not at all. Whoever comes second is refused, and nothing of theirs is written.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from emo_site.db.uuid7 import uuid7
from orders import approval, audit, changes, end_prices, equity, journal
from orders.choices import Attempt, EventKind, OrderStatus
from orders.context import Question
from orders.entitlement import require
from orders.fills import (
    CLOCK_TOLERANCE,
    RECORDS_FILLS,
    bust_execution,
    correct_execution,
    record_execution,
    takes_fills,
)
from orders.judgement import Judgement, judge, listed
from orders.models import OrderLeg, RuleOverride, StagedOrder
from orders.refusal import Refused
from orders.refused_decisions import recorded, recording
from orders.rule_registry import can_be_overridden
from orders.several import Outcome, approve_each, cancel_each, reject_each
from orders.standing import in_shard_of
from orders.steps import (
    PERMISSIONS,
    change,
    check,
    check_acknowledged,
    check_four_eyes,
    found,
    require_reason,
    seen_before,
    take,
)
from orders.ticket import Ticket, TicketLeg

__all__ = [
    "CLOCK_TOLERANCE",
    "LONGEST_OVERRIDE",
    "PERMISSIONS",
    "RECORDS_FILLS",
    "Outcome",
    "Refused",
    "acknowledge",
    "approve",
    "approve_each",
    "ask_changes",
    "broker_reject",
    "bust_execution",
    "cancel",
    "cancel_each",
    "check",
    "check_override",
    "check_rejudgement",
    "correct_execution",
    "expire",
    "override",
    "record_execution",
    "reject",
    "reject_each",
    "rejudge",
    "stage",
    "submit",
    "takes_fills",
]

# A rule that is to be set aside for longer is a matter for the policy.
LONGEST_OVERRIDE = timedelta(hours=24)
OVERRIDES = ("orders.override_stagedorder", "override rules")
# Who the trail names where the policy decided.
POLICY = "policy"


def stage(
    ticket: Ticket,
    *,
    created_by: User,
    now: datetime,
    created_at: datetime | None = None,
    replaces: UUID | None = None,
    replaced_events: int | None = None,
) -> StagedOrder:
    """Writes the order, its legs, its assessment and the first event: pending_review, or blocked where a rule blocks.

    Where the policy approves orders of that strategy by itself, and no rule objects, it is approved at once.
    `created_at` is when the source wrote the order, where that was earlier. `replaces` is an order that is withdrawn in
    the same moment, `replaced_events` how many of its events the caller has seen. Raises Refused for a client_order_id
    that this environment has already.
    """
    if replaces is not None and created_at is not None:
        # Of another day than now, the two would lock the sums of their days in the order in which nobody else does.
        raise ValueError(f"created_at={created_at.isoformat()}: an order that replaces another is written now")
    with (
        recording(replaces, Attempt.REPLACE, actor=created_by, now=now) if replaces else nullcontext(),
        transaction.atomic() if replaces else nullcontext(),
    ):
        if replaces is not None:
            _cancelled(replaces, created_by, now, "replaced by a new order", replaced_events)
        question = Question(ticket=ticket, created_by=created_by.get_username(), staged_at=created_at)
        judgement = judge(question, now=now)
        order = _order(ticket, judgement, created_by=created_by, now=now, created_at=created_at or now)
        if replaces is not None:
            order.replaces_id = replaces
            # The two change one row of their day's risk, and not two that somebody else locks in the other order.
            order.pk = in_shard_of(replaces, order.pk)
        _insert(order, ticket, judgement, now)
        equity.keep_high(judgement.context, judgement.high_looked_until, now=now)
        return _approved_by_policy(order, judgement, now)


@recorded(Attempt.APPROVE)
def approve(
    order_id: UUID, *, actor: User, now: datetime, note: str = "", expected_events: int | None = None
) -> StagedOrder:
    """A second person says yes. The rules run once more: an approval must not rest on what was true yesterday."""
    recorded = found(order_id, expected_events)
    check(recorded.order, OrderStatus.APPROVED, actor=actor)
    judgement = judge(changes.question(recorded, reviewer=actor), now=now)
    return _with_reviewer(take(changes.approved(recorded.order, judgement, actor, now, note)), actor)


@recorded(Attempt.REJECT)
def reject(
    order_id: UUID, *, actor: User, now: datetime, reason: str, expected_events: int | None = None
) -> StagedOrder:
    """A reviewer says no; the reason is required."""
    order = found(order_id, expected_events).order
    return _with_reviewer(take(changes.rejected(order, actor, now, reason)), actor)


@recorded(Attempt.ASK_CHANGES)
def ask_changes(
    order_id: UUID, *, actor: User, now: datetime, reason: str, expected_events: int | None = None
) -> StagedOrder:
    """A reviewer asks its trader for something else: it waits for them now. They answer, withdraw or replace it."""
    order = found(order_id, expected_events).order
    check(order, OrderStatus.REJECTED, actor=actor)
    require_reason(reason, "A request for changes needs to say which.")
    return take(
        change(
            order,
            OrderStatus.PENDING_REVIEW,
            kind=EventKind.CHANGES_ASKED,
            actor=actor,
            now=now,
            reason=reason,
            columns={"changes_asked_at": now},
        )
    )


@recorded(Attempt.CANCEL)
def cancel(
    order_id: UUID, *, actor: User, now: datetime, reason: str = "", expected_events: int | None = None
) -> StagedOrder:
    """Withdraws an open order; its creator may, and whoever has the permission."""
    return _cancelled(order_id, actor, now, reason, expected_events)


@recorded(Attempt.SUBMIT)
def submit(order_id: UUID, *, actor: User, now: datetime, expected_events: int | None = None) -> StagedOrder:
    """Marks an approved order as handed to the broker. Where its approval went stale, or the rules block it by now, it
    goes back to review; in that case the order is changed (pending_review, with an event) and Refused is raised.

    An order that was submitted before is returned as it is: nothing is sent twice.
    """
    recorded = found(order_id, expected_events)
    order = recorded.order
    if order.status == OrderStatus.SUBMITTED:
        require(actor, *PERMISSIONS[OrderStatus.SUBMITTED])
        return order
    check(order, OrderStatus.SUBMITTED, actor=actor)
    judgement = judge(changes.question(recorded, for_broker=True), now=now)
    if stale := changes.no_longer_holds(order, judgement):
        take(changes.returned(order, judgement, actor, now, stale))
        raise Refused("RETURNED_TO_REVIEW", stale)
    return take(
        change(
            order,
            OrderStatus.SUBMITTED,
            kind=EventKind.SUBMITTED,
            actor=actor,
            now=now,
            seen=judgement.as_json(),
            columns={"submitted_at": now, **judgement.arrival, **changes.assessed(order, judgement)},
            state_number=judgement.state_number,
        )
    )


@recorded(Attempt.ACKNOWLEDGE)
def acknowledge(
    order_id: UUID, *, actor: User, now: datetime, broker_order_id: str, expected_events: int | None = None
) -> StagedOrder:
    """The broker has a submitted order, under an id of its own; the order stays what it is.

    It may come after a fill or a cancellation that it raced. The same once more changes nothing; another id for the
    same order is refused: one of the two is not this order's.
    """
    order = found(order_id, expected_events).order
    require(actor, *PERMISSIONS[OrderStatus.BROKER_REJECTED])
    check_acknowledged(order, broker_order_id)
    known = order.events.filter(kind=EventKind.ACKNOWLEDGED).values_list("seen__broker_order_id", flat=True).first()
    if known == broker_order_id:
        return order
    if known is not None:
        raise Refused("ACKNOWLEDGED_BEFORE", f"broker_order_id={broker_order_id!r}: the broker has it as {known!r}.")
    return take(
        change(
            order,
            OrderStatus(order.status),
            kind=EventKind.ACKNOWLEDGED,
            actor=actor,
            now=now,
            reason=f"the broker's id is {broker_order_id}",
            seen={**seen_before(order), "broker_order_id": broker_order_id},
        )
    )


@recorded(Attempt.BROKER_REJECT)
def broker_reject(
    order_id: UUID, *, actor: User, now: datetime, reason: str, expected_events: int | None = None
) -> StagedOrder:
    """The venue refused a submitted order."""
    order = found(order_id, expected_events).order
    check(order, OrderStatus.BROKER_REJECTED, actor=actor)
    require_reason(reason, "The broker's reason is needed.")
    return take(
        change(
            order,
            OrderStatus.BROKER_REJECTED,
            kind=EventKind.BROKER_REJECTED,
            actor=actor,
            now=now,
            reason=reason,
            columns=_end(order, now),
        )
    )


@recorded(Attempt.REJUDGE)
def rejudge(
    order_id: UUID, *, actor: User, now: datetime, reason: str = "", expected_events: int | None = None
) -> StagedOrder:
    """Runs the rules again on an order that waits for a person. What they block by now is blocked.

    Its creator answers a request for changes this way, whoever reviews looks again this way. A blocked order stays
    blocked: only an override leads it back.
    """
    recorded = found(order_id, expected_events)
    order = recorded.order
    check_rejudgement(order, actor=actor)
    judgement = judge(changes.question(recorded), now=now)
    blocked = order.status == OrderStatus.BLOCKED or judgement.blocks
    return take(
        change(
            order,
            OrderStatus.BLOCKED if blocked else OrderStatus.PENDING_REVIEW,
            kind=EventKind.REJUDGED,
            actor=actor,
            now=now,
            reason=reason or listed(judgement.blocks),
            seen=judgement.as_json(),
            columns={"changes_asked_at": None, **changes.assessed(order, judgement)},
        )
    )


def check_rejudgement(order: StagedOrder, *, actor: User) -> None:
    """Raises what the order's row and the actor alone tell against judging it again."""
    if actor.pk != order.created_by_id:
        require(actor, *PERMISSIONS[OrderStatus.APPROVED])
    _check_waits(order)


def check_override(order: StagedOrder, *, actor: User) -> None:
    """Raises what the order's row and the actor alone tell against setting a rule aside."""
    require(actor, *OVERRIDES)
    check_four_eyes(order, actor)
    _check_waits(order)


@recorded(Attempt.OVERRIDE)
def override(
    order_id: UUID,
    *,
    code: str,
    actor: User,
    now: datetime,
    reason: str,
    expires_at: datetime,
    expected_events: int | None = None,
) -> StagedOrder:
    """A second person sets one rule aside for one order, until `expires_at`. An order that no rule blocks any more
    goes to review. Raises Refused: for a rule that nobody may set aside, and for one that does not block the order.
    """
    require_reason(reason, "An override needs its reason.")
    if expires_at <= now:
        raise Refused("ENDS_BEFORE_IT_BEGINS", f"expires_at={expires_at.isoformat()} is not after {now.isoformat()}.")
    if expires_at - now > LONGEST_OVERRIDE:
        hours = LONGEST_OVERRIDE // timedelta(hours=1)
        raise Refused(
            "HOLDS_TOO_LONG", f"expires_at={expires_at.isoformat()}: an override holds for {hours} hours at most."
        )
    with transaction.atomic():
        recorded = found(order_id, expected_events)
        order = recorded.order
        check_override(order, actor=actor)
        _check_overridable(code, judge(changes.question(recorded), now=now))
        RuleOverride.objects.create(
            order=order,
            code=code,
            reason=reason,
            staged_by_id=order.created_by_id,
            given_by=actor,
            given_at=now,
            expires_at=expires_at,
        )
        judgement = judge(changes.question(recorded), now=now)
        return take(
            change(
                order,
                OrderStatus.BLOCKED if judgement.blocks else OrderStatus.PENDING_REVIEW,
                kind=EventKind.OVERRIDDEN,
                actor=actor,
                now=now,
                reason=f"{code} until {expires_at:%Y-%m-%d %H:%M} UTC: {reason}",
                seen=judgement.as_json(),
                columns=changes.assessed(order, judgement),
            )
        )


def expire(*, now: datetime) -> list[StagedOrder]:
    """Expires every open order whose expires_at has passed; an order that somebody else changes meanwhile is left."""
    expired = []
    overdue = list(StagedOrder.objects.overdue(now))
    ends = end_prices.columns(overdue, now=now)
    for order in overdue:
        wanted = change(
            order,
            OrderStatus.EXPIRED,
            kind=EventKind.EXPIRED,
            actor="expire_orders",
            now=now,
            reason=f"expires_at {order.expires_at:%Y-%m-%d %H:%M:%S} UTC has passed",
            columns=ends.get(order.pk, {}),
        )
        if journal.write(wanted):
            expired.append(order)
    return expired


# ---- the parts of the above ------------------------------------------------------------------------------------------


def _approved_by_policy(order: StagedOrder, judgement: Judgement, now: datetime) -> StagedOrder:
    reason = approval.by_policy(
        strategy=order.strategy,
        environment=order.environment,
        risk=judgement.risk,
        compliance=judgement.compliance,
        context=judgement.context,
        policy=judgement.policy,
    )
    if not reason:
        return order
    wanted = change(
        order,
        OrderStatus.APPROVED,
        kind=EventKind.AUTO_APPROVED,
        actor=POLICY,
        now=now,
        reason=reason,
        seen=judgement.as_json(),
        columns={
            "approved_by_policy": True,
            "reviewed_at": now,
            "approval_price": judgement.price,
            "approval_expires_at": approval.expires_at(judgement.policy, now),
        },
        state_number=judgement.state_number,
    )
    # Whoever was faster has decided: the order waits, or is cancelled.
    journal.write(wanted)
    return order


def _cancelled(order_id: UUID, actor: User, now: datetime, reason: str, expected_events: int | None) -> StagedOrder:
    order = found(order_id, expected_events).order
    return take(changes.cancelled(order, actor, now, reason, _end(order, now)))


def _end(order: StagedOrder, now: datetime) -> dict[str, Any]:
    return dict(end_prices.columns([order], now=now).get(order.pk, {}))


def _check_waits(order: StagedOrder) -> None:
    if order.status not in (OrderStatus.PENDING_REVIEW, OrderStatus.BLOCKED):
        raise Refused("ILLEGAL_TRANSITION", f"This {order.get_status_display()} order waits for no review.")


def _check_overridable(code: str, judgement: Judgement) -> None:
    if code not in {item.code for item in judgement.blocks}:
        raise Refused("NOT_BLOCKING", f"{code} does not block this order: there is nothing to override.")
    if not can_be_overridden(code):
        raise Refused("NOT_OVERRIDABLE", f"Nobody may override {code}.")


def _with_reviewer(order: StagedOrder, actor: User) -> StagedOrder:
    order.reviewed_by = actor
    return order


# ---- a new order -----------------------------------------------------------------------------------------------------


def _insert(order: StagedOrder, ticket: Ticket, judgement: Judgement, now: datetime) -> None:
    event = audit.sealed(
        order,
        sequence=1,
        previous="",
        at=now,
        kind=EventKind.STAGED,
        actor=order.created_by,
        from_status="",
        to_status=order.status,
        reason=listed(judgement.blocks),
        seen=judgement.as_json(),
    )
    order.audit_head = event.seal
    legs = [_leg(order, position, leg) for position, leg in enumerate(ticket.legs, start=1)]
    try:
        journal.insert(order, legs, event)
    except IntegrityError as error:
        if StagedOrder.objects.filter(environment=order.environment, client_order_id=order.client_order_id).exists():
            raise Refused(
                "DUPLICATE_CLIENT_ORDER_ID",
                f"client_order_id={order.client_order_id!r} is taken in {order.environment}.",
            ) from error
        raise


def _order(
    ticket: Ticket, judgement: Judgement, *, created_by: User, now: datetime, created_at: datetime
) -> StagedOrder:
    order = StagedOrder(
        id=uuid7(created_at),
        symbol=ticket.symbol,
        underlying=ticket.underlying,
        side=ticket.side,
        order_type=ticket.order_type,
        quantity=ticket.quantity,
        price=ticket.price,
        stop_price=ticket.stop_price,
        time_in_force=ticket.time_in_force,
        strategy=ticket.strategy,
        confidence=ticket.confidence,
        expires_at=ticket.expires_at,
        source=ticket.source,
        source_file=ticket.source_file,
        checksum=ticket.checksum,
        metadata=ticket.metadata,
        fingerprint=ticket.fingerprint,
        status=OrderStatus.BLOCKED if judgement.blocks else OrderStatus.PENDING_REVIEW,
        created_by=created_by,
        created_at=created_at,
        updated_at=now,
        event_count=1,
        decision_price=judgement.price,
        workflow_state={
            # What the order's row has no column for, so that it can be judged again.
            "ticket": {
                "missing": list(ticket.missing),
                "objections": [{"code": item.code, "message": item.message} for item in ticket.objections],
            },
            "assessment": judgement.basis,
        },
        **judgement.columns,
    )
    if ticket.client_order_id:
        order.client_order_id = ticket.client_order_id
    return order


def _leg(order: StagedOrder, position: int, leg: TicketLeg) -> OrderLeg:
    return OrderLeg(
        order=order,
        position=position,
        action=leg.action,
        instrument=leg.instrument,
        symbol=leg.symbol,
        strike=leg.strike,
        expiry=leg.expiry,
        quantity=leg.quantity,
        multiplier=leg.multiplier,
    )
