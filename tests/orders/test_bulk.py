"""Many orders decided at once: each by itself, in a number of statements that does not grow with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection

from orders import audit, journal, kill_switch, workflow
from orders.choices import OrderStatus
from orders.models import OrderEvent, StagedOrder
from orders.workflow import Outcome
from tests.factories import NOW, equity, person, staged
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


@pytest.mark.postgresql
@pytest.mark.usefixtures("emptied_afterwards")
def test_bulks_that_meet_in_opposite_order_hold_nobody_up(trader: User, reviewer: User) -> None:
    other = person("other", "reviewer")
    for _ in range(15):
        orders = ids([staged(trader) for _ in range(24)])
        found = at_once(
            lambda orders=orders: workflow.approve_each(orders, actor=reviewer, now=LATER),
            lambda orders=orders: workflow.cancel_each(orders[::-1], actor=other, now=LATER),
            lambda orders=orders: workflow.reject_each(orders[::2] + orders[1::2], actor=other, now=LATER, reason="no"),
        )
        assert found == ["", "", ""]
