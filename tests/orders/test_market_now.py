"""The market at one moment: volatilities as quoted or solved, and a page that opens without them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django.fixtures import DjangoAssertNumQueries

from monitoring import events
from monitoring.choices import EventType
from monitoring.models import MarketEvent
from orders import market_now as module
from orders.market_now import MarketNow, market_now
from orders.options import black_scholes
from orders.payoff_curve import years_until
from tests.factories import EXPIRY, NOW

pytestmark = pytest.mark.django_db

CALL, PUT = "SPY   251205C00450000", "SPY   251205P00440000"


def event(kind: EventType, symbol: str, price: str | None, at: datetime = NOW, **metadata: Any) -> events.Event:
    value = None if price is None else D(price)
    return events.Event(symbol=symbol, event_type=kind, timestamp=at, price=value, source="test", metadata=metadata)


def found(*recorded: events.Event, now: datetime = NOW) -> MarketNow:
    events.record([event(EventType.QUOTE, "SPY", "450"), *recorded])
    return market_now(symbols=["SPY"], options=[CALL, PUT], underlying="SPY", now=now)


def test_everything_comes_in_four_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    events.record([event(EventType.QUOTE, "SPY", "450"), event(EventType.OPTION_QUOTE, CALL, "9.10")])
    with django_assert_num_queries(4):
        market = market_now(symbols=["SPY", "SPY"], options=[CALL, PUT, CALL], underlying="SPY", now=NOW)
    assert market.price_of("SPY") == D(450)
    assert market.price_of(CALL) == D("9.10")
    assert market.price_of(PUT) is None
    assert market.equity is None


def test_the_newest_quote_of_each_option_counts_and_none_from_later() -> None:
    minute = timedelta(minutes=1)
    market = found(
        event(EventType.OPTION_QUOTE, CALL, "9.00", NOW - 2 * minute, implied_volatility=0.1),
        event(EventType.OPTION_QUOTE, CALL, "9.10", NOW - minute, implied_volatility=0.2),
        event(EventType.OPTION_QUOTE, CALL, "9.20", NOW + minute, implied_volatility=0.3),
        event(EventType.OPTION_QUOTE, PUT, "3.10", NOW - 3 * minute, implied_volatility=0.4),
    )
    assert market.volatilities == {CALL: 0.2, PUT: 0.4}
    assert market.options[CALL].at == NOW - minute
    assert not market.options[CALL].solved


def test_of_two_quotes_of_one_moment_one_is_taken() -> None:
    market = found(event(EventType.OPTION_QUOTE, CALL, "9.00"), event(EventType.OPTION_QUOTE, CALL, "9.10"))
    newest = MarketEvent.objects.filter(symbol=CALL).latest("id")
    assert market.price_of(CALL) == newest.price


def test_a_volatility_that_is_not_quoted_is_solved_from_the_price() -> None:
    price = black_scholes("C", 450, 450, years_until(EXPIRY, NOW), 0, 0.2)
    market = found(event(EventType.OPTION_QUOTE, CALL, f"{price:.6f}"))
    assert market.volatilities[CALL] == pytest.approx(0.2, abs=1e-6)
    assert market.options[CALL].solved


@pytest.mark.parametrize(
    ("price", "minutes", "metadata"),
    [
        (None, 0, {}),
        ("9.10", 16, {}),
        ("0.000001", 0, {"right": "below every value"}),
        (None, 0, {"implied_volatility": "n/a"}),
        (None, 0, {"implied_volatility": 0}),
        (None, 0, {"implied_volatility": 25}),
        (None, 0, {"implied_volatility": True}),
        (None, 0, {"implied_volatility": {"value": 0.2}}),
    ],
    ids=["no price", "other moment", "no solution", "text", "zero", "in percent", "boolean", "mapping"],
)
def test_where_no_volatility_can_be_told_there_is_none(
    price: str | None, minutes: int, metadata: dict[str, Any]
) -> None:
    quote = event(EventType.OPTION_QUOTE, PUT, price, NOW - timedelta(minutes=minutes), **metadata)
    market = found(quote)
    if metadata.get("right"):
        # A millionth for an option of 450 that is 10 out of the money has a volatility, if a very low one.
        assert market.volatilities.get(PUT, 0.0) < 0.1
    else:
        assert PUT not in market.volatilities


def test_market_data_of_another_database_that_is_away_leave_the_page_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: object, **options: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(type(MarketEvent.objects.all()), "latest_prices", away)
    monkeypatch.setattr(module, "is_with_orders", lambda app: False)
    market = market_now(symbols=["SPY"], options=[], underlying="SPY", now=NOW)
    assert market.unavailable.startswith("market data can't be read")
    assert market.prices == {}
    # Where the orders lie in the same database, nothing works, and the page says that.
    monkeypatch.setattr(module, "is_with_orders", lambda app: True)
    with pytest.raises(OperationalError):
        market_now(symbols=["SPY"], options=[], underlying="SPY", now=NOW)
