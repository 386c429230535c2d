"""Facts of orders: what they are made of, and that they are written with every change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection

from monitoring import events
from monitoring.choices import EventType
from orders import order_facts, workflow
from orders.fill import Fill
from orders.models import OrderFacts, StagedOrder
from orders.order_facts import POINTS, FillSums, Known, Stage
from tests.factories import NOW, assessment_of, equity, iron_condor, person, staged

D = Decimal
LATER = NOW + timedelta(minutes=1)


def known(**changes: Any) -> Known:
    values: dict[str, Any] = {
        "symbol": "SPY",
        "side": "buy",
        "status": "pending_review",
        "quantity": D(10),
        "created_at": NOW,
        "price": D("100"),
        "notional": D("1000"),
    }
    return Known(**{**values, **changes})


FILLED = {
    "status": "executed",
    "reviewed_at": NOW + timedelta(seconds=90),
    "submitted_at": NOW + timedelta(seconds=100),
    "filled_quantity": D(10),
    "average_fill_price": D("100.30"),
    "decision_price": D("100"),
    "approval_price": D("100.10"),
    "arrival_price": D("100.15"),
}


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({}, Stage.STAGED),
        ({"status": "cancelled"}, Stage.STAGED),
        ({"status": "rejected", "reviewed_at": NOW}, Stage.DECIDED),
        ({"status": "approved", "reviewed_at": NOW}, Stage.APPROVED),
        ({"status": "cancelled", "reviewed_at": NOW}, Stage.APPROVED),
        ({"status": "submitted", "reviewed_at": NOW, "submitted_at": NOW}, Stage.SUBMITTED),
        # History of another system has no time of submission.
        ({"status": "broker_rejected", "reviewed_at": NOW}, Stage.SUBMITTED),
        ({"status": "cancelled", "submitted_at": NOW, "filled_quantity": D(3)}, Stage.FILLED_PARTLY),
        (FILLED, Stage.FILLED),
    ],
)
def test_stage_is_how_far_the_order_came(changes: dict[str, Any], stage: Stage) -> None:
    assert order_facts.of_order(known(**changes))["stage"] == stage


def test_costs_run_from_the_decision_to_the_fill() -> None:
    facts = order_facts.of_order(known(**FILLED))
    assert (facts["review_delay"], facts["broker_delay"], facts["execution"]) == (10_000, 5_000, 15_000)
    assert facts["decided_value"] == 10_000_000
    assert (facts["decision_slippage"], facts["arrival_slippage"], facts["limit_slippage"]) == (300, 150, 300)
    sold = order_facts.of_order(known(**FILLED, side="sell"))
    assert (sold["review_delay"], sold["broker_delay"], sold["execution"]) == (-10_000, -5_000, -15_000)
    assert sold["decision_slippage"] == -300


def test_an_option_counts_its_multiplier() -> None:
    facts = order_facts.of_order(known(**FILLED, symbol="SPY   251219C00440000"))
    assert (facts["decided_value"], facts["execution"]) == (1_000_000_000, 1_500_000)


@pytest.mark.parametrize("missing", ["decision_price", "approval_price", "arrival_price", "average_fill_price"])
def test_costs_are_known_together_or_not_at_all(missing: str) -> None:
    facts = order_facts.of_order(known(**{**FILLED, missing: None}))
    assert {facts[name] for name in ("decided_value", "review_delay", "broker_delay", "execution")} == {None}


QUOTED = {**FILLED, "arrival_bid": D("100.05"), "arrival_ask": D("100.25")}


def test_spread_slippage_is_from_the_middle_of_the_quote_at_the_arrival() -> None:
    # The fill is 0.15 above the middle of a spread of 0.20.
    assert order_facts.of_order(known(**QUOTED))["spread_slippage"] == 750
    assert order_facts.of_order(known(**QUOTED, side="sell"))["spread_slippage"] == -750
    far_side = {**QUOTED, "average_fill_price": D("100.25")}
    assert order_facts.of_order(known(**far_side))["spread_slippage"] == 500


@pytest.mark.parametrize(
    "changes",
    [
        {"arrival_bid": None},
        {"arrival_ask": None},
        {"average_fill_price": None},
        # Locked and crossed: there is no spread to be measured by.
        {"arrival_bid": D("100.25")},
        {"arrival_bid": D("100.30")},
        # Beyond what a column of tenths holds.
        {"average_fill_price": D(10) ** 7, "arrival_ask": D("100.050001")},
    ],
)
def test_spread_slippage_is_not_known_without_a_spread(changes: dict[str, Any]) -> None:
    assert order_facts.of_order(known(**{**QUOTED, **changes}))["spread_slippage"] is None


ENDED = {**FILLED, "status": "cancelled", "filled_quantity": D(7), "end_price": D("100.80")}


def test_opportunity_is_of_the_rest_from_the_decision_to_the_end() -> None:
    assert order_facts.of_order(known(**ENDED))["opportunity"] == 24_000
    assert order_facts.of_order(known(**ENDED, side="sell"))["opportunity"] == -24_000
    nothing_filled = {**ENDED, "filled_quantity": D(0), "average_fill_price": None, "status": "broker_rejected"}
    assert order_facts.of_order(known(**nothing_filled))["opportunity"] == 80_000
    option = known(**ENDED, symbol="SPY   251219C00440000")
    assert order_facts.of_order(option)["opportunity"] == 2_400_000


@pytest.mark.parametrize(
    "changes",
    [
        {"end_price": None},
        {"decision_price": None},
        # Nothing was left, more than nothing was filled, and it goes on.
        {"filled_quantity": D(10)},
        {"filled_quantity": D(11)},
        {"status": "partially_filled"},
    ],
)
def test_opportunity_is_of_orders_whose_rest_was_given_up(changes: dict[str, Any]) -> None:
    assert order_facts.of_order(known(**{**ENDED, **changes}))["opportunity"] is None


def test_fill_share_is_of_orders_that_were_at_the_broker() -> None:
    assert order_facts.of_order(known())["fill_share"] is None
    assert order_facts.of_order(known(status="submitted", submitted_at=NOW))["fill_share"] == 0
    partly = known(**{**FILLED, "quantity": D(3), "filled_quantity": D("2.9999999")})
    assert order_facts.of_order(partly)["fill_share"] == 9999
    over = order_facts.of_order(known(**{**FILLED, "filled_quantity": D(11)}))
    assert (over["fill_share"], over["overfilled"]) == (10_000, True)


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(-1, 0), (0, 0), (0.123, 123), (12.345, 12_300), (12.35, 12_400), (86_400, 86_400_000)],
)
def test_times_have_three_digits(seconds: float, milliseconds: int) -> None:
    assert order_facts.between(NOW, NOW + timedelta(seconds=seconds)) == milliseconds


def test_an_amount_beyond_what_can_be_added_up_is_not_known() -> None:
    assert order_facts.money(D(10) ** 11) == 10**15
    assert order_facts.money(D(10) ** 11 + 1) is None
    assert order_facts.money(D("0.00005")) == 0
    assert order_facts.money(D("-1.23456")) == -12_346
    penny = known(**{**FILLED, "price": D("0.000001"), "average_fill_price": D(10) ** 6})
    assert order_facts.of_order(penny)["limit_slippage"] is None


def test_the_day_is_the_trading_day_of_new_york() -> None:
    late = datetime(2025, 11, 4, 4, 30, tzinfo=UTC)
    assert order_facts.of_order(known(created_at=late))["day"] == date(2025, 11, 3)


def test_each_rule_of_the_risk_score_has_its_column() -> None:
    columns = {field.attname for field in OrderFacts._meta.concrete_fields if field.attname.startswith("points_")}
    assert set(POINTS.values()) == columns


def test_fills_add_up_to_fees_and_times() -> None:
    sums = FillSums().and_one_more(D("0.65"), LATER).and_one_more(D("-0.05"), NOW)
    assert (sums.fees, sums.first_at, sums.last_at) == (D("0.60"), NOW, LATER)
    facts = order_facts.of_fills(known(submitted_at=NOW - timedelta(seconds=2)), sums)
    assert facts == {"fees": 6_000, "fill_ms": 2_000, "execution_ms": 60_000}
    assert set(order_facts.of_fills(known(), FillSums()).values()) == {None}


# ---- written with every change ---------------------------------------------------------------------------------------


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


def facts_of(order: StagedOrder) -> OrderFacts:
    return OrderFacts.objects.get(pk=order.pk)


def as_made_anew() -> list[dict[str, Any]]:
    """What the migration makes of the rows that are there."""
    OrderFacts.objects.all().delete()
    with connection.schema_editor() if connection.vendor != "sqlite" else _Editor() as editor:
        import_module("orders.migrations.0010_order_facts").make_facts(apps, editor)
    return rows()


class _Editor:
    connection = connection

    def __enter__(self) -> _Editor:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def rows() -> list[dict[str, Any]]:
    return list(OrderFacts.objects.order_by("pk").values())


def quote(price: str, at: datetime) -> None:
    events.record([events.Event(symbol="SPY", event_type=EventType.QUOTE, timestamp=at, price=D(price), source="test")])


def test_facts_of_a_new_order_are_there_with_it(trader: User) -> None:
    order = staged(trader)
    facts = facts_of(order)
    assert (facts.status, facts.stage, facts.day) == ("pending_review", Stage.STAGED, date(2025, 11, 3))
    assert (facts.value, facts.strategy, facts.underlying) == (8_010_000, "momentum", "SPY")
    assert facts.risk_score == order.risk_score * 100
    points = assessment_of(order)["risk"]["contributions"]
    assert sum(getattr(facts, column) for column in POINTS.values()) == facts.risk_score
    assert any(D(item["points"]) for item in points)


def test_facts_follow_every_step(trader: User, reviewer: User) -> None:
    quote("400.10", NOW)
    order = staged(trader)
    quote("400.20", NOW + timedelta(seconds=30))
    workflow.approve(order.pk, actor=reviewer, now=NOW + timedelta(seconds=40))
    assert (facts_of(order).stage, facts_of(order).review_ms) == (Stage.APPROVED, 40_000)
    assert facts_of(order).reviewer_id == reviewer.pk
    quote("400.25", NOW + timedelta(seconds=45))
    workflow.submit(order.pk, actor=trader, now=NOW + timedelta(seconds=50))
    for name, fees, seconds in (("a", "0.5", 52), ("b", "0.25", 58)):
        fill = Fill(
            execution_id=name,
            price=D("400.35"),
            quantity=D(1),
            executed_at=NOW + timedelta(seconds=seconds),
            fees=D(fees),
        )
        workflow.record_execution(order.pk, fill, actor=trader, now=LATER)
    facts = facts_of(order)
    assert (facts.status, facts.stage, facts.fill_share, facts.fees) == ("executed", Stage.FILLED, 10_000, 7_500)
    assert (facts.review_ms, facts.broker_ms, facts.fill_ms, facts.execution_ms) == (40_000, 10_000, 2_000, 58_000)
    assert (facts.review_delay, facts.broker_delay, facts.execution) == (2_000, 1_000, 2_000)
    assert rows() == as_made_anew()


def test_a_fill_that_is_taken_back_takes_its_facts_with_it(trader: User, reviewer: User) -> None:
    order = staged(trader)
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    workflow.submit(order.pk, actor=trader, now=NOW)
    for name, seconds in (("a", 5), ("b", 9)):
        fill = Fill(
            execution_id=name,
            price=D(400),
            quantity=D(1),
            executed_at=NOW + timedelta(seconds=seconds),
            fees=D(1),
        )
        workflow.record_execution(order.pk, fill, actor=trader, now=LATER)
    workflow.bust_execution("a", bust_id="a-", actor=trader, now=LATER, reason="the broker's error")
    facts = facts_of(order)
    assert (facts.fees, facts.fill_ms, facts.execution_ms) == (10_000, 9_000, 9_000)
    right = Fill(execution_id="b2", price=D(399), quantity=D(1), executed_at=NOW + timedelta(seconds=7), fees=D(3))
    workflow.correct_execution("b", right, actor=trader, now=LATER, reason="the broker's error")
    facts = facts_of(order)
    assert (facts.fees, facts.fill_ms, facts.execution_ms) == (30_000, 7_000, 7_000)
    assert rows() == as_made_anew()
    workflow.bust_execution("b2", bust_id="b-", actor=trader, now=LATER, reason="the broker's error")
    facts = facts_of(order)
    assert (facts.fees, facts.fill_ms, facts.execution_ms, facts.fill_share) == (None, None, None, 0)
    assert rows() == as_made_anew()


def test_facts_of_every_kind_of_order_can_be_made_anew(trader: User, reviewer: User) -> None:
    quote("400.10", NOW)
    refused, cancelled, returned = (staged(trader, client_order_id=name) for name in ("r", "c", "b"))
    workflow.stage(iron_condor(), created_by=trader, now=NOW)
    workflow.reject(refused.pk, actor=reviewer, now=LATER, reason="no")
    workflow.cancel(cancelled.pk, actor=trader, now=LATER)
    workflow.approve(returned.pk, actor=reviewer, now=NOW)
    quote("500", LATER)
    with pytest.raises(workflow.Refused, match="does not hold any more"):
        workflow.submit(returned.pk, actor=trader, now=LATER)
    assert {row["stage"] for row in rows()} == {Stage.STAGED, Stage.DECIDED}
    assert rows() == as_made_anew()


def test_whoever_comes_second_changes_no_facts(trader: User, reviewer: User) -> None:
    order = staged(trader)
    workflow.reject(order.pk, actor=reviewer, now=LATER, reason="no")
    before = rows()
    with pytest.raises(workflow.Refused):
        workflow.approve(order.pk, actor=reviewer, now=LATER)
    assert rows() == before
