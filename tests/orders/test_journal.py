"""A change of an order with all that goes with it: whole, once, and in one order of locks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, connections, transaction

from orders import fills, journal, positions, trading_state, workflow
from orders.choices import EventKind, OrderStatus, TradingState
from orders.fill import Fill
from orders.models import ExecutedOrder, OrderEvent, Position, StagedOrder, StagedRisk
from orders.reading import read
from orders.refusal import Refused
from orders.standing import shard_of
from orders.steps import change
from tests.factories import NOW, equity, iron_condor, person, staged

D = Decimal
K, S = EventKind, OrderStatus
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


def sent(trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    order = staged(trader, **changes)
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    return workflow.submit(order.pk, actor=trader, now=NOW)


def fill(identifier: str, quantity: str = "1", price: str = "400.50", **changes: Any) -> Fill:
    values = {"execution_id": identifier, "price": D(price), "quantity": D(quantity), "executed_at": LATER}
    return Fill(**{**values, **changes})


def cancellation(order: StagedOrder, actor: User) -> journal.Change:
    return change(order, S.CANCELLED, kind=K.CANCELLED, actor=actor, now=LATER)


def risk() -> tuple[int, Decimal]:
    rows = StagedRisk.objects.values_list("orders", "max_loss")
    return sum(row[0] for row in rows), sum((row[1] for row in rows), D(0))


def test_change_holds_only_of_the_order_as_it_was_read(trader: User) -> None:
    order = staged(trader)
    first, second = (cancellation(read([order.pk])[order.pk].order, trader) for _ in range(2))
    assert journal.write(first)
    # Its reader's copy is the order as it is now; the other one's is left as it was.
    assert (first.order.status, first.order.event_count) == (S.CANCELLED, 2)
    assert not journal.write(second)
    assert (second.order.status, second.order.event_count) == (S.PENDING_REVIEW, 1)
    assert OrderEvent.objects.count() == 2
    assert risk() == (0, D(0))


def test_order_with_the_same_status_and_a_longer_trail_is_another(trader: User, reviewer: User) -> None:
    order = staged(trader)
    late = cancellation(read([order.pk])[order.pk].order, trader)
    workflow.ask_changes(order.pk, actor=reviewer, now=NOW, reason="smaller")
    assert StagedOrder.objects.get(pk=order.pk).status == S.PENDING_REVIEW
    assert not journal.write(late)
    assert journal.write_each([late]) == [False]
    assert OrderEvent.objects.count() == 2


def test_of_two_changes_of_one_order_in_one_go_the_first_is_written(trader: User) -> None:
    order, other = staged(trader), staged(trader)
    changes = [cancellation(read([pk])[pk].order, trader) for pk in (order.pk, other.pk, order.pk)]
    written = journal.write_each(changes)
    assert sorted(written) == [False, True, True]
    assert written[1]
    assert OrderEvent.objects.count() == 4
    assert [each.order.status for each, done in zip(changes, written, strict=True) if done] == [S.CANCELLED] * 2


@pytest.mark.parametrize("seen", [0, 1])
def test_change_that_was_judged_in_another_trading_state_is_not_written(
    trader: User, reviewer: User, seen: int
) -> None:
    order = workflow.approve(staged(trader).pk, actor=reviewer, now=NOW)
    for to in (TradingState.REDUCING, TradingState.HALTED)[: seen + 1]:
        trading_state.change(to, actor=trader, now=NOW, reason="volatility")
    submission = replace(change(order, S.SUBMITTED, kind=K.SUBMITTED, actor=trader, now=LATER), state_number=seen)
    assert not journal.write(submission)
    assert journal.write_each([submission]) == [False]
    assert StagedOrder.objects.get().status == S.APPROVED
    # Nothing was declared since then.
    assert journal.write(replace(submission, state_number=seen + 1))


def test_event_that_is_refused_takes_its_whole_change_with_it(trader: User, reviewer: User) -> None:
    order = sent(trader, reviewer)
    before = list(StagedOrder.objects.values()), risk(), Position.objects.count()
    booking = fills.booked(read([order.pk])[order.pk], fill("a"), actor=trader, now=LATER)
    booking.event.kind = "invented"
    with pytest.raises(IntegrityError, match="order_events_kind_known"):
        journal.write(booking)
    assert (list(StagedOrder.objects.values()), risk(), Position.objects.count()) == before
    assert not ExecutedOrder.objects.exists()
    # The connection goes on.
    fills.record_execution(order.pk, fill("a"), actor=trader, now=LATER)


def test_risk_of_the_day_follows_the_order(trader: User, reviewer: User) -> None:
    order = staged(trader)
    assert risk() == (1, D(801))
    workflow.stage(iron_condor(strategy="condors"), created_by=trader, now=NOW)
    assert risk() == (2, D(1181))
    workflow.cancel(order.pk, actor=trader, now=NOW)
    assert risk() == (1, D(380))
    # What never could reach the broker takes no risk.
    staged(trader, strategy="")
    assert risk() == (1, D(380))
    late = sent(trader, reviewer)
    workflow.cancel(late.pk, actor=trader, now=NOW)
    assert risk() == (1, D(380))
    fills.record_execution(late.pk, fill("late"), actor=trader, now=LATER)
    assert risk() == (2, D(1181))
    fills.bust_execution("late", bust_id="b", actor=trader, now=LATER, reason="erroneous")
    assert StagedOrder.objects.get(pk=late.pk).status == S.PARTIALLY_FILLED


def test_risk_counts_on_the_day_of_new_york(trader: User) -> None:
    equity(at=NOW - timedelta(days=1))
    staged(trader, now=NOW.replace(hour=4))
    staged(trader, now=NOW.replace(hour=6))
    days = {row.day.isoformat(): row.orders for row in StagedRisk.objects.all()}
    assert days == {"2025-11-02": 1, "2025-11-03": 1}


SETTING_ASIDE = {
    "correction": lambda by: fills.correct_execution("a", fill("c"), actor=by, now=LATER, reason="wrong price"),
    "bust": lambda by: fills.bust_execution("a", bust_id="c", actor=by, now=LATER, reason="erroneous"),
}


@pytest.mark.parametrize("set_aside", SETTING_ASIDE.values(), ids=SETTING_ASIDE.keys())
def test_fill_that_somebody_else_set_aside_meanwhile_is_refused_by_name(
    trader: User, reviewer: User, monkeypatch: pytest.MonkeyPatch, set_aside: Callable[[User], object]
) -> None:
    order = sent(trader, reviewer)
    fills.record_execution(order.pk, fill("a"), actor=trader, now=LATER)
    found = fills.found
    others = ["b"]

    def found_slowly(*args: Any) -> Any:
        if others:
            fills.bust_execution("a", bust_id=others.pop(), actor=trader, now=LATER, reason="erroneous")
        return found(*args)

    monkeypatch.setattr(fills, "found", found_slowly)
    with pytest.raises(Refused) as error:
        set_aside(trader)
    assert (error.value.code, str(error.value)) == (
        "CORRECTED_BEFORE",
        "execution_id='a' was set aside before, by the bust 'b'.",
    )
    assert list(positions.differences()) == []


@pytest.mark.postgresql
@pytest.mark.usefixtures("emptied_afterwards")
def test_sum_of_the_day_is_locked_before_positions(trader: User, reviewer: User) -> None:
    """As a correction locks them, whose positions come last."""
    late = sent(trader, reviewer)
    fills.record_execution(sent(trader, reviewer).pk, fill("first"), actor=trader, now=LATER)
    workflow.cancel(late.pk, actor=trader, now=LATER)
    waiting = threading.Event()

    def book() -> None:
        try:
            waiting.set()
            fills.record_execution(late.pk, fill("late"), actor=trader, now=LATER)
        finally:
            connections.close_all()

    thread = threading.Thread(target=book)
    with transaction.atomic():
        shard = StagedRisk.objects.select_for_update().filter(shard=shard_of(late.pk))
        assert len(shard) == 1
        thread.start()
        assert waiting.wait(timeout=10)
        blocked_by(connection)
        assert len(Position.objects.select_for_update(nowait=True)) == 1
    thread.join(timeout=20)
    assert Position.objects.get().quantity == D(2)


def blocked_by(holder: Any) -> None:
    """Waits until another session waits for a lock of this one."""
    for _ in range(200):
        with holder.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.05)
    raise AssertionError("nobody waits")
