"""A month of the demo, and its reports to the letter: whoever changes a figure or a word sees what became of all."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from orders import demo_month
from orders.models import StagedOrder
from reporting import order_review, rendering, rollup, strategy_report, strategy_scope
from reporting.order_scope import Filters, Period
from tests.reporting.as_written import assert_as_written, text_of

pytestmark = pytest.mark.django_db

NOW = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)
MONTH = Period(first=date(2025, 10, 3), last=date(2025, 10, 31))


@pytest.fixture(autouse=True)
def month() -> None:
    assert demo_month.load(now=NOW) == 85


def test_the_reports_of_the_month_read_as_they_are_written() -> None:
    review = order_review.build_order_review(MONTH, Filters(), NOW)

    assert_as_written("order_review.json", _without_ids(rendering.json_text(review)))
    assert_as_written("order_review.txt", text_of(rendering.html_file(review)))


def test_the_strategies_of_the_month_read_as_they_are_written() -> None:
    rollup.roll_up(rollup.Request(), now=NOW)
    scope = strategy_scope.parse({})
    compared = strategy_report.build_comparison(scope, now=NOW)
    trips = strategy_report.closed_trips(scope.environment, "momentum", now=NOW)
    asked = strategy_scope.parse_sheet({"benchmark": "SPY"}, "momentum")
    sheet = strategy_report.build_sheet(asked, trips=trips, now=NOW)

    assert_as_written("strategies.json", rendering.json_text(compared))
    assert_as_written("strategies.txt", text_of(rendering.html_file(compared)))
    assert_as_written("strategy.json", _without_ids(rendering.json_text(sheet)))
    assert_as_written("strategy.txt", _without_ids(text_of(rendering.html_file(sheet))))


def _without_ids(text: str) -> str:
    """An order's id is another one each time: its name with the client takes its place."""
    for order in StagedOrder.objects.all():
        text = text.replace(str(order.pk), order.client_order_id)
    return text
