"""What the rules see around an order: the same on every engine, itself and other desks left out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from emo_site.db import prepared
from monitoring.models import MarketEvent
from orders import context, surroundings, trading_state, workflow
from orders.assessment import BookEntry, Commitment, Context, Holding, Override
from orders.choices import TradingState
from orders.context import Question
from orders.fill import Fill
from orders.models import EquityHigh, StagedOrder
from orders.policy import Policy
from tests.factories import EXPIRY, NOW, equity, iron_condor, person, staged, ticket

D = Decimal
LATER = NOW + timedelta(minutes=1)
POLICY = """
policy_version: "context"
risk:
  max_order_quantity: 50
"""
# What is asked for; the orders themselves were staged without windows, so that equal ones stand.
WINDOWS = Policy(
    version="windows", duplicate_window_seconds=60, max_orders_per_window=100, order_rate_window_seconds=60
)


@pytest.fixture(autouse=True)
def _policy(tmp_path: Path, settings: Any) -> None:
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text(POLICY, encoding="utf-8")


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


def seen(order: StagedOrder | None = None, *, now: Any = LATER, **changes: Any) -> Context:
    """By the rules, of an order on record, or of a ticket that is none yet."""
    question = Question(ticket=ticket(**changes), created_by="trader", order=order)
    return context.gather([question], WINDOWS, now=now).contexts[0]


def sent(trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    order = staged(trader, **changes)
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    return workflow.submit(order.pk, actor=trader, now=NOW)


def book(order: StagedOrder, trader: User, name: str, quantity: str, price: str, leg: int | None = None) -> None:
    made = Fill(execution_id=name, price=D(price), quantity=D(quantity), executed_at=NOW, leg=leg)
    workflow.record_execution(order.pk, made, actor=trader, now=NOW)


def test_what_is_held_is_seen_at_its_average_cost(trader: User, reviewer: User) -> None:
    order = sent(trader, reviewer)
    book(order, trader, "a", "1", "400")
    book(order, trader, "b", "1", "401")
    book(sent(trader, reviewer, symbol="QQQ", quantity=D(1)), trader, "q", "1", "500")
    found = seen()
    assert found.holdings == (
        Holding(
            right="S", strike=None, expiry=None, quantity=D(2), multiplier=1, price=D("400.5"), strategy="momentum"
        ),
    )
    assert found.book == (
        BookEntry(strategy="momentum", underlying="QQQ", max_loss=D(500)),
        BookEntry(strategy="momentum", underlying="SPY", max_loss=D(801)),
    )
    # Executed orders are positions; nothing is counted twice.
    assert (found.commitments, found.open_orders) == ((), ())


def test_option_that_has_expired_is_held_no_more(trader: User, reviewer: User) -> None:
    condor = workflow.stage(iron_condor(strategy="condors"), created_by=trader, now=NOW)
    workflow.approve(condor.pk, actor=reviewer, now=NOW)
    workflow.submit(condor.pk, actor=trader, now=NOW)
    book(condor, trader, "c", "1", "-1.20")
    assert [(each.right, each.strike, each.quantity) for each in seen().holdings] == [
        ("C", D(460), D(-1)),
        ("C", D(465), D(1)),
        ("P", D(435), D(1)),
        ("P", D(440), D(-1)),
    ]
    assert seen().book == (BookEntry(strategy="condors", underlying="SPY", max_loss=D(380)),)
    day_after = NOW + (EXPIRY - NOW.date()) + timedelta(days=1)
    assert (seen(now=day_after).holdings, seen(now=day_after).book) == ((), ())


def test_what_is_open_counts_by_strategy_and_underlying_and_what_is_over_does_not(trader: User, reviewer: User) -> None:
    staged(trader, client_order_id="two")
    staged(trader, client_order_id="one", quantity=D(1))
    staged(trader, symbol="QQQ", quantity=D(1))
    part = sent(trader, reviewer, client_order_id="part", quantity=D(4), strategy="trend")
    book(part, trader, "p", "1", "400")
    workflow.stage(iron_condor(strategy="condors", client_order_id="condor"), created_by=trader, now=NOW)
    staged(trader, client_order_id="blocked", strategy="")
    workflow.cancel(staged(trader, client_order_id="cancelled").pk, actor=trader, now=NOW)
    workflow.reject(staged(trader, client_order_id="rejected").pk, actor=reviewer, now=NOW, reason="no")
    found = seen()
    assert found.commitments == (
        Commitment(strategy="condors", underlying="SPY", orders=1, max_loss=D(380)),
        Commitment(strategy="momentum", underlying="QQQ", orders=1, max_loss=D("400.5")),
        Commitment(strategy="momentum", underlying="SPY", orders=2, max_loss=D("1201.5")),
        # One of four was filled.
        Commitment(strategy="trend", underlying="SPY", orders=1, max_loss=D("1201.5")),
    )
    # What was filled was staged today as well.
    assert found.staged_today == Commitment(strategy="", underlying="", orders=5, max_loss=D("3584"))
    open_orders = {
        each.client_order_id: (each.status, each.max_loss, [leg.quantity for leg in each.legs])
        for each in found.open_orders
    }
    assert open_orders == {
        "two": ("pending_review", D(801), [D(2)]),
        "one": ("pending_review", D("400.5"), [D(1)]),
        "part": ("partially_filled", D(1602), [D(3)]),
        "condor": ("pending_review", D(380), [D(1), D(-1), D(-1), D(1)]),
    }


def test_order_itself_is_left_out(trader: User) -> None:
    own, other = staged(trader), staged(trader, quantity=D(1), client_order_id="other")
    equal = staged(trader, client_order_id="equal")
    found = seen(own)
    assert {each.client_order_id for each in found.open_orders} == {"other", "equal"}
    assert found.commitments == (Commitment(strategy="momentum", underlying="SPY", orders=2, max_loss=D("1201.5")),)
    assert found.staged_today == Commitment(strategy="", underlying="", orders=2, max_loss=D("1201.5"))
    assert (found.duplicates, found.orders_in_window) == (("equal",), 2)
    assert seen(other, quantity=D(1)).duplicates == ()
    assert seen(equal).duplicates == (own.client_order_id,)


def test_other_desks_are_left_out(trader: User, settings: Any) -> None:
    settings.EMO_ENV = "staging"
    staged(trader)
    trading_state.change(TradingState.HALTED, actor=trader, now=NOW, reason="elsewhere")
    settings.EMO_ENV = "dev"
    found = seen(now=NOW)
    assert (found.trading_state, found.commitments, found.open_orders) == (TradingState.ACTIVE, (), ())
    assert (found.duplicates, found.orders_in_window) == ((), 0)
    assert found.staged_today == Commitment(strategy="", underlying="", orders=0, max_loss=D(0))
    settings.EMO_ENV = "staging"
    found = seen(now=NOW)
    assert found.trading_state == TradingState.HALTED
    assert (len(found.open_orders), len(found.duplicates), found.orders_in_window) == (1, 1, 1)


def test_equal_orders_and_orders_of_a_strategy_are_counted_within_their_windows(trader: User) -> None:
    staged(trader, client_order_id="too old", now=LATER - timedelta(seconds=60))
    staged(trader, client_order_id="just in", now=LATER - timedelta(seconds=59))
    staged(trader, client_order_id="another price", price=D(400), now=LATER)
    gone = staged(trader, client_order_id="gone", now=LATER)
    workflow.cancel(gone.pk, actor=trader, now=LATER)
    staged(trader, client_order_id="other strategy", strategy="trend", now=LATER)
    found = seen()
    # Whoever staged it under another strategy asks for the same thing: the fingerprint says what is equal.
    assert set(found.duplicates) - {"other strategy"} == {"just in"}
    assert found.orders_in_window == 3


def test_what_was_staged_today_is_of_new_yorks_day(trader: User) -> None:
    equity(at=NOW - timedelta(days=2))
    midnight = NOW.replace(hour=5)
    staged(trader, now=midnight - timedelta(seconds=1))
    staged(trader, now=midnight, quantity=D(1))
    assert seen(now=midnight).staged_today == Commitment(strategy="", underlying="", orders=1, max_loss=D("400.5"))
    assert seen(now=midnight - timedelta(seconds=1)).staged_today == Commitment(
        strategy="", underlying="", orders=1, max_loss=D(801)
    )


def test_overrides_are_seen_until_they_end(trader: User) -> None:
    order = staged(trader, quantity=D(51))
    end = LATER + timedelta(minutes=1)
    officer = person("officer", "risk officer")
    workflow.override(order.pk, code="ORDER_QUANTITY", actor=officer, now=NOW, reason="agreed", expires_at=end)
    given = Override(code="ORDER_QUANTITY", given_by="officer", reason="agreed", expires_at=end)
    assert seen(order).overrides == (given,)
    assert seen(order, now=end).overrides == ()
    assert seen().overrides == ()


def test_older_orders_are_told_in_one_sum(trader: User) -> None:
    equity("1000000000", at=NOW)
    for second in range(context.TOLD_APART + 3):
        staged(trader, now=NOW + timedelta(seconds=second), quantity=D(second + 1))
    found = seen().open_orders
    assert len(found) == context.TOLD_APART + 1
    rest = found[-1]
    assert (rest.client_order_id, rest.max_loss, rest.unbounded) == ("3 older orders", D(6) * D("400.5"), False)
    assert [leg.quantity for leg in rest.legs] == [D(6)]


# ---- the account's high-water mark -----------------------------------------------------------------------------------


def test_high_water_mark_outlives_the_events_it_was_made_of(trader: User) -> None:
    equity("150000", at=NOW - timedelta(days=400))
    staged(trader)
    MarketEvent.objects.filter(timestamp__lt=NOW - timedelta(days=1)).delete()
    found = seen()
    assert (found.equity, found.equity_high, found.equity_high_at) == (
        D(100000),
        D(150000),
        NOW - timedelta(days=400),
    )


def test_new_high_is_seen_at_once_and_kept_later(trader: User) -> None:
    staged(trader)
    assert EquityHigh.objects.get().price == D(100000)
    equity("170000", at=LATER)
    assert seen().equity_high == D(170000)
    staged(trader, now=LATER, quantity=D(1))
    # What came in since is looked at each time; the mark follows now and then.
    assert EquityHigh.objects.get().price == D(100000)
    much_later = LATER + timedelta(minutes=10)
    staged(trader, now=much_later, quantity=D(3))
    mark = EquityHigh.objects.get()
    assert (mark.price, mark.at, mark.looked_until) == (D(170000), LATER, much_later)


def test_mark_never_goes_down(trader: User) -> None:
    equity("150000", at=NOW - timedelta(days=2))
    staged(trader)
    MarketEvent.objects.all().delete()
    equity("90000", at=LATER)
    staged(trader, now=LATER + timedelta(minutes=20), quantity=D(1))
    assert EquityHigh.objects.get().price == D(150000)
    assert seen(now=LATER + timedelta(minutes=21)).equity_high == D(150000)


def test_account_without_equity_has_no_mark(db: None) -> None:
    staged(person("trader", "trader"))
    assert not EquityHigh.objects.exists()
    assert (seen().equity, seen().equity_high) == (None, None)


# ---- one statement, and what it must say -----------------------------------------------------------------------------


@pytest.mark.postgresql
def test_one_statement_tells_what_many_tell(
    trader: User, reviewer: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = staged(trader)
    part = sent(trader, reviewer, quantity=D(4))
    book(part, trader, "p", "1.5", "399.123456")
    condor = workflow.stage(iron_condor(strategy="condors"), created_by=trader, now=NOW)
    workflow.approve(condor.pk, actor=reviewer, now=NOW)
    workflow.submit(condor.pk, actor=trader, now=NOW)
    book(condor, trader, "c", "0.5", "-1.20", leg=2)
    large = staged(trader, quantity=D(51))
    workflow.override(
        large.pk,
        code="ORDER_QUANTITY",
        actor=person("officer", "risk officer"),
        now=NOW,
        reason="agreed",
        expires_at=LATER + timedelta(hours=1),
    )
    trading_state.change(TradingState.REDUCING, actor=trader, now=NOW, reason="volatility")
    settings.EMO_ENV = "staging"
    staged(trader)
    settings.EMO_ENV = "dev"
    asked: list[Any] = []
    rows = prepared.rows

    def ask(connection: Any, sql: str, parameters: Any) -> Any:
        asked.append(parameters)
        return rows(connection, sql, parameters)

    monkeypatch.setattr(surroundings.prepared, "rows", ask)
    subjects = [
        Question(ticket=ticket(), created_by="trader", order=order).subject(LATER) for order in (None, own, large)
    ]
    told = surroundings.look(
        subjects, environment="dev", now=LATER, duplicate_window=3600, rate_window=3600, rate_limit=2
    )
    assert told == surroundings._read_by_model(asked[0], connection)
    assert told.state == TradingState.REDUCING
    assert len(told.held) == 2
    assert set(told.overrides) == {large.pk}
    assert told.duplicates
    assert told.in_window == {0: 3, 1: 3, 2: 3}


# Desk with policy, market, write; the order is read first where there is one.
STATEMENTS = {"stage": 3, "approve": 4, "submit": 4, "reject": 2, "cancel": 2, "ask changes": 2, "fill": 2}


@pytest.mark.postgresql
def test_each_step_takes_few_statements(trader: User, reviewer: User) -> None:
    for actor in (trader, reviewer):
        assert actor.has_perm("orders.view_stagedorder")
    # The first order finds the policy, and keeps the account's high-water mark.
    staged(trader)
    orders: list[StagedOrder] = []
    steps: dict[str, Callable[[], object]] = {
        "stage": lambda: orders.append(staged(trader, now=LATER)),
        "ask changes": lambda: workflow.ask_changes(orders[0].pk, actor=reviewer, now=LATER, reason="why?"),
        "approve": lambda: workflow.approve(orders[0].pk, actor=reviewer, now=LATER),
        "submit": lambda: workflow.submit(orders[0].pk, actor=trader, now=LATER),
        "fill": lambda: book(orders[0], trader, "a", "1", "400"),
        "cancel": lambda: workflow.cancel(orders[0].pk, actor=trader, now=LATER),
    }
    taken = {name: statements(step) for name, step in steps.items()}
    other = staged(trader, now=LATER, quantity=D(1))
    taken["reject"] = statements(lambda: workflow.reject(other.pk, actor=reviewer, now=LATER, reason="no"))
    assert taken == STATEMENTS


def statements(step: Callable[[], object]) -> int:
    """How many it sends, without the savepoints that a test's own transaction asks for."""
    sent: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        sent.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        step()
    return len([sql for sql in sent if "SAVEPOINT" not in sql])
