"""The same key, the same answer: done once, whatever happens in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from django.http import HttpResponse

from emo_site.api import answers
from emo_site.api.models import ApiCall, StoredAnswer
from emo_site.api.tasks import prune_api
from orders import workflow
from orders.models import OrderEvent, RefusedDecision, StagedOrder
from tests.api_client import Bot, order_body, problem, trading_bot
from tests.factories import person

REPLAYED = answers.REPLAYED


def calls() -> list[tuple[Any, ...]]:
    rows = ApiCall.objects.order_by("at", "id").values_list("status", "code", "replayed", "order_id", "event")
    return list(rows)


@pytest.mark.django_db
def test_the_same_request_is_answered_the_same_and_done_once() -> None:
    bot = trading_bot()
    first = bot.post("/orders", order_body(), key="one")
    again = bot.post("/orders", order_body(), key="one")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert [each.get(REPLAYED) for each in (first, again)] == [None, "true"]
    assert (first["ETag"], first["Location"]) == (again["ETag"], again["Location"])
    order = StagedOrder.objects.get()
    assert calls() == [(201, "", False, order.pk, 1), (201, "", True, order.pk, 1)]


@pytest.mark.django_db
def test_another_request_with_the_same_key_is_refused() -> None:
    bot = trading_bot()
    order = bot.post("/orders", order_body(), key="one").json()
    for path, body, headers in (
        ("/orders", order_body(quantity="3"), {}),
        (f"/orders/{order['id']}/cancel", {}, {}),
        ("/orders/bulk", {"orders": [order_body()]}, {}),
        ("/orders", order_body(), {"If_Match": '"1"'}),
    ):
        assert problem(bot.post(path, body, key="one", **headers)) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert StagedOrder.objects.get().event_count == 1


@pytest.mark.django_db
def test_each_token_has_keys_of_its_own() -> None:
    one, two = trading_bot(), trading_bot("another")
    assert one.post("/orders", order_body(), key="k").status_code == 201
    assert two.post("/orders", order_body(), key="k").status_code == 201


@pytest.mark.django_db
def test_what_is_refused_is_an_answer_and_kept() -> None:
    bot = trading_bot()
    body = order_body(client_order_id="c-1")
    bot.post("/orders", body)
    first = bot.post("/orders", body, key="one")
    assert problem(first) == (409, "DUPLICATE_CLIENT_ORDER_ID")
    StagedOrder.objects.filter(client_order_id="c-1").update(client_order_id="c-2")
    # Now it would be let through; the answer was given.
    assert bot.post("/orders", body, key="one").json() == first.json()
    assert bot.post("/orders", body, key="two").status_code == 201


@pytest.mark.django_db
def test_what_a_refusal_has_written_stays_written() -> None:
    bot, reviewer = trading_bot(), person("rita", "reviewer")
    order_id = bot.post("/orders", order_body()).json()["id"]
    order = workflow.approve(UUID(order_id), actor=reviewer, now=datetime.now(UTC))
    StagedOrder.objects.filter(pk=order.pk).update(approval_expires_at=datetime.now(UTC) - timedelta(seconds=1))
    for _ in range(2):
        assert problem(bot.post(f"/orders/{order_id}/submit", key="s")) == (409, "RETURNED_TO_REVIEW")
    order.refresh_from_db()
    assert (order.status, order.event_count) == ("pending_review", 3)
    assert RefusedDecision.objects.count() == 1
    # The event and the call are of one moment.
    event = OrderEvent.objects.get(order=order, sequence=3)
    assert ApiCall.objects.filter(order_id=order.pk, at=event.at, code="RETURNED_TO_REVIEW", replayed=False).exists()


@pytest.mark.django_db
def test_a_request_that_can_not_be_read_uses_up_no_key() -> None:
    bot = trading_bot()
    assert problem(bot.post("/orders", order_body(quantity="two"), key="one")) == (422, "INVALID")
    assert bot.post("/orders", order_body(), key="one").status_code == 201
    assert [(status, code) for status, code, *_ in calls()] == [(422, "INVALID"), (201, "")]


@pytest.mark.django_db
def test_a_failure_leaves_nothing_and_the_key_free(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = trading_bot()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the power goes")

    with monkeypatch.context() as patch:
        # The last step: the order is written by then.
        patch.setattr("emo_site.api.calls.record", fail)
        assert problem(bot.post("/orders", order_body(), key="one")) == (500, "FAILED")
    assert not StagedOrder.objects.exists()
    assert not StoredAnswer.objects.exists()
    response = bot.post("/orders", order_body(), key="one")
    assert (response.status_code, response.get(REPLAYED)) == (201, None)


@pytest.mark.django_db
def test_an_answer_is_kept_for_two_days() -> None:
    bot = trading_bot()
    first = bot.post("/orders", order_body(), key="one").json()
    assert prune_api.call()["answers"] == 0
    StoredAnswer.objects.update(at=datetime.now(UTC) - timedelta(hours=48, seconds=1))
    # Not pruned yet, it is none any more.
    second = bot.post("/orders", order_body(), key="one")
    assert second.get(REPLAYED) is None
    assert second.json()["id"] != first["id"]
    StoredAnswer.objects.update(at=datetime.now(UTC) - timedelta(hours=49))
    assert prune_api.call()["answers"] == 1
    assert not StoredAnswer.objects.exists()


@pytest.mark.django_db
def test_in_bulk_each_is_done_by_itself_and_told_in_its_place() -> None:
    bot = trading_bot()
    bodies = [order_body(), order_body(price=None), order_body(client_order_id="twice")]
    bodies += [order_body(client_order_id="twice"), order_body(strategy="")]
    first = bot.post("/orders/bulk", {"orders": bodies}, key="b")
    assert first.status_code == 200
    results = first.json()["results"]
    assert [each["index"] for each in results] == [0, 1, 2, 3, 4]
    assert [each["status"] for each in results] == [201, 422, 201, 409, 201]
    assert results[1]["body"]["errors"][0]["field"] == "price"
    assert results[3]["body"]["code"] == "DUPLICATE_CLIENT_ORDER_ID"
    assert results[4]["body"]["status"] == "blocked"
    again = bot.post("/orders/bulk", {"orders": bodies}, key="b")
    assert again.json() == first.json()
    assert again[REPLAYED] == "true"
    assert StagedOrder.objects.count() == 3


@pytest.mark.django_db
def test_a_bulk_that_was_cut_short_goes_on_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = trading_bot()
    bodies = {"orders": [order_body() for _ in range(4)]}
    stage, count = workflow.stage, iter(range(10))

    def third_fails(*args: Any, **kwargs: Any) -> Any:
        if next(count) == 2:
            raise RuntimeError("the power goes")
        return stage(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("orders.workflow.stage", third_fails)
        assert problem(bot.post("/orders/bulk", bodies, key="b"))[0] == 500
    assert StagedOrder.objects.count() == 2
    response = bot.post("/orders/bulk", bodies, key="b")
    assert [each["status"] for each in response.json()["results"]] == [201] * 4
    assert response.get(REPLAYED) is None
    assert StagedOrder.objects.count() == 4


# ---- at the same moment ----------------------------------------------------------------------------------------------


def at_once(*actions: Callable[[], HttpResponse]) -> list[HttpResponse]:
    barrier = threading.Barrier(len(actions))
    found: list[Any] = [None] * len(actions)

    def run(place: int, action: Callable[[], HttpResponse]) -> None:
        try:
            connections["default"].ensure_connection()
            barrier.wait(timeout=20)
            found[place] = action()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return found


@pytest.mark.postgresql
@pytest.mark.usefixtures("emptied_afterwards")
def test_twins_at_the_same_moment_are_done_once_and_answered_the_same() -> None:
    bot = trading_bot()
    waited = 0
    for number in range(25):

        def ask(number: int = number) -> HttpResponse:
            # Another program with the same token.
            twin = Bot(secret=bot.secret, token=bot.token)
            return twin.post("/orders", order_body(), key=f"k-{number}")

        responses = at_once(ask, ask, ask)
        assert [each.status_code for each in responses] == [201] * 3
        assert len({each.content for each in responses}) == 1
        waited += [each.get(REPLAYED) for each in responses].count("true")
    assert StagedOrder.objects.count() == 25
    assert waited == 50
    assert ApiCall.objects.filter(replayed=False).count() == 25


@pytest.mark.postgresql
@pytest.mark.usefixtures("emptied_afterwards")
def test_a_twin_of_one_that_fails_does_it_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = trading_bot()
    stage, count, entered = workflow.stage, iter(range(10)), threading.Event()

    def first_fails(*args: Any, **kwargs: Any) -> Any:
        if next(count) == 0:
            entered.set()
            threading.Event().wait(0.5)
            raise RuntimeError("the power goes")
        return stage(*args, **kwargs)

    def ask_second() -> HttpResponse:
        entered.wait(timeout=20)
        return Bot(secret=bot.secret, token=bot.token).post("/orders", order_body(), key="k")

    monkeypatch.setattr("orders.workflow.stage", first_fails)
    first, second = at_once(lambda: bot.post("/orders", order_body(), key="k"), ask_second)
    assert (first.status_code, second.status_code) == (500, 201)
    assert second.get(REPLAYED) is None
    assert StagedOrder.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.usefixtures("emptied_afterwards")
def test_a_twin_that_waits_in_vain_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = trading_bot()
    stage, entered, done = workflow.stage, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        entered.set()
        done.wait(timeout=20)
        return stage(*args, **kwargs)

    def impatient() -> HttpResponse:
        entered.wait(timeout=20)
        with connections["default"].cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        try:
            return Bot(secret=bot.secret, token=bot.token).post("/orders", order_body(), key="k")
        finally:
            done.set()

    monkeypatch.setattr("orders.workflow.stage", slow)
    first, second = at_once(lambda: bot.post("/orders", order_body(), key="k"), impatient)
    assert first.status_code == 201
    assert problem(second) == (409, "IDEMPOTENCY_KEY_IN_USE")
    assert second["Retry-After"] == "1"
