"""The life of an order: staging, decisions, submission. With fills.py the only way to change one.

Each change is one conditional UPDATE that names the status it expects and must change exactly one row, together with
one row of the audit trail, whole or not at all. Whoever comes second is refused, and nothing of theirs is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from emo_site.db.uuid7 import uuid7
from orders import approval, audit, equity, journal
from orders.assessment import Quote
from orders.choices import EventKind, OrderStatus
from orders.context import Question
from orders.fills import (
    CLOCK_TOLERANCE,
    RECORDS_FILLS,
    bust_execution,
    correct_execution,
    record_execution,
    takes_fills,
)
from orders.journal import Change
from orders.judgement import Judgement, judge, judge_each, listed, ticket_of
from orders.models import OrderLeg, RuleOverride, StagedOrder
from orders.plain_values import from_plain
from orders.reading import Recorded, read
from orders.refusal import Refused
from orders.rule_registry import can_be_overridden
from orders.standing import in_shard_of
from orders.steps import (
    PERMISSIONS,
    change,
    check,
    check_four_eyes,
    found,
    not_written,
    require,
    require_reason,
    require_seen,
    take,
    unknown,
)
from orders.ticket import Ticket, TicketLeg

__all__ = [
    "CLOCK_TOLERANCE",
    "PERMISSIONS",
    "RECORDS_FILLS",
    "Outcome",
    "Refused",
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
    with transaction.atomic() if replaces else nullcontext():
        if replaces is not None:
            cancel(
                replaces,
                actor=created_by,
                now=now,
                reason="replaced by a new order",
                expected_events=replaced_events,
            )
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


def approve(
    order_id: UUID, *, actor: User, now: datetime, note: str = "", expected_events: int | None = None
) -> StagedOrder:
    """A second person says yes. The rules run once more: an approval must not rest on what was true yesterday."""
    recorded = found(order_id, expected_events)
    check(recorded.order, OrderStatus.APPROVED, actor=actor)
    judgement = judge(_question(recorded, reviewer=actor), now=now)
    return _with_reviewer(take(_approval(recorded.order, judgement, actor, now, note)), actor)


def reject(
    order_id: UUID, *, actor: User, now: datetime, reason: str, expected_events: int | None = None
) -> StagedOrder:
    """A reviewer says no; the reason is required."""
    order = found(order_id, expected_events).order
    return _with_reviewer(take(_rejection(order, actor, now, reason)), actor)


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


def cancel(
    order_id: UUID, *, actor: User, now: datetime, reason: str = "", expected_events: int | None = None
) -> StagedOrder:
    """Withdraws an open order; its creator may, and whoever has the permission."""
    return take(_cancellation(found(order_id, expected_events).order, actor, now, reason))


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
    judgement = judge(_question(recorded), now=now)
    if stale := _no_longer_holds(order, judgement):
        take(_return(order, judgement, actor, now, stale))
        raise Refused("RETURNED_TO_REVIEW", stale)
    return take(
        change(
            order,
            OrderStatus.SUBMITTED,
            kind=EventKind.SUBMITTED,
            actor=actor,
            now=now,
            seen=judgement.as_json(),
            columns={"submitted_at": now, "arrival_price": judgement.price, **_assessed(order, judgement)},
            state_number=judgement.state_number,
        )
    )


def broker_reject(
    order_id: UUID, *, actor: User, now: datetime, reason: str, expected_events: int | None = None
) -> StagedOrder:
    """The venue refused a submitted order."""
    order = found(order_id, expected_events).order
    check(order, OrderStatus.BROKER_REJECTED, actor=actor)
    require_reason(reason, "The broker's reason is needed.")
    return take(
        change(order, OrderStatus.BROKER_REJECTED, kind=EventKind.BROKER_REJECTED, actor=actor, now=now, reason=reason)
    )


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
    judgement = judge(_question(recorded), now=now)
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
            columns={"changes_asked_at": None, **_assessed(order, judgement)},
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
    with transaction.atomic():
        recorded = found(order_id, expected_events)
        order = recorded.order
        check_override(order, actor=actor)
        _check_overridable(code, judge(_question(recorded), now=now))
        RuleOverride.objects.create(
            order=order,
            code=code,
            reason=reason,
            staged_by_id=order.created_by_id,
            given_by=actor,
            given_at=now,
            expires_at=expires_at,
        )
        judgement = judge(_question(recorded), now=now)
        return take(
            change(
                order,
                OrderStatus.BLOCKED if judgement.blocks else OrderStatus.PENDING_REVIEW,
                kind=EventKind.OVERRIDDEN,
                actor=actor,
                now=now,
                reason=f"{code} until {expires_at:%Y-%m-%d %H:%M} UTC: {reason}",
                seen=judgement.as_json(),
                columns=_assessed(order, judgement),
            )
        )


def expire(*, now: datetime) -> list[StagedOrder]:
    """Expires every open order whose expires_at has passed; an order that somebody else changes meanwhile is left."""
    expired = []
    for order in StagedOrder.objects.overdue(now):
        wanted = change(
            order,
            OrderStatus.EXPIRED,
            kind=EventKind.EXPIRED,
            actor="expire_orders",
            now=now,
            reason=f"expires_at {order.expires_at:%Y-%m-%d %H:%M:%S} UTC has passed",
        )
        if journal.write(wanted):
            expired.append(order)
    return expired


# ---- several at once -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one of several orders: `order` as it is now, or why it was refused."""

    order_id: UUID
    order: StagedOrder | None = None
    refused: Refused | None = None


def approve_each(
    order_ids: Sequence[UUID],
    *,
    actor: User,
    now: datetime,
    note: str = "",
    expected_events: Mapping[UUID, int] | None = None,
) -> list[Outcome]:
    """`approve` of many, each by itself: one that is refused does not hold the others up. They are judged together."""
    recorded, outcomes = _checked(
        order_ids, expected_events, lambda order: check(order, OrderStatus.APPROVED, actor=actor)
    )
    judgements = judge_each([_question(each, reviewer=actor) for each in recorded], now=now) if recorded else []
    changes = []
    for each, judgement in zip(recorded, judgements, strict=True):
        try:
            changes.append(_approval(each.order, judgement, actor, now, note))
        except Refused as refused:
            outcomes[each.order.pk] = Outcome(order_id=each.order.pk, refused=refused)
    return _written(order_ids, changes, outcomes)


def reject_each(
    order_ids: Sequence[UUID],
    *,
    actor: User,
    now: datetime,
    reason: str,
    expected_events: Mapping[UUID, int] | None = None,
) -> list[Outcome]:
    """`reject` of many, each by itself."""
    recorded, outcomes = _checked(
        order_ids, expected_events, lambda order: check(order, OrderStatus.REJECTED, actor=actor)
    )
    require_reason(reason, "A rejection needs its reason.")
    changes = [_rejection(each.order, actor, now, reason) for each in recorded]
    return _written(order_ids, changes, outcomes)


def cancel_each(
    order_ids: Sequence[UUID],
    *,
    actor: User,
    now: datetime,
    reason: str = "",
    expected_events: Mapping[UUID, int] | None = None,
) -> list[Outcome]:
    """`cancel` of many, each by itself."""
    recorded, outcomes = _checked(
        order_ids, expected_events, lambda order: check(order, OrderStatus.CANCELLED, actor=actor)
    )
    changes = [_cancellation(each.order, actor, now, reason) for each in recorded]
    return _written(order_ids, changes, outcomes)


def _checked(
    order_ids: Sequence[UUID], seen: Mapping[UUID, int] | None, checks: Callable[[StagedOrder], None]
) -> tuple[list[Recorded], dict[UUID, Outcome]]:
    """Those that pass, and the outcomes of those that don't. `seen`: how many events of each the caller knows of."""
    on_record = read(order_ids)
    passed, outcomes = [], {}
    for order_id in dict.fromkeys(order_ids):
        try:
            if order_id not in on_record:
                raise unknown(order_id)
            require_seen(on_record[order_id].order, None if seen is None else seen.get(order_id))
            checks(on_record[order_id].order)
            passed.append(on_record[order_id])
        except Refused as refused:
            outcomes[order_id] = Outcome(order_id=order_id, refused=refused)
    return passed, outcomes


def _written(order_ids: Sequence[UUID], changes: list[Change], outcomes: dict[UUID, Outcome]) -> list[Outcome]:
    for wanted, written in zip(changes, journal.write_each(changes), strict=True):
        order = wanted.order
        outcomes[order.pk] = (
            Outcome(order_id=order.pk, order=order)
            if written
            else Outcome(order_id=order.pk, refused=not_written(wanted))
        )
    return [outcomes[order_id] for order_id in dict.fromkeys(order_ids)]


# ---- the parts of a decision -----------------------------------------------------------------------------------------


def _question(recorded: Recorded, *, reviewer: User | None = None) -> Question:
    order = recorded.order
    name = reviewer.get_username() if reviewer else order.reviewed_by.get_username() if order.reviewed_by else ""
    return Question(
        ticket=ticket_of(order, recorded.legs),
        created_by=order.created_by.get_username(),
        reviewer=name,
        order=order,
    )


def _approval(order: StagedOrder, judgement: Judgement, actor: User, now: datetime, note: str) -> Change:
    if judgement.blocks:
        raise Refused("RULES_BLOCK", "The rules block it now: " + listed(judgement.blocks))
    return change(
        order,
        OrderStatus.APPROVED,
        kind=EventKind.APPROVED,
        actor=actor,
        now=now,
        reason=note,
        seen=judgement.as_json(),
        columns={
            "reviewed_by_id": actor.pk,
            "reviewed_at": now,
            "review_notes": note,
            "changes_asked_at": None,
            "approval_price": judgement.price,
            "approval_expires_at": approval.expires_at(judgement.policy, now),
            **_assessed(order, judgement),
        },
        state_number=judgement.state_number,
    )


def _rejection(order: StagedOrder, actor: User, now: datetime, reason: str) -> Change:
    check(order, OrderStatus.REJECTED, actor=actor)
    require_reason(reason, "A rejection needs its reason.")
    return change(
        order,
        OrderStatus.REJECTED,
        kind=EventKind.REJECTED,
        actor=actor,
        now=now,
        reason=reason,
        columns={"reviewed_by_id": actor.pk, "reviewed_at": now, "review_notes": reason},
    )


def _cancellation(order: StagedOrder, actor: User, now: datetime, reason: str) -> Change:
    check(order, OrderStatus.CANCELLED, actor=actor)
    return change(order, OrderStatus.CANCELLED, kind=EventKind.CANCELLED, actor=actor, now=now, reason=reason)


def _return(order: StagedOrder, judgement: Judgement, actor: User, now: datetime, reason: str) -> Change:
    return change(
        order,
        OrderStatus.PENDING_REVIEW,
        kind=EventKind.RETURNED,
        actor=actor,
        now=now,
        reason=reason,
        seen=judgement.as_json(),
        columns={
            "reviewed_by_id": None,
            "reviewed_at": None,
            "review_notes": "",
            "approved_by_policy": False,
            "approval_price": None,
            "approval_expires_at": None,
            **_assessed(order, judgement),
        },
    )


def _no_longer_holds(order: StagedOrder, judgement: Judgement) -> str:
    """Why an approved order can't go to the broker, empty where it can."""
    if judgement.blocks:
        return "The rules block it by now: " + listed(judgement.blocks)
    stale = approval.staleness(
        expires=order.approval_expires_at,
        seen=_quote_decided_on(order),
        context=judgement.context,
        policy=judgement.policy,
    )
    return f"The approval does not hold any more: {stale}." if stale else ""


def _quote_decided_on(order: StagedOrder) -> Quote | None:
    seen = order.workflow_state.get("assessment", {}).get("seen", {})
    found = seen.get("quote") or seen.get("underlying_quote")
    return from_plain(Quote, found) if found else None


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


def _assessed(order: StagedOrder, judgement: Judgement) -> dict[str, Any]:
    return {
        **judgement.columns,
        "workflow_state": {**order.workflow_state, "assessment": judgement.basis},
    }


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
