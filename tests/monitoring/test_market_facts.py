"""What was known of the market and of the account at one moment: the same on every engine."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring import events, market_facts
from monitoring.choices import EventType
from monitoring.market_facts import MarketFacts
from monitoring.models import MarketEvent
from monitoring.prices import LatestPrice
from tests.factories import NOW

pytestmark = pytest.mark.django_db
D = Decimal
LONG_AGO = NOW - timedelta(days=400)


def record(symbol: str, kind: EventType, price: str | None, minutes: float, source: str = "test") -> None:
    at = NOW + timedelta(minutes=minutes)
    made = events.Event(
        symbol=symbol, event_type=kind, timestamp=at, price=None if price is None else D(price), source=source
    )
    events.record([made])


def known(at: datetime = NOW, since: datetime = LONG_AGO) -> MarketFacts:
    return MarketEvent.objects.facts(
        symbols=["QQQ", "SPY", "SPY   251219P00440000"], underlyings=["QQQ", "SPY"], at=at, since=since
    )


def latest(price: str, minutes: float) -> LatestPrice:
    return LatestPrice(D(price), NOW + timedelta(minutes=minutes))


@pytest.fixture
def market() -> None:
    record("SPY", EventType.TRADE, "400", -3)
    record("SPY", EventType.QUOTE, "401.5", -2)
    record("SPY", EventType.TRADE, "399", 1)
    record("SPY", EventType.IV_RANK, "0.30", -30)
    record("SPY", EventType.IV_RANK, "0.40", -20)
    record("IWM", EventType.TRADE, "200", -1)
    record("SPY   251219P00440000", EventType.QUOTE, "4.20", -5)
    record("", EventType.EQUITY, "100000", -60)
    record("", EventType.EQUITY, "120000", -50)
    record("", EventType.EQUITY, "110000", -40)
    record("", EventType.EQUITY, "500000", 5)


@pytest.mark.usefixtures("market")
def test_last_of_each_is_known_and_nothing_later() -> None:
    assert known() == MarketFacts(
        prices={"SPY": latest("401.5", -2), "SPY   251219P00440000": latest("4.20", -5)},
        iv_ranks={"SPY": latest("0.40", -20)},
        equity=latest("110000", -40),
        highest_equity=latest("120000", -50),
    )


@pytest.mark.usefixtures("market")
def test_moment_itself_is_counted_in_and_the_beginning_is_not() -> None:
    at_the_second = NOW - timedelta(minutes=50)
    assert known(at=at_the_second).equity == latest("120000", -50)
    assert known(since=at_the_second).highest_equity == latest("110000", -40)
    assert known(since=NOW - timedelta(minutes=40)).highest_equity is None


def test_nothing_is_known_of_an_empty_market() -> None:
    assert known() == MarketFacts(prices={}, iv_ranks={}, equity=None, highest_equity=None)


def test_event_without_a_price_says_nothing() -> None:
    record("SPY", EventType.IV_RANK, "0.30", -30)
    record("SPY", EventType.IV_RANK, None, -20)
    record("", EventType.EQUITY, "100000", -60)
    record("", EventType.EQUITY, None, -50)
    assert known().equity == latest("100000", -60)
    assert known().iv_ranks == {"SPY": latest("0.30", -30)}


def test_of_two_highest_the_first_counts() -> None:
    record("", EventType.EQUITY, "120000", -50)
    record("", EventType.EQUITY, "120000", -40)
    assert known().highest_equity == latest("120000", -50)


def quoted(minutes: float, metadata: dict[str, Any], kind: EventType = EventType.QUOTE, symbol: str = "SPY") -> None:
    at = NOW + timedelta(minutes=minutes)
    made = events.Event(symbol=symbol, event_type=kind, timestamp=at, price=D(400), source="test", metadata=metadata)
    events.record([made])


def quotes(*symbols: str) -> dict[str, tuple[str, str, float]]:
    found = MarketEvent.objects.facts(symbols=["SPY"], underlyings=["SPY"], at=NOW, since=LONG_AGO, quoted=symbols)
    return {
        symbol: (f"{each.bid}", f"{each.ask}", (each.at - NOW) / timedelta(minutes=1))
        for symbol, each in found.quotes.items()
    }


def test_bid_and_ask_are_those_of_the_last_quote_and_only_where_they_are_asked_for() -> None:
    quoted(-3, {"bid": 399, "ask": "399.50"})
    quoted(-2, {"bid": "399.9", "ask": 400.1})
    quoted(-1, {"bid": "1", "ask": "2"}, EventType.TRADE)
    quoted(1, {"bid": "5", "ask": "6"})
    quoted(-5, {"bid": "0", "ask": "4.3"}, EventType.OPTION_QUOTE, "SPY   251219P00440000")
    assert quotes() == {}
    assert quotes("SPY", "SPY   251219P00440000", "QQQ") == {
        "SPY": ("399.900000", "400.100000", -2),
        "SPY   251219P00440000": ("0.000000", "4.300000", -5),
    }


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"bid": "399"},
        {"ask": "400"},
        {"bid": None, "ask": "400"},
        {"bid": True, "ask": "400"},
        {"bid": "wide", "ask": "400"},
        {"bid": "-1", "ask": "400"},
        {"bid": "0", "ask": "0"},
        {"bid": "NaN", "ask": "400"},
        {"bid": "399", "ask": "Infinity"},
        {"bid": "399", "ask": "1e11"},
        {"bid": ["399"], "ask": "400"},
    ],
)
def test_quote_that_states_no_bid_and_ask_hides_no_older_one_behind_it(metadata: dict[str, Any]) -> None:
    quoted(-2, {"bid": "399.9", "ask": "400.1"})
    quoted(-1, metadata)
    assert quotes("SPY") == {}


@pytest.mark.postgresql
@pytest.mark.usefixtures("market")
def test_one_statement_tells_what_several_tell() -> None:
    for source in "abc":
        record("SPY", EventType.TRADE, f"402.{ord(source)}", -1, source)
    asked: dict[str, Any] = {
        "symbols": ["QQQ", "SPY"],
        "underlyings": ["QQQ", "SPY"],
        "at": NOW,
        "since": LONG_AGO,
        "quoted": ["QQQ", "SPY"],
    }
    quoted(-1, {"bid": "399", "ask": 400.5})
    with CaptureQueriesContext(connection) as sent:
        told = market_facts.gather(MarketEvent.objects.all(), **asked)
    assert len(sent) == 1
    assert told == market_facts._one_by_one(MarketEvent.objects.all(), **asked)
