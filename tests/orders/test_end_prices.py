"""What the market was when an order came to the broker, and when its rest was given up there: stored with the order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from monitoring import events
from monitoring.choices import EventType
from monitoring.models import MarketEvent
from orders import end_prices, kill_switch, workflow
from orders.choices import OrderStatus
from orders.fill import Fill
from orders.models import OrderFacts, StagedOrder
from tests.factories import EXPIRY, NOW, equity, iron_condor, person, staged

D = Decimal
S = OrderStatus
SENT = NOW + timedelta(seconds=5)
END = NOW + timedelta(minutes=5)
POLICY = """
policy_version: "ends"
risk:
  max_quote_age_seconds: 15
"""


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


def market(
    price: str, at: datetime, *, symbol: str = "SPY", kind: EventType = EventType.QUOTE, **stated: object
) -> None:
    made = events.Event(
        symbol=symbol, event_type=kind, timestamp=at, price=D(price), source="test", metadata=dict(stated)
    )
    events.record([made])


def sent(trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    """Handed to the broker at SENT."""
    order = staged(trader, **changes)
    workflow.approve(order.pk, actor=reviewer, now=SENT)
    return workflow.submit(order.pk, actor=trader, now=SENT)


def fill(order: StagedOrder, trader: User, name: str, quantity: str, now: datetime = SENT) -> None:
    made = Fill(execution_id=name, price=D("400.60"), quantity=D(quantity), executed_at=now)
    workflow.record_execution(order.pk, made, actor=trader, now=now)


def opportunity(order: StagedOrder) -> int | None:
    return OrderFacts.objects.get(pk=order.pk).opportunity


# ---- the arrival -----------------------------------------------------------------------------------------------------


def test_bid_and_ask_at_the_arrival_are_stored_with_the_order(trader: User, reviewer: User) -> None:
    market("400.10", NOW, bid="400.00", ask="400.20")
    market("400.30", SENT, bid=400.2, ask="400.40")
    order = sent(trader, reviewer)
    # Whatever is quoted later, and whoever reads the order anew.
    market("410", SENT + timedelta(seconds=1), bid="409", ask="411")
    fill(order, trader, "a", "2")
    order = StagedOrder.objects.get(pk=order.pk)
    assert (order.arrival_price, order.arrival_bid, order.arrival_ask) == (D("400.30"), D("400.20"), D("400.40"))
    # 0.30 above the middle of a spread of 0.20.
    assert OrderFacts.objects.get(pk=order.pk).spread_slippage == 1500


def test_stored_score_measures_slippage_by_the_spread_where_there_is_one(trader: User, reviewer: User) -> None:
    market("400.30", SENT - timedelta(seconds=1), bid="400", ask="400.60")
    market("400.30", NOW, bid="400", ask="400.60")
    order = sent(trader, reviewer)
    fill(order, trader, "a", "2")
    # Filled at the far side: all of the points for the price are gone, 40 of 100; at once and whole.
    assert StagedOrder.objects.get(pk=order.pk).performance_score == D(60)


def test_quote_that_is_older_than_the_policy_wants_tells_no_bid_and_ask(trader: User, reviewer: User) -> None:
    market("400.30", NOW, bid="400.20", ask="400.40")
    market("400.30", NOW + timedelta(seconds=16), kind=EventType.TRADE)
    order = staged(trader)
    late = NOW + timedelta(seconds=16)
    workflow.approve(order.pk, actor=reviewer, now=late)
    order = workflow.submit(order.pk, actor=trader, now=late)
    assert (order.arrival_price, order.arrival_bid, order.arrival_ask) == (D("400.30"), None, None)


def test_option_named_without_its_padding_finds_its_option_quote(trader: User, reviewer: User) -> None:
    name = f"SPY{EXPIRY:%y%m%d}P00440000"
    market("4.20", NOW, symbol=name)
    market("4.20", NOW, symbol=f"SPY   {EXPIRY:%y%m%d}P00440000", kind=EventType.OPTION_QUOTE, bid="4.1", ask="4.3")
    order = sent(trader, reviewer, symbol=name, price=D("4.20"), quantity=D(1))
    assert (order.arrival_price, order.arrival_bid, order.arrival_ask) == (D("4.20"), D("4.1"), D("4.3"))


def test_combination_has_neither(trader: User, reviewer: User) -> None:
    market("400.30", NOW, bid="400.20", ask="400.40")
    condor = workflow.stage(iron_condor(strategy="condors"), created_by=trader, now=NOW)
    workflow.approve(condor.pk, actor=reviewer, now=SENT)
    workflow.submit(condor.pk, actor=trader, now=SENT)
    market("410", END)
    order = workflow.cancel(condor.pk, actor=trader, now=END)
    assert (order.arrival_price, order.arrival_bid, order.arrival_ask, order.end_price) == (None, None, None, None)


# ---- the end ---------------------------------------------------------------------------------------------------------


def _expire(order: StagedOrder, actor: User) -> None:
    assert [each.pk for each in workflow.expire(now=END)] == [order.pk]


ENDS: dict[OrderStatus, Callable[[StagedOrder, User], object]] = {
    S.CANCELLED: lambda order, actor: workflow.cancel(order.pk, actor=actor, now=END),
    S.BROKER_REJECTED: lambda order, actor: workflow.broker_reject(order.pk, actor=actor, now=END, reason="no margin"),
    S.EXPIRED: _expire,
}


@pytest.mark.parametrize("status", ENDS)
def test_price_at_the_end_is_stored_by_what_ends_an_order_at_the_broker(
    trader: User, reviewer: User, status: OrderStatus
) -> None:
    market("400", NOW)
    order = sent(trader, reviewer, expires_at=NOW + timedelta(minutes=1))
    market("401.50", END - timedelta(seconds=30))
    market("500", END + timedelta(seconds=1))
    ENDS[status](order, trader)
    order = StagedOrder.objects.get(pk=order.pk)
    assert (order.status, order.end_price) == (status, D("401.50"))
    assert opportunity(order) == 30_000


def test_several_that_are_withdrawn_at_once_have_each_its_own_price(trader: User, reviewer: User) -> None:
    market("400", NOW)
    market("500", NOW, symbol="QQQ")
    spy = sent(trader, reviewer, client_order_id="spy")
    qqq = sent(trader, reviewer, symbol="QQQ", price=D(500), quantity=D(1), client_order_id="qqq")
    waiting = staged(trader, client_order_id="waiting")
    market("401", END)
    market("499", END, symbol="QQQ")
    workflow.cancel_each([spy.pk, qqq.pk, waiting.pk], actor=trader, now=END)
    prices = dict(StagedOrder.objects.values_list("client_order_id", "end_price"))
    assert prices == {"spy": D(401), "qqq": D(499), "waiting": None}
    assert (opportunity(spy), opportunity(qqq), opportunity(waiting)) == (20_000, -10_000, None)


def test_what_never_went_to_the_broker_missed_nothing(trader: User, reviewer: User) -> None:
    market("400", NOW)
    market("401", END)
    cancelled, refused, expired = (staged(trader, client_order_id=name, expires_at=END) for name in ("c", "r", "e"))
    withdrawn = staged(trader, client_order_id="w")
    workflow.cancel(cancelled.pk, actor=trader, now=END)
    workflow.reject(refused.pk, actor=reviewer, now=END, reason="no")
    workflow.expire(now=END)
    kill_switch.pull(actor=person("officer", "risk officer"), now=END, reason="runaway")
    for order in (cancelled, refused, expired, withdrawn):
        assert (StagedOrder.objects.get(pk=order.pk).end_price, opportunity(order)) == (None, None)


def test_price_from_before_the_order_says_nothing_of_what_became_of_it(trader: User, reviewer: User) -> None:
    market("400", NOW - timedelta(seconds=1))
    order = sent(trader, reviewer)
    assert order.decision_price == D(400)
    assert workflow.cancel(order.pk, actor=trader, now=END).end_price is None
    assert opportunity(order) is None


def test_only_the_rest_was_given_up(trader: User, reviewer: User) -> None:
    market("400", NOW)
    order = sent(trader, reviewer, quantity=D(5))
    fill(order, trader, "a", "2")
    market("401", END)
    workflow.cancel(order.pk, actor=trader, now=END)
    assert opportunity(order) == 30_000
    # A fill that raced the cancel opens the order again; the end is the next one.
    fill(order, trader, "late", "1", END)
    order = StagedOrder.objects.get(pk=order.pk)
    assert (order.status, order.end_price, opportunity(order)) == (S.PARTIALLY_FILLED, None, None)
    later = END + timedelta(minutes=1)
    market("403", later)
    assert workflow.cancel(order.pk, actor=trader, now=later).end_price == D(403)
    assert opportunity(order) == 60_000
    # The broker takes one fill back: more was missed than was thought.
    workflow.bust_execution("late", bust_id="late-", actor=trader, now=later, reason="the broker's error")
    assert opportunity(order) == 90_000


def test_market_data_that_are_away_keep_nobody_from_withdrawing(
    trader: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    market("400", NOW)
    first, second = (sent(trader, reviewer, client_order_id=name) for name in "ab")
    market("401", END)

    def away(*arguments: object, **options: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(type(MarketEvent.objects.all()), "latest_prices", away)
    # Where they are beside the orders, nothing works.
    with pytest.raises(OperationalError):
        workflow.cancel(first.pk, actor=trader, now=END)
    monkeypatch.setattr(end_prices, "is_with_orders", lambda app: False)
    order = workflow.cancel(second.pk, actor=trader, now=END)
    assert (order.status, order.end_price) == (S.CANCELLED, None)
