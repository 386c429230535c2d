"""The order page: what a reviewer sees, in a constant number of queries."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries

from monitoring import events
from monitoring.choices import EventType
from orders import order_page, workflow
from orders.choices import OrderType, Side
from orders.fill import Fill
from orders.models import Position, RuleOverride, StagedOrder
from orders.options import black_scholes, format_osi
from orders.order_case import gather_case
from orders.order_page import OrderPage
from orders.related_orders import MOST
from tests.factories import EXPIRY, NOW, equity, iron_condor, person, staged

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(minutes=20)
# For the order itself, its legs, events, fills, overrides, positions, the market (prices, options, equity, rank), and
# two for related orders.
QUERIES = 12


@pytest.fixture(autouse=True)
def _policy(tmp_path: Path, settings: Any) -> None:
    """Limits that need no quotes: what the rules say is not what is tested here."""
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text(
        'policy_version: "2025-10-27"\nrisk: {max_order_notional: 50000, max_risk_pct_trade: 0.02}\n'
    )


@pytest.fixture
def trader() -> User:
    equity()
    return person("tom", "trader")


def market(*rows: tuple[EventType, str, str, datetime], **metadata: Any) -> None:
    events.record(
        [
            events.Event(symbol=symbol, event_type=kind, timestamp=at, price=D(price), source="test", metadata=metadata)
            for kind, symbol, price, at in rows
        ]
    )


def option_quotes(at: datetime, volatility: float = 0.2) -> None:
    for right, strike in (("P", 435), ("P", 440), ("C", 460), ("C", 465)):
        price = black_scholes(right, 450, strike, 32 / 365, 0, volatility)
        symbol = format_osi("SPY", EXPIRY, right, D(strike))
        market((EventType.OPTION_QUOTE, symbol, f"{price:.2f}", at), implied_volatility=volatility)


def condor(trader: User, **changes: Any) -> StagedOrder:
    return workflow.stage(iron_condor(**changes), created_by=trader, now=NOW)


def page(order: StagedOrder, now: datetime = LATER) -> OrderPage:
    found = order_page.build(order.pk, now=now)
    assert found is not None
    return found


def shown(order: StagedOrder) -> str:
    client = Client()
    client.force_login(User.objects.get(username="tom"))
    return client.get(reverse("admin:orders_stagedorder_change", args=[order.pk])).content.decode()


# ---- queries ---------------------------------------------------------------------------------------------------------


def test_the_page_takes_as_many_queries_whatever_the_order_went_through(
    trader: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    market((EventType.IV_RANK, "SPY", "0.42", NOW))
    plain = condor(trader)
    with django_assert_num_queries(QUERIES):
        page(plain)
    for number in range(15):
        StagedOrder.objects.filter(pk=condor(trader, client_order_id=f"c{number}").pk).update(underlying="SPY")
    market((EventType.QUOTE, "SPY", "450", NOW))
    option_quotes(NOW)
    rita = person("rita", "reviewer")
    workflow.approve(plain.pk, actor=rita, now=NOW)
    workflow.submit(plain.pk, actor=trader, now=NOW)
    for number in range(5):
        fill = Fill(execution_id=f"B-{number}", price=D("-1.20"), quantity=D("0.1"), executed_at=NOW)
        workflow.record_execution(plain.pk, fill, actor=trader, now=NOW)
    with django_assert_num_queries(QUERIES):
        found = page(plain)
    assert len(found.fills) == 5


def test_an_order_that_is_not_there_has_no_page() -> None:
    assert order_page.build(uuid4(), now=NOW) is None


# ---- profit and loss -------------------------------------------------------------------------------------------------


def test_the_diagram_uses_the_quoted_volatilities_and_says_so(trader: User) -> None:
    market((EventType.QUOTE, "SPY", "450", NOW))
    option_quotes(NOW)
    found = page(condor(trader)).payoff
    assert found is not None
    assert found.shows_today
    assert found.caption == (
        "In account currency, without fees. Counted at the limit price of -1.2.",
        "Today: Black-Scholes, implied volatilities as quoted, the oldest 20 min old, rate 0 %, no dividends.",
    )


def test_without_quotes_the_caption_says_why_there_is_no_line_of_today(trader: User) -> None:
    found = page(condor(trader)).payoff
    assert found is not None
    assert found.caption[1] == "No line for today: no implied volatility is on record for put 435 and 3 more."
    figures = {figure.label: figure.value for figure in found.figures}
    assert figures["Spot"] == "n/a: no price of the underlying is on record"


def test_legs_of_several_underlyings_have_no_diagram_and_a_reason(trader: User) -> None:
    legs = iron_condor().legs
    order = condor(trader, legs=(*legs[:3], replace(legs[3], symbol="QQQ")))
    found = page(order)
    assert found.payoff is None
    assert found.payoff_reason.startswith("No diagram: the legs have several underlyings (QQQ, SPY)")
    assert found.payoff_reason.split(":")[1][:10] in shown(order)


# ---- the market ------------------------------------------------------------------------------------------------------


def test_waiting_is_told_for_a_single_order_by_the_quote_it_was_staged_at(trader: User) -> None:
    market((EventType.QUOTE, "SPY", "400.00", NOW), (EventType.QUOTE, "SPY", "401.00", LATER))
    order = staged(trader)
    StagedOrder.objects.filter(pk=order.pk).update(decision_price=None)
    found = page(order)
    assert (found.market.waiting.money, found.market.waiting.basis_points) == ("+2.00", "+25.0 bps")
    assert {figure.label: figure.value for figure in found.headline}["Cost of waiting"] == "+2.00"


def test_waiting_is_told_for_a_combination_by_the_quotes_of_its_legs(trader: User) -> None:
    market((EventType.QUOTE, "SPY", "450", NOW))
    order = condor(trader)
    StagedOrder.objects.filter(pk=order.pk).update(decision_price=D("-1.20"))
    assert page(order).market.waiting.reason == "No price of a leg is on record now."
    option_quotes(LATER)
    prices = {
        (right, k): round(black_scholes(right, 450, k, 32 / 365, 0, 0.2), 2)
        for right, k in (("P", 435), ("P", 440), ("C", 460), ("C", 465))
    }
    net = prices["P", 435] - prices["P", 440] - prices["C", 460] + prices["C", 465]
    assert float(page(order).market.waiting.money) == pytest.approx(100 * (net + 1.20), abs=0.01)


def test_an_order_that_was_sent_waits_no_more(trader: User) -> None:
    order = staged(trader)
    workflow.approve(order.pk, actor=person("rita", "reviewer"), now=NOW)
    workflow.submit(order.pk, actor=trader, now=NOW)
    found = page(order)
    assert found.market.waiting.reason == "It waits no more."
    assert "Cost of waiting" not in {figure.label for figure in found.headline}


def test_the_market_is_shown_as_staged_as_last_judged_and_now(trader: User) -> None:
    market((EventType.QUOTE, "SPY", "400.00", NOW))
    order = staged(trader)
    assert [column.value for column in page(order).market.columns] == ["When staged", "Now"]
    market((EventType.QUOTE, "SPY", "400.40", NOW + timedelta(minutes=5)))
    workflow.approve(order.pk, actor=person("rita", "reviewer"), now=NOW + timedelta(minutes=6))
    market((EventType.QUOTE, "SPY", "399.00", LATER))
    found = page(order).market
    assert [column.value for column in found.columns] == ["When staged", "Last judged", "Now"]
    assert [cell.value for cell in found.rows[0].cells] == ["400", "400.4", "399"]


# ---- what stands around it -------------------------------------------------------------------------------------------


def test_what_is_held_now_of_the_underlying_is_listed(trader: User) -> None:
    order = condor(trader)
    for underlying, quantity in (("SPY", 2), ("SPY", 0), ("QQQ", 1)):
        Position.objects.create(
            strategy=f"s{quantity}",
            instrument=underlying,
            underlying=underlying,
            right="S",
            quantity=quantity,
            cost=D("-412"),
            environment=order.environment,
            updated_at=NOW,
        )
    (row,) = page(order).positions
    assert (row.instrument, row.strategy, row.quantity, row.cost) == ("SPY", "s2", "+2", "-412.00")


def test_related_orders_are_open_ones_first_and_no_more_than_ten(trader: User) -> None:
    orders = [staged(trader, now=NOW + timedelta(minutes=number)) for number in range(MOST + 4)]
    other = staged(trader, strategy="other")
    StagedOrder.objects.update(underlying="SPY")
    oldest = orders[1]
    for order in orders[2:]:
        workflow.cancel(order.pk, actor=trader, now=NOW)
    found = page(orders[0]).related
    assert len(found) == MOST
    assert [row.id for row in found][:2] == [str(oldest.pk), str(orders[-1].pk)]
    assert str(other.pk) not in {row.id for row in found}


def test_an_order_leads_to_what_it_replaces_and_back(trader: User) -> None:
    old, new = staged(trader), staged(trader, strategy="other")
    StagedOrder.objects.filter(pk=new.pk).update(replaces=old)
    assert [(row.id, row.why) for row in page(new).related] == [(str(old.pk), "this one replaces it")]
    assert [(row.id, row.why) for row in page(old).related] == [(str(new.pk), "it replaces this one")]
    assert f"/{old.pk}/change/" in shown(new)


def test_overrides_are_shown_with_who_gave_them_and_whether_they_hold(trader: User) -> None:
    order, rob = condor(trader), person("rob", "reviewer")
    for code, minutes in (("STALE_QUOTE", 60), ("ORDER_RATE", 10)):
        RuleOverride.objects.create(
            order=order,
            code=code,
            reason="Hedge.",
            staged_by=trader,
            given_by=rob,
            given_at=NOW,
            expires_at=NOW + timedelta(minutes=minutes),
        )
    assert {(row.code, row.given_by, row.in_force) for row in page(order).overrides} == {
        ("STALE_QUOTE", "rob", True),
        ("ORDER_RATE", "rob", False),
    }
    assert "Hedge." in shown(order)


def test_what_was_left_of_a_cancelled_order_is_priced_where_it_ended(trader: User) -> None:
    market((EventType.QUOTE, "SPY", "400.00", NOW))
    order = staged(trader)
    workflow.approve(order.pk, actor=person("rita", "reviewer"), now=NOW)
    workflow.submit(order.pk, actor=trader, now=NOW)
    fill = Fill(execution_id="B-1", price=D("400"), quantity=D(1), executed_at=NOW)
    workflow.record_execution(order.pk, fill, actor=trader, now=NOW)
    market((EventType.QUOTE, "SPY", "402.00", NOW + timedelta(minutes=5)))
    workflow.cancel(order.pk, actor=trader, now=NOW + timedelta(minutes=6))
    market((EventType.QUOTE, "SPY", "450.00", LATER))
    StagedOrder.objects.filter(pk=order.pk).update(decision_price=D(400), approval_price=D(400), arrival_price=D(400))
    assert {cost.label: cost.money for cost in page(order).costs.costs}["Opportunity"] == "+2.00"


def test_the_price_that_was_stored_at_the_end_goes_before_what_the_market_tells_later(trader: User) -> None:
    market((EventType.QUOTE, "SPY", "400.00", NOW))
    order = staged(trader)
    workflow.approve(order.pk, actor=person("rita", "reviewer"), now=NOW)
    workflow.submit(order.pk, actor=trader, now=NOW)
    end = NOW + timedelta(minutes=6)
    market((EventType.QUOTE, "SPY", "402.00", NOW + timedelta(minutes=5)))
    workflow.cancel(order.pk, actor=trader, now=end)
    # It comes in late: the desk did not know it when it gave the order up.
    market((EventType.TRADE, "SPY", "430.00", end))
    found = gather_case(order.pk, now=LATER)
    assert found is not None
    assert (found.end_price, found.end_market) == (D(402), None)
    assert {cost.label: cost.money for cost in page(order).costs.costs}["Opportunity"] == "+4.00"


def test_a_bust_after_the_end_is_struck_and_does_not_move_the_end(trader: User) -> None:
    market((EventType.QUOTE, "SPY", "400.00", NOW))
    order = staged(trader, quantity=D(1))
    workflow.approve(order.pk, actor=person("rita", "reviewer"), now=NOW)
    workflow.submit(order.pk, actor=trader, now=NOW)
    fill = Fill(execution_id="B-1", price=D("400"), quantity=D(1), executed_at=NOW)
    workflow.record_execution(order.pk, fill, actor=trader, now=NOW)
    market((EventType.QUOTE, "SPY", "450.00", NOW + timedelta(minutes=1)))
    later = NOW + timedelta(minutes=2)
    workflow.bust_execution("B-1", bust_id="B-1b", actor=trader, now=later, reason="Erroneous.")
    order = StagedOrder.objects.get(pk=order.pk)
    found = gather_case(order.pk, now=LATER)
    assert found is not None
    assert found.end_price == D(400)
    assert [(row.execution_id, row.struck) for row in page(order).fills] == [("B-1", True), ("B-1b", True)]
    assert shown(order).count('class="struck"') == 2


def test_an_order_that_was_never_judged_has_a_page_all_the_same(trader: User) -> None:
    order = StagedOrder.objects.create(
        symbol="SPY", side=Side.BUY, order_type=OrderType.MARKET, quantity=D(1), created_by=trader, created_at=NOW
    )
    found = page(order)
    assert (found.scores, found.effect) == ((), None)
    text = shown(order)
    assert "The rules have not judged this order" in text


def test_the_scores_and_the_diagram_are_told_to_who_cannot_see_them(trader: User) -> None:
    text = shown(condor(trader))
    assert (
        text.count('role="img" aria-label="Profit and loss of this order by the price of SPY. Max loss: 380.00.') == 2
    )
    assert text.count('role="img" aria-label="Risk score ') == 2
    assert " style=" not in text
