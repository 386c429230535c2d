"""The order review: its figures are those of the rows, and say what they are."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from monitoring import events
from monitoring.choices import EventType
from orders import workflow
from orders.fill import Fill
from orders.models import OrderFacts, StagedOrder
from reporting import order_review, order_sums, order_tally, rendering
from reporting.order_scope import BadScope, Filters
from tests.factories import NOW, equity, iron_condor, person, staged

pytestmark = pytest.mark.django_db


def quote(price: str = "400.40", at: datetime = NOW) -> None:
    """With a bid 0.10 below and an ask 0.10 above."""
    middle = Decimal(price)
    stated = {"bid": str(middle - Decimal("0.10")), "ask": str(middle + Decimal("0.10"))}
    made = events.Event(
        symbol="SPY", event_type=EventType.QUOTE, timestamp=at, price=middle, source="test", metadata=stated
    )
    events.record([made])


SPECIFIED = {
    "total_orders",
    "active_orders",
    "pending_orders",
    "executed_orders",
    "cancelled_orders",
    "total_value",
    "average_order_value",
    "largest_order_value",
    "risk_score",
    "compliance_score",
    "performance_score",
}


def _desk_with_orders(trader: User | None = None) -> None:
    equity()
    trader, reviewer = trader or person("trader", "trader"), person("reviewer", "reviewer")
    filled, refused, waiting = (staged(trader, client_order_id=name) for name in ("filled", "refused", "waiting"))
    workflow.approve(filled.pk, actor=reviewer, now=NOW)
    workflow.submit(filled.pk, actor=trader, now=NOW)
    workflow.record_execution(
        filled.pk,
        Fill(execution_id="f1", price=Decimal("400.90"), quantity=Decimal(2), executed_at=NOW),
        actor=trader,
        now=NOW,
    )
    workflow.reject(refused.pk, actor=reviewer, now=NOW, reason="no")
    workflow.stage(iron_condor(), created_by=trader, now=NOW)
    assert waiting.status == "pending_review"


def test_figures_of_an_empty_desk_are_zero_or_say_why_there_is_none() -> None:
    review = order_review.build(now=NOW)
    assert (review.total_orders, review.total_value) == (0, Decimal(0))
    assert review.average_order_value is review.largest_order_value is review.risk_score is None
    shown = {figure.label: (figure.value, figure.note) for figure in review.headline}
    assert shown["Orders"] == ("0", "all that were ever staged")
    assert shown["Total value"] == ("n/a", "no order has a known notional")
    assert shown["Risk score"] == ("n/a", "no order was judged")
    assert shown["Performance score"] == ("n/a", "no fill has a benchmark price")


def test_figures_are_those_of_the_rows_behind_them() -> None:
    _desk_with_orders()
    review = order_review.build(now=NOW)
    orders = list(StagedOrder.objects.all())
    notionals = [order.notional for order in orders if order.notional is not None]
    assert review.total_orders == len(orders) == 4
    assert review.by_status == {"executed": 1, "rejected": 1, "pending_review": 1, "blocked": 1}
    assert (review.active_orders, review.pending_orders, review.executed_orders, review.cancelled_orders) == (
        0,
        2,
        1,
        1,
    )
    assert review.total_value == sum(notionals)
    assert review.largest_order_value == max(notionals)
    assert review.average_order_value == (sum(notionals) / len(notionals)).quantize(Decimal("0.01"))
    assert review.risk_score == round(float(sum(order.risk_score for order in orders) / 4), 2)  # type: ignore[misc]
    assert review.n_performance == 1
    # The fill cost 0.40 on a limit of 400.50: 9.99 bp, of the 50 that take all 50 points away.
    assert review.performance_score == 92.01


def test_each_mean_says_its_number_of_observations() -> None:
    _desk_with_orders()
    notes = {figure.label: figure.note for figure in order_review.build(now=NOW).headline}
    assert notes["Risk score"] == "mean, 0 safe to 100, n = 4 of 4"
    assert notes["Performance score"] == "mean execution score, 100 best, n = 1 of 4"


def test_rules_that_spoke_are_counted_by_order() -> None:
    _desk_with_orders()
    review = order_review.build(now=NOW)
    # The condor has no IV rank on record.
    assert review.violations["STRATEGY_WINDOW"] == 1


def test_overrides_are_counted_by_rule(tmp_path: Path, settings: Any) -> None:
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text('policy_version: "overrides"\nrisk: {max_order_quantity: 1}\n')
    trader, officer = person("trader", "trader"), person("officer", "risk officer")
    equity()
    hour = NOW + timedelta(hours=1)
    assert order_review.build(now=NOW).overrides == {}
    for number in range(2):
        order = staged(trader, client_order_id=f"o-{number}", quantity=Decimal(2 + number))
        workflow.override(order.pk, code="ORDER_QUANTITY", actor=officer, now=NOW, reason="agreed", expires_at=hour)
    review = order_review.build(now=hour)
    assert review.overrides == {"ORDER_QUANTITY": 2}
    assert [(rule.code, rule.overrides) for rule in review.rules if rule.overrides] == [("ORDER_QUANTITY", 2)]


def test_the_number_of_queries_does_not_grow_with_the_orders(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    equity()
    trader = person("trader", "trader")
    for count in (1, 12):
        for number in range(count):
            staged(trader, client_order_id=f"{count}-{number}")
        # Nobody has to be named, no order stands out, and none was filled, so that there is no best and no worst.
        with django_assert_num_queries(order_review.QUERIES[connection.vendor] - 4):
            order_review.build(now=NOW)
    quote()
    _desk_with_orders(trader)
    for queryset in (
        StagedOrder.objects.all(),
        StagedOrder.objects.filter(symbol="SPY"),
        StagedOrder.objects.order_by("-created_at")[:100],
        OrderFacts.objects.all(),
        OrderFacts.objects.filter(underlying="SPY"),
    ):
        with django_assert_num_queries(order_review.QUERIES[connection.vendor]):
            order_review.analyze_orders(queryset, now=NOW)


def test_a_queryset_that_can_have_no_order_is_reviewed_as_none() -> None:
    _desk_with_orders()
    for queryset in (StagedOrder.objects.none(), OrderFacts.objects.none(), OrderFacts.objects.filter(day__in=[])):
        assert order_review.analyze_orders(queryset, now=NOW).total_orders == 0


def test_a_queryset_of_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match="orders: a queryset of User, must be of StagedOrder or OrderFacts"):
        order_review.analyze_orders(User.objects.all())  # type: ignore[arg-type]
    either = StagedOrder.objects.filter(symbol="SPY").union(StagedOrder.objects.filter(symbol="QQQ"))
    with pytest.raises(TypeError, match=r"orders: made by union\(\), which can't be narrowed; combine with \| and &"):
        order_review.analyze_orders(either)


def test_no_review_says_that_it_is_older_than_its_orders() -> None:
    """What the orders were then is in their trails, and not known here."""
    _desk_with_orders()
    said = r"as_of=2025-11-03T14:00:00\+00:00: order [^ ]+ was staged afterwards, at 2025-11-03T15:00:00\+00:00, and"
    earlier = NOW - timedelta(hours=1)
    with pytest.raises(BadScope, match=said):
        order_review.build_order_review(None, Filters(), earlier)
    with pytest.raises(BadScope, match=said):
        order_review.analyze_orders(StagedOrder.objects.filter(client_order_id="waiting"), now=earlier)
    assert order_review.build_order_review(None, Filters(), NOW).total_orders == 4
    with pytest.raises(BadScope, match="as_of=2025-11-03 15:00:00: must say its time zone"):
        order_review.build_order_review(None, Filters(), NOW.replace(tzinfo=None))
    with pytest.raises(BadScope, match="must say its time zone"):
        order_review.analyze_orders([], now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("most", [0, 3, 1000])
@pytest.mark.parametrize("days", [1, 3, 4, 5, 6, 15, 60])
def test_cheapest_and_dearest_are_found_on_few_days_and_on_many(days: int, most: int) -> None:
    """With many ties, and with few."""
    drawn = Random(f"{days} {most}")
    costs = {uuid.UUID(int=drawn.getrandbits(128)): drawn.choice([None, drawn.randint(-most, most)]) for _ in range(90)}
    terms = {"symbol": "SPY", "side": "buy", "order_type": "limit", "price": 1, "quantity": 1, "status": "draft"}
    trader = User.objects.create(username="tom")
    StagedOrder.objects.bulk_create(
        StagedOrder(id=each, created_by=trader, created_at=NOW, environment="dev", **terms) for each in costs
    )
    OrderFacts.objects.bulk_create(
        OrderFacts(
            order_id=each,
            created_at=NOW,
            day=NOW.date() + timedelta(days=drawn.randrange(days)),
            stage=0,
            status="draft",
            environment="dev",
            execution=cost,
        )
        for each, cost in costs.items()
    )
    found = order_sums.tally(OrderFacts.objects.all())
    known = [(cost, each) for each, cost in costs.items() if cost is not None]
    assert (found.cheapest, found.dearest) == (order_tally.cheapest(known), order_tally.dearest(known))


def test_json_keeps_the_specifications_names_and_exact_money() -> None:
    _desk_with_orders()
    document = json.loads(rendering.json_text(order_review.build(now=NOW)))
    assert document.keys() >= SPECIFIED
    assert document["largest_order_value"] == "801.00"
    assert document["as_of"] == "2025-11-03T15:00:00+00:00"
    newest = document["recent_orders"][0]
    assert newest["id"] == str(StagedOrder.objects.order_by("-created_at", "-id").values_list("pk", flat=True)[0])
    assert isinstance(newest["risk_score"], float)
    assert newest["created_at"] == "2025-11-03T15:00:00+00:00"
    assert not [name for name in newest if name == "url" or name.endswith("_text")]
