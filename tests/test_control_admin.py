"""Trading state, positions, unmatched fills and overrides in the admin: who may, what is shown, on every page."""

from __future__ import annotations

from datetime import date, timedelta
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

from orders import kill_switch, position_groups, trading_state, unmatched, workflow
from orders.choices import TradingState
from orders.fill import Fill
from orders.models import ExecutedOrder, Position, StagedOrder, TradingStateChange, UnmatchedFill
from tests.factories import equity, person, staged

pytestmark = pytest.mark.django_db

STATES = "/admin/orders/tradingstatechange/"
FILLS = "/admin/orders/unmatchedfill/"
POSITIONS = "/admin/orders/position/"
OVERRIDES = "/admin/orders/ruleoverride/"
QUEUE = "/admin/orders/stagedorder/"
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


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def order_of(user: User, **changes: Any) -> StagedOrder:
    return staged(user, now=timezone.now() - timedelta(minutes=1), **changes)


def submitted(trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    order = workflow.approve(order_of(trader, **changes).pk, actor=reviewer, now=timezone.now())
    return workflow.submit(order.pk, actor=trader, now=timezone.now())


def declare(client: Client, to: str, **data: str) -> Any:
    number = str(trading_state.current().number)
    return client.post(
        f"{STATES}add/", {"seen_number": number, "to": to, "reason": "because", "confirmed": "on", **data}
    )


def state() -> TradingState:
    return trading_state.current().state


# ---- the trading state -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_who_may_halts_trading_from_the_queue(trader: User, group: str) -> None:
    order, client = order_of(trader), as_user(person("somebody", group))
    may = group != "auditor"
    assert (f"{STATES}add/?to=halted" in client.get(QUEUE).content.decode()) == may
    assert client.get(f"{STATES}add/?to=halted").status_code == (200 if may else 403)
    declare(client, "halted")
    assert state() == (TradingState.HALTED if may else TradingState.ACTIVE)
    assert StagedOrder.objects.get(pk=order.pk).status == ("cancelled" if may else "pending_review")


def test_the_form_says_what_a_halt_will_do_before_it_does(trader: User, reviewer: User, officer: User) -> None:
    order_of(trader), order_of(trader), submitted(trader, reviewer)
    response = as_user(officer).get(f"{STATES}add/?to=halted")
    assert response.context["form"].initial["to"] == "halted"
    reach = response.context["options"].reach
    assert (reach.withdrawn, reach.left) == (2, 1)
    assert "withdraws <strong>2</strong> orders now. <strong>1</strong> is at the broker" in response.content.decode()


def test_afterwards_the_change_lists_what_was_withdrawn_and_what_a_person_must(
    trader: User, reviewer: User, officer: User
) -> None:
    gone, sent = order_of(trader), submitted(trader, reviewer)
    before = workflow.cancel(order_of(trader).pk, actor=trader, now=timezone.now())
    response = declare(as_user(officer), "halted", reason="The feed is late.")
    assert told(response) == ["Trading is halted; 1 order withdrawn, 1 order at the broker."]
    shown = as_user(officer).get(response["Location"]).context["page"]
    assert [line.client_order_id for line in shown.withdrawn] == [gone.client_order_id]
    assert [line.client_order_id for line in shown.left] == [sent.client_order_id]
    assert before.client_order_id not in [line.client_order_id for line in shown.withdrawn]
    # A person withdrew it there, and the list is empty.
    workflow.cancel(sent.pk, actor=trader, now=timezone.now())
    assert as_user(officer).get(response["Location"]).context["page"].left == ()


def test_what_a_second_pull_withdrew_stands_with_the_halt_until_it_was_released(
    trader: User, reviewer: User, officer: User
) -> None:
    order_of(trader)
    response = declare(as_user(officer), "halted")
    order_of(trader, quantity=Decimal(1))
    again = declare(as_user(reviewer), "halted", reason="and the rest")
    assert again["Location"] == response["Location"]
    page = as_user(officer).get(response["Location"]).context["page"]
    assert page.withdrawn_count == len(page.withdrawn) == 2
    trading_state.change(TradingState.ACTIVE, actor=person("otto", "risk officer"), now=timezone.now(), reason="fine")
    order_of(trader, quantity=Decimal(3))
    kill_switch.pull(actor=officer, now=timezone.now(), reason="another day")
    page = as_user(officer).get(response["Location"]).context["page"]
    assert (page.withdrawn_count, page.in_force, page.left) == (2, False, ())


def test_whoever_restricted_trading_is_told_before_trying_that_another_must_release_it(officer: User) -> None:
    client = as_user(officer)
    declare(client, "halted")
    options = client.get(f"{STATES}add/").context["options"]
    assert options.allowed == (TradingState.HALTED,)
    assert options.withheld == ("olga restricted trading: somebody else must release it.",)
    refused = declare(client, "active").context["form"].non_field_errors()
    assert refused == ["olga restricted trading: somebody else must release it."]
    assert state() == TradingState.HALTED
    other = as_user(person("otto", "risk officer"))
    assert TradingState.ACTIVE in other.get(f"{STATES}add/").context["options"].allowed
    assert told(declare(other, "active")) == ["Trading is active."]


@pytest.mark.parametrize("group", ["reviewer", "trader", "operator"])
def test_who_may_only_restrict_does_not_release(officer: User, group: str) -> None:
    declare(as_user(officer), "reducing")
    client = as_user(person("somebody", group))
    assert client.get(f"{STATES}add/").context["options"].allowed == (TradingState.HALTED,)
    (refused,) = declare(client, "active").context["form"].non_field_errors()
    assert "the permission orders.release_tradingstatechange is missing" in refused
    assert state() == TradingState.REDUCING


def test_a_change_needs_its_reason_and_the_confirmation(officer: User) -> None:
    client = as_user(officer)
    assert declare(client, "halted", reason=" ").context["form"].errors["reason"] == ["This field is required."]
    assert declare(client, "halted", confirmed="").context["form"].errors["confirmed"] == ["Confirm it first."]
    assert not TradingStateChange.objects.exists()


def test_a_change_of_what_has_moved_on_is_refused_and_a_halt_never(trader: User, officer: User) -> None:
    client = as_user(person("otto", "risk officer"))
    declare(as_user(officer), "halted")
    # The page was opened while trading was active: "reducing" would let more through now.
    refused = declare(client, "reducing", seen_number="0").context["form"].non_field_errors()
    assert refused == ["Somebody else changed the trading state; look again."]
    declare(client, "reducing")
    assert declare(as_user(trader), "halted", seen_number="0").status_code == 302
    assert state() == TradingState.HALTED


def test_only_those_who_may_see_the_history_do(officer: User) -> None:
    location = declare(as_user(officer), "halted")["Location"]
    for group in GROUPS:
        member = as_user(person(group.replace(" ", "-"), group))
        assert member.get(STATES).status_code == member.get(location).status_code == 200
        assert member.post(location, {}).status_code == 405
    stranger = as_user(person("stranger"))
    assert {stranger.get(url).status_code for url in (STATES, location, f"{STATES}add/")} == {403}
    assert as_user(officer).get(f"{STATES}{uuid4()}/change/").status_code == 404
    assert as_user(officer).get(f"{STATES}x/change/").status_code == 404


# ---- the banner ------------------------------------------------------------------------------------------------------

PAGES = ("/admin/", QUEUE, STATES, "/reports/orders/", "/reports/institutional/", "/admin/password_change/")


def test_every_page_says_that_trading_is_restricted_who_did_it_and_why(trader: User, officer: User) -> None:
    order, client = order_of(trader), as_user(officer)
    pages = (*PAGES, f"{QUEUE}{order.pk}/change/", f"{QUEUE}{order.pk}/dossier/")
    for url in pages:
        assert "Trading is" not in client.get(url).content.decode().replace("Trading is active", ""), url
    trading_state.change(TradingState.REDUCING, actor=officer, now=timezone.now(), reason="<b>Volatile</b>")
    for url in pages:
        text = client.get(url).content.decode()
        assert text.count('role="alert" data-trading-number="1"') == 1, url
        assert "<strong>Trading is reducing.</strong> Only orders that reduce a position go through. By olga, " in text
        assert ": &lt;b&gt;Volatile&lt;/b&gt;</p>" in text, url


def test_the_login_page_and_the_file_of_a_dossier_say_nothing_of_it(
    client: Client, trader: User, officer: User
) -> None:
    order = order_of(trader)
    trading_state.change(TradingState.REDUCING, actor=officer, now=timezone.now(), reason="Volatile")
    assert "Trading is reducing." not in client.get("/admin/login/").content.decode()
    taken_out = as_user(officer).get(f"{QUEUE}{order.pk}/dossier/?download").content.decode()
    assert "Trading is reducing." not in taken_out


def test_the_banner_costs_one_query_a_page_and_none_at_the_login(client: Client, officer: User) -> None:
    def asked(who: Client, url: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            who.get(url)
        return sum("trading_state_changes" in query["sql"] for query in captured)

    assert asked(client, "/admin/login/") == 0
    assert [asked(as_user(officer), url) for url in ("/admin/", QUEUE, "/reports/orders/")] == [1, 1, 1]


# ---- positions -------------------------------------------------------------------------------------------------------


def hold(underlying: str, instrument: str, quantity: int, cost: int, **changes: Any) -> Position:
    values = {"right": "S", "multiplier": 1, "strategy": "momentum", **changes}
    return Position.objects.create(
        underlying=underlying,
        instrument=instrument,
        quantity=Decimal(quantity),
        cost=Decimal(cost),
        updated_at=timezone.now(),
        **values,
    )


def vertical(strategy: str, expiry: date) -> None:
    """A short 440 put and a long 435 one, for 120 together: at worst 380 are lost."""
    terms = {"strategy": strategy, "right": "P", "multiplier": 100, "expiry": expiry}
    hold("SPY", "SPY-P440", -1, -200, strike=Decimal(440), **terms)
    hold("SPY", "SPY-P435", 1, 80, strike=Decimal(435), **terms)


def test_positions_are_listed_by_underlying_and_strategy_with_the_loss_of_each_group(trader: User) -> None:
    hold("MSFT", "MSFT", 2, 660)
    vertical("put_spread", timezone.now().date() + timedelta(days=30))
    hold("QQQ", "QQQ", 0, 0)
    rows = as_user(trader).get(POSITIONS).context["cl"].result_list
    assert [(row.underlying, row.instrument, row.begins, row.group_loss) for row in rows] == [
        ("MSFT", "MSFT", True, Decimal(660)),
        ("SPY", "SPY-P435", True, Decimal(380)),
        ("SPY", "SPY-P440", False, Decimal(380)),
    ]
    assert len(as_user(trader).get(f"{POSITIONS}?q=msft").context["cl"].result_list) == 1


def test_a_loss_without_a_bound_is_said_and_an_expired_option_is_no_position(trader: User) -> None:
    today = timezone.now().date()
    hold("SPY", "SPY-C470", -1, -210, right="C", multiplier=100, strike=Decimal(470), expiry=today + timedelta(days=9))
    hold("SPY", "SPY-old", -1, -210, right="C", multiplier=100, strike=Decimal(470), expiry=today - timedelta(days=9))
    text = as_user(trader).get(POSITIONS).content.decode()
    assert "unbounded" in text
    assert "SPY-old" not in text
    losses = position_groups.losses([("dev", "SPY", "momentum")], today=today)
    assert losses == {("dev", "SPY", "momentum"): None}


# ---- unmatched fills -------------------------------------------------------------------------------------------------


def waiting(trader: User, client_order_id: str = "bot-1", execution_id: str = "U-1") -> UnmatchedFill:
    fill = Fill(execution_id=execution_id, price=Decimal("400.4"), quantity=Decimal(1), executed_at=timezone.now())
    kept = unmatched.receive(client_order_id, fill, actor=trader, now=timezone.now())
    assert isinstance(kept, UnmatchedFill)
    return kept


def test_waiting_fills_come_first_the_oldest_on_top(trader: User, reviewer: User) -> None:
    first, second = waiting(trader), waiting(trader, execution_id="U-2")
    matched = waiting(trader, execution_id="U-3")
    unmatched.match(matched.pk, submitted(trader, reviewer).pk, actor=trader, now=timezone.now())
    client = as_user(trader)
    for query, expected in {"": [first, second], "?matched=yes": [matched], "?q=U-3": [matched]}.items():
        assert list(client.get(FILLS + query).context["cl"].result_list) == expected, query
    assert set(client.get(f"{FILLS}?matched=all").context["cl"].result_list) == {first, second, matched}


def test_a_waiting_fill_is_matched_to_an_order_by_its_client_order_id(trader: User, reviewer: User) -> None:
    fill, order, client = waiting(trader), submitted(trader, reviewer), as_user(trader)
    url = f"{FILLS}{fill.pk}/change/"
    assert client.get(url).context["form"].initial == {"client_order_id": "bot-1"}
    wrong = client.post(url, {"client_order_id": "bot-1"}).context["form"]
    assert wrong.errors["client_order_id"] == ["There is no order 'bot-1' in dev."]
    response = client.post(url, {"client_order_id": order.client_order_id})
    assert response["Location"] == f"{QUEUE}{order.pk}/change/"
    assert told(response) == ["Fill U-1 is recorded: 1 SPY at 400.4."]
    assert ExecutedOrder.objects.get().staged_order == order
    assert client.get(url).context["form"] is None


def test_a_match_that_the_workflow_refuses_is_told_and_the_fill_waits_on(trader: User) -> None:
    fill, order = waiting(trader), order_of(trader)
    response = as_user(trader).post(f"{FILLS}{fill.pk}/change/", {"client_order_id": order.client_order_id})
    assert response.context["form"].non_field_errors() == ["This pending review order was never at the broker."]
    assert not ExecutedOrder.objects.exists()


def test_all_waiting_fills_are_tried_again(trader: User, reviewer: User) -> None:
    waiting(trader, "bot-7"), waiting(trader, "bot-8", "U-2")
    submitted(trader, reviewer, client_order_id="bot-7")
    assert told(as_user(trader).post(f"{FILLS}try-again/")) == ["2 tried, 1 booked, 1 wait on."]
    assert [fill.execution_id for fill in ExecutedOrder.objects.all()] == ["U-1"]


@pytest.mark.parametrize("group", ["reviewer", "operator", "auditor", "risk officer"])
def test_nobody_else_matches_a_fill(trader: User, reviewer: User, group: str) -> None:
    fill, order = waiting(trader), submitted(trader, reviewer)
    client, url = as_user(person("somebody", group)), f"{FILLS}{fill.pk}/change/"
    assert client.get(url).context["form"] is None
    assert "Try all again" not in client.get(FILLS).content.decode()
    assert client.post(url, {"client_order_id": order.client_order_id}).status_code == 403
    assert client.post(f"{FILLS}try-again/").status_code == 403
    assert not ExecutedOrder.objects.exists()


# ---- overrides, and all lists ----------------------------------------------------------------------------------------


def overridden(trader: User, officer: User, **changes: Any) -> StagedOrder:
    order, now = order_of(trader, quantity=Decimal(4000), **changes), timezone.now()
    return workflow.override(
        order.pk,
        code="MAX_TRADE_RISK",
        actor=officer,
        now=now,
        reason="Agreed.",
        expires_at=now + timedelta(hours=1),
    )


def test_overrides_are_listed_and_found_by_rule_and_order(trader: User, officer: User) -> None:
    order, client = overridden(trader, officer), as_user(person("ada", "auditor"))
    for query, count in {
        "": 1,
        "?q=max_trade_risk": 1,
        "?q=EXPIRY": 0,
        f"?q={order.pk}": 1,
        f"?q={uuid4()}": 0,
        "?within=1h": 1,
    }.items():
        assert len(client.get(OVERRIDES + query).context["cl"].result_list) == count, query
    assert "59 min" in client.get(OVERRIDES).content.decode()


@pytest.mark.parametrize("url", [POSITIONS, FILLS, OVERRIDES, STATES])
def test_lists_are_read_by_members_and_never_changed(officer: User, url: str) -> None:
    for group in GROUPS:
        assert as_user(person(group.replace(" ", "-"), group)).get(url).status_code == 200
    assert as_user(person("stranger")).get(url).status_code == 403
    assert Client().get(url).status_code == 302
    root = as_user(User.objects.create_superuser("root", password="x"))
    assert "delete_selected" not in root.get(url).content.decode()
    if url != STATES:
        assert root.post(f"{url}add/", {}).status_code == 403


@pytest.mark.parametrize("url", [POSITIONS, FILLS, OVERRIDES])
def test_lists_ask_as_many_queries_for_thirty_rows_as_for_one(trader: User, officer: User, url: str) -> None:
    client = as_user(officer)

    def one_more(number: int) -> None:
        hold(f"S{number}", f"S{number}", 1, 100)
        waiting(trader, execution_id=f"U-{number}")
        overridden(trader, officer, client_order_id=f"o-{number}")

    def asks() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        return len(captured)

    one_more(0)
    asks()
    before = asks()
    for number in range(1, 30):
        one_more(number)
    assert asks() == before <= 11
