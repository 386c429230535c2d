"""The feed while several write at once: what is committed late is told late, and never passed over."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction

from orders import order_feed, workflow
from orders.feed_cursor import BEGINNING, Cursor
from orders.models import FeedPlace, OrderEvent, OrderNews
from orders.order_feed import FeedEvent
from orders.refusal import Refused
from tests.factories import NOW, equity, person, staged

pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("emptied_afterwards")]

PATIENCE = 30


@pytest.fixture
def trader() -> User:
    equity()
    trader = person("trader", "trader")
    # What whoever comes first writes for all must not be written in a transaction below, for whose end others wait.
    staged(trader, client_order_id="first")
    return trader


@pytest.fixture
def begun(trader: User) -> Cursor:
    return order_feed.newest()


def without_risk(trader: User, name: str, **changes: Any) -> None:
    """An order that is blocked takes no share of the day's risk: nobody waits for its transaction."""
    staged(trader, client_order_id=name, strategy="", **changes)


class Elsewhere:
    """An action in a thread with a connection of its own, which may stop in the middle until it is let go on."""

    def __init__(self, action: Callable[[Elsewhere], None]) -> None:
        self._stopped, self._go_on = threading.Event(), threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(action,))
        self._thread.start()

    def stop_here(self) -> None:
        self._stopped.set()
        assert self._go_on.wait(PATIENCE)

    def wait_until_it_stops(self) -> None:
        assert self._stopped.wait(PATIENCE), self._failures

    def finish(self) -> None:
        self._go_on.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert self._failures == []

    def _run(self, action: Callable[[Elsewhere], None]) -> None:
        try:
            action(self)
        except BaseException as error:
            self._failures.append(error)
        finally:
            connections.close_all()


def names(events: tuple[FeedEvent, ...]) -> list[str]:
    return [event.client_order_id for event in events]


def test_event_that_is_committed_late_is_heard_by_who_has_read_later_ones(trader: User, begun: Cursor) -> None:
    def slowly(self: Elsewhere) -> None:
        with transaction.atomic():
            without_risk(trader, "slow", now=NOW)
            self.stop_here()

    slow = Elsewhere(slowly)
    slow.wait_until_it_stops()
    without_risk(trader, "quick", now=NOW + timedelta(minutes=1))
    # The open transaction keeps nobody from hearing of the others.
    first = order_feed.since(begun)
    assert names(first.events) == ["quick"]
    slow.finish()
    second = order_feed.since(first.cursor)
    assert names(second.events) == ["slow"]
    # By id and by time it is the earlier one: a cursor of those would have passed over it.
    assert second.events[0].id < first.events[0].id
    assert second.events[0].at < first.events[0].at


def test_transaction_that_is_rolled_back_in_the_end_holds_nothing_up(trader: User, begun: Cursor) -> None:
    def in_vain(self: Elsewhere) -> None:
        with transaction.atomic():
            without_risk(trader, "never")
            self.stop_here()
            transaction.set_rollback(True)

    lost = Elsewhere(in_vain)
    lost.wait_until_it_stops()
    without_risk(trader, "one")
    assert names(order_feed.since(begun).events) == ["one"]
    lost.finish()
    without_risk(trader, "two")
    page = order_feed.since(begun)
    assert names(page.events) == ["one", "two"]
    assert [event.number for event in page.events] == [2, 3]


def test_reader_that_stands_still_while_it_numbers_keeps_nobody_waiting(trader: User, begun: Cursor) -> None:
    def numbering(self: Elsewhere) -> None:
        with transaction.atomic():
            order_feed.newest()
            self.stop_here()

    staged(trader, client_order_id="two")
    stuck = Elsewhere(numbering)
    stuck.wait_until_it_stops()
    began = time.monotonic()
    assert order_feed.since(begun).events == ()
    # Nor those who write.
    staged(trader, client_order_id="three")
    assert time.monotonic() - began < 2
    stuck.finish()
    assert names(order_feed.since(begun).events) == ["two", "three"]


def test_decision_is_heard_within_a_second(trader: User) -> None:
    order = staged(trader)
    reviewer = person("reviewer", "reviewer")
    cursor = order_feed.newest()
    committed = []

    def deciding(self: Elsewhere) -> None:
        self.stop_here()
        workflow.approve(order.pk, actor=reviewer, now=NOW)
        committed.append(time.monotonic())

    decision = Elsewhere(deciding)
    decision.wait_until_it_stops()
    threading.Timer(0.6, decision._go_on.set).start()
    page = order_feed.wait_since(cursor, wanted=lambda event: event.kind == "approved", seconds=PATIENCE)
    heard = time.monotonic()
    decision.finish()
    assert [event.to_status for event in page.events] == ["approved"]
    assert heard - committed[0] < 1


def test_every_reader_hears_every_event_once_and_each_order_in_its_own_order(trader: User) -> None:
    """Four write, in transactions of random length of which some are rolled back, while three read on."""
    writing = threading.Event()
    writing.set()
    heard: list[list[FeedEvent]] = [[], [], []]

    def write(seed: int) -> Callable[[Elsewhere], None]:
        chance = random.Random(seed)

        def action(self: Elsewhere) -> None:
            mine = []
            for number in range(25):
                lost = chance.random() < 0.2
                with transaction.atomic():
                    order = staged(trader, client_order_id=f"{seed}-{number}")
                    time.sleep(chance.choice((0, 0, 0.002, 0.02)))
                    transaction.set_rollback(lost)
                if not lost:
                    mine.append(order)
                if mine and chance.random() < 0.5:
                    # Some are cancelled already.
                    with suppress(Refused):
                        workflow.cancel(chance.choice(mine).pk, actor=trader, now=NOW)

        return action

    def read(place: int) -> Callable[[Elsewhere], None]:
        def action(self: Elsewhere) -> None:
            cursor: Cursor = BEGINNING
            while True:
                # In this order: what another reader numbers in between is on the page.
                over = not writing.is_set() and not OrderNews.objects.exists()
                page = order_feed.since(cursor, most=7)
                heard[place] += page.events
                cursor = page.cursor
                if over and not page.events:
                    return

        return action

    writers = [Elsewhere(write(seed)) for seed in range(4)]
    readers = [Elsewhere(read(place)) for place in range(3)]
    for writer in writers:
        writer.finish()
    writing.clear()
    for reader in readers:
        reader.finish()
    on_record = set(OrderEvent.objects.values_list("pk", flat=True))
    assert len(on_record) > 80
    for events in heard:
        assert [event.number for event in events] == list(range(1, len(on_record) + 1))
        assert {event.id for event in events} == on_record
        sequences: dict[object, list[int]] = {}
        for event in events:
            sequences.setdefault(event.order_id, []).append(event.sequence)
        assert all(found == list(range(1, len(found) + 1)) for found in sequences.values())
    assert FeedPlace.objects.count() == len(on_record)
