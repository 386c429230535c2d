"""What a person can decide about an order at the desk: names, words, and the call into the workflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from django.contrib.auth.models import User

from orders import workflow
from orders.choices import OrderStatus
from orders.context import ContextUnavailable
from orders.models import OrderEvent, StagedOrder
from orders.order_timeline import told
from orders.policy import InvalidPolicy

# What a decision may be refused with. A policy or market data that can't be read let nothing through.
REFUSALS = (workflow.Refused, InvalidPolicy, ContextUnavailable)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One button. `asks` is the label of its text field, empty where it has none."""

    name: str
    label: str
    to: OrderStatus
    act: Callable[[UUID, User, datetime, str, int | None], StagedOrder]
    asks: str = ""
    required: bool = False
    main: bool = False

    def decide(
        self, order_id: UUID, actor: User, now: datetime, text: str, *, expected_events: int | None = None
    ) -> StagedOrder:
        """Decides on what was seen: `expected_events` is the event_count of the page. Raises what is in REFUSALS."""
        try:
            return self.act(order_id, actor, now, text, expected_events)
        except workflow.Refused as refused:
            raise _told_by_whom(refused, order_id, expected_events, now) from refused

    def objection(self, order: StagedOrder, actor: User) -> workflow.Refused | None:
        """The refusal that can be told before trying."""
        try:
            workflow.check(order, self.to, actor=actor)
        except workflow.Refused as refused:
            return refused
        return None


def _told_by_whom(
    refused: workflow.Refused, order_id: UUID, expected_events: int | None, now: datetime
) -> workflow.Refused:
    """The refusal; of an order that has moved on since its page was shown, one that names everybody who moved it."""
    if refused.code != "CHANGED_MEANWHILE" or expected_events is None:
        return refused
    missed = OrderEvent.objects.filter(order=order_id, sequence__gt=expected_events).order_by("sequence")
    happened = told(missed, now=now)
    if not happened:
        return refused
    return workflow.Refused(refused.code, f"{happened}, while your page was open. Nothing was changed: look again.")


def _approve(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.approve(order_id, actor=actor, now=now, note=text, expected_events=expected)


def _reject(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.reject(order_id, actor=actor, now=now, reason=text, expected_events=expected)


def _cancel(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.cancel(order_id, actor=actor, now=now, reason=text, expected_events=expected)


def _submit(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.submit(order_id, actor=actor, now=now, expected_events=expected)


def _broker_reject(order_id: UUID, actor: User, now: datetime, text: str, expected: int | None) -> StagedOrder:
    return workflow.broker_reject(order_id, actor=actor, now=now, reason=text, expected_events=expected)


DECISIONS = MappingProxyType(
    {
        decision.name: decision
        for decision in (
            Decision(
                name="approve",
                label="Approve",
                to=OrderStatus.APPROVED,
                act=_approve,
                asks="Note on the approval",
                main=True,
            ),
            Decision(
                name="reject",
                label="Reject",
                to=OrderStatus.REJECTED,
                act=_reject,
                asks="Reason to reject",
                required=True,
            ),
            Decision(name="submit", label="Submit to the broker", to=OrderStatus.SUBMITTED, act=_submit, main=True),
            Decision(
                name="broker_reject",
                label="Record the broker's refusal",
                to=OrderStatus.BROKER_REJECTED,
                act=_broker_reject,
                asks="The broker's reason",
                required=True,
            ),
            Decision(name="cancel", label="Cancel", to=OrderStatus.CANCELLED, act=_cancel, asks="Reason to cancel"),
        )
    }
)
# What can be decided for several orders at once.
BULK = ("approve", "reject", "cancel")


@dataclass(frozen=True, kw_only=True)
class Offers:
    """What one person is offered for one order; `withheld` are reasons worth telling (own order)."""

    decisions: tuple[Decision, ...]
    withheld: tuple[str, ...]


def offers(order: StagedOrder, actor: User) -> Offers:
    objections = [(decision, decision.objection(order, actor)) for decision in DECISIONS.values()]
    return Offers(
        decisions=tuple(decision for decision, refused in objections if refused is None),
        withheld=tuple(
            f"{decision.label}: {refused}"
            for decision, refused in objections
            if refused and refused.code == "SELF_APPROVAL" and order.status == OrderStatus.PENDING_REVIEW
        ),
    )


def fill_offered(order: StagedOrder, actor: User) -> bool:
    return actor.has_perm(workflow.RECORDS_FILLS) and workflow.takes_fills(order)
