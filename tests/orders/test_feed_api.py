"""The bot hears over HTTP what became of orders."""

from __future__ import annotations

import threading
import time
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpResponse

from orders import feed_api, workflow
from tests.api_client import Bot, problem
from tests.api_client import bot as bot_of
from tests.factories import NOW, equity, person, staged


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


def events(bot: Bot, **parameters: object) -> HttpResponse:
    return bot.get(f"/events?{urlencode(parameters)}")


@pytest.fixture
def bot(trader: User) -> Bot:
    return bot_of(trader, "read")


def test_bot_hears_each_event_once(bot: Bot, trader: User) -> None:
    order = staged(trader, client_order_id="one")
    first = events(bot)
    assert first.status_code == 200
    [event] = first.json()["events"]
    told = order.events.get()
    assert event == {
        "id": str(told.pk),
        "order_id": str(order.pk),
        "client_order_id": "one",
        "strategy": "momentum",
        "symbol": "SPY",
        "sequence": 1,
        "at": "2025-11-03T15:00:00.000000Z",
        "kind": "staged",
        "actor": "trader",
        "from_status": "",
        "to_status": "pending_review",
        "reason": "",
    }
    cursor = first.json()["cursor"]
    assert events(bot, after=cursor).json() == {"events": [], "cursor": cursor}
    workflow.cancel(order.pk, actor=trader, now=NOW, reason="changed my mind")
    [event] = events(bot, after=cursor).json()["events"]
    assert (event["kind"], event["reason"], event["from_status"]) == ("cancelled", "changed my mind", "pending_review")


def test_bot_that_begins_now_hears_nothing_of_before(bot: Bot, trader: User) -> None:
    staged(trader)
    begun = events(bot, after="now").json()
    assert begun["events"] == []
    staged(trader, client_order_id="new")
    assert [each["client_order_id"] for each in events(bot, after=begun["cursor"]).json()["events"]] == ["new"]


def test_token_of_some_strategies_hears_of_theirs(trader: User) -> None:
    for strategy in ("momentum", "condors", "momentum"):
        staged(trader, strategy=strategy)
    limited = bot_of(trader, "read", strategies=["condors"])
    found = events(limited).json()
    assert [each["strategy"] for each in found["events"]] == ["condors"]
    # It is past the others, too.
    assert found["cursor"].startswith("3.")


def test_orders_of_another_environment_are_not_told(bot: Bot, trader: User) -> None:
    order = staged(trader)
    type(order).objects.update(environment="staging")
    assert events(bot).json()["events"] == []


def test_pages_are_as_long_as_asked(bot: Bot, trader: User) -> None:
    for _ in range(3):
        staged(trader)
    first = events(bot, limit=2).json()
    assert len(first["events"]) == 2
    assert len(events(bot, limit=2, after=first["cursor"]).json()["events"]) == 1


REFUSED = {
    "no cursor": ({"after": "yesterday"}, (422, "INVALID")),
    "cursor of another desk": ({"after": f"7.{'0' * 32}"}, (422, "UNKNOWN_CURSOR")),
    "long cursor": ({"after": "1" * 65}, (422, "INVALID")),
    "before its beginning": ({"wait": "-1"}, (422, "INVALID")),
    "endless": ({"wait": "inf"}, (422, "INVALID")),
    "no number": ({"wait": "nan"}, (422, "INVALID")),
    "long": ({"wait": "61"}, (422, "INVALID")),
    "none": ({"limit": "0"}, (422, "INVALID")),
    "many": ({"limit": "501"}, (422, "INVALID")),
}


@pytest.mark.parametrize(("parameters", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_asked_is_problem(bot: Bot, parameters: dict[str, str], expected: tuple[int, str]) -> None:
    found = events(bot, **parameters)
    assert problem(found) == expected


def test_token_without_the_scope_and_owner_without_the_right_are_problem(trader: User) -> None:
    assert problem(bot_of(trader, "ingest").get("/events")) == (403, "SCOPE_MISSING")
    assert problem(bot_of(person("nobody"), "read").get("/events")) == (403, "NOT_PERMITTED")


def test_waiting_ends_before_the_desk_gives_the_request_up(bot: Bot, settings: object) -> None:
    settings.EMO_REQUEST_TIMEOUT_SECONDS = 4  # type: ignore[attr-defined]
    began = time.monotonic()
    assert events(bot, wait=60).json()["events"] == []
    assert 2 <= time.monotonic() - began < 4


def test_whoever_comes_when_many_wait_is_answered_at_once(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    places = threading.BoundedSemaphore(1)
    places.acquire()
    monkeypatch.setattr(feed_api, "_places", places)
    began = time.monotonic()
    assert events(bot, wait=60).json() == {"events": [], "cursor": "0"}
    # Who waits is let go after half of a request's time, four and a half seconds.
    assert time.monotonic() - began < 3


def test_place_of_who_has_waited_is_free_again(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr(feed_api, "_places", places)
    events(bot, wait=0.3)
    assert problem(events(bot, wait=5, after=f"7.{'0' * 32}")) == (422, "UNKNOWN_CURSOR")
    assert places.acquire(blocking=False)


@pytest.mark.postgresql
@pytest.mark.usefixtures("emptied_afterwards")
def test_bot_that_waits_hears_a_decision_within_a_second() -> None:
    equity()
    trader, reviewer = person("trader", "trader"), person("reviewer", "reviewer")
    order, bot = staged(trader), bot_of(trader, "read")
    cursor = events(bot).json()["cursor"]
    decided: list[float] = []

    def decide() -> None:
        try:
            workflow.approve(order.pk, actor=reviewer, now=NOW)
            decided.append(time.monotonic())
        finally:
            connections.close_all()

    timer = threading.Timer(0.6, decide)
    timer.start()
    told = events(bot, after=cursor, wait=4).json()["events"]
    heard = time.monotonic()
    timer.join()
    assert [each["kind"] for each in told] == ["approved"]
    assert heard - decided[0] < 1
