"""Which orders a review is about: as its address says, and as its numbers lead to them."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orders import workflow
from orders.models import OrderAccess, StagedOrder
from reporting import order_export, order_review, order_scope, order_table
from reporting.order_review import build_order_review
from reporting.order_scope import BadScope, Filters, Period, Scope
from tests.factories import NOW, equity, person, staged

PAGE = "/reports/orders/"
TODAY = date(2025, 11, 3)
D = Decimal


@pytest.mark.parametrize(
    ("asked", "days"),
    [
        ({}, (date(2025, 10, 5), TODAY)),
        ({"period": "1d"}, (TODAY, TODAY)),
        ({"period": "7d", "from": "", "to": ""}, (date(2025, 10, 28), TODAY)),
        ({"from": "2025-01-02", "to": "2025-02-03", "period": "7d"}, (date(2025, 1, 2), date(2025, 2, 3))),
    ],
)
def test_period_is_days_up_to_today_or_from_one_to_another(asked: dict[str, str], days: tuple[date, date]) -> None:
    scope = order_scope.parse(asked, now=NOW)
    assert scope.period is not None
    assert (scope.period.first, scope.period.last) == days


def test_all_days_have_no_period_and_none_before() -> None:
    scope = order_scope.parse({"period": "all"}, now=NOW)
    assert (scope.period, scope.before) == (None, None)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"period": "8d"}, "period='8d': allowed are 1d, 7d, 30d, 90d, 365d, all, or from and to"),
        ({"from": "2025-01-02"}, "from and to: both are needed, each a day such as 2025-11-03"),
        ({"from": "2025-01-02", "to": "1.2.2025"}, "to=1.2.2025: must be a day such as 2025-11-03"),
        ({"from": "2025-01-02", "to": "2025-01-01"}, "to=2025-01-01: must not be before from=2025-01-02"),
        ({"from": "0001-01-01", "to": "9999-12-31"}, "from=0001-01-01, to=9999-12-31: must be days from 1981 to 2099"),
        ({"status": "sleeping"}, "status='sleeping': allowed are draft, blocked, "),
        ({"strategy": "x" * 151}, "at most 150 characters, none of them NUL"),
        ({"symbol": "a\0b"}, "at most 150 characters, none of them NUL"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(asked: dict[str, str], message: str) -> None:
    with pytest.raises(BadScope, match=re.escape(message)):
        order_scope.parse(asked, now=NOW)


def test_the_period_before_has_as_many_days() -> None:
    before = Period(first=date(2025, 10, 5), last=TODAY).before
    assert before == Period(first=date(2025, 9, 5), last=date(2025, 10, 4))
    assert Period(first=date(1981, 1, 1), last=date(1981, 1, 2)).before is None


def test_days_begin_at_midnight_in_new_york() -> None:
    period = Period(first=date(2025, 11, 2), last=date(2025, 11, 2))
    # The night in which the clocks go back.
    assert (period.since, period.until) == (
        datetime(2025, 11, 2, 4, tzinfo=UTC),
        datetime(2025, 11, 3, 5, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "asked", [{}, {"period": "all", "strategy": "a b"}, {"from": "2025-01-02", "to": "2025-02-03"}]
)
def test_an_address_leads_to_the_same_again(asked: dict[str, str]) -> None:
    scope = order_scope.parse(asked, now=NOW)
    assert order_scope.parse(scope.query, now=NOW) == scope


# ---- what is found ---------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(db: None) -> dict[str, User]:
    """Five orders: three of Monday, one of Friday before, one that is older than a month."""
    people = {"tom": person("tom", "trader"), "rob": person("rob", "reviewer")}
    for days in (60, 3, 0):
        equity(at=NOW - timedelta(days=days, minutes=1))
    staged(people["tom"], now=NOW - timedelta(days=60), client_order_id="old")
    friday = staged(people["tom"], now=NOW - timedelta(days=3), client_order_id="friday", quantity=D(3))
    workflow.reject(friday.pk, actor=people["rob"], now=NOW - timedelta(days=3) + timedelta(minutes=5), reason="no")
    for number in range(2):
        staged(people["tom"], client_order_id=f"monday {number}", strategy="value", price=D("400.60") + number)
    approved = staged(people["tom"], client_order_id="qqq", symbol="QQQ", price=D(300))
    workflow.approve(approved.pk, actor=people["rob"], now=NOW + timedelta(seconds=30))
    return people


MONTH = Period(first=date(2025, 10, 5), last=TODAY)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, {"friday", "monday 0", "monday 1", "qqq"}),
        ({"strategy": "value"}, {"monday 0", "monday 1"}),
        ({"symbol": "QQQ"}, {"qqq"}),
        ({"environment": "dev"}, {"friday", "monday 0", "monday 1", "qqq"}),
        ({"environment": "prod"}, set()),
        ({"status": "rejected"}, {"friday"}),
        ({"reviewer": "rob"}, {"friday", "qqq"}),
        ({"reviewer": "nobody"}, set()),
        ({"reviewer": "rob", "status": "approved"}, {"qqq"}),
    ],
)
@pytest.mark.usefixtures("desk")
def test_filters_are_the_same_for_figures_and_for_rows(filters: dict[str, str], found: set[str]) -> None:
    review = build_order_review(MONTH, Filters(**filters), NOW + timedelta(hours=1))
    assert {row.client_order_id for row in review.recent_orders} == found
    assert review.total_orders == len(found)
    assert review.filters == filters


@pytest.mark.usefixtures("desk")
def test_the_period_before_is_compared() -> None:
    review = build_order_review(Period(first=TODAY, last=TODAY), Filters(), NOW + timedelta(hours=1))
    assert [(row.label, row.now, row.before) for row in review.compared][:2] == [
        ("Orders", 3, 0),
        ("Value, sum of notionals", 2204.4, None),
    ]
    assert review.compared[1].change_text == "n/a: undefined in one of the two periods"
    assert review.compared[0].change_text == "+3"
    week = build_order_review(Period(first=date(2025, 11, 1), last=TODAY), Filters(), NOW + timedelta(hours=1))
    assert (week.compared[0].before, week.compared[0].change_text) == (1, "+2")


@pytest.mark.usefixtures("desk")
def test_reviewers_are_counted_with_their_time_to_decide() -> None:
    review = build_order_review(MONTH, Filters(), NOW + timedelta(hours=1))
    (rob,) = review.reviewers
    assert (rob.name, rob.decided, rob.approved, rob.rejected) == ("rob", 2, 1, 1)
    assert (rob.mean_minutes, rob.mean_text) == (2.75, "2.8 min")
    assert next((row.label, row.p50, row.n) for row in review.latencies) == ("Staging to decision", 30.0, 2)


# ---- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def viewer(desk: dict[str, User], client: Client) -> Client:
    client.force_login(person("viewer", "auditor"))
    return client


def test_page_shows_the_orders_that_its_address_asks_for(viewer: Client) -> None:
    html = viewer.get(PAGE, {"period": "all", "symbol": "qqq"}).content.decode()
    assert "Only symbol QQQ." in html
    assert "qqq</span>" in html
    assert "monday 0" not in html


def test_an_address_that_is_not_understood_is_refused(viewer: Client) -> None:
    for asked in ({"period": "8d"}, {"older": "yesterday"}, {"format": "xml"}):
        response = viewer.get(PAGE, asked)
        assert response.status_code == 400
        (name,) = asked
        assert f"{name}=" in response.content.decode()
        assert asked[name] in response.content.decode()


def test_pages_of_orders_follow_each_other_by_place(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_table, "PAGE", 2)
    seen: list[str] = []
    query = urlencode({"period": "all", "environment": "dev"})
    for _ in range(3):
        response = viewer.get(f"{PAGE}?{query}")
        seen += [row.client_order_id for row in response.context["report"].recent_orders]
        assert response.context["report"].total_orders == 5
        query = response.context["older_query"]
    assert query == ""
    assert seen == [order.client_order_id for order in StagedOrder.objects.order_by("-created_at", "-id")]


def test_orders_leave_as_csv_and_as_json_lines(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_export, "ROWS_AT_ONCE", 2)
    expected = [order.client_order_id for order in StagedOrder.objects.order_by("-created_at", "-id")]
    response = viewer.get(PAGE, {"period": "all", "format": "csv"})
    assert response.streaming
    rows = list(csv.DictReader(io.StringIO(response.getvalue().decode())))
    assert [row["client_order_id"] for row in rows] == expected
    assert {rows[0][name] for name in ("notional", "created_by", "reviewed_by")} <= {
        "600.000000",
        "801.200000",
        "803.200000",
        "tom",
        "rob",
        "",
    }
    lines = viewer.get(PAGE, {"period": "all", "format": "jsonl"}).getvalue().decode().splitlines()
    documents = [json.loads(line) for line in lines]
    assert [document["client_order_id"] for document in documents] == expected
    assert set(documents[0]) == set(order_export.NAMES)
    assert documents[-1]["quantity"] == "2.00000000"
    assert documents[-1]["created_at"] == "2025-09-04T15:00:00+00:00"


def test_who_takes_orders_out_is_recorded_first(viewer: Client) -> None:
    viewer.get(PAGE, {"period": "all", "status": "rejected", "format": "csv"})
    access = OrderAccess.objects.latest("at")
    assert (access.actor_name, access.kind, access.row_count) == ("viewer", "exported", 1)
    assert access.what == "orders.csv?period=all&status=rejected"


def test_a_text_that_looks_like_a_formula_is_none_in_a_spreadsheet(viewer: Client, desk: dict[str, User]) -> None:
    staged(desk["tom"], client_order_id="=1+1", quantity=D(7), strategy="@x")
    rows = list(csv.DictReader(io.StringIO(viewer.get(PAGE, {"period": "all", "format": "csv"}).getvalue().decode())))
    assert {(row["client_order_id"], row["strategy"]) for row in rows if row["quantity"].startswith("7")} == {
        ("'=1+1", "'@x")
    }


def test_a_scope_of_everything_filters_nothing() -> None:
    assert str(Scope().facts(order_review.OrderFacts.objects.all()).query).count("WHERE") == 0
