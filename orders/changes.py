"""The change that each decision makes of an order, not yet written, or the refusal. Reads nothing, writes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User

from orders import approval
from orders.assessment import Quote
from orders.choices import EventKind, OrderStatus
from orders.context import Question
from orders.journal import Change
from orders.judgement import Judgement, listed, ticket_of
from orders.models import StagedOrder
from orders.plain_values import from_plain
from orders.reading import Recorded
from orders.refusal import Refused
from orders.steps import change, check, require_reason


def question(recorded: Recorded, *, reviewer: User | None = None, for_broker: bool = False) -> Question:
    """What the rules are asked: the order on record, with whoever reviews it now, else whoever did."""
    order = recorded.order
    name = reviewer.get_username() if reviewer else order.reviewed_by.get_username() if order.reviewed_by else ""
    return Question(
        ticket=ticket_of(order, recorded.legs),
        created_by=order.created_by.get_username(),
        reviewer=name,
        order=order,
        for_broker=for_broker,
    )


def approved(order: StagedOrder, judgement: Judgement, actor: User, now: datetime, note: str) -> Change:
    """Raises Refused where the rules block it."""
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
            **assessed(order, judgement),
        },
        state_number=judgement.state_number,
    )


def rejected(order: StagedOrder, actor: User, now: datetime, reason: str) -> Change:
    """Raises Refused: for the wrong person or status, and without a reason."""
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


def cancelled(order: StagedOrder, actor: User, now: datetime, reason: str, end: dict[str, Any]) -> Change:
    """`end`: the columns of end_prices. Raises Refused for the wrong person or status."""
    check(order, OrderStatus.CANCELLED, actor=actor)
    return change(
        order, OrderStatus.CANCELLED, kind=EventKind.CANCELLED, actor=actor, now=now, reason=reason, columns=end
    )


def returned(order: StagedOrder, judgement: Judgement, actor: User, now: datetime, reason: str) -> Change:
    """An approved order goes back to review, and keeps nothing of its approval."""
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
            **assessed(order, judgement),
        },
    )


def no_longer_holds(order: StagedOrder, judgement: Judgement) -> str:
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


def assessed(order: StagedOrder, judgement: Judgement) -> dict[str, Any]:
    """The columns that keep what the last assessment came to."""
    return {
        **judgement.columns,
        "workflow_state": {**order.workflow_state, "assessment": judgement.basis},
    }
