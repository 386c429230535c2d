"""export_report takes out what --query asks for, says so in the record, and refuses what it does not understand."""

from __future__ import annotations

import csv
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from orders.models import OrderAccess
from orders.standing import trading_day
from tests.factories import NOW, equity, person, staged
from tests.reporting.test_rollup import DAY, Desk
from tests.reporting.test_strategy_pages import roll, week

pytestmark = pytest.mark.django_db


def taken_out(path: Path, *arguments: str) -> dict[str, Any]:
    call_command("export_report", *arguments, "--format", "json", "--output", str(path), stdout=StringIO())
    return dict(json.loads(path.read_text()))


def test_orders_of_a_query_are_those_of_the_page_at_that_address(tmp_path: Path) -> None:
    equity()
    trader = person("trader", "trader")
    for number, strategy in enumerate(("momentum", "momentum", "carry")):
        staged(trader, strategy=strategy, client_order_id=f"o-{number}")
    day = trading_day(NOW)
    path = tmp_path / "orders.json"
    assert taken_out(path, "orders")["total_orders"] == 3
    assert taken_out(path, "orders", "--query", f"strategy=momentum&from={day}&to={day}")["total_orders"] == 2
    assert taken_out(path, "orders", "--query", f"from={day + DAY}&to={day + DAY}")["total_orders"] == 0
    last = OrderAccess.objects.filter(kind="exported").latest("at", "id").what
    assert last == f"orders report of from={day + DAY}&to={day + DAY}, json: {path}"


def test_days_of_a_query_narrow_strategies_and_their_trades_down(tmp_path: Path) -> None:
    equity(at=NOW - DAY)
    desk = Desk()
    week(desk)
    roll()
    first, second = trading_day(NOW), trading_day(NOW + DAY)
    query = ("--query", f"from={first}&to={second}")
    whole, narrow = tmp_path / "whole.csv", tmp_path / "narrow.csv"
    for path, more in ((whole, ()), (narrow, query)):
        arguments = ("strategy", "--strategy", "momentum", "--format", "csv", "--output", str(path), *more)
        call_command("export_report", *arguments, stdout=StringIO())
    rows = {path: list(csv.DictReader(StringIO(path.read_text()))) for path in (whole, narrow)}
    assert (len(rows[whole]), len(rows[narrow])) == (5, 2)
    found = taken_out(tmp_path / "x.json", "strategies", *query)
    assert (found["first"], found["last"]) == (str(first), str(second))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["orders", "--query", "period=7y"], "--query: period='7y': allowed are"),
        (["orders", "--query", "from=2025-11-03"], "--query: from and to: both are needed"),
        (
            ["orders", "--query", "statsu=executed"],
            "--query: statsu=executed: the report orders knows period, from",
        ),
        (["orders", "--query", "executed"], "--query=executed: must be name=value, with & between several"),
        (["strategies", "--query", "sort=x"], "--query: sort='x': allowed are"),
        (["strategies", "--query", "from=yesterday"], "--query: from=yesterday: must be a day such as 2025-11-03"),
        (
            ["strategy", "--strategy", "a", "--query", "compare=dev"],
            "--query: compare=dev: must be another",
        ),
        (["institutional", "--query", "a=b"], "--query=a=b: is for reports of orders and strategies"),
    ],
)
def test_a_query_that_is_not_understood_is_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    path = tmp_path / "report.html"
    with pytest.raises(CommandError, match=re.escape(said)):
        call_command("export_report", *arguments, "--output", str(path), stdout=StringIO())
    assert not path.exists()
    assert not OrderAccess.objects.exists()
