"""The same orders, added up by the database and given as dictionaries, come to the same review."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from orders import workflow
from orders.choices import OrderStatus
from orders.fill import Fill
from orders.models import OrderFacts, StagedOrder
from orders.order_facts import POINTS
from reporting import order_dictionaries, order_review, rendering
from reporting.order_report import OrderReview
from tests.factories import NOW, assessment_of, equity, iron_condor, person, staged
from tests.reporting.test_order_review import quote

pytestmark = pytest.mark.django_db
D = Decimal

# What the specification's own form has.
PLAIN = {
    "symbol": "SPY",
    "type": "limit",
    "quantity": 10,
    "value": "1000.00",
    "status": "filled",
    "created_at": "2025-11-03T15:00:00Z",
    "executed_at": "2025-11-03T15:00:12Z",
    "filled_quantity": 10,
    "expires_at": None,
}


def of_money(low: str, high: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(low), D(high), places=6, allow_nan=False, allow_infinity=False)


def moments(minutes: int) -> st.SearchStrategy[Any]:
    return st.integers(0, minutes * 60_000).map(lambda n: NOW + timedelta(milliseconds=n))


score = st.none() | st.decimals(D(0), D(100), places=2)
price = st.none() | of_money("-5", "500")


def in_time(order: dict[str, Any]) -> dict[str, Any]:
    """What is executed before it was made is refused."""
    at = order["executed_at"]
    return {**order, "executed_at": None if at is None else max(at, order["created_at"])}


ORDERS = st.lists(
    st.fixed_dictionaries(
        {
            "symbol": st.sampled_from(["SPY", "QQQ", "SPY   251219P00440000"]),
            "type": st.just("limit"),
            "quantity": st.integers(1, 20),
            "value": st.none() | of_money("0", "1e12"),
            "status": st.sampled_from(OrderStatus.values),
            "created_at": moments(5000),
            "executed_at": st.none() | moments(9000),
            "filled_quantity": st.integers(0, 22),
            "expires_at": st.none() | moments(9000),
            "side": st.sampled_from(["buy", "sell", "as_defined"]),
            "strategy": st.sampled_from(["", "momentum", "iron_condor"]),
            "reviewer": st.sampled_from([None, "rob", "ann"]),
            "reviewed_at": st.none() | moments(9000),
            "submitted_at": st.none() | moments(9000),
            "fees": of_money("-1", "5"),
            "violations": st.sampled_from(["", "EXPIRY:block", "EXPIRY:warn,PRICE_COLLAR:warn"]),
            "points": st.dictionaries(st.sampled_from(sorted(POINTS)), st.decimals(D(0), D(20), places=2)),
            **dict.fromkeys(("risk_score", "compliance_score", "performance_score"), score),
            **dict.fromkeys(("price", "decision_price", "approval_price", "arrival_price"), price),
            "average_fill_price": price,
            "end_price": price,
            **dict.fromkeys(("arrival_bid", "arrival_ask"), st.none() | of_money("0", "500")),
        }
    ).map(in_time),
    max_size=12,
)


def stored(order: dict[str, Any], number: int, people: dict[str, User]) -> None:
    """The facts of a dictionary, with a row that says as much as they need."""
    facts = order_dictionaries.facts_of(order)
    row = StagedOrder.objects.create(
        symbol=order["symbol"],
        side="buy",
        order_type="limit",
        price=1,
        quantity=1,
        status="draft",
        created_at=facts["created_at"],
        created_by=people["tom"],
        # So that both name equally expensive executions in the same order.
        id=uuid.UUID(int=number + 1),
    )
    reviewer = facts.pop("reviewer")
    facts.pop("overrides")
    OrderFacts.objects.create(order=row, reviewer=people[reviewer] if reviewer else None, **facts)


def compared(review: OrderReview) -> Any:
    """All of it but links, names of single orders, and what only the database has."""
    bare = dataclasses.replace(review, recent_orders=(), exceptional_orders=(), list_url="")
    return _bare(dataclasses.asdict(bare))


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = {"order", "order_text"} if "url" in value else set()
        return {name: _bare(each) for name, each in value.items() if name not in left_out and not name.endswith("url")}
    return [_bare(each) for each in value] if isinstance(value, list | tuple) else value


@given(orders=ORDERS)
@settings(deadline=None, max_examples=40)
def test_database_and_dictionaries_come_to_the_same(orders: list[dict[str, Any]]) -> None:
    now = NOW + timedelta(days=4)
    with transaction.atomic():
        people = {name: User.objects.create(username=name) for name in ("tom", "rob", "ann")}
        for number, order in enumerate(orders):
            stored(order, number, people)
        of_database = order_review.analyze_orders(StagedOrder.objects.all(), now=now)
        transaction.set_rollback(True)
    of_dictionaries = order_review.analyze_orders(orders, now=now)
    assert compared(of_database) == compared(of_dictionaries)
    assert of_dictionaries.total_orders == len(orders)


def as_dictionary(order: StagedOrder) -> dict[str, Any]:
    """An order's row as somebody else would write it down, with what its fills and its last assessment say."""
    names = ("symbol", "side", "quantity", "price", "status", "created_at", "expires_at", "strategy", "underlying")
    names += ("risk_score", "compliance_score", "performance_score", "decision_price", "approval_price")
    names += ("arrival_price", "reviewed_at", "submitted_at", "filled_quantity", "average_fill_price", "violations")
    names += ("arrival_bid", "arrival_ask", "end_price")
    fills = list(order.executions.holding())
    contributions = assessment_of(order)["risk"]["contributions"]
    return {
        **{name: getattr(order, name) for name in names},
        "type": order.order_type,
        "value": order.notional,
        "reviewer": order.reviewed_by.username if order.reviewed_by else None,
        "fees": sum((fill.fees for fill in fills), D(0)),
        "first_fill_at": fills[0].execution_timestamp if fills else None,
        "executed_at": fills[-1].execution_timestamp if fills else None,
        "points": {item["code"]: D(item["points"]) for item in contributions},
    }


def test_orders_that_went_through_the_desk_come_to_the_same_as_dictionaries() -> None:
    equity()
    trader, reviewer = person("trader", "trader"), person("reviewer", "reviewer")
    quote("400.40")
    orders = [staged(trader, client_order_id=f"o{n}", quantity=D(1 + n % 2)) for n in range(4)]
    workflow.stage(iron_condor(), created_by=trader, now=NOW)
    for place, order in enumerate(orders[:3]):
        quote("400.50", NOW + timedelta(seconds=20))
        workflow.approve(order.pk, actor=reviewer, now=NOW + timedelta(seconds=20 + place))
        if place:
            quote("400.60", NOW + timedelta(seconds=30))
            workflow.submit(order.pk, actor=trader, now=NOW + timedelta(seconds=30))
            fill = Fill(
                execution_id=f"f{place}",
                price=D("400.45") + place,
                quantity=D(1),
                executed_at=NOW + timedelta(seconds=31),
                fees=D("0.65"),
            )
            workflow.record_execution(order.pk, fill, actor=trader, now=NOW + timedelta(seconds=32))
    workflow.reject(orders[3].pk, actor=reviewer, now=NOW + timedelta(minutes=2), reason="no")
    # One of the two that order 1 asked for is filled; the rest is given up 0.15 below the price at the decision.
    quote("400.25", NOW + timedelta(minutes=3))
    workflow.cancel(orders[1].pk, actor=trader, now=NOW + timedelta(minutes=3))
    now = NOW + timedelta(hours=1)
    of_database = order_review.analyze_orders(StagedOrder.objects.all(), now=now)
    of_dictionaries = order_review.analyze_orders([as_dictionary(each) for each in StagedOrder.objects.all()], now=now)
    assert compared(of_database) == compared(of_dictionaries)
    # Of one unit each: 0.10 while a person looked, 0.10 on the way to the broker, 0.85 and 1.85 there.
    # The quotes say bid and ask, 0.20 apart: the fills are 0.85 and 1.85 above their middle.
    quoted = of_database.slippages[-1]
    assert (quoted.n, quoted.p5, quoted.p99) == (2, 425.0, 925.0)
    assert [(row.label, row.money, row.n) for row in of_database.shortfall] == [
        ("Review delay", D("0.20"), 2),
        ("Broker delay", D("0.20"), 2),
        ("Execution", D("2.70"), 2),
        ("Opportunity", D("-0.15"), 1),
        ("Fees", D("1.30"), 2),
        ("Shortfall", D("4.25"), None),
    ]
    assert [(row.label, row.n) for row in of_database.funnel] == [
        ("Staged", 5),
        ("Decided", 4),
        ("Approved", 3),
        ("Sent to the broker", 2),
        ("Filled in part or whole", 2),
        ("Filled whole", 1),
    ]


def test_the_specifications_own_form_is_enough() -> None:
    orders = [
        PLAIN,
        {**PLAIN, "status": "active", "executed_at": None, "filled_quantity": 0, "value": 500.5},
        {**PLAIN, "status": "cancelled", "filled_quantity": 4},
        {name: PLAIN[name] for name in ("symbol", "type", "quantity", "value", "status", "created_at")},
    ]
    review = order_review.analyze_orders(orders, now=NOW)
    assert (review.total_orders, review.executed_orders, review.active_orders, review.cancelled_orders) == (4, 2, 1, 1)
    assert (review.total_value, review.average_order_value) == (D("3500.50"), D("875.12"))
    assert (review.fill_rate, review.n_sent) == (0.6, 4)
    times = {row.label: (row.p50, row.n) for row in review.latencies}
    assert times["Staging to last fill"] == (12.0, 2)
    assert {row.reason for row in review.slippages if not row.n} == {
        "n/a: no price is on record for when the filled orders were staged",
        "n/a: no price is on record for when they came to the broker",
        "n/a: no filled order has a limit above 0",
        "n/a: no bid and ask are on record for when the filled orders came to the broker",
    }
    assert review.shortfall_bps is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbol": " "}, "symbol='': must be 1 to 32 printable characters"),
        ({"symbol": "X" * 100}, "must be 1 to 32 printable characters"),
        ({"symbol": "SPY   250230P00440000"}, "symbol='SPY   250230P00440000': looks like an option and is none"),
        ({"type": ""}, "type='': must not be empty"),
        ({"quantity": 0}, "quantity=0: must be above 0"),
        ({"quantity": float("nan")}, "quantity=nan: must be a finite number"),
        ({"quantity": "many"}, "quantity='many': must be a number"),
        ({"quantity": np.float64("nan")}, "quantity=np.float64(nan): must be a finite number"),
        ({"quantity": True}, "quantity=True: must be a number"),
        ({"quantity": Fraction(1, 3)}, "quantity=Fraction(1, 3): must be a number"),
        ({"quantity": 10**5000}, "quantity=a int too long to be shown: must be from 0 to "),
        ({"executed_at": "2025-11-02T15:00:00Z"}, "must not be before created_at, 2025-11-03 15:00:00+00:00"),
        ({"value": -1}, "value=-1: must be from 0 to 10000000000000000"),
        ({"status": "sleeping"}, "status='sleeping': must be one of draft, "),
        ({"status": None}, "status=None: is missing"),
        ({"created_at": "yesterday"}, "created_at='yesterday': must be a time"),
        ({"created_at": None}, "created_at=None: must be a time"),
        ({"filled_quantity": -1}, "filled_quantity=-1: must be from 0 to "),
        ({"risk_score": 101}, "risk_score=101: must be from 0 to 100"),
        ({"points": {"NO_RULE": 1}}, "must be a dictionary by the codes of rules"),
        ({"overrides": "EXPIRY"}, "overrides='EXPIRY': must be a list of texts"),
    ],
)
def test_a_bad_dictionary_is_named_and_the_rest_is_analysed(changes: dict[str, Any], message: str) -> None:
    review = order_review.analyze_orders([PLAIN, {**PLAIN, **changes}, PLAIN], now=NOW)
    (named,) = review.bad
    assert named.startswith("orders[1]: ")
    assert message in named
    assert (review.total_orders, review.total_value) == (2, D("2000.00"))
    assert [(row.label, row.n) for row in review.exceptions] == [
        ("given as dictionaries that can't be read: they are in no figure", 1),
        ("never judged by the rules: they have no scores", 2),
        ("filled, and not in delay and execution: combinations, and orders without a price for each step", 2),
    ]


def test_numbers_of_numpy_and_pandas_are_numbers() -> None:
    ours = {**PLAIN, "value": "1000.1", "risk_score": 12}
    [table] = pd.DataFrame([{**PLAIN, "value": 1000.1, "risk_score": 12}]).to_dict("records")
    theirs = {**table, "quantity": np.int64(10), "value": np.float64(1000.1), "risk_score": np.float32(12)}
    assert theirs["expires_at"] is None
    for other in (table, theirs):
        assert order_dictionaries.take([other]) == order_dictionaries.take([ours])


def test_an_empty_text_is_no_time_and_whole_seconds_come_a_little_early() -> None:
    made = {**PLAIN, "created_at": "2025-11-03T15:00:00.700Z", "executed_at": "2025-11-03T15:00:00Z", "expires_at": ""}
    review = order_review.analyze_orders([made, {**PLAIN, "executed_at": ""}], now=NOW)
    assert (review.bad, review.total_orders) == ((), 2)
    times = {row.label: (row.p50, row.n) for row in review.latencies}
    assert times["Staging to last fill"] == (0.0, 1)


def test_what_is_no_dictionary_or_lacks_a_field_is_named() -> None:
    short = {name: value for name, value in PLAIN.items() if name != "value"}
    review = order_review.analyze_orders([7, short], now=NOW)
    assert review.bad == ("orders[0]: order=7: must be a dictionary", "orders[1]: value=None: is missing")
    assert review.total_orders == 0


def test_a_report_of_dictionaries_is_saved_and_leads_nowhere(tmp_path: Any, settings: Any) -> None:
    settings.EMO_DATA_DIR = tmp_path
    path = order_review.save_report([PLAIN, {**PLAIN, "symbol": "<b>X</b>"}], now=NOW)
    assert path == tmp_path / "reports/order_review_20251103_150000.html"
    html = path.read_text()
    assert html == order_review.render(order_review.analyze_orders([PLAIN, {**PLAIN, "symbol": "<b>X</b>"}], now=NOW))
    assert "&lt;B&gt;X&lt;/B&gt;" in html
    assert "href=" not in html
    assert rendering.json_text(order_review.analyze_orders([PLAIN], now=NOW)).count('"url"') == 0
