"""The review desk: who may do what, what pages show, and that nothing on them runs."""

from __future__ import annotations

import hashlib
import html
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
from django.urls import reverse
from django.utils import timezone

from emo_site.db import estimates, selective
from emo_site.db.distinct import distinct_values
from emo_site.db.prefix import beginning_with
from monitoring.choices import EventType
from monitoring.events import Event, record
from monitoring.models import MarketEvent, SystemHealth
from orders import queue_admin, workflow
from orders.choices import EventKind, OrderStatus
from orders.fill import Fill
from orders.models import ExecutedOrder, OrderEvent, OrderLeg, PolicyVersion, StagedOrder
from reporting.models import StrategyPerformance
from tests.factories import equity, iron_condor, person, staged, ticket

pytestmark = pytest.mark.django_db

LIST = "/admin/orders/stagedorder/"
EVIL = "<script>alert('x\")</script>"


@pytest.fixture(autouse=True)
def account() -> None:
    equity(at=timezone.now() - timedelta(hours=1))


@pytest.fixture
def trader() -> User:
    return person("tom", "trader")


@pytest.fixture
def reviewer() -> User:
    return person("rita", "reviewer")


def order_of(user: User, **changes: Any) -> StagedOrder:
    return staged(user, now=timezone.now() - timedelta(minutes=1), **changes)


def as_user(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def decide(client: Client, order: StagedOrder, name: str, **data: str) -> Any:
    """`order` as the person saw it: what happened to it since is not in its event_count."""
    data = {"seen_events": str(order.event_count), **data}
    return client.post(reverse("admin:orders_stagedorder_decide", args=[order.pk, name]), data)


def page_of(order: StagedOrder) -> str:
    return f"{LIST}{order.pk}/change/"


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def status_of(order: StagedOrder) -> str:
    return StagedOrder.objects.get(pk=order.pk).status


def approved(trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    return workflow.approve(order_of(trader, **changes).pk, actor=reviewer, now=timezone.now())


def submitted(trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    return workflow.submit(approved(trader, reviewer, **changes).pk, actor=trader, now=timezone.now())


# ---- who may ---------------------------------------------------------------------------------------------------------

MAY = {
    "reviewer": {"approve", "reject", "cancel"},
    "trader": {"submit", "broker_reject", "cancel", "fill", "add"},
    "operator": {"cancel"},
    "auditor": set(),
}
DONE = {
    "approve": OrderStatus.APPROVED,
    "reject": OrderStatus.REJECTED,
    "cancel": OrderStatus.CANCELLED,
    "submit": OrderStatus.SUBMITTED,
    "broker_reject": OrderStatus.BROKER_REJECTED,
}


@pytest.mark.parametrize("name", DONE)
@pytest.mark.parametrize("group", MAY)
def test_each_group_can_do_exactly_what_its_permissions_say(
    trader: User, reviewer: User, group: str, name: str
) -> None:
    stage = {"submit": approved, "broker_reject": submitted}.get(name)
    order = stage(trader, reviewer) if stage else order_of(trader)
    decide(as_user(person("somebody", group)), order, name, text="because")
    assert status_of(order) == (DONE[name] if name in MAY[group] else order.status)


@pytest.mark.parametrize("group", MAY)
def test_only_a_trader_records_fills_and_stages_orders(trader: User, reviewer: User, group: str) -> None:
    client = as_user(person("somebody", group))
    order = submitted(trader, reviewer)
    client.post(f"{LIST}{order.pk}/fill/", fill_data())
    assert order.executions.count() == ("fill" in MAY[group])
    response = client.post(f"{LIST}add/", ticket_data())
    assert response.status_code == (302 if "add" in MAY[group] else 403)
    assert StagedOrder.objects.count() == 1 + ("add" in MAY[group])


@pytest.mark.parametrize("name", DONE)
def test_nobody_without_a_group_reaches_an_order(trader: User, name: str) -> None:
    order = order_of(trader)
    stranger = as_user(person("stranger"))
    assert decide(stranger, order, name, text="x").status_code == 403
    for url in (LIST, page_of(order), f"{LIST}add/"):
        assert stranger.get(url).status_code == 403
    assert stranger.post(f"{LIST}{order.pk}/fill/", fill_data()).status_code == 403
    assert stranger.post(f"{LIST}decide/cancel/", {"order": [order.pk]}).status_code == 403
    assert status_of(order) == OrderStatus.PENDING_REVIEW


@pytest.mark.parametrize("name", DONE)
def test_anonymous_people_are_sent_to_the_login(client: Client, trader: User, name: str) -> None:
    order = order_of(trader)
    response = decide(client, order, name, text="x")
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")
    assert status_of(order) == OrderStatus.PENDING_REVIEW


@pytest.mark.parametrize("name", ["approve", "reject"])
def test_a_superuser_cannot_review_their_own_order_and_sees_why(name: str) -> None:
    root = User.objects.create_superuser("root", password="x")
    order = order_of(root)
    client = as_user(root)
    response = decide(client, order, name, text="fine by me")
    assert told(response) == ["Refused: root staged this order: somebody else must decide."]
    assert status_of(order) == OrderStatus.PENDING_REVIEW
    shown = client.get(page_of(order)).content.decode()
    assert "Approve, Reject, Request changes: root staged this order: somebody else must decide." in shown
    assert f"/decide/{name}/" not in shown
    assert "/decide/cancel/" in shown


def test_a_creator_may_cancel_their_own_order_without_the_permission() -> None:
    auditor = person("ada", "auditor")
    order = order_of(auditor)
    assert "/decide/cancel/" in as_user(auditor).get(page_of(order)).content.decode()
    decide(as_user(auditor), order, "cancel")
    assert status_of(order) == OrderStatus.CANCELLED


def test_decisions_need_a_post_and_a_csrf_token(trader: User, reviewer: User) -> None:
    order = order_of(trader)
    assert as_user(reviewer).get(f"{LIST}{order.pk}/decide/approve/").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(reviewer)
    assert decide(strict, order, "approve").status_code == 403
    assert status_of(order) == OrderStatus.PENDING_REVIEW


def test_an_unknown_decision_or_order_is_not_found(trader: User, reviewer: User) -> None:
    order = order_of(trader)
    client = as_user(reviewer)
    assert decide(client, order, "delete").status_code == 404
    assert client.post(f"{LIST}decide/submit/", {"order": [order.pk]}).status_code == 404
    assert client.get(f"{LIST}{uuid4()}/change/").status_code == 404
    assert client.get(f"{LIST}no-id/change/").status_code == 404


# ---- one order -------------------------------------------------------------------------------------------------------


def test_an_approval_says_so_and_keeps_the_note(trader: User, reviewer: User) -> None:
    order = order_of(trader)
    response = decide(as_user(reviewer), order, "approve", text="Inside the limits.")
    assert response["Location"] == page_of(order)
    assert told(response) == ["buy 2 SPY is approved."]
    order.refresh_from_db()
    assert (order.status, order.reviewed_by, order.review_notes) == ("approved", reviewer, "Inside the limits.")


@pytest.mark.parametrize("text", ["", "   "])
def test_a_rejection_without_a_reason_is_refused(trader: User, reviewer: User, text: str) -> None:
    order = order_of(trader)
    assert told(decide(as_user(reviewer), order, "reject", text=text)) == ["Reason to reject is required."]
    assert status_of(order) == OrderStatus.PENDING_REVIEW


def test_somebody_elses_decision_meanwhile_is_shown_not_overwritten(trader: User, reviewer: User) -> None:
    order = order_of(trader)
    rob, before = person("rob", "reviewer"), timezone.now() - timedelta(seconds=12)
    workflow.reject(order.pk, actor=rob, now=before, reason="Earnings.")
    response = decide(as_user(reviewer), order, "approve")
    assert told(response) == [
        "Refused: rob rejected it 12 s ago, while your page was open. Nothing was changed: look again."
    ]
    order.refresh_from_db()
    assert (order.status, order.review_notes) == ("rejected", "Earnings.")


def test_a_decision_on_what_has_moved_on_is_refused_even_where_it_would_be_legal(trader: User, reviewer: User) -> None:
    order, rob, now = order_of(trader), person("rob", "reviewer"), timezone.now()
    workflow.approve(order.pk, actor=rob, now=now - timedelta(seconds=5))
    (message,) = told(decide(as_user(trader), order, "cancel"))
    assert message.startswith("Refused: rob approved it 5 s ago, while your page was open.")
    assert status_of(order) == OrderStatus.APPROVED
    order.refresh_from_db()
    assert told(decide(as_user(trader), order, "cancel")) == ["buy 2 SPY is cancelled."]


def test_each_decision_form_carries_what_its_page_showed(trader: User, reviewer: User) -> None:
    order = approved(trader, reviewer)
    text = as_user(trader).get(page_of(order)).content.decode()
    forms = text.count("/decide/")
    assert forms == text.count('name="seen_events" value="2"') > 0
    listed = choose(as_user(reviewer), "cancel_selected", order_of(trader)).content.decode()
    assert re.search(r'name="order" value="[0-9a-f-]{36}:1"', listed)


def test_a_decision_that_does_not_say_what_it_saw_is_refused(trader: User, reviewer: User) -> None:
    order = order_of(trader)
    (message,) = told(decide(as_user(reviewer), order, "approve", seen_events=""))
    assert message == "What you decided on is not known: open the order and decide there."
    assert status_of(order) == OrderStatus.PENDING_REVIEW


def test_an_order_that_the_rules_block_by_now_is_refused_with_the_rule(trader: User, reviewer: User) -> None:
    order = order_of(trader)
    equity("1000", at=timezone.now())
    (message,) = told(decide(as_user(reviewer), order, "approve"))
    assert message.startswith("Refused: The rules block it now: MAX_TRADE_RISK: Worst-case loss")
    assert status_of(order) == OrderStatus.PENDING_REVIEW


def test_a_policy_that_cannot_be_read_lets_nothing_through(trader: User, reviewer: User) -> None:
    order = order_of(trader)
    text = "policy_version: [never read before]"
    PolicyVersion.objects.update(document=text, checksum=hashlib.sha256(text.encode()).hexdigest())
    (message,) = told(decide(as_user(reviewer), order, "approve"))
    assert message == "Refused: policy 1: line 1, column 17: policy_version=a list: must be a text"
    assert status_of(order) == OrderStatus.PENDING_REVIEW


def test_buttons_follow_status_and_permission(trader: User, reviewer: User) -> None:
    order = approved(trader, reviewer)
    offered = as_user(trader).get(page_of(order)).content.decode()
    assert "/decide/submit/" in offered
    assert "/decide/approve/" not in offered
    assert "/fill/" not in offered
    auditor = as_user(person("ada", "auditor")).get(page_of(order)).content.decode()
    assert "/decide/" not in auditor


def test_the_brokers_acknowledgement_is_recorded_once_by_who_hears_it(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    assert "/decide/acknowledge/" not in as_user(reviewer).get(page_of(order)).content.decode()
    decide(as_user(reviewer), order, "acknowledge", text="B-0")
    client = as_user(trader)
    assert "/decide/acknowledge/" in client.get(page_of(order)).content.decode()
    message = told(decide(client, order, "acknowledge", text=" "))[-1]
    assert message == "The broker's id of the order is required."
    message = told(decide(client, order, "acknowledge", text="B" * 129))[-1]
    assert message.startswith("Refused: broker_order_id=")
    message = told(decide(client, order, "acknowledge", text=" B-1 "))[-1]
    assert message.endswith("is submitted.")
    order.refresh_from_db()
    [event] = order.events.filter(kind=EventKind.ACKNOWLEDGED)
    assert (event.actor, event.seen["broker_order_id"], order.status) == (trader, "B-1", OrderStatus.SUBMITTED)
    page = client.get(page_of(order)).content.decode()
    assert "the broker&#x27;s id is B-1" in page
    assert "/decide/acknowledge/" not in page


def test_the_points_of_each_score_add_up_to_the_shown_total(trader: User) -> None:
    order = order_of(trader, quantity=Decimal(4000))
    page = as_user(trader).get(page_of(order)).context["page"]
    for score, stored in zip(page.scores, (order.risk_score, order.compliance_score), strict=True):
        assert sum(Decimal(rule.points) for rule in score.rules) == Decimal(score.total) == stored
        assert score.doubt == ""


def test_a_stored_score_that_is_not_the_sum_is_called_out(trader: User) -> None:
    order = order_of(trader)
    StagedOrder.objects.filter(pk=order.pk).update(risk_score=1)
    assert b"The order&#x27;s row says 1.0." in as_user(trader).get(page_of(order)).content


def test_the_order_page_shows_legs_history_and_fills(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    fill = Fill(execution_id="X-1", price=Decimal("400.61"), quantity=Decimal(1), executed_at=timezone.now())
    workflow.record_execution(order.pk, fill, actor=trader, now=timezone.now())
    page = as_user(trader).get(page_of(order)).context["page"]
    assert [event.change for event in page.events] == [
        "new → pending review",
        "pending review → approved",
        "approved → submitted",
        "submitted → partially filled",
    ]
    assert page.fills[0].slippage == "+2.75 bps against the limit price 400.5"
    assert page.fills_note == "Filled 1 of 2, average price 400.61, 1 left."
    assert {fact.label: fact.value for fact in page.seen}["Quote"] == "not on record"
    condor = workflow.stage(iron_condor(), created_by=trader, now=timezone.now())
    legs = as_user(trader).get(page_of(condor)).context["page"].legs
    assert [(leg.action, leg.instrument, leg.strike) for leg in legs] == [
        ("buy", "put", "435"),
        ("sell", "put", "440"),
        ("sell", "call", "460"),
        ("buy", "call", "465"),
    ]


def test_nobody_edits_or_deletes_an_order(trader: User) -> None:
    order = order_of(trader)
    client = as_user(User.objects.create_superuser("root", password="x"))
    assert client.post(page_of(order), {"symbol": "QQQ"}).status_code == 405
    assert client.post(f"{LIST}{order.pk}/delete/", {"post": "yes"}).status_code == 403
    response = client.post(LIST, {"action": "delete_selected", "_selected_action": [order.pk], "post": "yes"})
    assert response.status_code == 302
    order.refresh_from_db()
    assert order.symbol == "SPY"
    assert client.get(f"{LIST}{order.pk}/history/")["Location"] == f"{page_of(order)}#history"


# ---- staging and fills -----------------------------------------------------------------------------------------------


def ticket_data(**changes: str) -> dict[str, str]:
    values = {"symbol": "SPY", "side": "buy", "order_type": "limit", "quantity": "2", "price": "400.50"}
    return {
        **values,
        "time_in_force": "day",
        "strategy": "momentum",
        "client_order_id": f"desk-{uuid4().hex}",
        **changes,
    }


def fill_data(**changes: str) -> dict[str, str]:
    now = f"{timezone.now():%Y-%m-%dT%H:%M:%S}"
    return {"execution_id": "X-1", "price": "400.4", "quantity": "1", "executed_at": now, **changes}


def test_an_order_is_staged_through_the_workflow(trader: User) -> None:
    response = as_user(trader).post(f"{LIST}add/", ticket_data(note="from the morning call"))
    order = StagedOrder.objects.get()
    assert response["Location"] == page_of(order)
    assert told(response) == ["buy 2 SPY is staged and pending review."]
    assert (order.created_by, order.source, order.metadata) == (trader, "admin", {"note": "from the morning call"})
    assert order.events.get().kind == "staged"


def test_a_blocked_order_is_staged_with_a_warning(trader: User) -> None:
    response = as_user(trader).post(f"{LIST}add/", ticket_data(quantity="4000"))
    assert told(response) == ["buy 4,000 SPY is staged and blocked."]


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"price": ""}, "price", "a limit order needs it"),
        ({"order_type": "stop", "price": ""}, "stop_price", "a stop order needs it"),
        ({"quantity": "-1"}, "quantity", "must be from 0.00000001 to 10000000000"),
        ({"quantity": "NaN"}, "quantity", "Enter a number."),
        ({"price": "0.0000001"}, "price", "must be from 0.000001 to 10000000000"),
        ({"time_in_force": "gtd"}, "expires_at", "an order good till a date needs the date"),
        ({"symbol": "S" * 33}, "symbol", "Ensure this value has at most 32 characters (it has 33)."),
        ({"side": "as_defined"}, "side", "Select a valid choice. as_defined is not one of the available choices."),
    ],
)
def test_a_wrong_ticket_is_refused_on_the_field(trader: User, changes: dict[str, str], field: str, text: str) -> None:
    response = as_user(trader).post(f"{LIST}add/", ticket_data(**changes))
    assert response.status_code == 200
    assert response.context["form"].errors[field] == [text]
    assert not StagedOrder.objects.exists()


def test_sending_the_form_twice_stages_one_order(trader: User) -> None:
    client, data = as_user(trader), ticket_data()
    client.post(f"{LIST}add/", data)
    response = client.post(f"{LIST}add/", data)
    assert "is taken in dev" in response.context["form"].non_field_errors()[0]
    assert StagedOrder.objects.count() == 1


def test_a_fill_is_booked_and_the_same_one_refused(trader: User, reviewer: User) -> None:
    order, client = submitted(trader, reviewer), as_user(trader)
    url = f"{LIST}{order.pk}/fill/"
    assert told(client.post(url, fill_data())) == ["Fill X-1 is recorded: 1 SPY at 400.4."]
    response = client.post(url, fill_data())
    assert response.context["fill_form"].errors["execution_id"] == [
        "execution_id='X-1' was booked before; nothing was changed."
    ]
    late = f"{timezone.now() + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
    response = client.post(url, fill_data(execution_id="X-2", executed_at=late))
    assert "executed_at" in response.context["fill_form"].errors
    response = client.post(url, fill_data(execution_id="X-2", quantity="0"))
    assert response.context["fill_form"].errors["quantity"] == ["must be from 0.00000001 to 10000000000"]
    assert order.executions.count() == 1


def test_a_fill_of_an_order_that_never_was_at_the_broker_is_refused(trader: User) -> None:
    order = order_of(trader)
    response = as_user(trader).post(f"{LIST}{order.pk}/fill/", fill_data())
    assert response.context["fill_form"].non_field_errors() == ["This pending review order was never at the broker."]


# ---- several orders at once ------------------------------------------------------------------------------------------


def choose(client: Client, action: str, *orders: StagedOrder, **data: Any) -> Any:
    chosen = {"action": action, "_selected_action": [order.pk for order in orders], "index": "0", **data}
    return client.post(f"{LIST}?status=all", chosen)


def chosen(*orders: StagedOrder) -> list[str]:
    """What the confirmation page sends for orders as it showed them."""
    return [f"{order.pk}:{order.event_count}" for order in orders]


def test_the_confirmation_lists_each_order_and_what_will_be_refused(trader: User, reviewer: User) -> None:
    good, gone, own = order_of(trader), order_of(trader, quantity=Decimal(1)), order_of(reviewer)
    workflow.cancel(gone.pk, actor=trader, now=timezone.now())
    response = choose(as_user(reviewer), "approve_selected", good, gone, own)
    assert response.context["title"] == "Approve 3 orders?"
    assert {row.id: row.objection for row in response.context["rows"]} == {
        good.pk: "",
        gone.pk: "This cancelled order can't become approved.",
        own.pk: "rita staged this order: somebody else must decide.",
    }
    assert "2 orders will be refused" in response.content.decode()
    assert status_of(good) == OrderStatus.PENDING_REVIEW


def test_bulk_decisions_report_each_refusal_by_order(trader: User, reviewer: User) -> None:
    good, gone, own = order_of(trader), order_of(trader, quantity=Decimal(1)), order_of(reviewer)
    workflow.cancel(gone.pk, actor=trader, now=timezone.now())
    response = as_user(reviewer).post(f"{LIST}decide/approve/", {"order": chosen(good, gone, own), "text": ""})
    assert sorted(told(response)) == sorted(
        [
            f"buy 1 SPY [{gone.client_order_id}]: tom cancelled it 0 s ago, while your page was open."
            " Nothing was changed: look again.",
            f"buy 2 SPY [{own.client_order_id}]: rita staged this order: somebody else must decide.",
            "1 order approved.",
        ]
    )
    assert [status_of(order) for order in (good, gone, own)] == ["approved", "cancelled", "pending_review"]


def test_a_bulk_rejection_needs_its_reason(trader: User, reviewer: User) -> None:
    orders, client = [order_of(trader), order_of(trader)], as_user(reviewer)
    data = {"order": chosen(*orders)}
    response = client.post(f"{LIST}decide/reject/", {**data, "text": " "})
    assert response.context["form"].errors["text"] == ["Reason to reject is required."]
    assert len(response.context["rows"]) == 2
    assert told(client.post(f"{LIST}decide/reject/", {**data, "text": "Earnings."})) == ["2 orders rejected."]


def test_an_order_that_is_not_there_is_named(reviewer: User) -> None:
    unknown = uuid4()
    response = as_user(reviewer).post(f"{LIST}decide/cancel/", {"order": [f"{unknown}:1"]})
    assert told(response) == [f"{unknown}: There is no order {unknown}."]
    assert as_user(reviewer).post(f"{LIST}decide/cancel/", {"order": ["x:1"]}).status_code == 400
    assert as_user(reviewer).post(f"{LIST}decide/cancel/", {"order": [unknown]}).status_code == 400


def test_too_many_orders_at_once_are_refused(trader: User, reviewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_admin, "MAX_BULK", 1)
    orders = [order_of(trader), order_of(trader)]
    expected = ["More than 1 orders are selected: nothing was changed. Choose 1 or fewer at a time."]
    assert told(choose(as_user(reviewer), "approve_selected", orders[0], select_across="1")) == expected
    assert told(as_user(reviewer).post(f"{LIST}decide/approve/", {"order": chosen(*orders)})) == expected


@pytest.mark.parametrize("action", ["approve_selected", "reject_selected"])
def test_actions_are_offered_to_whom_they_are_permitted(trader: User, action: str) -> None:
    order, client = order_of(trader), as_user(trader)
    shown = client.get(LIST).content.decode()
    assert "cancel_selected" in shown
    assert action not in shown
    response = choose(client, action, order)
    assert "rows" not in (response.context or {})


# ---- the list --------------------------------------------------------------------------------------------------------


def listed(client: Client, query: str = "") -> list[StagedOrder]:
    return list(client.get(LIST + query).context["cl"].result_list)


def test_the_list_opens_on_what_needs_a_review_oldest_first(trader: User, reviewer: User) -> None:
    now = timezone.now()
    old, new = staged(trader, now=now - timedelta(minutes=50)), staged(trader, now=now)
    done = approved(trader, reviewer)
    client = as_user(reviewer)
    assert listed(client) == [old, new]
    assert listed(client, "?status=approved") == [done]
    assert listed(client, "?status=open") == listed(client, "?status=all") == [new, done, old]
    assert '<time datetime="' in client.get(LIST).content.decode()


def test_the_search_finds_what_it_promises_in_every_status(trader: User, reviewer: User) -> None:
    option = "SPY   301219P00440000"
    spy, qqq = order_of(trader, source_file="a.json"), order_of(trader, symbol="QQQ", strategy="carry")
    contract = order_of(trader, symbol=option, price=Decimal("1.5"), quantity=Decimal(1))
    workflow.cancel(spy.pk, actor=trader, now=timezone.now())
    client = as_user(reviewer)
    for text, found in {
        "spy": {spy, contract},
        "SPY   30": {contract},
        "car": {qqq},
        "a.json": {spy},
        "a.jso": set(),
        qqq.client_order_id: {qqq},
        str(qqq.pk): {qqq},
        "nothing": set(),
        "100%": set(),
    }.items():
        response = client.get(LIST, {"q": text})
        assert set(response.context["cl"].result_list) == found, text


def test_the_filters_know_the_values_on_record(trader: User) -> None:
    first, second = order_of(trader), order_of(trader, strategy="carry", source="bot")
    client = as_user(trader)
    assert listed(client, "?status=open&strategy=carry") == [second]
    assert listed(client, "?status=all&source=test") == [first]
    assert "By environment" not in client.get(LIST).content.decode()
    assert distinct_values(StagedOrder, "strategy", using="default") == ["carry", "momentum"]


def test_broad_filters_walk_the_list_and_find_the_same(
    trader: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selective, "MANY", 1)
    monkeypatch.setattr(estimates, "EXACT_UP_TO", 2)
    orders = [order_of(trader), order_of(trader), order_of(trader, symbol="SPX"), approved(trader, reviewer)]
    client = as_user(reviewer)
    assert set(listed(client, "?status=open&strategy=momentum")) == set(orders)
    assert set(listed(client, "?q=SP")) == set(orders)
    assert listed(client, "?q=SPX") == [orders[2]]
    assert "more than 2 orders" in " ".join(client.get(LIST).content.decode().split())


def test_dates_lead_to_the_orders_of_a_year_month_and_day(trader: User) -> None:
    order = order_of(trader)
    at = order.created_at
    client = as_user(trader)
    day = f"?status=all&created_at__year={at.year}&created_at__month={at.month}&created_at__day={at.day}"
    assert listed(client, day) == [order]
    assert listed(client, f"?status=all&created_at__year={at.year - 1}") == []
    steps = client.get(LIST + f"?created_at__year={at.year}&created_at__month={at.month}").context["cl"].date_steps()
    assert [step.label for step in steps][:2] == ["All dates", str(at.year)]
    assert f"{at:%Y-%m-%d}" in [step.label for step in steps]


def test_prefix_ranges_hold_for_awkward_ends() -> None:
    assert str(beginning_with("symbol", "SPY")).count("SPZ") == 1
    assert "JB" in str(beginning_with("symbol", "JAZZ"))
    assert "__lt" not in str(beginning_with("symbol", "ZZ"))
    assert "iroo" in str(beginning_with("strategy", "iron_"))


@pytest.mark.parametrize("url", [LIST, f"{LIST}?status=all", "/admin/orders/orderevent/", "/admin/orders/orderleg/"])
def test_lists_ask_as_many_queries_for_thirty_rows_as_for_one(trader: User, reviewer: User, url: str) -> None:
    client = as_user(reviewer)

    def staged_condor(number: int) -> StagedOrder:
        return workflow.stage(
            iron_condor(strategy="", client_order_id=f"c-{number}"), created_by=trader, now=timezone.now()
        )

    order_of(trader)
    staged_condor(0)
    client.get(url)
    before = _queries(client, url)
    for number in range(1, 30):
        order_of(trader, quantity=Decimal(1))
        staged_condor(number)
    assert _queries(client, url) == before <= 19


def test_the_order_page_asks_as_many_queries_for_thirty_fills_as_for_one(trader: User, reviewer: User) -> None:
    order, client = submitted(trader, reviewer, quantity=Decimal(4)), as_user(reviewer)
    url = page_of(order)

    def book(number: int) -> None:
        fill = Fill(execution_id=f"X-{number}", price=Decimal(400), quantity=Decimal("0.1"), executed_at=timezone.now())
        workflow.record_execution(order.pk, fill, actor=trader, now=timezone.now())

    book(0)
    before = _queries(client, url)
    for number in range(1, 30):
        book(number)
    assert len(client.get(url).context["page"].fills) == 30
    # Seventeen that read, and what is written about who looked (on a server, without a wait for standbys).
    assert _queries(client, url) == before <= 17 + (1 if connection.vendor == "sqlite" else 2)


def _queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


# ---- harmless texts --------------------------------------------------------------------------------------------------


def _harmless(text: str) -> None:
    assert "<script>alert" not in text
    assert html.escape(EVIL) in text


def test_texts_come_out_harmless_on_every_page(trader: User, reviewer: User) -> None:
    evil = ticket(symbol=EVIL[:32], strategy=EVIL, source=EVIL, source_file=EVIL, metadata={"note": EVIL, EVIL: EVIL})
    order = workflow.stage(evil, created_by=trader, now=timezone.now())
    client = as_user(reviewer)
    for url in (LIST, f"{LIST}?q={EVIL}", f"{LIST}?strategy={EVIL}", page_of(order)):
        response = client.get(url)
        assert response.status_code == 200
        _harmless(response.content.decode())
    _harmless(choose(client, "approve_selected", order).content.decode())
    followed = client.post(f"{LIST}decide/reject/", {"order": chosen(order, order), "text": EVIL}, follow=True)
    assert "<script>alert" not in followed.content.decode()
    _harmless(client.get(page_of(order)).content.decode())
    for url in ("/admin/orders/orderevent/", f"/admin/orders/orderevent/{order.events.last().pk}/change/"):
        _harmless(client.get(url).content.decode())


def test_messages_and_forms_escape_what_was_typed(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer, symbol=EVIL[:32])
    client = as_user(trader)
    response = client.post(f"{LIST}{order.pk}/fill/", fill_data(execution_id=EVIL, venue=EVIL), follow=True)
    _harmless(response.content.decode())
    _harmless(client.post(f"{LIST}{order.pk}/fill/", fill_data(execution_id=EVIL)).content.decode())
    _harmless(client.post(f"{LIST}add/", ticket_data(symbol=EVIL, price="", note=EVIL)).content.decode())


def test_no_page_carries_inline_style_or_script(trader: User, reviewer: User) -> None:
    order, client = order_of(trader), as_user(reviewer)
    pages = [client.get(url) for url in ("/admin/", LIST, page_of(order), "/admin/orders/orderevent/")]
    for response in [*pages, choose(client, "reject_selected", order), as_user(trader).get(f"{LIST}add/")]:
        text = response.content.decode()
        assert " style=" not in text
        assert "<style" not in text
        assert "<script>" not in text
        assert " onclick=" not in text


# ---- records that nobody edits ---------------------------------------------------------------------------------------


def _records(trader: User, reviewer: User) -> dict[str, Any]:
    now = timezone.now()
    order = submitted(trader, reviewer)
    fill = Fill(execution_id="X-1", price=Decimal(400), quantity=Decimal(1), executed_at=now)
    execution = workflow.record_execution(order.pk, fill, actor=trader, now=now)
    workflow.stage(iron_condor(), created_by=trader, now=now)
    record([Event(symbol="SPY", event_type=EventType.TRADE, timestamp=now, price=Decimal(400), source="test")])
    health = SystemHealth.objects.create(component_name="disk", health_score=100, status="healthy", timestamp=now)
    performance = StrategyPerformance.objects.create(
        strategy_name="momentum",
        period="day",
        period_start=now - timedelta(days=1),
        period_end=now,
        total_return=0.01,
    )
    return {
        "orders/orderevent": OrderEvent.objects.filter(order=order).first(),
        "orders/executedorder": execution,
        "orders/orderleg": OrderLeg.objects.first(),
        "monitoring/marketevent": MarketEvent.objects.get(symbol="SPY"),
        "monitoring/systemhealth": health,
        "reporting/strategyperformance": performance,
    }


def test_nobody_adds_changes_or_deletes_a_record(trader: User, reviewer: User) -> None:
    records = _records(trader, reviewer)
    root = as_user(User.objects.create_superuser("root", password="x"))
    for name, row in records.items():
        base = f"/admin/{name}/"
        assert root.get(base).status_code == 200, name
        shown = root.get(f"{base}{row.pk}/change/")
        assert shown.status_code == 200, name
        assert 'name="_save"' not in shown.content.decode()
        assert root.get(f"{base}add/").status_code == 403
        assert root.post(f"{base}{row.pk}/change/", {}).status_code == 403
        assert root.post(f"{base}{row.pk}/delete/", {"post": "yes"}).status_code == 403
        chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        root.post(base, chosen)
        assert type(row).objects.filter(pk=row.pk).exists(), name


@pytest.mark.parametrize("group", MAY)
def test_every_group_reads_the_records_and_a_stranger_does_not(trader: User, reviewer: User, group: str) -> None:
    records = _records(trader, reviewer)
    member, stranger = as_user(person("member", group)), as_user(person("stranger"))
    for name, row in records.items():
        assert member.get(f"/admin/{name}/{row.pk}/change/").status_code == 200, name
        assert stranger.get(f"/admin/{name}/").status_code == 403, name


def test_a_market_event_is_looked_up_with_its_time(trader: User, reviewer: User) -> None:
    row = _records(trader, reviewer)["monitoring/marketevent"]
    client = as_user(reviewer)
    with CaptureQueriesContext(connection) as captured:
        client.get(f"/admin/monitoring/marketevent/{row.pk}/change/")
    (asked,) = [query["sql"] for query in captured if '"market_events"."id" =' in query["sql"]]
    assert '"market_events"."timestamp" =' in asked
    for wrong in ("no-id", uuid4()):
        assert client.get(f"/admin/monitoring/marketevent/{wrong}/change/").status_code == 302


def test_records_are_found_by_order_symbol_and_time(trader: User, reviewer: User) -> None:
    _records(trader, reviewer)
    order = ExecutedOrder.objects.get().staged_order
    client = as_user(reviewer)
    for url, expected in {
        f"orders/orderevent/?q={order.pk}": 4,
        "orders/orderevent/?q=x": 0,
        f"orders/executedorder/?q={order.pk}": 1,
        "orders/executedorder/?q=X-1": 1,
        "orders/executedorder/?q=X": 0,
        "monitoring/marketevent/?q=spy": 1,
        "monitoring/marketevent/?within=1h": 1,
        "monitoring/systemhealth/?component_name=disk": 1,
    }.items():
        assert len(client.get(f"/admin/{url}").context["cl"].result_list) == expected, url


def test_the_frame_names_the_desk_and_leads_to_the_reports(trader: User) -> None:
    text = as_user(trader).get("/admin/").content.decode()
    for wanted in ('<span class="badge tone-muted">dev</span>', "/reports/orders/", "/reports/institutional/", LIST):
        assert wanted in text
    assert "Demo data." not in text
    order_of(trader, source="demo")
    assert "Demo data." in as_user(trader).get("/admin/").content.decode()


def test_a_big_table_is_about_as_big_as_the_database_remembers(trader: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "EXACT_UP_TO", 2)
    for _ in range(4):
        order_of(trader)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE staged_orders")
    assert "about 4 orders" in " ".join(as_user(trader).get(LIST + "?status=all").content.decode().split())


@pytest.mark.postgresql
def test_the_rows_of_a_hypertable_are_counted_in_its_chunks() -> None:
    now = timezone.now()
    events = [
        Event(symbol="SPY", event_type=EventType.TRADE, timestamp=now - timedelta(days=10 * number), price=Decimal(1))
        for number in range(5)
    ]
    record(events)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE market_events")
    assert estimates.rows_about(MarketEvent, using="default") == MarketEvent.objects.count()


def test_a_table_that_the_database_never_looked_at_is_counted(trader: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "rows_about", lambda *_, **__: None)
    order_of(trader)
    assert as_user(trader).get(LIST + "?status=all").context["cl"].paginator.count_text == "1"


@pytest.mark.parametrize(
    "query", ["created_at__year=9999", "created_at__year=x", "created_at__month=13", "created_at__day=0"]
)
def test_a_date_that_is_not_of_the_calendar_is_turned_away(trader: User, query: str) -> None:
    order_of(trader)
    response = as_user(trader).get(f"{LIST}?{query}")
    assert response.status_code == 302
    assert response["Location"] == f"{LIST}?e=1"


def test_a_fill_is_offered_only_where_the_order_was_at_the_broker(trader: User) -> None:
    order = order_of(trader)
    workflow.cancel(order.pk, actor=trader, now=timezone.now())
    assert (
        "Execution id"
        not in as_user(trader).get(reverse("admin:orders_stagedorder_change", args=[order.pk])).content.decode()
    )
