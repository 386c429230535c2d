"""The queue and the doors of the order page: what each person is shown and may decide, and what others may not."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orders import queue, saved_filters, trading_state, workflow
from orders.choices import FilterPlace, OrderStatus, TradingState
from orders.fill import Fill
from orders.models import ExecutedOrder, Position, RuleOverride, SavedFilter, StagedOrder
from orders.queue_admin import QueueAdmin
from tests.factories import equity, iron_condor, person, staged

pytestmark = pytest.mark.django_db

LIST = "/admin/orders/stagedorder/"
GROUPS = ("reviewer", "trader", "operator", "auditor", "risk officer")


@pytest.fixture(autouse=True)
def account() -> None:
    equity(at=timezone.now() - timedelta(hours=2))


@pytest.fixture
def trader() -> User:
    return person("tom", "trader")


@pytest.fixture
def reviewer() -> User:
    return person("rita", "reviewer")


@pytest.fixture
def officer() -> User:
    return person("olga", "risk officer")


def as_user(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def order_of(user: User, *, minutes: int = 1, **changes: Any) -> StagedOrder:
    return staged(user, now=timezone.now() - timedelta(minutes=minutes), **changes)


def approved(trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    return workflow.approve(order_of(trader, **changes).pk, actor=reviewer, now=timezone.now())


def submitted(trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    return workflow.submit(approved(trader, reviewer, **changes).pk, actor=trader, now=timezone.now())


def asked(trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    order = order_of(trader, **changes)
    return workflow.ask_changes(order.pk, actor=reviewer, now=timezone.now(), reason="Half of it.")


def blocked(trader: User, **changes: Any) -> StagedOrder:
    order = order_of(trader, quantity=Decimal(4000), **changes)
    assert order.status == OrderStatus.BLOCKED
    return order


def listed(client: Client, query: str = "") -> list[StagedOrder]:
    return list(client.get(LIST + query).context["cl"].result_list)


def told(response: Any) -> list[str]:
    """What this request said; the messages of earlier ones wait for a page in the client's cookie."""
    client = response.client
    client.cookies.pop("messages", None)
    return [str(message) for message in get_messages(response.wsgi_request)]


def page(client: Client, order: StagedOrder) -> str:
    return client.get(f"{LIST}{order.pk}/change/").content.decode()


def decide(client: Client, order: StagedOrder, name: str, text: str = "because") -> Any:
    data = {"seen_events": str(order.event_count), "text": text}
    return client.post(f"{LIST}{order.pk}/decide/{name}/", data)


def reloaded(order: StagedOrder) -> StagedOrder:
    return StagedOrder.objects.get(pk=order.pk)


# ---- what needs whom -------------------------------------------------------------------------------------------------


def test_a_reviewer_is_shown_what_others_staged_and_nobody_was_asked_about_oldest_first(
    trader: User, reviewer: User
) -> None:
    new, old = order_of(trader, minutes=5), order_of(trader, minutes=50)
    order_of(reviewer)
    asked(trader, reviewer)
    blocked(trader)
    approved(trader, reviewer)
    assert listed(as_user(reviewer)) == [old, new]


def test_a_trader_is_shown_what_to_answer_and_what_to_submit(trader: User, reviewer: User) -> None:
    rob = person("rob", "trader")
    question, ready = asked(trader, reviewer, minutes=20), approved(rob, reviewer, minutes=9)
    asked(rob, reviewer)
    order_of(rob)
    assert listed(as_user(trader)) == [question, ready]


def test_whoever_may_decide_nothing_is_shown_nothing_by_default_and_everything_on_request(
    trader: User, reviewer: User
) -> None:
    orders = {order_of(trader), approved(trader, reviewer)}
    client = as_user(person("ada", "auditor"))
    assert listed(client) == []
    assert "Nothing needs you" in client.get(LIST).content.decode()
    assert set(listed(client, "?status=open")) == orders


def test_each_part_of_the_queue_holds_its_orders_and_no_others(trader: User, reviewer: User) -> None:
    waiting, question, bad = order_of(trader), asked(trader, reviewer), blocked(trader)
    ready, sent = approved(trader, reviewer), submitted(trader, reviewer)
    over = workflow.cancel(order_of(trader).pk, actor=trader, now=timezone.now())
    client = as_user(reviewer)
    for name, orders in {
        "needs_review": {waiting},
        "changes_asked": {question},
        "pending_review": {waiting, question},
        "blocked": {bad},
        "approved": {ready},
        "at_broker": {sent},
        "submitted": {sent},
        "cancelled": {over},
        "executed": set(),
        "open": {waiting, question, bad, ready, sent},
        "all": {waiting, question, bad, ready, sent, over},
        "nonsense": set(),
    }.items():
        assert set(listed(client, f"?status={name}")) == orders, name


def test_the_counts_are_those_of_the_lists(trader: User, reviewer: User) -> None:
    order_of(trader), order_of(reviewer), asked(trader, reviewer), blocked(trader)
    approved(trader, reviewer), submitted(trader, reviewer), submitted(trader, reviewer)
    for user in (trader, reviewer):
        client = as_user(user)
        counts = client.get(f"{LIST}counts/").json()["counts"]
        assert set(counts) == {"needs_me", *(part.name for part in queue.COUNTED)}
        for name, count in counts.items():
            assert len(listed(client, f"?status={name}")) == count > 0, name
    shown = as_user(reviewer).get(LIST).content.decode()
    assert '<span class="count" data-count="at_broker">2</span>' in shown
    assert "<title>(1) Orders" in shown


# ---- columns ---------------------------------------------------------------------------------------------------------


def cells(client: Client, query: str) -> dict[str, str]:
    text = client.get(LIST + query).content.decode()
    found = re.findall(r'<t[dh] class="field-(\w+)[^"]*">(.*?)</t[dh]>', text)
    return {name: " ".join(re.sub("<[^>]+>", " ", value).split()) for name, value in found}


def test_the_row_says_max_loss_people_and_worst_violation(trader: User, reviewer: User) -> None:
    blocked(trader)
    shown = cells(as_user(reviewer), "?status=blocked")
    assert shown["worst_violation"] == "ORDER_NOTIONAL block"
    assert (shown["worst_loss"], shown["value"]) == ("1,602,000.00", "1,602,000.00")
    assert (shown["staged_by"], shown["decided_by"], shown["time_left"]) == ("tom", "nobody", "no end")


def test_a_loss_without_a_bound_is_said_in_words(trader: User, reviewer: User) -> None:
    order = order_of(trader)
    client = as_user(reviewer)
    StagedOrder.objects.filter(pk=order.pk).update(max_loss=None, unbounded_loss=True)
    assert cells(client, "")["worst_loss"] == "unbounded"
    StagedOrder.objects.filter(pk=order.pk).update(max_loss=None, unbounded_loss=False)
    assert cells(client, "")["worst_loss"] == "n/a"


def test_an_order_that_the_policy_approved_says_so_in_the_list_and_on_its_page(trader: User, reviewer: User) -> None:
    order = order_of(trader)
    StagedOrder.objects.filter(pk=order.pk).update(
        status=OrderStatus.APPROVED, approved_by_policy=True, reviewed_at=timezone.now()
    )
    shown = cells(as_user(reviewer), "?status=approved")
    assert (shown["status_badge"], shown["decided_by"]) == ("approved by the policy", "the policy")
    assert "the policy" in page(as_user(reviewer), order)


@pytest.mark.parametrize(
    ("left", "words", "tone"),
    [
        (timedelta(minutes=14), "13 min", "text-warn"),
        (timedelta(minutes=16), "15 min", ""),
        (-timedelta(1), "passed", "text-bad"),
    ],
)
def test_what_ends_within_a_quarter_of_an_hour_is_coloured(
    trader: User, reviewer: User, left: timedelta, words: str, tone: str
) -> None:
    order = order_of(trader)
    StagedOrder.objects.filter(pk=order.pk).update(expires_at=timezone.now() + left)
    client = as_user(reviewer)
    assert cells(client, "")["time_left"] == words
    assert f'class="{tone}">{words}</time>' in client.get(LIST).content.decode()


def test_an_approval_ends_before_the_order_does(trader: User, reviewer: User) -> None:
    order, now = approved(trader, reviewer), timezone.now()
    order.expires_at, order.approval_expires_at = now + timedelta(hours=2), now + timedelta(minutes=5)
    assert queue.ends_at(order) == order.approval_expires_at
    order.status = OrderStatus.SUBMITTED
    assert queue.ends_at(order) == order.expires_at
    order.status = OrderStatus.EXECUTED
    assert queue.ends_at(order) is None


# ---- counts that refresh themselves ----------------------------------------------------------------------------------


def test_counts_tell_of_the_trading_state(officer: User) -> None:
    client = as_user(officer)
    assert client.get(f"{LIST}counts/").json()["trading"]["title"] == ""
    trading_state.change(TradingState.HALTED, actor=officer, now=timezone.now(), reason="The feed is late.")
    told_now = client.get(f"{LIST}counts/").json()["trading"]
    assert (told_now["number"], told_now["state"], told_now["title"]) == (1, "halted", "Trading is halted.")
    assert told_now["text"].endswith(": The feed is late.")


def test_counts_are_for_those_who_may_see_orders(client: Client) -> None:
    assert as_user(person("stranger")).get(f"{LIST}counts/").status_code == 403
    assert client.get(f"{LIST}counts/").status_code == 302
    assert as_user(person("ada", "auditor")).post(f"{LIST}counts/").status_code == 405


def test_counts_take_as_many_queries_for_thirty_orders_as_for_one(trader: User, reviewer: User) -> None:
    client = as_user(reviewer)
    order_of(trader)
    client.get(f"{LIST}counts/")

    def asks() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(f"{LIST}counts/")
        return len(captured)

    before = asks()
    for _ in range(30):
        order_of(trader)
    # Who it is (four), how many (three), and the trading state.
    assert asks() == before <= 8


# ---- saved filters ---------------------------------------------------------------------------------------------------


def save(client: Client, name: str, query: str) -> Any:
    return client.post(f"{LIST}filters/save/", {"name": name, "query": query})


def test_a_list_is_saved_under_a_name_shown_and_deleted(reviewer: User) -> None:
    client = as_user(reviewer)
    response = save(client, "Morning", "?status=blocked&strategy=carry")
    assert response["Location"] == f"{LIST}?status=blocked&strategy=carry"
    assert told(response) == ["The list is saved as Morning."]
    kept = SavedFilter.objects.get()
    assert '<a href="?status=blocked&amp;strategy=carry">Morning</a>' in client.get(LIST).content.decode()
    assert told(client.post(f"{LIST}filters/{kept.pk}/delete/")) == ["Morning is no saved filter any more."]
    assert not SavedFilter.objects.exists()


def test_nobody_sees_or_deletes_the_filters_of_others(trader: User, reviewer: User) -> None:
    save(as_user(reviewer), "Mine", "?status=blocked")
    kept, client = SavedFilter.objects.get(), as_user(trader)
    assert "Mine" not in client.get(LIST).content.decode()
    assert told(client.post(f"{LIST}filters/{kept.pk}/delete/")) == [f"Refused: You have no saved filter {kept.pk}."]
    assert SavedFilter.objects.filter(pk=kept.pk).exists()
    assert as_user(person("stranger")).post(f"{LIST}filters/save/", {"name": "x", "query": ""}).status_code == 403


@pytest.mark.parametrize(
    ("name", "query", "why"),
    [
        ("x", "?password=1", "'password' is no parameter of the list of orders."),
        ("x", "?created_by__password__startswith=p", "is no parameter of the list of orders."),
        ("x", "javascript:alert(1)", "is not the query of a list."),
        ("x", "?q=%00", "holds a control character."),
        ("x", "?q=" + "y" * 1000, "The query has 1002 characters, 1000 are kept."),
        (" ", "?status=all", "1 to 64 printable characters are needed."),
        ("y" * 65, "?status=all", "1 to 64 printable characters are needed."),
    ],
)
def test_a_filter_that_the_list_does_not_have_is_refused(reviewer: User, name: str, query: str, why: str) -> None:
    (message,) = told(save(as_user(reviewer), name, query))
    assert message.startswith("Refused: ")
    assert message.endswith(why)
    assert not SavedFilter.objects.exists()


def test_a_name_is_given_once_and_there_is_room_for_twenty(reviewer: User, trader: User) -> None:
    client = as_user(reviewer)
    told(save(client, "Mine", "?status=all"))
    assert told(save(client, "Mine", "?status=open")) == ["Refused: name='Mine': you have saved a filter of that name."]
    save(as_user(trader), "Mine", "?status=all")
    for number in range(19):
        told(save(client, f"filter {number}", ""))
    assert told(save(client, "one more", "")) == ["Refused: 20 filters are saved: delete one first."]


def test_every_filter_of_the_list_can_be_saved() -> None:
    names = {str(each.parameter_name) for each in QueueAdmin.list_filter}
    assert names <= saved_filters.PARAMETERS[FilterPlace.QUEUE]


# ---- requests for changes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_who_may_review_requests_changes(trader: User, group: str) -> None:
    order = order_of(trader)
    decide(as_user(person("somebody", group)), order, "ask_changes")
    assert (reloaded(order).changes_asked_at is not None) == (group in ("reviewer", "risk officer"))


def test_a_request_for_changes_needs_its_reason_and_is_made_once(trader: User, reviewer: User) -> None:
    order, client = order_of(trader), as_user(reviewer)
    assert told(decide(client, order, "ask_changes", " ")) == ["What should change is required."]
    assert told(decide(client, order, "ask_changes")) == ["buy 2 SPY waits for tom: changes are requested."]
    assert "/decide/ask_changes/" not in page(client, order)


def test_nobody_requests_changes_of_their_own_order(reviewer: User) -> None:
    order = order_of(reviewer)
    (message,) = told(decide(as_user(reviewer), order, "ask_changes"))
    assert message == "Refused: rita staged this order: somebody else must decide."
    assert reloaded(order).changes_asked_at is None


def test_its_trader_answers_and_it_is_back_in_the_review(trader: User, reviewer: User) -> None:
    order, client = asked(trader, reviewer), as_user(trader)
    assert "Answer and send back to review" in page(client, order)
    assert "Answer and send back" not in page(as_user(reviewer), order)
    assert told(decide(client, order, "answer", "")) == ["Your answer is required."]
    decide(client, order, "answer", "The desk agreed to two.")
    order = reloaded(order)
    assert (order.status, order.changes_asked_at) == ("pending_review", None)
    assert order.events.last().reason == "The desk agreed to two."
    assert listed(as_user(reviewer)) == [order]


@pytest.mark.parametrize("group", ["reviewer", "operator", "auditor", "trader"])
def test_nobody_else_can_answer_for_the_trader(trader: User, reviewer: User, group: str) -> None:
    order = asked(trader, reviewer)
    decide(as_user(person("somebody", group)), order, "answer", "Fine.")
    # Whoever reviews looks again under a name of its own; this door is the trader's.
    assert reloaded(order).changes_asked_at is not None


# ---- judging again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_who_may_review_and_who_staged_it_has_it_judged_again(trader: User, group: str) -> None:
    order = order_of(trader)
    equity("1000", at=timezone.now())
    client = as_user(person("somebody", group))
    may = group in ("reviewer", "risk officer")
    assert ("/decide/rejudge/" in page(client, order)) == may
    decide(client, order, "rejudge")
    assert reloaded(order).status == (OrderStatus.BLOCKED if may else OrderStatus.PENDING_REVIEW)


def test_its_own_trader_has_an_order_judged_again(trader: User) -> None:
    order = order_of(trader)
    decide(as_user(trader), order, "rejudge")
    assert reloaded(order).events.last().kind == "rejudged"


# ---- overrides -------------------------------------------------------------------------------------------------------


def override(client: Client, order: StagedOrder, code: str = "MAX_TRADE_RISK", **data: str) -> Any:
    values = {"seen_events": str(order.event_count), "code": code, "hours": "1", "reason": "Agreed.", **data}
    return client.post(f"{LIST}{order.pk}/override/", values)


def test_the_risk_officer_overrides_a_blocking_rule_for_a_while(trader: User, officer: User) -> None:
    order, client = blocked(trader), as_user(officer)
    shown = page(client, order)
    assert "Override a rule" in shown
    assert '<option value="MAX_TRADE_RISK">MAX_TRADE_RISK: worst-case loss of the order</option>' in shown
    for code in ("MAX_TRADE_RISK", *(each for each, word in order.violation_codes if word == "block")):
        if code in reloaded(order).violations and reloaded(order).status == "blocked":
            override(client, reloaded(order), code, hours="4")
    given = RuleOverride.objects.filter(code="MAX_TRADE_RISK").get()
    assert (given.given_by, given.reason) == (officer, "Agreed.")
    assert given.expires_at - given.given_at == timedelta(hours=4)
    assert reloaded(order).status == OrderStatus.PENDING_REVIEW


@pytest.mark.parametrize("group", ["reviewer", "trader", "operator", "auditor"])
def test_nobody_else_overrides_a_rule(trader: User, group: str) -> None:
    order, client = blocked(trader), as_user(person("somebody", group))
    assert "Override a rule" not in page(client, order)
    (message,) = told(override(client, order))
    assert "the permission orders.override_stagedorder is missing" in message
    assert not RuleOverride.objects.exists()


def test_nobody_overrides_a_rule_for_their_own_order() -> None:
    both = person("boss", "risk officer", "trader")
    order, client = blocked(both), as_user(both)
    assert "Override a rule" not in page(client, order)
    assert told(override(client, order)) == ["Refused: boss staged this order: somebody else must decide."]


def test_an_override_for_longer_than_a_day_or_of_another_rule_is_refused_on_the_field(
    trader: User, officer: User
) -> None:
    order, client = blocked(trader), as_user(officer)
    assert "hours" in override(client, order, hours="25").context["override_form"].errors
    assert "code" in override(client, order, code="KILL_SWITCH").context["override_form"].errors
    assert "reason" in override(client, order, reason=" ").context["override_form"].errors
    assert not RuleOverride.objects.exists()


def test_a_rule_that_nobody_may_set_aside_is_not_offered(trader: User, officer: User) -> None:
    trading_state.change(TradingState.HALTED, actor=officer, now=timezone.now(), reason="The feed is late.")
    order = order_of(trader)
    assert order.violations.startswith("KILL_SWITCH:block")
    assert "Override a rule" not in page(as_user(officer), order)
    assert told(override(as_user(officer), order, code="KILL_SWITCH")) == ["Refused: Nobody may override KILL_SWITCH."]


def test_an_override_of_what_has_moved_on_names_who_moved_it(trader: User, officer: User) -> None:
    order = blocked(trader)
    workflow.rejudge(order.pk, actor=trader, now=timezone.now())
    (message,) = told(override(as_user(officer), order))
    assert message.startswith("Refused: tom had it judged again")
    assert message.endswith("while your page was open. Nothing was changed: look again.")


# ---- replacements ----------------------------------------------------------------------------------------------------


def replacement(order: StagedOrder, **changes: str) -> dict[str, str]:
    return {
        "symbol": "SPY",
        "side": "buy",
        "order_type": "limit",
        "quantity": "1",
        "price": "400.50",
        "time_in_force": "day",
        "strategy": "momentum",
        "client_order_id": f"desk-{uuid4().hex}",
        "replaces": str(order.pk),
        "replaced_events": str(order.event_count),
        **changes,
    }


def test_a_replacement_begins_as_the_old_order_and_withdraws_it(trader: User, reviewer: User) -> None:
    order, client = asked(trader, reviewer), as_user(trader)
    assert f"add/?replaces={order.pk}" in page(client, order)
    form = client.get(f"{LIST}add/?replaces={order.pk}").context["form"]
    assert (form.initial["symbol"], form.initial["quantity"], form.initial["price"]) == ("SPY", "2", "400.5")
    response = client.post(f"{LIST}add/", replacement(order))
    new = StagedOrder.objects.get(replaces=order)
    assert response["Location"] == f"{LIST}{new.pk}/change/"
    assert (reloaded(order).status, new.status, new.quantity) == ("cancelled", "pending_review", 1)


def test_a_replacement_of_what_has_moved_on_stages_and_withdraws_nothing(trader: User, reviewer: User) -> None:
    order, client = order_of(trader), as_user(trader)
    workflow.approve(order.pk, actor=reviewer, now=timezone.now())
    response = client.post(f"{LIST}add/", replacement(order))
    (message,) = response.context["form"].non_field_errors()
    assert message.startswith("rita approved it")
    assert StagedOrder.objects.count() == 1
    assert reloaded(order).status == OrderStatus.APPROVED


@pytest.mark.parametrize("group", ["reviewer", "auditor", "trader"])
def test_an_order_is_replaced_only_by_those_who_may_stage_and_withdraw_it(trader: User, group: str) -> None:
    order, client = order_of(trader), as_user(person("somebody", group))
    may = group == "trader"
    assert ("?replaces=" in page(client, order)) == may
    assert client.get(f"{LIST}add/?replaces={order.pk}").status_code == (200 if may else 403)
    client.post(f"{LIST}add/", replacement(order))
    assert StagedOrder.objects.count() == 1 + may


def test_what_is_at_the_broker_and_what_has_legs_is_not_replaced_by_the_form(trader: User, reviewer: User) -> None:
    client = as_user(trader)
    sent = submitted(trader, reviewer)
    condor = workflow.stage(iron_condor(), created_by=trader, now=timezone.now())
    assert "replace" not in page(client, sent).lower().partition("history")[0]
    assert "To replace a combination, cancel it" in page(client, condor)
    for order in (sent, condor):
        assert client.get(f"{LIST}add/?replaces={order.pk}").status_code == 404
    assert client.get(f"{LIST}add/?replaces=x").status_code == 404


def test_a_replacement_that_does_not_say_what_it_saw_is_refused(trader: User) -> None:
    order = order_of(trader)
    response = as_user(trader).post(f"{LIST}add/", replacement(order, replaced_events=""))
    assert response.context["form"].non_field_errors() == [
        "What you replace is not known: open the order and replace it there."
    ]


# ---- fills put right and taken back ----------------------------------------------------------------------------------


def filled(trader: User, reviewer: User) -> tuple[StagedOrder, ExecutedOrder]:
    order, now = submitted(trader, reviewer), timezone.now()
    fill = Fill(execution_id="X-1", price=Decimal("400.4"), quantity=Decimal(1), executed_at=now)
    return order, workflow.record_execution(order.pk, fill, actor=trader, now=now)


def correction(**changes: str) -> dict[str, str]:
    now = f"{timezone.now():%Y-%m-%dT%H:%M:%S}"
    values = {"execution_id": "X-1c", "price": "400.6", "quantity": "1", "executed_at": now}
    return {**values, "reason": "Price put right.", **changes}


def test_a_fill_is_put_right_and_the_old_row_stays(trader: User, reviewer: User) -> None:
    order, old = filled(trader, reviewer)
    client, url = as_user(trader), f"{LIST}{order.pk}/fill/{old.pk}/"
    assert url in page(client, order)
    assert client.get(url).context["correction"].initial["price"] == "400.4"
    assert told(client.post(url, correction())) == ["Fill X-1 is put right by X-1c."]
    assert reloaded(order).average_fill_price == Decimal("400.6")
    assert ExecutedOrder.objects.filter(pk=old.pk, execution_price=Decimal("400.4")).exists()
    # It was set aside: nothing is left to put right.
    assert client.get(url).status_code == 404


def test_a_fill_is_taken_back(trader: User, reviewer: User) -> None:
    order, old = filled(trader, reviewer)
    url = f"{LIST}{order.pk}/fill/{old.pk}/"
    assert "bust_id" in as_user(trader).post(url, {"bust_id": "", "reason": "x"}).context["bust"].errors
    response = as_user(trader).post(url, {"bust_id": "X-1b", "reason": "Clearly erroneous."})
    assert told(response) == ["Fill X-1 is taken back."]
    assert (reloaded(order).filled_quantity, Position.objects.get().quantity) == (0, 0)


def test_a_correction_that_the_workflow_refuses_is_told_on_the_form(trader: User, reviewer: User) -> None:
    order, old = filled(trader, reviewer)
    response = as_user(trader).post(f"{LIST}{order.pk}/fill/{old.pk}/", correction(execution_id="X-1"))
    assert response.context["correction"].errors["execution_id"] == [
        "execution_id='X-1' was booked before; nothing was changed."
    ]
    assert ExecutedOrder.objects.count() == 1


@pytest.mark.parametrize("group", ["reviewer", "operator", "auditor", "risk officer"])
def test_nobody_else_corrects_a_fill(trader: User, reviewer: User, group: str) -> None:
    order, old = filled(trader, reviewer)
    client, url = as_user(person("somebody", group)), f"{LIST}{order.pk}/fill/{old.pk}/"
    assert url not in page(client, order)
    assert client.get(url).status_code == client.post(url, correction()).status_code == 404
    assert as_user(trader).get(f"{LIST}{uuid4()}/fill/{old.pk}/").status_code == 404
    assert ExecutedOrder.objects.count() == 1


# ---- several orders at once ------------------------------------------------------------------------------------------


def test_many_approvals_take_few_statements(trader: User, reviewer: User) -> None:
    orders = [order_of(trader) for _ in range(20)]
    seen = [f"{order.pk}:{order.event_count}" for order in orders]
    client = as_user(reviewer)
    client.get(LIST)
    with CaptureQueriesContext(connection) as captured:
        response = client.post(f"{LIST}decide/approve/", {"order": seen, "text": ""})
    assert told(response) == ["20 orders approved."]
    # SQLite has no statement that writes an order with all that goes with it.
    assert len(captured) <= (30 if connection.vendor == "postgresql" else 30 + 20 * 8)


def test_what_moved_on_is_refused_by_name_and_does_not_hold_the_others_up(trader: User, reviewer: User) -> None:
    stale, good = order_of(trader), order_of(trader)
    workflow.rejudge(stale.pk, actor=trader, now=timezone.now())
    seen = [f"{stale.pk}:1", f"{good.pk}:1"]
    response = as_user(reviewer).post(f"{LIST}decide/reject/", {"order": seen, "text": "No."})
    refused, done = told(response)
    assert refused.startswith(f"buy 2 SPY [{stale.client_order_id}]: tom had it judged again")
    assert done == "1 order rejected."
    assert (reloaded(stale).status, reloaded(good).status) == ("pending_review", "rejected")


def test_only_some_decisions_are_made_for_many(trader: User, reviewer: User) -> None:
    order = order_of(trader)
    for name in ("ask_changes", "rejudge", "answer", "submit"):
        seen = {"order": [f"{order.pk}:1"], "text": "x"}
        assert as_user(reviewer).post(f"{LIST}decide/{name}/", seen).status_code == 404
