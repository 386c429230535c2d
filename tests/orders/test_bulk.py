"""Many orders decided at once: each by itself, in a number of statements that does not grow with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection

from orders import audit, several, workflow
from orders.choices import OrderStatus
from orders.models import OrderEvent, StagedOrder
from orders.workflow import Outcome
from tests.factories import NOW, equity, person, staged, ticket
from tests.orders.test_races import at_once

LATER = NOW + timedelta(minutes=5)
S = OrderStatus


@pytest.fixture
def trader(db: None) -> User:
    equity("1000000000")
    return person("trader", "trader")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


def ids(orders: list[StagedOrder]) -> list[UUID]:
    return [order.pk for order in orders]


def codes(outcomes: list[Outcome]) -> list[str]:
    return [outcome.refused.code if outcome.refused else "" for outcome in outcomes]


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that are sent inside the block, many sets of parameters for one counted once."""
    sent: list[str] = []

    def count(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        yield sent


# What one bulk takes on PostgreSQL, however many orders: savepoints of the test around the transaction left out.
STATEMENTS = {"approve": 5, "reject": 3, "cancel": 3}


@pytest.mark.postgresql
@pytest.mark.parametrize("number", [1, 500])
def test_many_are_decided_in_as_many_statements_as_one(trader: User, reviewer: User, number: int) -> None:
    # Whoever asks first whether they may looks up their permissions.
    assert reviewer.has_perm("orders.review_stagedorder")
    actions = {
        "approve": lambda orders: workflow.approve_each(orders, actor=reviewer, now=LATER),
        "reject": lambda orders: workflow.reject_each(orders, actor=reviewer, now=LATER, reason="no"),
        "cancel": lambda orders: workflow.cancel_each(orders, actor=trader, now=LATER),
    }
    for name, action in actions.items():
        orders = ids([staged(trader) for _ in range(number if name == "approve" else min(number, 50))])
        with counted() as sent:
            outcomes = action(orders)
        assert len([each for each in sent if "SAVEPOINT" not in each]) == STATEMENTS[name]
        assert codes(outcomes) == [""] * len(orders)
        assert [outcome.order_id for outcome in outcomes] == orders
        assert OrderEvent.objects.filter(order__in=orders, sequence=2).count() == len(orders)
    assert StagedOrder.objects.filter(status=S.APPROVED, reviewed_by=reviewer).count() == number
    assert audit.verify(now=LATER).is_sound


def test_order_that_is_refused_holds_no_other_up(trader: User, reviewer: User) -> None:
    own = staged(person("both", "trader", "reviewer"))
    blocked, gone = staged(trader, strategy=""), UUID(int=7)
    over = workflow.cancel(staged(trader).pk, actor=trader, now=NOW)
    fine, more = staged(trader), staged(trader)
    asked = [fine.pk, blocked.pk, gone, over.pk, own.pk, more.pk, fine.pk]
    outcomes = workflow.approve_each(asked, actor=own.created_by, now=LATER)
    assert [(outcome.order_id, outcome.refused and outcome.refused.code) for outcome in outcomes] == [
        (fine.pk, None),
        (blocked.pk, "ILLEGAL_TRANSITION"),
        (gone, "UNKNOWN_ORDER"),
        (over.pk, "ILLEGAL_TRANSITION"),
        (own.pk, "SELF_APPROVAL"),
        (more.pk, None),
    ]
    assert {order.pk for order in StagedOrder.objects.filter(status=S.APPROVED)} == {fine.pk, more.pk}
    assert [outcome.order and outcome.order.status for outcome in outcomes][::5] == [S.APPROVED, S.APPROVED]


def test_order_that_the_rules_block_by_now_holds_no_other_up(trader: User, reviewer: User) -> None:
    late = staged(trader, expires_at=NOW + timedelta(minutes=1))
    fine = staged(trader)
    outcomes = workflow.approve_each([late.pk, fine.pk], actor=reviewer, now=LATER)
    assert codes(outcomes) == ["RULES_BLOCK", ""]
    assert str(outcomes[0].refused).startswith("The rules block it now: EXPIRY: ")


def test_nothing_is_asked_of_no_orders(reviewer: User) -> None:
    assert workflow.approve_each([], actor=reviewer, now=LATER) == []
    assert workflow.reject_each([], actor=reviewer, now=LATER, reason="no") == []
    assert workflow.cancel_each([], actor=reviewer, now=LATER) == []


def test_whoever_comes_second_is_told_who_was_faster(
    trader: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = staged(trader), staged(trader)
    judge_each = several.judge_each

    def judge_slowly(*args: Any, **kwargs: Any) -> Any:
        workflow.cancel(second.pk, actor=trader, now=NOW)
        return judge_each(*args, **kwargs)

    monkeypatch.setattr(several, "judge_each", judge_slowly)
    outcomes = workflow.approve_each([first.pk, second.pk], actor=reviewer, now=LATER)
    assert codes(outcomes) == ["", "CHANGED_MEANWHILE"]
    assert str(outcomes[1].refused) == (
        "Somebody else was faster: the order is cancelled by now (cancelled by trader, 15:00:00 UTC)."
    )
    assert StagedOrder.objects.get(pk=second.pk).event_count == 2


@pytest.mark.postgresql
@pytest.mark.usefixtures("emptied_afterwards")
def test_bulks_that_meet_in_opposite_order_hold_nobody_up(trader: User, reviewer: User) -> None:
    other = person("other", "reviewer")
    for _ in range(8):
        orders = ids([staged(trader) for _ in range(24)])
        found = at_once(
            lambda orders=orders: workflow.approve_each(orders, actor=reviewer, now=LATER),
            lambda orders=orders: workflow.cancel_each(orders[::-1], actor=other, now=LATER),
            lambda orders=orders: workflow.reject_each(orders[::2] + orders[1::2], actor=other, now=LATER, reason="no"),
        )
        assert found == ["", "", ""]


@pytest.mark.postgresql
@pytest.mark.usefixtures("emptied_afterwards")
def test_replacing_orders_while_others_are_withdrawn_holds_nobody_up(trader: User) -> None:
    other = person("other", "reviewer")
    for _ in range(8):
        old, withdrawn = (ids([staged(trader) for _ in range(24)]) for _ in range(2))

        def replace_each(orders: list[UUID]) -> None:
            for order in orders:
                workflow.stage(ticket(), created_by=trader, now=NOW, replaces=order)

        found = at_once(
            lambda old=old: replace_each(old[::2]),
            lambda old=old: replace_each(old[1::2]),
            lambda withdrawn=withdrawn: workflow.cancel_each(withdrawn, actor=other, now=LATER),
        )
        assert found == ["", "", ""]
