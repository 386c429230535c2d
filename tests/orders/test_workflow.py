"""The life of an order: every way through it, the wrong person at every door, and nothing lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test import TestCase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from orders import judgement, workflow
from orders.choices import AT_BROKER, FILLABLE, TRANSITIONS, EventKind, OrderStatus, OrderType, Side
from orders.context import ContextUnavailable
from orders.fill import Fill
from orders.history import import_history
from orders.models import ExecutedOrder, OrderEvent, StagedOrder
from orders.ticket import InvalidTicket, Objection
from orders.workflow import Refused
from tests.factories import NOW, assessment_of, equity, iron_condor, person, staged, ticket
from tests.tampering import any_step

D = Decimal
LATER = NOW + timedelta(minutes=5)
S = OrderStatus


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


def fill(identifier: str = "x1", quantity: str = "1", price: str = "400.50", **changes: Any) -> Fill:
    values = {"execution_id": identifier, "price": D(price), "quantity": D(quantity), "executed_at": LATER}
    return Fill(**{**values, **changes})


def brought_to(status: OrderStatus, trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    """An order that reached the status by the workflow's own doors."""
    if status == S.BLOCKED:
        return staged(trader, strategy="", **changes)
    if status == S.EXPIRED:
        changes["expires_at"] = NOW + timedelta(minutes=1)
    order = staged(trader, **changes)
    if status == S.REJECTED:
        return workflow.reject(order.pk, actor=reviewer, now=NOW, reason="no")
    if status not in (S.PENDING_REVIEW, S.DRAFT):
        order = workflow.approve(order.pk, actor=reviewer, now=NOW)
    if status not in (S.PENDING_REVIEW, S.DRAFT, S.APPROVED):
        order = workflow.submit(order.pk, actor=trader, now=NOW)
    if status in (S.PARTIALLY_FILLED, S.EXECUTED):
        quantity = D(1) if status == S.PARTIALLY_FILLED else order.quantity
        workflow.record_execution(order.pk, fill(f"to-{order.pk}", str(quantity)), actor=trader, now=LATER)
    elif status == S.CANCELLED:
        workflow.cancel(order.pk, actor=trader, now=NOW)
    elif status == S.EXPIRED:
        workflow.expire(now=LATER)
    elif status == S.BROKER_REJECTED:
        workflow.broker_reject(order.pk, actor=trader, now=NOW, reason="no funds")
    order = StagedOrder.objects.get(pk=order.pk)
    if status == S.DRAFT:
        with any_step():
            StagedOrder.objects.filter(pk=order.pk).update(status=S.DRAFT)
        order.refresh_from_db()
    assert order.status == status
    return order


def refusal(action: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(Refused) as error:
        action()
    return error.value.code, str(error.value)


def trail(order: StagedOrder) -> list[tuple[str, str, str, str]]:
    return list(order.events.values_list("kind", "from_status", "to_status", "actor_name"))


def snapshot() -> tuple[list[dict[str, Any]], int, int]:
    return list(StagedOrder.objects.values()), OrderEvent.objects.count(), ExecutedOrder.objects.count()


TABLE = """
draft            -> blocked cancelled expired pending_review
blocked          -> cancelled expired pending_review
pending_review   -> approved blocked cancelled expired rejected
approved         -> cancelled expired pending_review submitted
rejected         ->
submitted        -> broker_rejected cancelled executed expired partially_filled
partially_filled -> cancelled executed expired partially_filled
executed         ->
cancelled        -> executed partially_filled
expired          -> executed partially_filled
broker_rejected  ->
"""


def test_table_of_transitions_is_the_one_that_was_agreed() -> None:
    lines = [f"{status:<16} -> {' '.join(sorted(after))}".rstrip() for status, after in TRANSITIONS.items()]
    assert lines == TABLE.strip().splitlines()
    assert list(TRANSITIONS) == list(OrderStatus)


DOORS: dict[OrderStatus, Callable[[StagedOrder, User, User], object]] = {
    S.APPROVED: lambda order, trader, reviewer: workflow.approve(order.pk, actor=reviewer, now=LATER),
    S.REJECTED: lambda order, trader, reviewer: workflow.reject(order.pk, actor=reviewer, now=LATER, reason="no"),
    S.CANCELLED: lambda order, trader, reviewer: workflow.cancel(order.pk, actor=trader, now=LATER),
    S.SUBMITTED: lambda order, trader, reviewer: workflow.submit(order.pk, actor=trader, now=LATER),
    S.BROKER_REJECTED: lambda order, trader, reviewer: workflow.broker_reject(
        order.pk, actor=trader, now=LATER, reason="no"
    ),
}


@pytest.mark.parametrize("to", DOORS)
@pytest.mark.parametrize("start", OrderStatus)
def test_every_door_opens_exactly_where_the_table_says(
    trader: User, reviewer: User, start: OrderStatus, to: OrderStatus
) -> None:
    order = brought_to(start, trader, reviewer)
    before = snapshot()
    if to in TRANSITIONS[start]:
        DOORS[to](order, trader, reviewer)
        order.refresh_from_db()
        last = order.events.get(sequence=order.event_count)
        assert (order.status, last.from_status, last.to_status) == (to, start, to)
    elif start == to == S.SUBMITTED:
        # Who asks twice is told what is so, and nothing is sent twice.
        assert DOORS[to](order, trader, reviewer) == order
        assert snapshot() == before
    else:
        message = f"This {start.label} order can't become {to.label}."
        assert refusal(lambda: DOORS[to](order, trader, reviewer)) == ("ILLEGAL_TRANSITION", message)
        assert snapshot() == before


@pytest.mark.parametrize("start", OrderStatus)
def test_fill_is_booked_exactly_where_the_order_was_at_the_broker(
    trader: User, reviewer: User, start: OrderStatus
) -> None:
    order = brought_to(start, trader, reviewer)
    before = snapshot()
    if start in FILLABLE:
        workflow.record_execution(order.pk, fill(quantity="1"), actor=trader, now=LATER)
        order.refresh_from_db()
        assert order.status in (S.PARTIALLY_FILLED, S.EXECUTED)
        assert order.status == start or order.status in TRANSITIONS[start]
    else:
        got = refusal(lambda: workflow.record_execution(order.pk, fill(), actor=trader, now=LATER))
        assert got == ("NOT_FILLABLE", f"This {start.label} order was never at the broker.")
        assert snapshot() == before


@pytest.mark.parametrize("last", [S.PENDING_REVIEW, S.APPROVED])
def test_order_withdrawn_before_it_was_submitted_takes_no_fill(trader: User, reviewer: User, last: OrderStatus) -> None:
    order = brought_to(last, trader, reviewer)
    workflow.cancel(order.pk, actor=trader, now=NOW)
    before = snapshot()
    got = refusal(lambda: workflow.record_execution(order.pk, fill(), actor=trader, now=LATER))
    assert got == ("NOT_FILLABLE", "This cancelled order was never at the broker.")
    assert snapshot() == before


def test_whole_life_leaves_one_row_for_each_step(trader: User, reviewer: User) -> None:
    order = brought_to(S.EXECUTED, trader, reviewer)
    assert trail(order) == [
        ("staged", "", "pending_review", "trader"),
        ("approved", "pending_review", "approved", "reviewer"),
        ("submitted", "approved", "submitted", "trader"),
        ("filled", "submitted", "executed", "trader"),
    ]
    assert (order.event_count, order.filled_quantity, order.average_fill_price) == (4, D(2), D("400.5"))


def test_order_that_a_rule_blocks_is_staged_as_blocked(trader: User) -> None:
    order = staged(trader, strategy="")
    assert order.status == S.BLOCKED
    assert order.risk_score is not None
    event = order.events.get()
    assert event.reason == "RECORD_COMPLETE: Not stated by the source: strategy."
    blocks = [item for item in event.seen["compliance"]["contributions"] if item["severity"] == "block"]
    assert [(item["code"], item["message"]) for item in blocks] == [
        ("RECORD_COMPLETE", "Not stated by the source: strategy.")
    ]
    kept = {name: event.seen["seen"][name] for name in ("quote", "underlying_quote")}
    assert order.workflow_state["assessment"] == {"policy_version": event.seen["policy_version"], "seen": kept}


def test_client_order_id_is_taken_once(trader: User) -> None:
    staged(trader, client_order_id="a-1")
    before = snapshot()
    got = refusal(lambda: staged(trader, client_order_id="a-1", symbol="QQQ"))
    assert got == ("DUPLICATE_CLIENT_ORDER_ID", "client_order_id='a-1' is taken in dev.")
    assert snapshot() == before


@pytest.mark.parametrize("make", [ticket, iron_condor])
def test_order_comes_back_as_the_ticket_it_was(trader: User, make: Callable[..., Any]) -> None:
    made = make(
        client_order_id="a-1",
        objections=(Objection(code="A", message="no"),),
        missing=("price",),
        confidence=D("0.62"),
        expires_at=LATER,
        metadata={"a": [1, None]},
    )
    order = workflow.stage(made, created_by=trader, now=NOW)
    assert judgement.ticket_of(StagedOrder.objects.get(pk=order.pk)) == made


def test_notional_beyond_every_figure_blocks_and_does_not_break(trader: User) -> None:
    order = staged(trader, quantity=D("1e10"), price=D("1e10"))
    assert (order.status, order.notional) == (S.BLOCKED, None)


NOBODY = "the permission orders.{}_stagedorder is missing."
WRONG = [
    (S.APPROVED, "trader", "NOT_PERMITTED", "other may not approve orders: " + NOBODY.format("review")),
    (S.APPROVED, "auditor", "NOT_PERMITTED", "other may not approve orders: " + NOBODY.format("review")),
    (S.APPROVED, "operator", "NOT_PERMITTED", "other may not approve orders: " + NOBODY.format("review")),
    (S.REJECTED, "trader", "NOT_PERMITTED", "other may not reject orders: " + NOBODY.format("review")),
    (S.CANCELLED, "auditor", "NOT_PERMITTED", "other may not cancel orders of others: " + NOBODY.format("cancel")),
    (S.SUBMITTED, "reviewer", "NOT_PERMITTED", "other may not submit orders: " + NOBODY.format("submit")),
    (S.SUBMITTED, "auditor", "NOT_PERMITTED", "other may not submit orders: " + NOBODY.format("submit")),
    (
        S.BROKER_REJECTED,
        "reviewer",
        "NOT_PERMITTED",
        "other may not record the broker's answers: " + NOBODY.format("execute"),
    ),
]
BEFORE = {
    S.APPROVED: S.PENDING_REVIEW,
    S.REJECTED: S.PENDING_REVIEW,
    S.CANCELLED: S.PENDING_REVIEW,
    S.SUBMITTED: S.APPROVED,
    S.BROKER_REJECTED: S.SUBMITTED,
}


@pytest.mark.parametrize(("to", "group", "code", "message"), WRONG)
def test_wrong_person_is_refused(
    trader: User, reviewer: User, to: OrderStatus, group: str, code: str, message: str
) -> None:
    order = brought_to(BEFORE[to], trader, reviewer)
    other, before = person("other", group), snapshot()
    assert refusal(lambda: DOORS[to](order, other, other)) == (code, message)
    assert snapshot() == before


@pytest.mark.parametrize("group", ["reviewer", "operator", "auditor"])
def test_fill_from_the_wrong_person_is_refused(trader: User, reviewer: User, group: str) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer)
    other, before = person("other", group), snapshot()
    got = refusal(lambda: workflow.record_execution(order.pk, fill(), actor=other, now=LATER))
    assert got == ("NOT_PERMITTED", "other may not record fills: the permission orders.execute_stagedorder is missing.")
    assert snapshot() == before


@pytest.mark.parametrize("to", DOORS)
def test_visitor_and_dismissed_person_open_no_door(trader: User, reviewer: User, to: OrderStatus) -> None:
    order = brought_to(BEFORE[to], trader, reviewer)
    dismissed = person("gone", "reviewer", "trader")
    dismissed.is_active = False
    dismissed.save()
    for actor in (AnonymousUser(), dismissed):
        assert refusal(lambda actor=actor: DOORS[to](order, actor, actor))[0] == "NOT_PERMITTED"


@pytest.mark.parametrize("to", [S.APPROVED, S.REJECTED])
@pytest.mark.parametrize("superuser", [True, False])
def test_nobody_decides_about_their_own_order(trader: User, superuser: bool, to: OrderStatus) -> None:
    both = person("both", "trader", "reviewer")
    both.is_superuser = superuser
    both.save()
    order = staged(both)
    before = snapshot()
    message = "both staged this order: somebody else must decide."
    assert refusal(lambda: DOORS[to](order, both, both)) == ("SELF_APPROVAL", message)
    assert snapshot() == before


def test_creator_cancels_without_the_permission(db: None) -> None:
    equity()
    clerk = person("clerk")
    order = staged(clerk)
    assert workflow.cancel(order.pk, actor=clerk, now=NOW, reason="mine").status == S.CANCELLED


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_no_is_said_with_a_reason(trader: User, reviewer: User, reason: str) -> None:
    pending, submitted = (brought_to(status, trader, reviewer) for status in (S.PENDING_REVIEW, S.SUBMITTED))
    assert refusal(lambda: workflow.reject(pending.pk, actor=reviewer, now=NOW, reason=reason)) == (
        "REASON_REQUIRED",
        "A rejection needs its reason.",
    )
    assert refusal(lambda: workflow.broker_reject(submitted.pk, actor=trader, now=NOW, reason=reason)) == (
        "REASON_REQUIRED",
        "The broker's reason is needed.",
    )


# ---- the broker has it -----------------------------------------------------------------------------------------------


def test_the_brokers_acknowledgement_is_in_the_trail_and_changes_nothing_else(trader: User, reviewer: User) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer)
    known = workflow.acknowledge(order.pk, actor=trader, now=LATER, broker_order_id="B-77")
    assert (known.status, known.event_count) == (S.SUBMITTED, order.event_count + 1)
    event = order.events.get(kind=EventKind.ACKNOWLEDGED)
    assert (event.from_status, event.to_status, event.at) == (S.SUBMITTED, S.SUBMITTED, LATER)
    assert (event.seen["broker_order_id"], event.reason) == ("B-77", "the broker's id is B-77")
    call_command("verify_audit", stdout=StringIO())


def test_acknowledgement_once_more_is_none_and_another_id_is_refused(trader: User, reviewer: User) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer)
    for _ in range(2):
        workflow.acknowledge(order.pk, actor=trader, now=LATER, broker_order_id="B-77")
    assert order.events.filter(kind=EventKind.ACKNOWLEDGED).count() == 1
    assert refusal(lambda: workflow.acknowledge(order.pk, actor=trader, now=LATER, broker_order_id="B-78")) == (
        "ACKNOWLEDGED_BEFORE",
        "broker_order_id='B-78': the broker has it as 'B-77'.",
    )


@pytest.mark.parametrize("status", [S.PARTIALLY_FILLED, S.EXECUTED])
def test_acknowledgement_may_come_after_what_it_raced(trader: User, reviewer: User, status: S) -> None:
    order = brought_to(status, trader, reviewer)
    assert workflow.acknowledge(order.pk, actor=trader, now=LATER, broker_order_id="B-77").status == status
    late = brought_to(S.SUBMITTED, trader, reviewer)
    workflow.cancel(late.pk, actor=trader, now=NOW)
    assert workflow.acknowledge(late.pk, actor=trader, now=LATER, broker_order_id="B-78").status == S.CANCELLED


@pytest.mark.parametrize("status", [S.PENDING_REVIEW, S.APPROVED, S.REJECTED])
def test_what_was_never_at_the_broker_is_not_acknowledged(trader: User, reviewer: User, status: S) -> None:
    order = brought_to(status, trader, reviewer)
    assert refusal(lambda: workflow.acknowledge(order.pk, actor=trader, now=LATER, broker_order_id="B-77")) == (
        "NOT_AT_BROKER",
        f"This {status.label} order was never handed to the broker.",
    )


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("", "the broker's id of the order is needed"),
        (" ", "the broker's id of the order is needed"),
        ("x" * 129, "more than 128 characters"),
        ("a\x00b", "control character"),
    ],
)
def test_acknowledgement_needs_the_brokers_id(trader: User, reviewer: User, given: str, rule: str) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer)
    with pytest.raises(InvalidTicket, match="broker_order_id") as error:
        workflow.acknowledge(order.pk, actor=trader, now=LATER, broker_order_id=given)
    assert rule in str(error.value)
    assert not order.events.filter(kind=EventKind.ACKNOWLEDGED).exists()


def test_who_may_not_record_the_brokers_answers_acknowledges_nothing(trader: User, reviewer: User) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer)
    code, _ = refusal(lambda: workflow.acknowledge(order.pk, actor=reviewer, now=LATER, broker_order_id="B-77"))
    assert code == "NOT_PERMITTED"


def test_unknown_order_is_named(trader: User, reviewer: User) -> None:
    nobody = UUID(int=7)
    expected = ("UNKNOWN_ORDER", f"There is no order {nobody}.")
    for action in (
        lambda: workflow.approve(nobody, actor=reviewer, now=NOW),
        lambda: workflow.cancel(nobody, actor=trader, now=NOW),
        lambda: workflow.submit(nobody, actor=trader, now=NOW),
        lambda: workflow.record_execution(nobody, fill(), actor=trader, now=LATER),
    ):
        assert refusal(action) == expected


def test_approval_runs_the_rules_again(trader: User, reviewer: User) -> None:
    order = staged(trader, quantity=D(4))
    equity("1000", at=NOW + timedelta(seconds=1))
    before = snapshot()
    code, message = refusal(lambda: workflow.approve(order.pk, actor=reviewer, now=LATER))
    assert code == "RULES_BLOCK"
    assert message == (
        "The rules block it now: MAX_TRADE_RISK: Worst-case loss of equity 160.20 % (1,602.00 of 1,000.00) is over the"
        " limit of 2.00 %."
    )
    assert snapshot() == before


def test_approval_keeps_who_when_and_what_was_seen(trader: User, reviewer: User) -> None:
    order = workflow.approve(staged(trader).pk, actor=reviewer, now=LATER, note="fine")
    assert (order.reviewed_by, order.reviewed_at, order.review_notes) == (reviewer, LATER, "fine")
    event = order.events.get(kind=EventKind.APPROVED)
    assert (event.reason, event.seen["seen"]["reviewer"], event.at) == ("fine", "reviewer", LATER)


def test_approved_order_that_a_rule_blocks_by_now_goes_back_to_review(trader: User, reviewer: User) -> None:
    order = brought_to(S.APPROVED, trader, reviewer)
    equity("1000", at=NOW + timedelta(seconds=1))
    code, message = refusal(lambda: workflow.submit(order.pk, actor=trader, now=LATER))
    assert code == "RETURNED_TO_REVIEW"
    assert message.startswith("The rules block it by now: MAX_TRADE_RISK: Worst-case loss of equity 80.10 %")
    order.refresh_from_db()
    assert (order.status, order.reviewed_by, order.reviewed_at, order.review_notes) == (
        S.PENDING_REVIEW,
        None,
        None,
        "",
    )
    assert order.events.last().reason == message
    assert refusal(lambda: workflow.submit(order.pk, actor=trader, now=LATER))[0] == "ILLEGAL_TRANSITION"
    equity("100000", at=NOW + timedelta(seconds=2))
    workflow.approve(order.pk, actor=reviewer, now=LATER)
    assert workflow.submit(order.pk, actor=trader, now=LATER).status == S.SUBMITTED


def test_submission_is_judged_with_its_reviewer(trader: User, reviewer: User) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer)
    said = assessment_of(order)["compliance"]["contributions"]
    assert said[-1]["message"] == "Staged by trader, reviewed by reviewer."


def test_what_somebody_else_changed_meanwhile_is_refused(
    trader: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = staged(trader)
    judge = judgement.judge

    def judge_slowly(*args: Any, **kwargs: Any) -> judgement.Judgement:
        workflow.cancel(order.pk, actor=trader, now=NOW)
        return judge(*args, **kwargs)

    monkeypatch.setattr(workflow, "judge", judge_slowly)
    assert refusal(lambda: workflow.approve(order.pk, actor=reviewer, now=NOW)) == (
        "CHANGED_MEANWHILE",
        "Somebody else was faster: the order is cancelled by now (cancelled by trader, 15:00:00 UTC).",
    )
    assert [kind for kind, *_ in trail(order)] == ["staged", "cancelled"]


def test_expiry_takes_what_is_overdue_and_open_and_nothing_else(trader: User, reviewer: User) -> None:
    overdue = staged(trader, expires_at=LATER)
    later = staged(trader, expires_at=LATER + timedelta(microseconds=1))
    without = staged(trader)
    over = staged(trader, expires_at=LATER)
    workflow.cancel(over.pk, actor=trader, now=NOW)
    assert [order.pk for order in workflow.expire(now=LATER)] == [overdue.pk]
    assert workflow.expire(now=LATER) == []
    statuses = {order.pk: order.status for order in StagedOrder.objects.all()}
    assert statuses == {
        overdue.pk: S.EXPIRED,
        later.pk: S.PENDING_REVIEW,
        without.pk: S.PENDING_REVIEW,
        over.pk: S.CANCELLED,
    }
    event = overdue.events.last()
    assert (event.actor, event.actor_name) == (None, "expire_orders")
    assert event.reason == "expires_at 2025-11-03 15:05:00 UTC has passed"


def test_expired_order_can_not_be_approved(trader: User, reviewer: User) -> None:
    order = staged(trader, expires_at=NOW + timedelta(seconds=1))
    code, message = refusal(lambda: workflow.approve(order.pk, actor=reviewer, now=LATER))
    assert (code, message) == (
        "RULES_BLOCK",
        "The rules block it now: EXPIRY: The order's own time ended at 2025-11-03 15:00 UTC.",
    )


def booked(order: StagedOrder) -> tuple[str, Decimal, Decimal | None]:
    order.refresh_from_db()
    return order.status, order.filled_quantity, order.average_fill_price


def test_fills_add_up_to_quantity_and_average(trader: User, reviewer: User) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer, quantity=D(3))
    workflow.record_execution(order.pk, fill("a", "1", "400"), actor=trader, now=LATER)
    assert booked(order) == (S.PARTIALLY_FILLED, D(1), D(400))
    assert order.leaves_quantity == D(2)
    workflow.record_execution(order.pk, fill("b", "2", "401.50"), actor=trader, now=LATER)
    assert booked(order) == (S.EXECUTED, D(3), D(401))
    assert (order.leaves_quantity, order.overfill) == (D(0), D(0))


def test_fractions_add_up_exactly(trader: User, reviewer: User) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer, quantity=D("0.3"))
    for number in range(3):
        workflow.record_execution(order.pk, fill(f"f{number}", "0.1"), actor=trader, now=LATER)
    assert booked(order)[:2] == (S.EXECUTED, D("0.3"))


@pytest.mark.parametrize("changes", [{}, {"quantity": "2", "price": "1"}, {"executed_at": NOW}])
def test_fill_that_comes_twice_changes_nothing(trader: User, reviewer: User, changes: dict[str, Any]) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer)
    workflow.record_execution(order.pk, fill("x1"), actor=trader, now=LATER)
    before = snapshot()
    again = fill("x1", **changes)
    assert refusal(lambda: workflow.record_execution(order.pk, again, actor=trader, now=LATER)) == (
        "DUPLICATE_EXECUTION",
        "execution_id='x1' was booked before; nothing was changed.",
    )
    assert snapshot() == before


def test_fill_of_one_order_is_not_booked_on_another(trader: User, reviewer: User) -> None:
    one, other = (brought_to(S.SUBMITTED, trader, reviewer) for _ in range(2))
    workflow.record_execution(one.pk, fill("x1"), actor=trader, now=LATER)
    before = snapshot()
    assert refusal(lambda: workflow.record_execution(other.pk, fill("x1"), actor=trader, now=LATER))[0] == (
        "DUPLICATE_EXECUTION"
    )
    assert snapshot() == before


@pytest.mark.parametrize("end", [S.CANCELLED, S.EXPIRED])
@pytest.mark.parametrize(("quantity", "status"), [("1", S.PARTIALLY_FILLED), ("2", S.EXECUTED)])
def test_late_fill_is_booked(
    trader: User, reviewer: User, end: OrderStatus, quantity: str, status: OrderStatus
) -> None:
    order = brought_to(end, trader, reviewer)
    workflow.record_execution(order.pk, fill(quantity=quantity), actor=trader, now=LATER)
    assert booked(order)[:2] == (status, D(quantity))


def test_overfill_is_booked_and_flagged(trader: User, reviewer: User) -> None:
    order = brought_to(S.EXECUTED, trader, reviewer)
    workflow.record_execution(order.pk, fill("more", "0.5"), actor=trader, now=LATER)
    assert booked(order)[:2] == (S.EXECUTED, D("2.5"))
    assert order.overfill == D("0.5")
    event = order.events.last()
    assert (event.reason, event.seen["overfill"]) == ("order overfilled by 0.5", {"order": "0.50000000"})


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        (
            {"executed_at": NOW - timedelta(seconds=61)},
            "FILL_BEFORE_ORDER",
            "executed_at=2025-11-03T14:58:59+00:00 is before 2025-11-03T15:00:00+00:00.",
        ),
        ({"price": "-5"}, "PRICE_NOT_POSITIVE", "price=-5: only a combination trades at zero or less."),
    ],
)
def test_fill_that_can_not_have_been_is_refused(
    trader: User, reviewer: User, changes: dict[str, Any], code: str, text: str
) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer)
    before = snapshot()
    assert refusal(lambda: workflow.record_execution(order.pk, fill(**changes), actor=trader, now=LATER)) == (
        code,
        text,
    )
    assert snapshot() == before


def test_what_a_no_was_said_to_is_kept(trader: User, reviewer: User) -> None:
    order = brought_to(S.REJECTED, trader, reviewer)
    event = order.events.last()
    assert event.seen == {
        "risk_score": str(order.risk_score),
        "compliance_score": str(order.compliance_score),
        "violations": "",
        "policy_version": order.workflow_state["assessment"]["policy_version"],
    }


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        (
            "timeseries",
            ContextUnavailable,
            r"^Market data can't be read, .* \(The connection to the database was lost\.\)$",
        ),
        # The one database is away: that is no answer about this order.
        ("default", OperationalError, "^the server is gone$"),
    ],
)
def test_nothing_is_decided_while_market_data_can_not_be_read(
    trader: User, reviewer: User, monkeypatch: pytest.MonkeyPatch, place: str, error: type[Exception], words: str
) -> None:
    monkeypatch.setattr("orders.context.is_with_orders", lambda app: place == "default")
    order = staged(trader)

    def down(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("the server is gone")

    monkeypatch.setattr("monitoring.querysets.MarketEventQuerySet.facts", down)
    before = snapshot()
    with pytest.raises(error, match=words):
        workflow.approve(order.pk, actor=reviewer, now=NOW)
    assert snapshot() == before


@pytest.mark.parametrize("value", ["NULL", "0"])
def test_option_leg_without_a_strike_is_refused_by_the_database(trader: User, value: str) -> None:
    workflow.stage(iron_condor(), created_by=trader, now=NOW)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE order_legs SET strike = {value}")


def test_fill_from_the_future_is_refused_and_a_clock_may_differ_a_little(trader: User, reviewer: User) -> None:
    order = brought_to(S.SUBMITTED, trader, reviewer)
    ahead = fill(executed_at=LATER + timedelta(seconds=61))
    assert refusal(lambda: workflow.record_execution(order.pk, ahead, actor=trader, now=LATER)) == (
        "FILL_IN_FUTURE",
        "executed_at=2025-11-03T15:06:01+00:00 is after 2025-11-03T15:05:00+00:00.",
    )
    workflow.record_execution(order.pk, fill(executed_at=LATER + timedelta(seconds=60)), actor=trader, now=LATER)


@pytest.fixture
def condor(trader: User, reviewer: User) -> StagedOrder:
    """A submitted iron condor, of a strategy whose window nobody watches."""
    order = workflow.stage(iron_condor(strategy="without a window"), created_by=trader, now=NOW)
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    return workflow.submit(order.pk, actor=trader, now=NOW)


def test_combination_is_filled_as_far_as_its_least_filled_leg(condor: StagedOrder, trader: User) -> None:
    for position in (1, 2, 3):
        execution = workflow.record_execution(
            condor.pk, fill(f"leg{position}", price="1.10", leg=position), actor=trader, now=LATER
        )
        assert execution.side == ("buy" if position == 1 else "sell")
        assert booked(condor) == (S.PARTIALLY_FILLED, D(0), None)
    workflow.record_execution(condor.pk, fill("leg4", price="1.10", leg=4), actor=trader, now=LATER)
    assert booked(condor) == (S.EXECUTED, D(1), None)


def test_leg_that_is_filled_twice_is_flagged_though_the_order_is_not_full(condor: StagedOrder, trader: User) -> None:
    workflow.record_execution(condor.pk, fill("a", "3", leg=2), actor=trader, now=LATER)
    assert booked(condor)[:2] == (S.PARTIALLY_FILLED, D(0))
    assert condor.events.last().reason == "leg 2 overfilled by 2"


def test_fill_of_the_whole_combination_may_be_a_credit(condor: StagedOrder, trader: User) -> None:
    workflow.record_execution(condor.pk, fill(price="-1.25"), actor=trader, now=LATER)
    assert booked(condor) == (S.EXECUTED, D(1), D("-1.25"))


@pytest.mark.parametrize("leg", [0, 5, -1, 10**12])
def test_fill_of_an_unknown_leg_is_refused(condor: StagedOrder, trader: User, leg: int) -> None:
    before = snapshot()
    assert refusal(lambda: workflow.record_execution(condor.pk, fill(leg=leg), actor=trader, now=LATER)) == (
        "UNKNOWN_LEG",
        f"leg={leg}: the order has 4 legs.",
    )
    assert snapshot() == before


@pytest.mark.parametrize(
    ("side", "price", "bps", "money"),
    [(Side.BUY, "401.301", "20.00", "1.602000"), (Side.SELL, "401.301", "-20.00", "-1.602000")],
)
def test_slippage_against_the_limit_is_kept_with_the_fill(
    trader: User, reviewer: User, side: Side, price: str, bps: str, money: str
) -> None:
    if side == Side.SELL:
        # Only what is held may be sold.
        brought_to(S.EXECUTED, trader, reviewer)
    order = brought_to(S.SUBMITTED, trader, reviewer, side=side)
    execution = workflow.record_execution(order.pk, fill(quantity="2", price=price), actor=trader, now=LATER)
    assert execution.performance_metrics == {
        "slippage_bps": bps,
        "slippage_money": money,
        "benchmark": "limit price",
        "benchmark_price": "400.500000",
    }
    order.refresh_from_db()
    # Whole at 40 points, slippage at 24 of 40 where it cost something, none of 20 for the time that it took.
    assert order.performance_score == (D(64) if side == Side.BUY else D(80))


def test_shares_that_a_fill_bought_may_be_sold_once(trader: User, reviewer: User) -> None:
    assert staged(trader, side=Side.SELL).violations == "MAX_TRADE_RISK:block,UNDEFINED_RISK:block"
    brought_to(S.EXECUTED, trader, reviewer)
    assert staged(trader, side=Side.SELL).violations == ""
    assert staged(trader, side=Side.SELL).violations == "MAX_TRADE_RISK:block,UNDEFINED_RISK:block"


def test_history_is_taken_over_as_one_event(trader: User, reviewer: User) -> None:
    order = staged(trader)
    got = import_history(
        order.pk,
        status=S.EXECUTED,
        actor=trader,
        now=LATER,
        reason="filled in the old system",
        reviewer=reviewer,
        reviewed_at=NOW,
        fill=fill("old", "2"),
    )
    assert (got.status, got.filled_quantity, got.reviewed_by) == (S.EXECUTED, D(2), reviewer)
    assert [kind for kind, *_ in trail(got)] == ["staged", "imported", "imported"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"status": S.EXECUTED},
            ("REVIEWER_REQUIRED", "An order that became executed had a reviewer: who, and when?"),
        ),
        (
            {"status": S.EXECUTED, "self_review": True},
            ("SELF_APPROVAL", "trader staged this order: somebody else must decide."),
        ),
        (
            {"status": S.PENDING_REVIEW, "fill": fill("old")},
            ("NOT_FILLABLE", "An order that became pending review has no fills."),
        ),
    ],
)
def test_history_that_can_not_have_been_is_refused(
    trader: User, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    order = staged(trader)
    before = snapshot()
    if changes.pop("self_review", False):
        changes = {**changes, "reviewer": trader, "reviewed_at": NOW}
    history = {"actor": trader, "now": LATER, "reason": "old", **changes}
    assert refusal(lambda: import_history(order.pk, **history)) == expected
    assert snapshot() == before


def test_history_is_not_laid_over_an_order_that_has_one(trader: User, reviewer: User) -> None:
    order = brought_to(S.APPROVED, trader, reviewer)
    equity("1000", at=NOW + timedelta(seconds=1))
    with pytest.raises(Refused):
        workflow.submit(order.pk, actor=trader, now=LATER)
    history = {"status": S.CANCELLED, "actor": trader, "now": LATER, "reason": "old"}
    assert refusal(lambda: import_history(order.pk, **history)) == (
        "ILLEGAL_TRANSITION",
        "This pending review order has a history of its own.",
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status = 'approved', reviewed_at = created_at, reviewed_by_id", "created_by_id"),
        ("status", "'approved'"),
        ("status", "'submitted'"),
        ("status", "'executed'"),
        ("status", "'sold'"),
        ("status", "'rejected'"),
        ("filled_quantity", "-1"),
        ("quantity", "0"),
        ("quantity", "10000000001"),
        ("symbol", "''"),
        ("price", "NULL"),
        ("price", "-10000000001"),
        ("risk_score", "101"),
        ("reviewed_by_id", "created_by_id"),
    ],
)
def test_database_itself_refuses_what_the_workflow_never_writes(trader: User, column: str, value: str) -> None:
    order = staged(trader)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE staged_orders SET {column} = {value}")
    order.refresh_from_db()
    assert order.status == S.PENDING_REVIEW


def code_of(action: Callable[[], object]) -> str:
    """The code of the refusal, the empty string where there was none."""
    try:
        action()
    except Refused as refused:
        return refused.code
    return ""


class Life(RuleBasedStateMachine):
    """Three people do what they like, also what they may not; what must hold, holds after every step."""

    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        equity()
        self.people = [person("t1", "trader"), person("both", "trader", "reviewer"), person("r1", "reviewer")]
        self.now = NOW
        self.seen: dict[UUID, tuple[str, int]] = {}
        self.fills: dict[UUID, Decimal] = {}
        self.number = 0

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @rule(target=orders, who=st.integers(0, 2), quantity=st.integers(1, 3), expires=st.sampled_from([None, 1, 40]))
    def stage(self, who: int, quantity: int, expires: int | None) -> UUID:
        at = None if expires is None else self.now + timedelta(minutes=expires)
        return staged(self.people[who], now=self.now, quantity=D(quantity), expires_at=at).pk

    @rule(
        order=orders,
        who=st.integers(0, 2),
        door=st.sampled_from(["approve", "reject", "cancel", "submit", "broker_reject"]),
    )
    def walk(self, order: UUID, who: int, door: str) -> None:
        extra = {"reason": "because"} if door in ("reject", "broker_reject") else {}
        code = code_of(lambda: getattr(workflow, door)(order, actor=self.people[who], now=self.now, **extra))
        assert code in {
            "",
            "NOT_PERMITTED",
            "SELF_APPROVAL",
            "ILLEGAL_TRANSITION",
            "RULES_BLOCK",
            "RETURNED_TO_REVIEW",
        }

    @rule(order=orders, who=st.integers(0, 2), quantity=st.integers(1, 4), again=st.booleans())
    def book(self, order: UUID, who: int, quantity: int, again: bool) -> None:
        self.number += not again
        made = fill(f"f{self.number}", str(quantity), executed_at=self.now)
        code = code_of(lambda: workflow.record_execution(order, made, actor=self.people[who], now=self.now))
        assert code in {"", "NOT_PERMITTED", "NOT_FILLABLE", "DUPLICATE_EXECUTION"}
        if not code:
            self.fills[order] = self.fills.get(order, D(0)) + quantity

    @rule(minutes=st.integers(1, 20))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def expire(self) -> None:
        workflow.expire(now=self.now)

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        for order in StagedOrder.objects.all():
            events = list(order.events.order_by("sequence"))
            assert [event.sequence for event in events] == list(range(1, order.event_count + 1))
            assert events[-1].to_status == order.status
            for before, after in pairwise(events):
                assert before.to_status == after.from_status
                # An overfill of an executed order leaves it executed.
                legal = TRANSITIONS[OrderStatus(after.from_status)] | (
                    {S.EXECUTED} if after.from_status == S.EXECUTED and after.kind == EventKind.FILLED else set()
                )
                assert after.to_status in legal
            assert order.reviewed_by_id != order.created_by_id
            assert order.reviewed_by_id is not None or order.status not in AT_BROKER
            assert order.filled_quantity == self.fills.get(order.pk, D(0))
            assert order.filled_quantity == sum(order.executions.values_list("execution_quantity", flat=True))
            if order.status == S.EXECUTED:
                assert order.filled_quantity >= order.quantity


STEPS = hypothesis_settings(max_examples=30, stateful_step_count=25, deadline=None)


class TestLife(TestCase):
    """Each example starts from an empty desk, and leaves one."""

    def test_whatever_people_do_the_orders_stay_whole(self) -> None:
        run_state_machine_as_test(Life, settings=STEPS)


def test_market_order_without_a_quote_is_blocked(trader: User) -> None:
    assert staged(trader, order_type=OrderType.MARKET, price=None).status == S.BLOCKED
