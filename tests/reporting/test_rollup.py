"""Rows of performance: they are those of the fills, they follow what changes, and nothing else is written."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client

from monitoring import events
from monitoring.choices import EventType
from monitoring.models import MarketEvent
from orders import fills, position_statements, workflow
from orders.choices import Side
from orders.fill import Fill
from orders.models import Position, StagedOrder
from reporting import rollup
from reporting import tasks as report_tasks
from reporting.choices import Period
from reporting.models import RollUp, StrategyPerformance
from reporting.performance import sharpe_ratio
from reporting.rollup import Done, InvalidRequest, Request
from tests.factories import NOW, equity, iron_condor, person, ticket

pytestmark = pytest.mark.django_db
D = Decimal
DAY = timedelta(days=1)
MONDAY = date(2025, 11, 3)
LATER = NOW + 30 * DAY


class Desk:
    """Orders that go the whole way, and the market beside them. Days are counted from Monday 2025-11-03."""

    def __init__(self) -> None:
        self.trader, self.reviewer = person("trader", "trader"), person("reviewer", "reviewer")
        self.number = 0

    def order(self, day: int = 0, order: Any = None, **changes: Any) -> StagedOrder:
        at = NOW + day * DAY
        if MarketEvent.objects.filter(symbol="SPY").exists():
            # Once there are prices, the rules want one that is fresh.
            self.market(day, str(changes.get("price", D("400.50"))), seconds=-5)
        found = workflow.stage(order or ticket(**changes), created_by=self.trader, now=at)
        workflow.approve(found.pk, actor=self.reviewer, now=at)
        return workflow.submit(found.pk, actor=self.trader, now=at)

    def fill(self, order: StagedOrder, day: int, price: str, quantity: str = "1", **changes: Any) -> str:
        self.number += 1
        executed = NOW + day * DAY + timedelta(minutes=self.number)
        values = {"price": D(price), "quantity": D(quantity), "executed_at": executed, "fees": D("0.50")}
        name = f"x-{self.number}"
        booked = Fill(execution_id=name, **{**values, **changes})
        workflow.record_execution(order.pk, booked, actor=self.trader, now=max(executed, booked.executed_at))
        return name

    def trade(self, day: int, side: Side, price: str, quantity: str = "1", strategy: str = "momentum") -> str:
        order = self.order(day, side=side, price=D(price), quantity=D(quantity), strategy=strategy)
        return self.fill(order, day, price, quantity)

    def market(
        self, day: int, price: str, symbol: str = "SPY", hour: int = 0, seconds: int = 0, **changes: Any
    ) -> None:
        at = NOW + day * DAY + timedelta(hours=hour, seconds=seconds)
        values = {"event_type": EventType.TRADE, "source": "test"}
        events.record([events.Event(symbol=symbol, timestamp=at, price=D(price), **{**values, **changes})])


@pytest.fixture
def desk() -> Desk:
    equity(at=NOW - DAY)
    return Desk()


def roll(now: datetime = LATER, **request: Any) -> Done:
    [done] = rollup.roll_up(Request(**request), now=now)
    return done


def row(period: Period, day: int | None = None, strategy: str = "momentum") -> StrategyPerformance:
    rows = StrategyPerformance.objects.filter(strategy_name=strategy, period=period)
    if day is not None:
        start = datetime.combine(MONDAY + day * DAY, datetime.min.time(), tzinfo=UTC)
        rows = rows.filter(period_start__gte=start, period_start__lt=start + DAY)
    return rows.get()


def figures(found: StrategyPerformance) -> dict[str, Any]:
    return found.risk_metrics["figures"]


def contents() -> list[dict[str, Any]]:
    return list(StrategyPerformance.objects.order_by("period", "period_start", "strategy_name").values())


def test_rows_say_what_the_fills_came_to(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400", "2")
    desk.market(0, "403", hour=4)
    desk.trade(1, Side.SELL, "405", "1")
    desk.market(1, "406", hour=4)
    desk.trade(2, Side.SELL, "402", "1")
    assert roll() == Done(strategy="momentum", written=6)
    monday, tuesday, wednesday = (row(Period.DAY, day) for day in range(3))
    assert (monday.realized_pnl, monday.unrealized_pnl, monday.fees, monday.total_trades) == (0, D(6), D("0.5"), 0)
    assert (tuesday.realized_pnl, tuesday.unrealized_pnl, tuesday.total_trades) == (D(5), D(6), 0)
    assert (wednesday.realized_pnl, wednesday.unrealized_pnl, wednesday.total_trades) == (D(2), 0, 1)
    assert [figures(each)["net_pnl"]["value"] for each in (monday, tuesday, wednesday)] == [
        "5.5",
        "4.5",
        "-4.5",
    ]
    assert [each.total_return for each in (monday, tuesday, wednesday)] == [0.000055, 0.000045, -0.000045]
    for period in (Period.WEEK, Period.MONTH, Period.ALL):
        found = row(period)
        assert (found.realized_pnl, found.unrealized_pnl, found.fees) == (D(7), D(0), D("1.5"))
        assert (found.total_trades, found.winning_trades, found.losing_trades) == (1, 1, 0)
        assert found.sharpe_ratio == sharpe_ratio([0.000055, 0.000045, -0.000045])
        assert figures(found)["net_pnl"]["value"] == figures(found)["cash_flow"]["value"] == "5.5"


def test_periods_are_those_of_new_york(desk: Desk) -> None:
    late = desk.order(0, quantity=D(2))
    # 23:30 in New York on Monday is Tuesday in UTC; clocks went back the day before.
    desk.fill(late, 0, "400", executed_at=datetime(2025, 11, 4, 4, 30, tzinfo=UTC))
    roll()
    assert row(Period.DAY, 0).period_start == datetime(2025, 11, 3, 5, tzinfo=UTC)
    assert row(Period.DAY, 0).period_end == datetime(2025, 11, 4, 5, tzinfo=UTC)
    weeks = StrategyPerformance.objects.filter(period=Period.WEEK).order_by("period_start")
    assert weeks[0].period_end - weeks[0].period_start == 7 * DAY
    months = StrategyPerformance.objects.filter(period=Period.MONTH).order_by("period_start")
    assert [each.period_start for each in months] == [
        datetime(2025, 11, 1, 4, tzinfo=UTC),
        datetime(2025, 12, 1, 5, tzinfo=UTC),
    ]


def test_every_figure_says_its_estimator_its_n_and_why_there_is_none(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400")
    desk.trade(0, Side.SELL, "403")
    roll()
    for found in StrategyPerformance.objects.all():
        assert (found.risk_metrics["version"], found.risk_metrics["figures_version"]) == (1, 1)
        for name, figure in figures(found).items():
            assert figure["estimator"], name
            assert isinstance(figure["n"], int)
            assert (figure["value"] is None) == bool(figure["reason"]), name
    found = figures(row(Period.ALL))
    assert found["sharpe_ratio"]["value"] is None
    assert "2" in found["sharpe_ratio"]["reason"]
    assert (found["win_rate"]["value"], found["win_rate"]["n"], found["expectancy"]["value"]) == (1.0, 1, 2.0)


def test_without_equity_on_record_there_is_no_return_and_the_reason_is_said(desk: Desk) -> None:
    MarketEvent.objects.all().delete()
    equity(at=NOW - timedelta(hours=2))
    order = desk.order(0, quantity=D(2))
    desk.fill(order, 0, "400")
    roll(NOW + timedelta(hours=4))
    found = row(Period.DAY, 0)
    assert (found.total_return, found.sharpe_ratio, found.realized_pnl) == (None, None, D(0))
    reason = "no equity of the account is on record before 2025-11-03"
    assert figures(found)["total_return"]["reason"] == reason
    assert figures(row(Period.ALL))["annual_volatility"]["reason"] == reason
    assert figures(row(Period.ALL))["net_pnl"]["value"] == "-0.5"


def test_what_is_never_closed_is_shown_open_at_its_last_price(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400", "2")
    desk.market(3, "410")
    roll(NOW + 3 * DAY + timedelta(hours=1))
    found = row(Period.ALL)
    assert (found.total_trades, found.unrealized_pnl, found.risk_metrics["final"]) == (0, D(20), False)
    [held] = found.risk_metrics["held"]
    assert (held["instrument"], held["quantity"], held["price"], held["priced_by"]) == (
        "SPY",
        "2",
        "410",
        "market",
    )
    assert held["priced_at"] == (NOW + 3 * DAY).isoformat()
    # Monday to Thursday, whether dealt in or not.
    assert StrategyPerformance.objects.filter(period=Period.DAY).count() == 4


def test_without_market_data_it_is_marked_at_the_last_fill(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400")
    desk.trade(1, Side.BUY, "402")
    roll(NOW + DAY + timedelta(hours=5))
    found = row(Period.ALL)
    assert (found.unrealized_pnl, found.risk_metrics["held"][0]["priced_by"]) == (D(2), "own fill")


def test_last_fill_is_the_one_after_the_last_roll_up(desk: Desk) -> None:
    order = desk.order(0, quantity=D(2))
    for number, price in enumerate(("400", "402"), start=1):
        desk.fill(order, 0, price)
        roll(NOW + timedelta(hours=number))
        assert row(Period.ALL).risk_metrics["held"][0]["price"] == price
    assert row(Period.ALL).unrealized_pnl == D(2)


def test_combination_without_prices_of_its_legs_has_no_value_and_says_so(desk: Desk) -> None:
    order = desk.order(0, iron_condor(strategy="wings"))
    desk.fill(order, 0, "-1.20")
    roll(NOW + timedelta(hours=5))
    found = row(Period.ALL, strategy="wings")
    assert (found.realized_pnl, found.unrealized_pnl, found.total_return) == (D(0), None, None)
    reason = figures(found)["unrealized_pnl"]["reason"]
    assert reason.startswith("no price of SPY251205C00460000, SPY251205C00465000, ")
    assert figures(found)["cash_flow"]["value"] == "119.5"


def test_combination_is_one_trade_that_ends_leg_by_leg_and_by_expiry(desk: Desk) -> None:
    order = desk.order(0, iron_condor(strategy="wings"))
    desk.fill(order, 0, "-1.20")
    for strike, price in ((435, "0.05"), (440, "0.60"), (460, "0.70"), (465, "0.10")):
        symbol = f"SPY   251205{'P' if strike < 450 else 'C'}{strike * 1000:08d}"
        desk.market(1, price, symbol, event_type=EventType.OPTION_QUOTE)
    back = desk.order(2, symbol="SPY   251205P00440000", price=D("0.20"), quantity=D(1), strategy="wings")
    desk.fill(back, 2, "0.20", executed_at=NOW + 2 * DAY)
    roll(NOW + 2 * DAY + timedelta(hours=5))
    found = row(Period.ALL, strategy="wings")
    # 5 for the long put, -70 and 10 for the calls are still there; 120 was received, 20 paid.
    assert D(figures(found)["net_pnl"]["value"]) == 120 - 20 + 5 - 70 + 10 - 1
    assert (found.total_trades, len(found.risk_metrics["held"])) == (0, 3)
    desk.market(32, "450", hour=5)
    roll(NOW + 40 * DAY)
    found = row(Period.ALL, strategy="wings")
    assert (found.total_trades, found.winning_trades, found.realized_pnl) == (1, 1, D(100))
    assert (found.unrealized_pnl, found.risk_metrics["held"]) == (D(0), [])


def test_expired_option_without_a_price_of_its_day_stays_open_and_says_so(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400", strategy="other")
    order = desk.order(0, symbol="SPY   251205C00460000", price=D("1.00"), quantity=D(1))
    desk.fill(order, 0, "1.00")
    desk.market(31, "470")
    rollup.roll_up(Request(strategy="momentum"), now=NOW + 40 * DAY)
    found = row(Period.ALL)
    note = "SPY251205C00460000 has expired, and no price of SPY from 2025-12-05 is on record: open"
    assert found.risk_metrics["notes"] == [note]
    assert found.total_trades == 0
    desk.market(32, "465", hour=5)
    rollup.roll_up(Request(strategy="momentum"), now=NOW + 41 * DAY)
    found = row(Period.ALL)
    # Exercised: worth 5, and 100 shares at 465 that are held since.
    assert (found.risk_metrics["notes"], found.total_trades, found.realized_pnl) == ([], 1, D(400))
    assert [each["quantity"] for each in found.risk_metrics["held"]] == ["100"]


def test_what_an_option_settled_at_stays_when_market_data_are_let_go(desk: Desk) -> None:
    order = desk.order(0, symbol="SPY   251205C00460000", price=D("1.00"), quantity=D(1))
    desk.fill(order, 0, "1.00")
    desk.market(32, "465", hour=5)
    roll(NOW + 40 * DAY)
    assert row(Period.ALL).realized_pnl == D(400)
    desk.market(32, "490", hour=5, seconds=600)
    desk.trade(41, Side.BUY, "470")
    roll(NOW + 42 * DAY)
    assert row(Period.DAY, 32).realized_pnl == D(400)
    MarketEvent.objects.filter(symbol="SPY").delete()
    roll(NOW + 42 * DAY, since=MONDAY)
    assert row(Period.DAY, 32).realized_pnl == row(Period.ALL).realized_pnl == D(400)


def test_statement_of_what_was_held_is_where_a_position_begins(desk: Desk) -> None:
    stated = {"symbol": "SPY", "quantity": "5", "taken_at": NOW.isoformat(), "strategy": "momentum"}
    rows = position_statements.parse([{**stated, "average_price": "390"}])
    position_statements.take_over(rows, source="broker", actor=desk.trader, now=NOW)
    desk.trade(1, Side.SELL, "400", "5")
    roll()
    assert (row(Period.ALL).realized_pnl, row(Period.ALL).total_trades) == (D(50), 1)


def test_statement_without_any_price_leaves_no_figure_of_money_behind(desk: Desk) -> None:
    stated = {"symbol": "XYZ", "quantity": "5", "taken_at": NOW.isoformat(), "strategy": "momentum"}
    rows = position_statements.parse([stated])
    position_statements.take_over(rows, source="broker", actor=desk.trader, now=NOW)
    roll()
    found = row(Period.ALL)
    assert (found.realized_pnl, found.unrealized_pnl, found.total_return) == (None, None, None)
    assert figures(found)["realized_pnl"]["reason"] == (
        "the statement of 2025-11-03 15:00 says no average price of XYZ, and no market price is on record"
    )


def test_trips_that_rows_count_can_be_listed(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400", "2")
    desk.trade(0, Side.SELL, "405")
    desk.trade(1, Side.SELL, "398")
    desk.trade(2, Side.BUY, "400")
    option = desk.order(0, symbol="SPY   251205C00460000", price=D("1.00"), quantity=D(1))
    desk.fill(option, 0, "1.00")
    desk.market(32, "440", hour=5)
    roll(NOW + 40 * DAY)
    found = list(rollup.closed_trips("momentum", now=NOW + 40 * DAY))
    assert [(trip.instruments, trip.pnl, trip.fees) for trip in found] == [
        (("SPY",), D(3), D("1.5")),
        (("SPY251205C00460000",), D(-100), D("0.5")),
    ]
    counted = row(Period.ALL)
    assert (counted.total_trades, counted.winning_trades, counted.losing_trades) == (2, 1, 1)
    assert counted.realized_pnl == sum(trip.pnl for trip in found)


def test_what_rows_say_is_held_is_what_the_table_of_positions_says(desk: Desk) -> None:
    whole, by_legs = (desk.order(0, iron_condor(strategy="wings", quantity=D(1))) for _ in range(2))
    desk.fill(whole, 0, "-1.20")
    for leg, price in enumerate(("0.40", "1.10", "0.90", "0.35"), start=1):
        desk.fill(by_legs, 0, price, leg=leg)
    stock = desk.order(0, strategy="wings", quantity=D(3), price=D(400))
    taken_back, wrong = desk.fill(stock, 0, "400"), desk.fill(stock, 0, "401")
    fills.bust_execution(taken_back, bust_id="bust", actor=desk.trader, now=LATER, reason="error")
    right = Fill(execution_id="right", price=D(399), quantity=D(2), executed_at=NOW + timedelta(hours=1))
    fills.correct_execution(wrong, right, actor=desk.trader, now=LATER, reason="quantity")
    roll(NOW + timedelta(hours=3))
    held = {each["instrument"]: D(each["quantity"]) for each in row(Period.ALL, strategy="wings").risk_metrics["held"]}
    kept = Position.objects.filter(strategy="wings").exclude(quantity=0)
    assert held == dict(kept.values_list("instrument", "quantity"))
    assert held["SPY"] == D(2)
    assert len(held) == 5
    cash = figures(row(Period.ALL, strategy="wings"))["cash_flow"]["value"]
    # 120 and 125 received for the two, 798 paid, and fees of six fills that hold: the corrected one states none.
    assert D(cash) == 120 + 125 - 798 - D("2.5")


# ---- only what changed -----------------------------------------------------------------------------------------------


def test_second_roll_up_writes_nothing(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400")
    desk.trade(1, Side.SELL, "404")
    first = roll()
    before = contents()
    assert roll(LATER + DAY) == Done(strategy="momentum", skipped=True)
    again = roll(LATER + DAY, since=MONDAY)
    assert (again.written, again.removed, again.unchanged) == (0, 0, first.written)
    assert contents() == before


def test_where_nothing_changed_no_fill_is_read(desk: Desk, django_assert_num_queries: Any) -> None:
    for day in range(3):
        desk.trade(day, Side.BUY, "400")
        desk.trade(day, Side.SELL, "401")
    roll()
    # Which strategies there are (2), how many rows (2), and how many there were.
    with django_assert_num_queries(5) as queries:
        assert roll().skipped
    assert not any("execution_price" in query["sql"] for query in queries.captured_queries)


def test_what_is_held_is_priced_again_and_days_that_are_over_are_not(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400")
    desk.market(1, "405")
    roll(NOW + DAY + timedelta(hours=1))
    monday = row(Period.DAY, 0)
    # It comes late: Monday is over.
    desk.market(0, "300", hour=5)
    desk.market(1, "407", hour=2)
    roll(NOW + DAY + timedelta(hours=3))
    assert row(Period.DAY, 0).risk_metrics == monday.risk_metrics
    assert (row(Period.DAY, 1).unrealized_pnl, row(Period.ALL).unrealized_pnl) == (D(7), D(7))
    roll(NOW + DAY + timedelta(hours=3), since=MONDAY, until=MONDAY)
    assert row(Period.DAY, 0).unrealized_pnl == D(-100)


def test_late_fill_rolls_up_again_what_it_touches_and_nothing_else(desk: Desk) -> None:
    open_order = desk.order(1, quantity=D(2), price=D(400))
    for day, side, price in ((0, Side.BUY, "400"), (0, Side.SELL, "401"), (9, Side.BUY, "402"), (9, Side.SELL, "403")):
        desk.trade(day, side, price)
    roll()
    before = {each["id"]: each for each in contents()}
    desk.fill(open_order, 1, "400", "1")
    sold = desk.order(1, side=Side.SELL, price=D(410), quantity=D(1))
    desk.fill(sold, 1, "410", "1")
    done = roll(LATER + DAY)
    after = {each["id"]: each for each in contents()}
    same = [pk for pk in before if after[pk] == before[pk]]
    # Monday of both weeks and the second week stand as they were.
    assert sorted(before[pk]["period"] for pk in same) == ["day", "day", "week"]
    assert (done.written, done.unchanged, done.removed) == (4, 3, 0)
    assert (row(Period.DAY, 1).realized_pnl, row(Period.ALL).realized_pnl) == (D(10), D(12))


def test_late_fill_is_priced_at_the_market_and_by_the_equity_of_its_day(desk: Desk) -> None:
    late = desk.order(0, quantity=D(2), price=D(400))
    desk.trade(0, Side.BUY, "400")
    desk.trade(0, Side.SELL, "401")
    roll(NOW + 2 * DAY)
    assert (row(Period.DAY, 0).risk_metrics["final"], row(Period.DAY, 0).unrealized_pnl) == (True, D(0))
    # Equity has been let go since, and prices have come.
    MarketEvent.objects.all().delete()
    desk.market(0, "410", hour=4)
    desk.fill(late, 0, "400")
    roll(NOW + 2 * DAY)
    found = row(Period.DAY, 0)
    assert (found.unrealized_pnl, found.total_return) == (D(10), 0.000095)


def test_correction_and_bust_roll_up_again_what_they_touch(desk: Desk) -> None:
    bought = desk.trade(0, Side.BUY, "400")
    sold = desk.trade(1, Side.SELL, "410")
    roll()
    fixed = Fill(execution_id="fix", price=D(405), quantity=D(1), executed_at=NOW + timedelta(hours=1))
    fills.correct_execution(bought, fixed, actor=desk.trader, now=LATER, reason="price")
    roll(LATER + DAY)
    assert (row(Period.DAY, 1).realized_pnl, row(Period.ALL).realized_pnl) == (D(5), D(5))
    fills.bust_execution(sold, bust_id="bust", actor=desk.trader, now=LATER, reason="error")
    roll(LATER + DAY)
    found = row(Period.ALL)
    assert (found.realized_pnl, found.total_trades, len(found.risk_metrics["held"])) == (D(0), 0, 1)


def test_rows_of_days_on_which_nothing_is_left_are_removed(desk: Desk) -> None:
    first = desk.trade(0, Side.BUY, "400")
    desk.trade(1, Side.BUY, "400")
    roll(NOW + DAY + timedelta(hours=9))
    fills.bust_execution(first, bust_id="bust", actor=desk.trader, now=LATER, reason="error")
    done = roll(NOW + DAY + timedelta(hours=9))
    assert done.removed == 2
    assert row(Period.DAY).period_start == row(Period.ALL).period_start == datetime(2025, 11, 4, 5, tzinfo=UTC)


def test_strategies_are_rolled_up_apart_and_one_can_be_named(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400", strategy="a")
    desk.trade(0, Side.SELL, "401", strategy="a")
    desk.trade(0, Side.BUY, "400", strategy="b")
    assert [each.strategy for each in rollup.roll_up(Request(), now=LATER)] == ["a", "b"]
    assert (row(Period.ALL, strategy="a").total_trades, row(Period.ALL, strategy="b").total_trades) == (1, 0)
    assert roll(strategy="a").skipped
    assert set(StrategyPerformance.objects.values_list("environment", flat=True)) == {"dev"}


def test_kinds_of_periods_are_rolled_up_as_asked_and_days_always(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400")
    desk.trade(0, Side.SELL, "401")
    roll(periods=frozenset({Period.MONTH}))
    assert sorted(StrategyPerformance.objects.values_list("period", flat=True)) == ["day", "month"]
    assert not roll().skipped
    assert StrategyPerformance.objects.count() == 4


def test_there_is_one_row_for_each_strategy_environment_and_period(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400")
    roll()
    for found in (row(Period.ALL), row(Period.DAY, 0)):
        found.pk = None
        with pytest.raises(IntegrityError), transaction.atomic():
            found.save(force_insert=True)
    found = row(Period.ALL)
    found.pk, found.period_start = None, found.period_start - DAY
    with pytest.raises(IntegrityError), transaction.atomic():
        found.save(force_insert=True)


def test_who_has_seen_less_does_not_overwrite(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.trade(0, Side.BUY, "400")
    rows = rollup._rows

    def overtaken(*args: Any) -> Any:
        found = list(rows(*args))
        monkeypatch.setattr(rollup, "_rows", rows)
        desk.trade(0, Side.SELL, "405")
        assert roll().written == 4
        return found

    monkeypatch.setattr(rollup, "_rows", overtaken)
    assert roll().skipped
    assert row(Period.ALL).realized_pnl == D(5)


def test_position_that_is_flat_waits_for_the_end_of_its_periods_and_then_for_nothing(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400")
    desk.trade(0, Side.SELL, "401")
    at = NOW + timedelta(hours=9)
    roll(at)
    assert roll(at + timedelta(hours=1)).skipped
    for _ in range(10):
        due = RollUp.objects.get().due_at
        if due is None:
            break
        assert not roll(due).skipped
    assert due is None
    assert all(each.risk_metrics["final"] for each in StrategyPerformance.objects.all())


# ---- the command and the task ----------------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("rollup_performance", *arguments, stdout=out)
    return out.getvalue()


def test_command_says_what_it_did_and_prints_it_as_json(desk: Desk) -> None:
    assert run() == "There are no fills yet.\n"
    desk.trade(0, Side.BUY, "400")
    desk.trade(0, Side.SELL, "401")
    assert run("--strategy", "momentum", "--from", "2025-11-03", "--to", "2025-11-30", "--period", "week") == (
        "momentum: 2 rows written, 0 removed, 0 unchanged\n"
    )
    assert json.loads(run("--json")) == {
        "strategies": [{"strategy": "momentum", "skipped": False, "written": 2, "removed": 0, "unchanged": 2}]
    }
    assert run() == "momentum: nothing new\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "nobody"], "strategy='nobody': has neither fills nor statements in dev"),
        (["--from", "yesterday"], "from='yesterday': a day such as 2025-11-03 is needed"),
        (["--to", "2025-02-30"], "to='2025-02-30': a day such as 2025-11-03 is needed"),
        (["--from", "2025-11-04", "--to", "2025-11-03"], "to=2025-11-03: must not be before from=2025-11-04"),
        (["--from", "9999-01-01"], "from=9999-01-01: must not be after today, "),
        (["--period", "year"], "period='year': one of day, week, month, all is needed"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field_with_status_2(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError) as error:
        run(*arguments)
    assert str(error.value).startswith(message)
    assert error.value.returncode == 2


def test_task_rolls_up_what_changed_and_twice_does_no_harm(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400")
    desk.trade(0, Side.SELL, "401")
    assert report_tasks.rollup_performance.call() == {"momentum": 4}
    assert report_tasks.rollup_performance.call() == {}


def test_refused_request_writes_nothing(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400")
    with pytest.raises(InvalidRequest, match="strategy='x'"):
        roll(strategy="x")
    assert not RollUp.objects.exists()


def test_admin_lists_rows_by_kind_with_the_days_that_they_are_about(desk: Desk) -> None:
    desk.trade(0, Side.BUY, "400")
    desk.trade(0, Side.SELL, "405")
    roll()
    client = Client()
    client.force_login(person("ada", "auditor"))
    listed = client.get("/admin/reporting/strategyperformance/").content.decode()
    for dates in ("2025-11-03", "2025-11-03 to 2025-11-09", "2025-11-01 to 2025-11-30"):
        assert f'<td class="field-dates">{dates}</td>' in listed
    weeks = client.get("/admin/reporting/strategyperformance/?period__exact=week").content.decode()
    assert weeks.count('<td class="field-kind">week</td>') == 1
    assert '<td class="field-kind">day</td>' not in weeks
