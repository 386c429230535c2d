"""Decisions that are refused are on record: who tried what, of which order, and why not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import ProgrammingError, connection
from django.test import Client

from orders import decisions, refused_decisions, workflow
from orders.choices import SECOND_PERSONS, Attempt
from orders.models import OrderEvent, RefusedDecision, StagedOrder
from orders.refusal import Refused
from tests.factories import NOW, equity, person, staged, ticket

LATER = NOW + timedelta(minutes=1)
HOUR = NOW + timedelta(hours=1)
POLICY = """
policy_version: "refused"
risk:
  max_order_quantity: 1
"""


@pytest.fixture
def trader(db: None) -> User:
    """May do all that a second person may, so that only four eyes hold them up."""
    equity()
    return person("tom", "trader", "reviewer", "risk officer")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("rita", "reviewer")


def rows() -> list[tuple[str, str, str, UUID | None, bool]]:
    found = RefusedDecision.objects.order_by("at", "id")
    return list(found.values_list("actor_name", "attempt", "code", "order_id", "own"))


CALLS: dict[Attempt, Callable[[UUID, User], object]] = {
    Attempt.APPROVE: lambda pk, actor: workflow.approve(pk, actor=actor, now=LATER),
    Attempt.REJECT: lambda pk, actor: workflow.reject(pk, actor=actor, now=LATER, reason="no"),
    Attempt.ASK_CHANGES: lambda pk, actor: workflow.ask_changes(pk, actor=actor, now=LATER, reason="smaller"),
    Attempt.OVERRIDE: lambda pk, actor: workflow.override(
        pk, code="ORDER_QUANTITY", actor=actor, now=LATER, reason="it is fine", expires_at=HOUR
    ),
    Attempt.SUBMIT: lambda pk, actor: workflow.submit(pk, actor=actor, now=LATER),
    Attempt.ACKNOWLEDGE: lambda pk, actor: workflow.acknowledge(pk, actor=actor, now=LATER, broker_order_id="B-1"),
    Attempt.BROKER_REJECT: lambda pk, actor: workflow.broker_reject(pk, actor=actor, now=LATER, reason="no"),
    Attempt.REJUDGE: lambda pk, actor: workflow.rejudge(pk, actor=actor, now=LATER),
    Attempt.CANCEL: lambda pk, actor: workflow.cancel(pk, actor=actor, now=LATER),
    Attempt.REPLACE: lambda pk, actor: workflow.stage(ticket(), created_by=actor, now=LATER, replaces=pk),
}


def test_each_attempt_has_its_call() -> None:
    assert CALLS.keys() == set(Attempt)


@pytest.mark.parametrize("attempt", sorted(SECOND_PERSONS))
def test_attempt_to_decide_ones_own_order_is_on_record(trader: User, attempt: Attempt) -> None:
    order = staged(trader)
    with pytest.raises(Refused) as refused:
        CALLS[attempt](order.pk, trader)
    assert refused.value.code == "SELF_APPROVAL"
    assert rows() == [("tom", attempt, "SELF_APPROVAL", order.pk, True)]
    row = RefusedDecision.objects.get()
    assert (row.at, row.actor, row.environment) == (LATER, trader, order.environment)
    # Nothing of the order was changed, its trail neither.
    assert OrderEvent.objects.count() == 1


@pytest.mark.parametrize("attempt", Attempt)
def test_attempt_of_the_wrong_person_is_on_record(trader: User, attempt: Attempt) -> None:
    order = staged(trader)
    nobody = person("nobody")
    with pytest.raises(Refused):
        CALLS[attempt](order.pk, nobody)
    assert rows() == [("nobody", attempt, "NOT_PERMITTED", order.pk, False)]
    assert StagedOrder.objects.count() == 1


@pytest.mark.parametrize("attempt", Attempt)
def test_attempt_on_an_order_that_is_none_names_no_order(trader: User, attempt: Attempt) -> None:
    with pytest.raises(Refused):
        CALLS[attempt](uuid4(), trader)
    assert rows() == [("tom", attempt, "UNKNOWN_ORDER", None, False)]


def test_what_is_done_leaves_no_row(trader: User, reviewer: User) -> None:
    order = staged(trader)
    workflow.ask_changes(order.pk, actor=reviewer, now=NOW, reason="smaller")
    workflow.rejudge(order.pk, actor=trader, now=NOW)
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    workflow.submit(order.pk, actor=trader, now=NOW)
    workflow.acknowledge(order.pk, actor=trader, now=NOW, broker_order_id="B-1")
    workflow.broker_reject(order.pk, actor=trader, now=NOW, reason="no margin")
    assert rows() == []


def test_withdrawing_ones_own_order_is_no_second_persons_decision(trader: User) -> None:
    order = staged(trader)
    workflow.cancel(order.pk, actor=trader, now=NOW)
    with pytest.raises(Refused):
        workflow.cancel(order.pk, actor=trader, now=LATER)
    assert rows() == [("tom", "cancel", "ILLEGAL_TRANSITION", order.pk, False)]


@pytest.fixture
def _one_at_most(tmp_path: Path, settings: Any) -> None:
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text(POLICY, encoding="utf-8")


@pytest.mark.usefixtures("_one_at_most")
def test_row_outlives_the_transaction_that_is_undone(trader: User) -> None:
    """An override and a replacement begin transactions of their own."""
    order = staged(trader)
    officer = person("officer", "risk officer")
    with pytest.raises(Refused, match="does not block"):
        workflow.override(order.pk, code="EXPIRY", actor=officer, now=NOW, reason="agreed", expires_at=HOUR)
    staged(trader, client_order_id="taken")
    with pytest.raises(Refused):
        workflow.stage(ticket(client_order_id="taken"), created_by=trader, now=LATER, replaces=order.pk)
    assert StagedOrder.objects.get(pk=order.pk).status == "blocked"
    assert [row[:4] for row in rows()] == [
        ("officer", "override", "NOT_BLOCKING", order.pk),
        ("tom", "replace", "DUPLICATE_CLIENT_ORDER_ID", order.pk),
    ]


def test_each_of_several_that_is_refused_is_on_record(trader: User, reviewer: User) -> None:
    own, others, done = staged(reviewer), staged(trader), staged(trader)
    workflow.reject(done.pk, actor=reviewer, now=NOW, reason="no")
    missing = uuid4()
    outcomes = workflow.approve_each([own.pk, others.pk, done.pk, missing], actor=reviewer, now=LATER)
    assert [each.refused is None for each in outcomes] == [False, True, False, False]
    assert sorted(rows(), key=str) == sorted(
        [
            ("rita", "approve", "SELF_APPROVAL", own.pk, True),
            ("rita", "approve", "ILLEGAL_TRANSITION", done.pk, False),
            ("rita", "approve", "UNKNOWN_ORDER", None, False),
        ],
        key=str,
    )
    workflow.reject_each([own.pk], actor=reviewer, now=LATER + timedelta(seconds=1), reason="no")
    workflow.cancel_each([done.pk], actor=reviewer, now=LATER + timedelta(seconds=2))
    assert [row[1:3] for row in rows()[3:]] == [("reject", "SELF_APPROVAL"), ("cancel", "ILLEGAL_TRANSITION")]


@pytest.mark.usefixtures("_one_at_most")
def test_attempt_through_a_page_is_on_record_once(trader: User, client: Client) -> None:
    blocked, waiting = staged(trader), staged(trader, quantity=Decimal(1))
    assert (blocked.status, waiting.status) == ("blocked", "pending_review")
    client.force_login(trader)
    listed = "/admin/orders/stagedorder/"
    client.post(f"{listed}{waiting.pk}/decide/approve/", {"seen_events": 1, "text": "mine is fine"})
    assert rows() == [("tom", "approve", "SELF_APPROVAL", waiting.pk, True)]
    values = {"seen_events": 1, "code": "ORDER_QUANTITY", "reason": "mine is fine", "hours": 1}
    client.post(f"{listed}{blocked.pk}/override/", values)
    assert rows()[1:] == [("tom", "override", "SELF_APPROVAL", blocked.pk, True)]
    client.post(f"{listed}decide/reject/", {"order": f"{waiting.pk}:1", "text": "mine is bad"})
    assert rows()[2:] == [("tom", "reject", "SELF_APPROVAL", waiting.pk, True)]
    # Who has seen less of the order than there is gets as far as the workflow.
    client.post(f"{listed}{waiting.pk}/decide/cancel/", {"seen_events": 7})
    assert rows()[3:] == [("tom", "cancel", "CHANGED_MEANWHILE", waiting.pk, False)]
    assert OrderEvent.objects.count() == 2


def test_what_a_page_would_not_offer_is_on_record(trader: User, reviewer: User) -> None:
    """A question is asked once: the workflow itself would take a second one."""
    order = workflow.ask_changes(staged(trader).pk, actor=reviewer, now=NOW, reason="smaller")
    with pytest.raises(Refused):
        decisions.DECISIONS["ask_changes"].decide(order.pk, reviewer, LATER, "again", expected_events=2)
    with pytest.raises(Refused):
        decisions.DECISIONS["answer"].decide(order.pk, reviewer, HOUR, "for you", expected_events=2)
    assert [row[:3] for row in rows()] == [
        ("rita", "ask_changes", "ASKED_BEFORE"),
        ("rita", "rejudge", "NOT_ASKED"),
    ]


def test_pages_that_only_ask_what_to_offer_leave_no_row(trader: User, client: Client) -> None:
    order = staged(trader)
    client.force_login(trader)
    assert client.get(f"/admin/orders/stagedorder/{order.pk}/change/").status_code == 200
    decisions.offers(order, trader)
    assert rows() == []


def test_row_that_cannot_be_written_is_a_line_of_the_log_and_the_refusal_stands(
    trader: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    order = staged(trader)

    def refuse(*arguments: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM there_is_no_such_table")

    monkeypatch.setattr(refused_decisions, "_write", refuse)
    with caplog.at_level(logging.WARNING, logger="emo.audit"), pytest.raises(Refused) as refused:
        workflow.approve(order.pk, actor=trader, now=LATER)
    assert refused.value.code == "SELF_APPROVAL"
    (line,) = caplog.messages
    told = f"tom was refused to approve order {order.pk} (SELF_APPROVAL), at 2025-11-03T15:01:00+00:00; not in the"
    assert line.startswith(told)
    # The transaction that the test itself is in goes on.
    assert StagedOrder.objects.count() == 1
    monkeypatch.setattr(refused_decisions, "_write", lambda *arguments: (_ for _ in ()).throw(ProgrammingError("no")))
    workflow.approve_each([order.pk], actor=trader, now=LATER)
    assert caplog.messages[-1].endswith("not in the database: ProgrammingError")


# ---- the list --------------------------------------------------------------------------------------------------------


def test_auditors_find_them_by_person_and_by_order_and_change_nothing(
    trader: User, reviewer: User, client: Client
) -> None:
    order = staged(trader)
    for actor in (trader, person("nobody")):
        with pytest.raises(Refused):
            workflow.approve(order.pk, actor=actor, now=LATER)
    listed = "/admin/orders/refuseddecision/"
    client.force_login(person("ada", "auditor"))
    page = client.get(listed)
    assert page.context["cl"].result_count == 2
    assert b"SELF_APPROVAL" in page.content
    assert f"/admin/orders/stagedorder/{order.pk}/change/".encode() in page.content
    assert client.get(listed, {"q": "tom"}).context["cl"].result_count == 1
    assert client.get(listed, {"q": str(order.pk)}).context["cl"].result_count == 2
    assert client.get(listed, {"own__exact": "True", "order__strategy": "momentum"}).context["cl"].result_count == 1
    assert client.get(listed, {"order__strategy": "other"}).context["cl"].result_count == 0
    row = RefusedDecision.objects.latest("at")
    assert client.get(f"{listed}{row.pk}/change/").status_code == 200
    assert client.post(f"{listed}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"{listed}add/").status_code == 403
    assert RefusedDecision.objects.count() == 2


def test_whoever_sees_no_accesses_sees_no_refused_decisions(client: Client, db: None) -> None:
    client.force_login(User.objects.create_user("guest", is_staff=True))
    assert client.get("/admin/orders/refuseddecision/").status_code == 403
