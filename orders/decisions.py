"""What a person can decide about an order at the desk: names, words, and the call into the workflow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from django.contrib.auth.models import User

from orders import workflow
from orders.assessment import Severity
from orders.choices import Attempt, EventKind, OrderStatus
from orders.context import ContextUnavailable
from orders.kill_switch import NOT_AT_BROKER
from orders.models import OrderEvent, StagedOrder
from orders.order_timeline import told
from orders.policy import InvalidPolicy
from orders.refused_decisions import recording
from orders.rule_registry import can_be_overridden
from orders.ticket import InvalidTicket, Ticket
from orders.workflow import Outcome, Refused

# What a decision may be refused with. A policy or market data that can't be read let nothing through; the broker's id
# of an order is a field of a ticket.
REFUSALS = (Refused, InvalidPolicy, ContextUnavailable, InvalidTicket)

Act = Callable[[UUID, User, datetime, str, int | None], StagedOrder]
ActEach = Callable[[Mapping[UUID, int], User, datetime, str], list[Outcome]]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One button. `asks` is the label of its text field, empty where it has none; `check` raises the refusal that the
    order's row and the actor alone tell; `done` is what became of several orders, where that can be decided for many.
    """

    name: str
    attempt: Attempt
    """Under which its refusals are recorded."""
    label: str
    check: Callable[[StagedOrder, User], None]
    act: Act
    asks: str = ""
    required: bool = False
    main: bool = False
    act_each: ActEach | None = None
    done: str = ""

    def decide(
        self, order_id: UUID, actor: User, now: datetime, text: str, *, expected_events: int | None = None
    ) -> StagedOrder:
        """Decides on what was seen: `expected_events` is the event_count of the page. Raises what is in REFUSALS."""
        order = StagedOrder.objects.select_related("created_by").filter(pk=order_id).first()
        if order is not None and order.event_count == expected_events:
            # What the page did not offer is no way around what it offered.
            with recording(order_id, self.attempt, actor=actor, now=now):
                self.check(order, actor)
        try:
            return self.act(order_id, actor, now, text, expected_events)
        except Refused as refused:
            raise told_by_whom(refused, order_id=order_id, expected_events=expected_events, now=now) from refused

    def decide_each(self, seen: Mapping[UUID, int], actor: User, now: datetime, text: str) -> list[Outcome]:
        """Decides each order on what was seen of it: `seen` maps its id to its event_count then. An order that is
        refused does not hold the others up; what is raised (see REFUSALS) is about all of them.
        """
        if self.act_each is None:
            raise ValueError(f"{self.name} can't be decided for several orders at once")
        return [
            each
            if each.refused is None
            else replace(
                each,
                refused=told_by_whom(
                    each.refused, order_id=each.order_id, expected_events=seen[each.order_id], now=now
                ),
            )
            for each in self.act_each(seen, actor, now, text)
        ]

    def objection(self, order: StagedOrder, actor: User) -> Refused | None:
        """The refusal that can be told before trying."""
        return objection(lambda: self.check(order, actor))


def objection(check: Callable[[], None]) -> Refused | None:
    try:
        check()
    except Refused as refused:
        return refused
    return None


def told_by_whom(refused: Refused, *, order_id: UUID, expected_events: int | None, now: datetime) -> Refused:
    """The refusal; of an order that has moved on since its page was shown, one that names everybody who moved it."""
    if refused.code != "CHANGED_MEANWHILE" or expected_events is None:
        return refused
    missed = OrderEvent.objects.filter(order=order_id, sequence__gt=expected_events).order_by("sequence")
    happened = told(missed, now=now)
    if not happened:
        return refused
    return Refused(refused.code, f"{happened}, while your page was open. Nothing was changed: look again.")


# ---- calls into the workflow -----------------------------------------------------------------------------------------


def _to(status: OrderStatus) -> Callable[[StagedOrder, User], None]:
    return lambda order, actor: workflow.check(order, status, actor=actor)


def _approve(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.approve(order_id, actor=actor, now=now, note=text, expected_events=expected)


def _approve_each(seen: Mapping[UUID, int], actor: User, now: datetime, text: str) -> list[Outcome]:
    return workflow.approve_each(list(seen), actor=actor, now=now, note=text, expected_events=seen)


def _reject(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.reject(order_id, actor=actor, now=now, reason=text, expected_events=expected)


def _reject_each(seen: Mapping[UUID, int], actor: User, now: datetime, text: str) -> list[Outcome]:
    return workflow.reject_each(list(seen), actor=actor, now=now, reason=text, expected_events=seen)


def _check_question(order: StagedOrder, actor: User) -> None:
    """A question is asked once, while the order waits for the review."""
    workflow.check(order, OrderStatus.REJECTED, actor=actor)
    if order.changes_asked_at is not None:
        raise Refused("ASKED_BEFORE", "Changes were requested: the order waits for its trader.")


def _ask_changes(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.ask_changes(order_id, actor=actor, now=now, reason=text, expected_events=expected)


def _check_answer(order: StagedOrder, actor: User) -> None:
    workflow.check_rejudgement(order, actor=actor)
    if order.changes_asked_at is None or order.created_by_id != actor.pk:
        raise Refused("NOT_ASKED", "Nobody asked you for changes of this order.")


def _check_rejudgement(order: StagedOrder, actor: User) -> None:
    workflow.check_rejudgement(order, actor=actor)
    if order.changes_asked_at is not None and order.created_by_id == actor.pk:
        raise Refused("ANSWER_FIRST", "Changes were requested: answer, and the rules judge it again.")


def _rejudge(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.rejudge(order_id, actor=actor, now=now, reason=text, expected_events=expected)


def _submit(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.submit(order_id, actor=actor, now=now, expected_events=expected)


def _check_acknowledgement(order: StagedOrder, actor: User) -> None:
    """Here only while the broker's answer is waited for; the bot may be told of it later, too."""
    workflow.check(order, OrderStatus.BROKER_REJECTED, actor=actor)
    if order.events.filter(kind=EventKind.ACKNOWLEDGED).exists():
        raise Refused("ACKNOWLEDGED_BEFORE", "The broker has acknowledged it.")


def _acknowledge(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.acknowledge(order_id, actor=actor, now=now, broker_order_id=text.strip(), expected_events=expected)


def _broker_reject(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.broker_reject(order_id, actor=actor, now=now, reason=text, expected_events=expected)


def _cancel(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.cancel(order_id, actor=actor, now=now, reason=text, expected_events=expected)


def _cancel_each(seen: Mapping[UUID, int], actor: User, now: datetime, text: str) -> list[Outcome]:
    return workflow.cancel_each(list(seen), actor=actor, now=now, reason=text, expected_events=seen)


DECISIONS = MappingProxyType(
    {
        decision.name: decision
        for decision in (
            Decision(
                name="approve",
                attempt=Attempt.APPROVE,
                label="Approve",
                check=_to(OrderStatus.APPROVED),
                act=_approve,
                act_each=_approve_each,
                done="approved",
                asks="Note on the approval",
                main=True,
            ),
            Decision(
                name="reject",
                attempt=Attempt.REJECT,
                label="Reject",
                check=_to(OrderStatus.REJECTED),
                act=_reject,
                act_each=_reject_each,
                done="rejected",
                asks="Reason to reject",
                required=True,
            ),
            Decision(
                name="ask_changes",
                attempt=Attempt.ASK_CHANGES,
                label="Request changes",
                check=_check_question,
                act=_ask_changes,
                asks="What should change",
                required=True,
            ),
            Decision(
                name="answer",
                attempt=Attempt.REJUDGE,
                label="Answer and send back to review",
                check=_check_answer,
                act=_rejudge,
                asks="Your answer",
                required=True,
                main=True,
            ),
            Decision(
                name="submit",
                attempt=Attempt.SUBMIT,
                label="Submit to the broker",
                check=_to(OrderStatus.SUBMITTED),
                act=_submit,
                main=True,
            ),
            Decision(
                name="acknowledge",
                attempt=Attempt.ACKNOWLEDGE,
                label="Record the broker's acknowledgement",
                check=_check_acknowledgement,
                act=_acknowledge,
                asks="The broker's id of the order",
                required=True,
            ),
            Decision(
                name="broker_reject",
                attempt=Attempt.BROKER_REJECT,
                label="Record the broker's refusal",
                check=_to(OrderStatus.BROKER_REJECTED),
                act=_broker_reject,
                asks="The broker's reason",
                required=True,
            ),
            Decision(
                name="cancel",
                attempt=Attempt.CANCEL,
                label="Cancel",
                check=_to(OrderStatus.CANCELLED),
                act=_cancel,
                act_each=_cancel_each,
                done="cancelled",
                asks="Reason to cancel",
            ),
            Decision(
                name="rejudge", attempt=Attempt.REJUDGE, label="Judge again", check=_check_rejudgement, act=_rejudge
            ),
        )
    }
)
# What can be decided for several orders at once.
BULK = tuple(decision.name for decision in DECISIONS.values() if decision.act_each is not None)


# ---- what one person is offered --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Offers:
    """What one person is offered for one order; `withheld` are reasons worth telling (own order, no second
    factor). `overridable` are the rules that they may set aside.
    """

    decisions: tuple[Decision, ...]
    withheld: tuple[str, ...]
    overridable: tuple[str, ...]
    replaceable: bool
    records_fills: bool


# To whoever looks for the button.
_WORTH_TELLING = {"SELF_APPROVAL", "SECOND_FACTOR_REQUIRED"}


def offers(order: StagedOrder, actor: User) -> Offers:
    objections = [(decision, decision.objection(order, actor)) for decision in DECISIONS.values()]
    return Offers(
        decisions=tuple(decision for decision, refused in objections if refused is None),
        withheld=tuple(_withheld(order, objections)),
        overridable=overridable(order, actor),
        replaceable=replaceable(order, actor),
        records_fills=actor.has_perm(workflow.RECORDS_FILLS) and workflow.takes_fills(order),
    )


def _withheld(order: StagedOrder, objections: Iterable[tuple[Decision, Refused | None]]) -> Iterable[str]:
    """One line for each reason, however many decisions it withholds."""
    by_reason: dict[str, list[str]] = {}
    for decision, refused in objections:
        if refused and refused.code in _WORTH_TELLING and order.status == OrderStatus.PENDING_REVIEW:
            by_reason.setdefault(str(refused), []).append(decision.label)
    return (f"{', '.join(labels)}: {reason}" for reason, labels in by_reason.items())


def overridable(order: StagedOrder, actor: User) -> tuple[str, ...]:
    """The rules that block the order and that this person may set aside for it."""
    if objection(lambda: workflow.check_override(order, actor=actor)):
        return ()
    blocking = (code for code, severity in order.violation_codes if severity == Severity.BLOCK)
    return tuple(code for code in blocking if can_be_overridden(code))


def override(
    order_id: UUID,
    *,
    code: str,
    actor: User,
    now: datetime,
    reason: str,
    expires_at: datetime,
    expected_events: int | None,
) -> StagedOrder:
    """Sets a rule aside on what was seen of the order. Raises what is in REFUSALS."""
    try:
        return workflow.override(
            order_id,
            code=code,
            actor=actor,
            now=now,
            reason=reason,
            expires_at=expires_at,
            expected_events=expected_events,
        )
    except Refused as refused:
        raise told_by_whom(refused, order_id=order_id, expected_events=expected_events, now=now) from refused


def stage(
    ticket: Ticket, *, actor: User, now: datetime, replaces: UUID | None, replaced_events: int | None
) -> StagedOrder:
    """Stages an order, in the place of another one as it was seen where `replaces` names one. Raises what is in
    REFUSALS.
    """
    try:
        return workflow.stage(ticket, created_by=actor, now=now, replaces=replaces, replaced_events=replaced_events)
    except Refused as refused:
        if replaces is None:
            raise
        raise told_by_whom(refused, order_id=replaces, expected_events=replaced_events, now=now) from refused


def replaceable(order: StagedOrder, actor: User) -> bool:
    """Whether the person may withdraw the order and stage another one in its place. What the broker has must be
    withdrawn there first.
    """
    may = actor.has_perm("orders.add_stagedorder") and DECISIONS["cancel"].objection(order, actor) is None
    return may and order.status in NOT_AT_BROKER
