"""The pages on strategies: their figures are those of the fills, what can't be told says why, and who may take what."""

from __future__ import annotations

import csv
import html
import json
import re
import threading
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from orders import workflow
from orders.choices import AccessKind, Side
from orders.models import ExecutedOrder, OrderAccess, OrderFacts, StagedOrder
from orders.standing import trading_day
from reporting import rollup, strategy_report
from reporting.models import RollUp, StrategyPerformance
from reporting.rollup import Request
from reporting.strategy_cache import SharedStrategies
from reporting.strategy_scope import parse, parse_sheet, parse_sort
from tests.factories import NOW, equity, staged, ticket
from tests.reporting.test_rollup import DAY, LATER, Desk
from tests.tampering import released

pytestmark = pytest.mark.django_db
D = Decimal
LIST = "/reports/strategies/"
HOSTILE = '<script>alert("x")</script>'
# Buys and sells of a few days: five trades, two of them won.
DAYS = (("400", "405"), ("400", "398"), ("400", "400.20"), ("400", "409.50"), ("400", "396"))


@pytest.fixture
def desk() -> Desk:
    equity(at=NOW - DAY)
    return Desk()


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(User.objects.create_user("viewer"))
    return client


def roll() -> None:
    rollup.roll_up(Request(), now=LATER)


def trade(desk: Desk, day: int, bought: str, sold: str, strategy: str = "momentum", quantity: str = "1") -> None:
    desk.trade(day, Side.BUY, bought, quantity, strategy)
    desk.trade(day, Side.SELL, sold, quantity, strategy)


def week(desk: Desk, strategy: str = "momentum") -> None:
    for day, (bought, sold) in enumerate(DAYS):
        trade(desk, day, bought, sold, strategy)


def text_of(page: bytes) -> str:
    """What a reader sees, in one line."""
    shown = re.sub(r"<[^>]+>", " ", page.decode())
    return " ".join(html.unescape(shown).split())


def sheet(viewer: Client, strategy: str = "momentum", **asked: str) -> str:
    answer = viewer.get(f"{LIST}{quote(strategy, safe='')}/", asked)
    assert answer.status_code == 200, answer.content
    return text_of(answer.content)


def document(viewer: Client, path: str = LIST, **asked: str) -> dict[str, Any]:
    return json.loads(viewer.get(path, {**asked, "format": "json"}).content)


def figures(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in row["figures"]}


def sheet_figures(viewer: Client, strategy: str = "momentum", **asked: str) -> dict[str, dict[str, Any]]:
    found = document(viewer, f"{LIST}{strategy}/", **asked)
    return {each["name"]: each for group in found["groups"] for each in group["figures"]}


# ---- figures are those of the fills ----------------------------------------------------------------------------------


def _from_fills(strategy: str) -> tuple[Decimal, Decimal, list[float], list[Decimal]]:
    """Gross, fees, daily returns on an equity of 100,000, and the net of each trade: what a desk with a pencil finds.

    Every trade of these tests is bought once and sold once on the same day.
    """
    gross, fees, days = D(0), D(0), defaultdict(D)
    trades: list[Decimal] = []
    for fill in ExecutedOrder.objects.filter(staged_order__strategy=strategy).order_by("execution_timestamp"):
        paid = fill.execution_price * fill.execution_quantity * (1 if fill.side == Side.BUY else -1)
        gross, fees = gross - paid, fees + fill.fees
        days[trading_day(fill.execution_timestamp)] += -paid - fill.fees
        if fill.side == Side.BUY:
            trades.append(D(0))
        trades[-1] += -paid - fill.fees
    return gross, fees, [float(net / 100_000) for net in days.values()], trades


def test_the_comparison_says_what_the_fills_come_to(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    gross, fees, returns, trades = _from_fills("momentum")
    [row] = document(viewer)["strategies"]
    found = {name: each["value"] for name, each in figures(row).items()}
    assert (D(found["gross_pnl"]), D(found["fees"]), D(found["net_pnl"])) == (gross, fees, gross - fees)
    assert (gross, fees) == (D("8.70"), D("5.00"))
    wealth = lowest = high = 1.0
    for each in returns:
        wealth *= 1 + each
        high = max(high, wealth)
        lowest = min(lowest, wealth / high)
    assert found["total_return"] == pytest.approx(wealth - 1)
    assert found["max_drawdown"] == pytest.approx(lowest - 1)
    assert found["annual_volatility"] == pytest.approx(stdev(returns) * sqrt(252))
    assert found["sharpe_ratio"] == pytest.approx(mean(returns) / stdev(returns) * sqrt(252))
    assert (found["total_trades"], found["days"]) == ("5", "5")
    assert found["win_rate"] == sum(net > 0 for net in trades) / 5 == 0.4
    page = text_of(viewer.get(LIST).content)
    for shown in ("momentum", "3.70", "8.70", "5.00", "40.00 %", f"{found['sharpe_ratio']:.2f}"):
        assert shown in page


def test_the_sheet_says_the_same_and_lists_the_trades_behind_it(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    gross, fees, returns, trades = _from_fills("momentum")
    found = document(viewer, f"{LIST}momentum/")
    own = sheet_figures(viewer)
    assert (D(own["net_pnl"]["value"]), own["net_pnl"]["n"]) == (gross - fees, 5)
    won, lost = [float(net) for net in trades if net > 0], [float(net) for net in trades if net < 0]
    assert own["profit_factor"]["value"] == pytest.approx(sum(won) / -sum(lost))
    assert own["average_loss"]["value"] == pytest.approx(mean(lost))
    assert own["expectancy"]["value"] == pytest.approx(mean(map(float, trades)))
    assert [D(each["net"]) for each in reversed(found["trades"]["rows"])] == trades
    assert [D(day["cumulative_net"]) for day in found["days"]] == [sum(trades[: n + 1]) for n in range(5)]
    assert [day["growth"] for day in found["days"]] == pytest.approx(returns)
    page = sheet(viewer)
    assert "+4.00" in page
    assert "5 round trips that ended in the period, newest first" in page


def test_orders_behind_a_trade_are_a_click_away(desk: Desk, viewer: Client) -> None:
    bought = desk.order(0, side=Side.BUY, price=D(400))
    desk.fill(bought, 0, "400", "2")
    sold = desk.order(1, side=Side.SELL, price=D(405))
    desk.fill(sold, 1, "405", "2")
    roll()
    page = viewer.get(f"{LIST}momentum/").content.decode()
    for order, role in ((bought, "opened"), (sold, "closed")):
        assert re.search(rf'href="/admin/orders/stagedorder/{order.pk}/change/"[^>]*>{role}</a>', page)


def test_each_month_has_its_return_and_its_money(desk: Desk, viewer: Client) -> None:
    trade(desk, 0, "400", "411")
    equity("200000", at=NOW + 28 * DAY)
    trade(desk, 29, "400", "381")
    rollup.roll_up(Request(), now=NOW + 60 * DAY)
    [year] = document(viewer, f"{LIST}momentum/")["months"]
    november, december = year["months"][10], year["months"][11]
    assert year["months"][:10] == [None] * 10
    assert (november["growth"], D(november["net"])) == (pytest.approx(0.0001), D(10))
    assert (december["growth"], D(december["net"])) == (pytest.approx(-0.0001), D(-20))
    assert year["total"]["growth"] == pytest.approx(1.0001 * 0.9999 - 1)
    assert "+0.010 % +10.00 -0.010 % -20.00" in sheet(viewer)
    page = viewer.get(f"{LIST}momentum/").content.decode()
    assert re.findall(r'heat-([a-z]+-\d)">([-+])', page) == [("up-4", "+"), ("down-4", "-")]


def test_drawdowns_say_when_they_began_reached_their_bottom_and_ended(desk: Desk, viewer: Client) -> None:
    for day, sold in enumerate(("411", "396", "391", "421", "399")):
        trade(desk, day, "400", sold)
    roll()
    deep, last = document(viewer, f"{LIST}momentum/")["worst_drawdowns"]
    assert (deep["high"], deep["bottom"], deep["recovered"]) == ("2025-11-03", "2025-11-05", "2025-11-06")
    assert deep["depth"] == pytest.approx((1 - 0.00005) * (1 - 0.0001) - 1)
    assert (last["high"], last["bottom"], last["recovered"]) == ("2025-11-06", "2025-11-07", None)
    assert "2025-11-06 2025-11-07 open -0.0020 % 1" in sheet(viewer)


# ---- what can't be told says why -------------------------------------------------------------------------------------


def row_says(page: str, label: str, reason: str) -> None:
    assert re.search(rf"{re.escape(label)} n/a \d+ n/a: {re.escape(reason)}", page), f"{label}: {reason}"


def test_without_trades_every_figure_is_not_available(desk: Desk, viewer: Client) -> None:
    staged(desk.trader)
    page = sheet(viewer)
    assert "n/a: no trades. No round trip ended in the period." in page
    for label in ("Net P&L", "Return", "Sharpe ratio", "Largest drawdown", "VaR, 5 %"):
        row_says(page, label, "no fill is rolled up: there is no day on record")
    row_says(page, "Win rate", "no trades")
    assert "share of the P&L before it no order was filled; n = 0 n/a" in page
    empty = text_of(viewer.get(LIST).content)
    assert "n/a: no trades. No strategy has a fill on record in dev" in empty


def test_one_trade_has_no_variance_to_speak_of(desk: Desk, viewer: Client) -> None:
    trade(desk, 0, "400", "405")
    roll()
    page = sheet(viewer)
    row_says(page, "Sharpe ratio", "1 return, 2 are needed")
    row_says(page, "Volatility a year", "1 return, 2 are needed")
    row_says(page, "Profit factor", "no trade was lost")
    assert "n/a: 1 day of returns, 63 are needed for one window." in page
    assert "Win rate 100.00 %" in page


def test_trades_that_were_all_won_have_no_profit_factor(desk: Desk, viewer: Client) -> None:
    for day, sold in enumerate(("405", "407", "403")):
        trade(desk, day, "400", sold)
    roll()
    page = sheet(viewer)
    row_says(page, "Profit factor", "no trade was lost")
    row_says(page, "Average loss", "no trade was lost")
    row_says(page, "Sortino ratio", "no return is below the required 0")
    row_says(page, "Calmar ratio", "there was no drawdown")
    assert "Worst drawdowns n/a: there was no drawdown." in page


def test_losses_that_are_all_equal_have_no_variance(desk: Desk, viewer: Client) -> None:
    for day in range(4):
        trade(desk, day, "400", "399")
    roll()
    page = sheet(viewer)
    for label in ("Sharpe ratio", "Skewness", "Kurtosis", "Probabilistic Sharpe ratio", "Deflated Sharpe ratio"):
        row_says(page, label, "all returns are alike: they have no variance")
    row_says(page, "Average win", "no trade was won")
    assert "Win rate 0.00 %" in page
    listed = text_of(viewer.get(LIST).content)
    assert "n/a all returns are alike: they have no variance" in listed


def _with_equity(desk: Desk, day: int, amount: str) -> None:
    """As the day begins; the rules see a larger one by the time of the order."""
    equity(amount, at=NOW + day * DAY - timedelta(hours=11))
    equity("100000", at=NOW + day * DAY - timedelta(minutes=30))


def test_a_day_that_lost_everything_is_told_as_that(desk: Desk, viewer: Client) -> None:
    _with_equity(desk, 0, "101")
    trade(desk, 0, "400", "300")
    trade(desk, 1, "400", "401.50")
    roll()
    page = sheet(viewer)
    assert "Return -100.00 % 2 prod(1 + r) - 1" in page
    assert "Largest drawdown -100.00 % 2" in page
    row_says(page, "Stability", "2 returns, 3 are needed")


def test_an_option_day_of_more_than_all_is_a_return_like_any_other(desk: Desk, viewer: Client) -> None:
    _with_equity(desk, 0, "100")
    trade(desk, 0, "400", "551")
    trade(desk, 1, "400", "401.50")
    roll()
    own = sheet_figures(viewer)
    assert own["total_return"]["value"] == pytest.approx(2.5 * 1.000005 - 1)
    assert "Return 150.00 % 2 prod(1 + r) - 1" in sheet(viewer)


def test_a_loss_of_more_than_everything_cannot_be_compounded(desk: Desk, viewer: Client) -> None:
    _with_equity(desk, 1, "100")
    trade(desk, 0, "400", "405")
    trade(desk, 1, "400", "251")
    roll()
    page = sheet(viewer)
    reason = "returns[1]=-1.5: a loss of more than everything can't be compounded"
    for label in ("Return", "Largest drawdown", "Stability"):
        row_says(page, label, reason if label != "Stability" else "2 returns, 3 are needed")
    assert f"Drawdown of the return below its highest n/a: {reason}." in page
    assert "VaR, 5 % -142.50 % 2" in page


def test_without_the_accounts_equity_there_is_money_and_no_return(viewer: Client) -> None:
    equity(at=NOW - timedelta(minutes=5))
    desk = Desk()
    trade(desk, 0, "400", "405")
    roll()
    page = sheet(viewer)
    row_says(page, "Return", "no equity of the account is on record before 2025-11-03")
    assert "Net P&L 4.00 money" in page


# ---- warnings, freshness ---------------------------------------------------------------------------------------------


def test_few_days_are_warned_of(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    for page in (sheet(viewer), text_of(viewer.get(LIST).content)):
        assert "few days 5 days of returns: fewer than 30 say nothing" in page
        assert "few days 5 days are fewer than the minimum track record length of" in page


def test_every_strategy_that_is_compared_is_a_trial(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    [alone] = document(viewer)["strategies"]
    assert figures(alone)["deflated_sharpe_ratio"]["value"] == figures(alone)["probabilistic_sharpe_ratio"]["value"]
    for day, sold in enumerate(("403", "397", "402")):
        trade(desk, day, "400", sold, "other")
    roll()
    found = document(viewer)
    own = figures(next(row for row in found["strategies"] if row["strategy"] == "momentum"))
    assert found["trials"] == 2
    assert own["deflated_sharpe_ratio"]["value"] < own["probabilistic_sharpe_ratio"]["value"]
    assert sheet_figures(viewer)["deflated_sharpe_ratio"] == own["deflated_sharpe_ratio"]
    assert "takes each for one of 2 trials" in text_of(viewer.get(LIST).content)


def test_fills_that_are_newer_than_the_figures_are_told(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    assert "The roll-up is behind" not in sheet(viewer)
    desk.trade(5, Side.BUY, "400")
    for page in (sheet(viewer), text_of(viewer.get(LIST).content)):
        assert "The roll-up is behind." in page
        assert "momentum: 1 newer fill, correction or statement is not in its figures yet" in page
    roll()
    assert "The roll-up is behind" not in text_of(viewer.get(LIST).content)


# ---- sort and filters ------------------------------------------------------------------------------------------------


def _three(desk: Desk) -> None:
    trade(desk, 0, "400", "405", "best")
    trade(desk, 1, "400", "407", "best")
    trade(desk, 0, "400", "399", "worst")
    trade(desk, 1, "400", "396", "worst")
    trade(desk, 1, "400", "403", "single")
    roll()


def _names(viewer: Client, **asked: str) -> list[str]:
    return [row["strategy"] for row in document(viewer, **asked)["strategies"]]


def test_rows_are_sorted_by_what_the_address_says_and_what_is_not_available_comes_last(
    desk: Desk, viewer: Client
) -> None:
    _three(desk)
    assert _names(viewer) == ["best", "single", "worst"]
    assert _names(viewer, sort="net") == ["worst", "single", "best"]
    assert _names(viewer, sort="strategy") == ["best", "single", "worst"]
    assert _names(viewer, sort="-strategy") == ["worst", "single", "best"]
    assert _names(viewer, sort="-sharpe") == ["best", "worst", "single"]
    assert _names(viewer, sort="sharpe") == ["worst", "best", "single"]


def test_headings_sort_and_say_how_the_rows_are_sorted(desk: Desk, viewer: Client) -> None:
    _three(desk)
    page = viewer.get(LIST, {"sort": "-sharpe", "from": "2025-11-01"}).content.decode()
    assert re.findall(r'aria-sort="(\w+)"', page) == ["descending"]
    heading = page[page.index("aria-sort") :]
    assert 'href="?from=2025-11-01&amp;sort=sharpe"' in heading[: heading.index("</th>")]
    assert 'href="?from=2025-11-01&amp;sort=-net"' in page
    assert 'href="?from=2025-11-01&amp;sort=strategy"' in page


def test_days_narrow_every_figure_down(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    [row] = document(viewer, **{"from": "2025-11-04", "to": "2025-11-05"})["strategies"]
    found = {name: each["value"] for name, each in figures(row).items()}
    assert (D(found["net_pnl"]), found["total_trades"], found["days"]) == (D("-3.80"), "2", "2")
    own = sheet_figures(viewer, **{"from": "2025-11-04", "to": "2025-11-05"})
    assert (D(own["net_pnl"]["value"]), own["total_trades"]["value"]) == (D("-3.80"), "2")
    listed = document(viewer, f"{LIST}momentum/", **{"from": "2025-11-04", "to": "2025-11-05"})["trades"]
    assert [row["closed_at"][:10] for row in listed["rows"]] == ["2025-11-05", "2025-11-04"]
    nothing = sheet(viewer, **{"from": "2025-12-01"})
    row_says(nothing, "Return", "no day on record from 2025-12-01")
    assert f'href="{LIST}momentum/?from=2025-11-04"' in viewer.get(LIST, {"from": "2025-11-04"}).content.decode()


def test_money_of_days_counts_what_was_held_as_they_began(desk: Desk, viewer: Client) -> None:
    desk.trade(0, Side.BUY, "400")
    desk.market(0, "403", hour=4)
    desk.trade(1, Side.SELL, "405")
    roll()
    [row] = document(viewer, **{"from": "2025-11-04"})["strategies"]
    found = figures(row)
    assert (D(found["gross_pnl"]["value"]), D(found["net_pnl"]["value"])) == (D(2), D("1.5"))
    [day] = document(viewer, f"{LIST}momentum/", **{"from": "2025-11-04"})["days"]
    assert (D(day["net"]), D(day["cumulative_net"])) == (D("1.5"), D("1.5"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sort": "luck"}, "sort='luck': allowed are strategy, net, gross"),
        ({"from": "monday"}, "from=monday: must be a day such as 2025-11-03"),
        ({"from": "2025-11-03", "to": "2025-11-02"}, "to=2025-11-02: must not be before from=2025-11-03"),
        ({"format": "xml"}, "format='xml': allowed are html, file, json, csv"),
        ({"environment": "x\0"}, "environment='x\\x00': at most 64 characters"),
    ],
)
def test_what_is_not_understood_is_refused(viewer: Client, asked: dict[str, str], said: str) -> None:
    answer = viewer.get(LIST, {"format": "json", **asked})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(said)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"older": "x"}, "older='x': must be a time in ISO 8601"),
        ({"compare": "dev"}, "compare=dev: must be another environment"),
        ({"of": "legs"}, "of='legs': allowed are trades and days"),
    ],
)
def test_a_sheet_refuses_too(desk: Desk, viewer: Client, asked: dict[str, str], said: str) -> None:
    staged(desk.trader)
    answer = viewer.get(f"{LIST}momentum/", {"format": "json", **asked})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(said)


# ---- beside something else -------------------------------------------------------------------------------------------


def test_a_benchmark_is_its_daily_closes(desk: Desk, viewer: Client) -> None:
    week(desk)
    for day, close in enumerate(("300", "303", "301", "304", "310", "306"), start=-1):
        desk.market(day if day >= 0 else -3, "250", symbol="QQQ", hour=5)
        desk.market(day if day >= 0 else -3, close, symbol="QQQ", hour=5, seconds=60)
    roll()
    found = document(viewer, f"{LIST}momentum/", benchmark="QQQ")["benchmark"]
    own = {each["name"]: each["value"] for each in found["figures"]}
    market = [303 / 300 - 1, 301 / 303 - 1, 304 / 301 - 1, 310 / 304 - 1, 306 / 310 - 1]
    _, _, returns, _ = _from_fills("momentum")
    x, y = mean(market), mean(returns)
    covariance = sum((a - x) * (b - y) for a, b in zip(market, returns, strict=True)) / 4
    beta = covariance / stdev(market) ** 2
    assert found["pairs"] == 5
    assert own["beta"] == pytest.approx(beta)
    assert own["alpha"] == pytest.approx((1 + y - beta * x) ** 252 - 1)
    assert own["correlation"] == pytest.approx(covariance / stdev(market) / stdev(returns))
    apart = [b - a for a, b in zip(market, returns, strict=True)]
    assert own["tracking_error"] == pytest.approx(stdev(apart) * sqrt(252))
    assert "Benchmark QQQ, daily closes" in sheet(viewer, benchmark="QQQ")


def test_a_benchmark_without_prices_says_so(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    page = sheet(viewer, benchmark="NONE")
    assert (
        "Benchmark NONE, daily closes n/a: 0 closes of NONE on record in the period, from trades: 2 are needed." in page
    )


def _elsewhere(environment: str) -> None:
    """What was made so far is another environment's, and what comes is this one's."""
    with released(ExecutedOrder):
        for model in (ExecutedOrder, StrategyPerformance, RollUp, OrderFacts):
            model.objects.update(environment=environment)


def test_another_environment_is_set_beside_and_has_a_page_of_its_own(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    _elsewhere("staging")
    for day, (bought, sold) in enumerate(DAYS):
        trade(desk, day + 7, bought, str(D(sold) - 1))
    roll()
    assert [row["strategy"] for row in document(viewer, environment="staging")["strategies"]] == ["momentum"]
    theirs = document(viewer, f"{LIST}momentum/", environment="staging")
    assert [D(each["net"]) for each in reversed(theirs["trades"]["rows"])] == [
        D("4.00"),
        D("-3.00"),
        D("-0.80"),
        D("8.50"),
        D("-5.00"),
    ]
    page = sheet(viewer, compare="staging")
    assert "The same strategy in staging Figure dev staging Net P&L -1.30 n = 5 3.70 n = 5" in page
    assert "on no day both have a return" in page
    assert "n/a: no performance of this strategy is on record in prod." in sheet(viewer, compare="prod")
    both = viewer.get(LIST).content.decode()
    assert "<option>staging</option>" in both


# ---- costs -----------------------------------------------------------------------------------------------------------


def test_execution_cost_is_slippage_and_fees_of_the_profit_before_them(desk: Desk, viewer: Client) -> None:
    desk.market(0, "400", seconds=-5)
    order = workflow.stage(ticket(price=D("402"), quantity=D(1)), created_by=desk.trader, now=NOW)
    desk.market(0, "400.30", seconds=10)
    workflow.approve(order.pk, actor=desk.reviewer, now=NOW + timedelta(seconds=11))
    desk.market(0, "400.40", seconds=12)
    workflow.submit(order.pk, actor=desk.trader, now=NOW + timedelta(seconds=13))
    desk.fill(order, 0, "400.90", executed_at=NOW + timedelta(seconds=20))
    desk.market(0, "411", hour=1, seconds=-1)
    out = workflow.stage(
        ticket(side=Side.SELL, price=D("410"), quantity=D(1)), created_by=desk.trader, now=NOW + timedelta(hours=1)
    )
    workflow.approve(out.pk, actor=desk.reviewer, now=NOW + timedelta(hours=1))
    workflow.submit(out.pk, actor=desk.trader, now=NOW + timedelta(hours=1))
    desk.fill(out, 0, "410.70", executed_at=NOW + timedelta(hours=1, seconds=5))
    roll()
    found = document(viewer, f"{LIST}momentum/")
    steps = [D(step["money"]) for step in found["cost_steps"]]
    # Arrival at 400.40 and 411, filled at 400.90 and 410.70: 0.50 and 0.30 slipped.
    assert steps == [D("10.6"), D("-0.8"), D("9.8"), D("-1"), D("8.8")]
    assert found["cost_share"]["value"] == pytest.approx(1.8 / 10.6)
    assert D(found["review_delay"]["money"]) == D("0.3")
    assert found["review_delay"]["bps"] == pytest.approx(0.3 / (400 + 411) * 10_000)
    page = sheet(viewer)
    assert "Execution cost, share of the P&L before it" in page
    assert "16.98 %" in page
    assert "16.98 %" in text_of(viewer.get(LIST).content)


def test_a_cost_is_no_share_of_a_loss(desk: Desk, viewer: Client) -> None:
    desk.market(0, "400", seconds=-5)
    trade(desk, 0, "400", "390")
    roll()
    page = sheet(viewer)
    assert "share of the P&L before it the P&L before it is -10.00, not above 0; n = 2 n/a" in page
    assert "n/a the P&L before it is -10.00, not above 0" in text_of(viewer.get(LIST).content)


def test_slippage_that_is_not_known_is_not_taken_for_none(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    reason = "no filled order has a price for its decision, approval and arrival"
    assert f"Slippage, arrival to fill {reason}: slippage is not known n/a" in sheet(viewer)


# ---- trades by page --------------------------------------------------------------------------------------------------


def test_trades_go_on_by_place(desk: Desk, viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reporting.strategy_trades.PAGE", 2)
    week(desk)
    roll()
    seen: list[str] = []
    path = f"{LIST}momentum/"
    for _ in range(3):
        page = viewer.get(path).content.decode()
        seen += re.findall(r'<td class="number">(2025-11-\d\d) \d\d:\d\d<span class="sub">after', page)
        following = re.search(r'rel="next" href="([^#"]+)#trades"', page)
        path = f"{LIST}momentum/{html.unescape(following[1])}" if following else ""
    assert path == ""
    assert seen == [f"2025-11-0{day}" for day in (7, 6, 5, 4, 3)]


# ---- files, records, permissions -------------------------------------------------------------------------------------


def test_a_stranger_is_asked_to_log_in(client: Client) -> None:
    for page in (LIST, f"{LIST}momentum/"):
        answer = client.get(page)
        assert (answer.status_code, answer["Location"]) == (302, f"/admin/login/?next={page}")


def test_an_unknown_strategy_is_not_found(viewer: Client) -> None:
    assert viewer.get(f"{LIST}nobody/").status_code == 404


def test_pages_are_under_a_strict_policy_and_obey_it(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    for page in (LIST, f"{LIST}momentum/"):
        answer = viewer.get(page, {"benchmark": "SPY"})
        assert "unsafe" not in answer["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|<style|\son[a-z]+=\"", answer.content.decode())
        assert viewer.post(page).status_code == 405


@pytest.mark.parametrize("name", [HOSTILE, "a/b", "/", "50 %?&#", "-1+1"])
def test_any_name_has_a_page_and_none_becomes_markup(desk: Desk, viewer: Client, name: str) -> None:
    trade(desk, 0, "400", "405", name)
    roll()
    page = viewer.get(LIST).content.decode()
    [link] = re.findall(rf'href="({LIST}[^"?]+)"', page.replace(f'href="{LIST}"', ""))
    found = viewer.get(html.unescape(link))
    assert found.status_code == 200
    for each in (page, found.content.decode()):
        assert "<script>alert" not in each
        assert html.escape(name) in each


def test_what_is_taken_out_is_recorded(desk: Desk, viewer: Client) -> None:
    week(desk)
    roll()
    for path, asked in (
        (LIST, {"format": "json"}),
        (LIST, {"format": "csv", "from": "2025-11-03"}),
        (f"{LIST}momentum/", {"format": "json"}),
        (f"{LIST}momentum/", {"format": "csv"}),
        (f"{LIST}momentum/", {"format": "csv", "of": "days"}),
    ):
        assert viewer.get(path, asked).status_code == 200
    found = OrderAccess.objects.filter(kind=AccessKind.EXPORTED).order_by("at", "id")
    assert list(found.values_list("actor_name", "what", "row_count")) == [
        ("viewer", "strategies report, json", 0),
        ("viewer", "strategies report, csv?from=2025-11-03", 0),
        ("viewer", "strategy momentum, json", 5),
        ("viewer", "strategy momentum, csv of trades", 5),
        ("viewer", "strategy momentum, csv of days", 0),
    ]


def _lines(answer: Any) -> list[dict[str, str]]:
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(StringIO(answer.content.decode())))


def test_csv_has_the_same_figures(desk: Desk, viewer: Client) -> None:
    week(desk)
    trade(desk, 0, "400", "405", "=1+1")
    roll()
    rows = _lines(viewer.get(LIST, {"format": "csv"}))
    own = figures(document(viewer)["strategies"][0])
    momentum = next(row for row in rows if row["strategy"] == "momentum")
    other = next(row for row in rows if row["strategy"] != "momentum")
    assert other["strategy"] == "'=1+1"
    assert (other["sharpe_ratio"], "sharpe_ratio: 1 return, 2 are needed" in other["not_available"]) == ("", True)
    assert D(momentum["net_pnl"]) == D("3.70")
    assert figures(next(r for r in document(viewer)["strategies"] if r["strategy"] == "momentum"))["sharpe_ratio"][
        "value"
    ] == float(momentum["sharpe_ratio"])
    assert own
    trades = _lines(viewer.get(f"{LIST}momentum/", {"format": "csv"}))
    assert [D(each["net"]) for each in trades] == _from_fills("momentum")[3]
    days = _lines(viewer.get(f"{LIST}momentum/", {"format": "csv", "of": "days"}))
    assert [float(each["return"]) for each in days] == pytest.approx(_from_fills("momentum")[2])


def test_files_need_nothing_else_and_are_recorded(desk: Desk, tmp_path: Path) -> None:
    week(desk)
    roll()
    for report, more in (("strategies", []), ("strategy", ["--strategy", "momentum"])):
        path = tmp_path / f"{report}.html"
        call_command("export_report", report, *more, "--output", str(path), stdout=StringIO())
        found = path.read_text()
        assert not re.search(r"<link|<script|<img|\ssrc=|\shref=|url\(|@import|action=|<form", found)
        assert "momentum" in found
        assert "3.70" in found
        call_command("export_report", report, *more, "--format", "csv", "--output", str(path), stdout=StringIO())
        assert "momentum" in path.read_text() if report == "strategies" else "SPY" in path.read_text()
        call_command("export_report", report, *more, "--format", "json", "--output", str(path), stdout=StringIO())
        assert json.loads(path.read_text())["trials"] == 1
    assert OrderAccess.objects.filter(kind=AccessKind.EXPORTED).count() == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["strategy"], "--strategy=NAME: the report strategy needs one"),
        (["strategies", "--strategy", "x"], "--strategy=x: is for the report strategy, not for strategies"),
        (["orders", "--format", "csv"], "--format=csv: is for the reports strategies and strategy, not for orders"),
        (["strategy", "--strategy", "x"], "--strategy='x': has neither orders nor figures in dev"),
    ],
)
def test_a_file_that_cannot_be_made_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=re.escape(said)):
        call_command("export_report", *arguments, stdout=StringIO())


def test_the_shell_and_the_admin_lead_to_the_strategies(desk: Desk, client: Client) -> None:
    client.force_login(desk.reviewer)
    for page in ("/reports/orders/", "/admin/"):
        assert f'href="{LIST}"' in client.get(page).content.decode()
    shell = client.get(LIST).content.decode()
    assert f'href="{LIST}" aria-current="page"' in shell


# ---- shared by all viewers -------------------------------------------------------------------------------------------


def test_whoever_looks_again_asks_for_the_version_only(
    desk: Desk, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    week(desk)
    roll()
    shared, scope, sort = SharedStrategies(), parse({}), parse_sort({})
    first = shared.comparison(scope, sort, LATER)
    with django_assert_num_queries(2):
        assert shared.comparison(scope, sort, LATER) is first
    assert shared.comparison(scope, sort, LATER + timedelta(minutes=1)) is not first


def test_the_queries_of_a_comparison_do_not_grow_with_strategies(
    desk: Desk, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    scope, sort = parse({}), parse_sort({})
    for number in range(3):
        trade(desk, 0, "400", "405", f"number {number}")
        roll()
        with django_assert_num_queries(11):
            SharedStrategies().comparison(scope, sort, LATER)


def test_the_queries_of_a_sheet_do_not_grow_with_trades(
    desk: Desk, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    asked = parse_sheet({}, "momentum")
    for day in range(3):
        trade(desk, day, "400", "405")
        roll()
        trips = strategy_report.closed_trips("dev", "momentum", now=LATER)
        assert len(trips) == day + 1
        with django_assert_num_queries(9):
            strategy_report.build_sheet(asked, trips=trips, now=LATER)


def test_who_asks_for_a_page_that_is_kept_does_not_wait_for_another_one(desk: Desk) -> None:
    week(desk)
    roll()
    shared, scope, sort = SharedStrategies(), parse({}), parse_sort({})
    kept = shared.comparison(scope, sort, LATER)
    begun, done = threading.Event(), threading.Event()

    def slowly() -> str:
        begun.set()
        assert done.wait(20)
        return "made"

    maker = threading.Thread(target=lambda: shared._kept_or_made("another", 1, slowly))
    maker.start()
    assert begun.wait(20)
    assert shared.comparison(scope, sort, LATER) is kept
    done.set()
    maker.join(20)
    assert not maker.is_alive()


def test_a_step_of_an_order_and_a_roll_up_make_another_version(desk: Desk) -> None:
    shared, scope, sort = SharedStrategies(), parse({}), parse_sort({})
    week(desk)
    before = shared.comparison(scope, sort, LATER)
    roll()
    rolled = shared.comparison(scope, sort, LATER)
    assert rolled is not before
    desk.trade(5, Side.BUY, "400")
    assert shared.comparison(scope, sort, LATER).report.behind != ()


def test_orders_that_state_no_strategy_have_one_page(desk: Desk, viewer: Client) -> None:
    trade(desk, 0, "400", "405")
    for model in (StagedOrder, OrderFacts):
        model.objects.update(strategy="")
    roll()
    assert f'href="{LIST}-/"' in viewer.get(LIST).content.decode()
    assert "All strategies none stated dev" in sheet(viewer, "-")
    assert "Net P&L 4.00 money" in sheet(viewer, "-")
