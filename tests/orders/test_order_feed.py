"""The feed of order events: each once, in order, from wherever a reader has come to."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction

from orders import order_feed, workflow
from orders.feed_cursor import BEGINNING, Cursor
from orders.models import FeedPlace, OrderEvent, OrderNews
from orders.order_feed import FeedEvent, Page, UnknownCursor
from tests.factories import NOW, equity, person, staged
from tests.tampering import released

EVERYTHING = {"wanted": lambda event: True}


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


def said(page: Page) -> list[tuple[str, int, str]]:
    return [(event.client_order_id, event.sequence, event.to_status) for event in page.events]


def test_events_come_in_the_order_in_which_they_happened_each_with_whose_it_is(trader: User, reviewer: User) -> None:
    order = staged(trader, client_order_id="one")
    staged(trader, client_order_id="two", strategy="condors")
    workflow.reject(order.pk, actor=reviewer, now=NOW, reason="too large")
    page = order_feed.since(BEGINNING)
    assert said(page) == [("one", 1, "pending_review"), ("two", 1, "pending_review"), ("one", 2, "rejected")]
    last = OrderEvent.objects.get(order=order, sequence=2)
    assert page.events[2] == FeedEvent(
        number=3,
        id=last.pk,
        order_id=order.pk,
        client_order_id="one",
        environment="dev",
        strategy="momentum",
        symbol="SPY",
        sequence=2,
        at=NOW,
        kind="rejected",
        actor="reviewer",
        from_status="pending_review",
        to_status="rejected",
        reason="too large",
    )
    assert page.cursor == Cursor(3, last.pk)


def test_who_reads_on_hears_only_what_is_new(trader: User) -> None:
    assert order_feed.since(BEGINNING) == Page(events=(), cursor=BEGINNING)
    order = staged(trader, client_order_id="one")
    first = order_feed.since(BEGINNING)
    assert order_feed.since(first.cursor) == Page(events=(), cursor=first.cursor)
    workflow.cancel(order.pk, actor=trader, now=NOW)
    assert said(order_feed.since(first.cursor)) == [("one", 2, "cancelled")]
    # Whoever comes later hears all of it.
    assert said(order_feed.since(BEGINNING)) == [("one", 1, "pending_review"), ("one", 2, "cancelled")]


def test_pages_follow_each_other_without_gap_or_repetition(trader: User) -> None:
    orders = [staged(trader) for _ in range(5)]
    cursor, told = BEGINNING, []
    while (page := order_feed.since(cursor, most=2)).events:
        assert len(page.events) <= 2
        told += [event.order_id for event in page.events]
        cursor = page.cursor
    assert told == [order.pk for order in orders]


def test_many_that_nobody_has_read_are_numbered_some_at_a_time(trader: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_feed, "_NUMBERED_AT_ONCE", 2)
    orders = [staged(trader) for _ in range(5)]
    page = order_feed.since(BEGINNING)
    assert [event.order_id for event in page.events] == [order.pk for order in orders[:2]]
    assert order_feed.newest().number == 5
    assert [event.number for event in order_feed.since(page.cursor).events] == [3, 4, 5]
    assert OrderNews.objects.count() == 0


def test_newest_is_behind_all_that_is_there(trader: User) -> None:
    assert order_feed.newest() == BEGINNING
    order = staged(trader)
    assert order_feed.newest() == Cursor(1, order.events.get().pk)
    assert order_feed.since(order_feed.newest()).events == ()


def test_what_was_rolled_back_is_not_told_and_leaves_no_gap(trader: User) -> None:
    staged(trader)
    with transaction.atomic():
        staged(trader, client_order_id="never")
        transaction.set_rollback(True)
    staged(trader, client_order_id="later")
    page = order_feed.since(BEGINNING)
    assert [event.number for event in page.events] == [1, 2]
    assert page.events[1].client_order_id == "later"


def test_event_that_something_else_than_the_workflow_writes_is_told_too(trader: User) -> None:
    order = staged(trader)
    cursor = order_feed.newest()
    OrderEvent.objects.bulk_create(
        OrderEvent(order=order, sequence=number, at=NOW, kind="cancelled", actor_name="by hand", to_status="cancelled")
        for number in (2, 3)
    )
    assert [event.sequence for event in order_feed.since(cursor).events] == [2, 3]


@pytest.mark.parametrize(("number", "known"), [(1, False), (2, True), (3, True)])
def test_cursor_of_a_feed_that_is_another_one_is_refused(trader: User, number: int, known: bool) -> None:
    """A desk that was restored from a backup lacks the last events, or has others at their numbers."""
    events = [staged(trader).events.get().pk for _ in range(2)]
    order_feed.since(BEGINNING)
    cursor = Cursor(number, events[1] if known and number > 2 else uuid4())
    with pytest.raises(UnknownCursor, match=f"^after={number}.*: the feed of this desk has no such event"):
        order_feed.since(cursor)
    with pytest.raises(UnknownCursor):
        order_feed.wait_since(cursor, **EVERYTHING, seconds=5)


def test_reading_without_news_takes_two_questions(trader: User, django_assert_num_queries: object) -> None:
    staged(trader)
    cursor = order_feed.newest()
    with django_assert_num_queries(2):  # type: ignore[operator]
        order_feed.since(cursor)


def test_who_waits_is_answered_at_once_where_there_is_news(trader: User) -> None:
    staged(trader)
    began = time.monotonic()
    assert len(order_feed.wait_since(BEGINNING, **EVERYTHING, seconds=30).events) == 1
    assert time.monotonic() - began < 5


def test_who_waits_in_vain_is_answered_when_the_time_is_over(trader: User) -> None:
    staged(trader)
    cursor = order_feed.newest()
    began = time.monotonic()
    assert order_feed.wait_since(cursor, **EVERYTHING, seconds=0.6) == Page(events=(), cursor=cursor)
    assert 0.6 <= time.monotonic() - began < 3


def test_events_of_others_are_passed_over_and_the_cursor_moves(trader: User) -> None:
    for strategy in ("momentum", "momentum", "condors", "momentum"):
        staged(trader, strategy=strategy)
    wanted = {"wanted": lambda event: event.strategy == "condors"}
    page = order_feed.wait_since(BEGINNING, **wanted, seconds=30, most=1)
    assert [(event.number, page.cursor.number) for event in page.events] == [(3, 3)]
    after = order_feed.wait_since(page.cursor, **wanted, seconds=0)
    assert (after.events, after.cursor.number) == ((), 4)


@pytest.mark.usefixtures("emptied_afterwards")
def test_events_that_were_there_before_the_feed_come_first() -> None:
    equity()
    trader = person("trader", "trader")
    late, early = (staged(trader, now=NOW + timedelta(seconds=seconds)) for seconds in (50, 10))
    # At the same time as it was staged: of one order the trail's own order holds.
    workflow.cancel(early.pk, actor=trader, now=NOW + timedelta(seconds=10))
    try:
        call_command("migrate", "orders", "0015", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)
    assert OrderNews.objects.count() == 0
    new = staged(trader, now=NOW)
    told = [(event.order_id, event.sequence) for event in order_feed.since(BEGINNING).events]
    assert told == [(early.pk, 1), (early.pk, 2), (late.pk, 1), (new.pk, 1)]


@pytest.mark.usefixtures("emptied_afterwards")
def test_events_written_between_the_two_migrations_are_numbered_once() -> None:
    equity()
    trader = person("trader", "trader")
    old = staged(trader)
    try:
        call_command("migrate", "orders", "0015", verbosity=0)
        call_command("migrate", "orders", "0016", verbosity=0)
        # Of a process that still runs the code before.
        noted = staged(trader)
        read_already = staged(trader)
        OrderNews.objects.filter(event__order=read_already).delete()
        FeedPlace.objects.create(number=1, event=read_already.events.get())
    finally:
        call_command("migrate", verbosity=0)
    told = [event.order_id for event in order_feed.since(BEGINNING).events]
    assert told == [read_already.pk, old.pk, noted.pk]


def test_place_is_given_once(trader: User) -> None:
    event = staged(trader).events.get()
    order_feed.newest()
    OrderNews.objects.create(event=event)
    with pytest.raises(Exception, match=r"(?i)unique|exists"), transaction.atomic():
        order_feed.newest()
    with released(FeedPlace):
        FeedPlace.objects.all().delete()
    assert order_feed.newest().number == 1
