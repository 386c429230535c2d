"""What the market says at one moment of everything that an order's page shows: four queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import OperationalError

from emo_site.db.aliases import is_with_orders
from emo_site.db.outage import reason_of
from monitoring.choices import EventType
from monitoring.models import MarketEvent
from monitoring.prices import LatestPrice
from orders.options import implied_volatility, parse_osi
from orders.payoff_curve import RATE, years_until

# An option's price and its underlying's tell a volatility together only where they are of the same moment.
SAME_MOMENT = timedelta(minutes=15)
# The names that the bot's tables and its exports have for it.
VOLATILITY_NAMES = ("implied_volatility", "iv")
MOST_VOLATILITY = 10.0


@dataclass(frozen=True, kw_only=True)
class Dated:
    value: Decimal
    at: datetime


@dataclass(frozen=True, kw_only=True)
class OptionQuote:
    """An option's last quote by its OSI symbol. `volatility` is stated by the quote or solved from its price."""

    at: datetime
    price: Decimal | None
    volatility: float | None
    solved: bool


@dataclass(frozen=True, kw_only=True)
class MarketNow:
    """`unavailable` says why nothing is known where the market data can't be read."""

    at: datetime
    prices: Mapping[str, Dated] = field(default_factory=dict)
    options: Mapping[str, OptionQuote] = field(default_factory=dict)
    equity: Dated | None = None
    iv_rank: Dated | None = None
    unavailable: str = ""

    @property
    def volatilities(self) -> dict[str, float]:
        return {symbol: quote.volatility for symbol, quote in self.options.items() if quote.volatility is not None}

    def price_of(self, symbol: str) -> Decimal | None:
        """The last price of a stock or an option."""
        if symbol in self.prices:
            return self.prices[symbol].value
        quote = self.options.get(symbol)
        return quote.price if quote else None


def market_now(*, symbols: Iterable[str], options: Iterable[str], underlying: str, now: datetime) -> MarketNow:
    """`symbols` trade by themselves, `options` are OSI symbols, padded. Never raises for market data of another
    database that is away: the page of an order must open without them.
    """
    try:
        prices = MarketEvent.objects.latest_prices(sorted(set(symbols)), at=now)
        quotes = MarketEvent.objects.latest_option_quotes(sorted(set(options)), at=now)
        equity = MarketEvent.objects.latest_of(EventType.EQUITY, "", at=now)
        rank = MarketEvent.objects.latest_of(EventType.IV_RANK, underlying, at=now)
    except OperationalError as error:
        if is_with_orders(MarketEvent._meta.app_label):
            raise
        return MarketNow(at=now, unavailable=f"market data can't be read ({reason_of(error)})")
    spot = prices.get(underlying)
    return MarketNow(
        at=now,
        prices={symbol: Dated(value=price.price, at=price.at) for symbol, price in prices.items()},
        options={symbol: _option_quote(symbol, event, spot) for symbol, event in quotes.items()},
        equity=_dated(equity),
        iv_rank=_dated(rank),
    )


def _dated(event: MarketEvent | None) -> Dated | None:
    return None if event is None or event.price is None else Dated(value=event.price, at=event.timestamp)


def _option_quote(symbol: str, event: MarketEvent, spot: LatestPrice | None) -> OptionQuote:
    stated = _stated_volatility(event.metadata)
    solved = _solved_volatility(symbol, event, spot) if stated is None else None
    return OptionQuote(
        at=event.timestamp,
        price=event.price,
        volatility=solved if stated is None else stated,
        solved=stated is None and solved is not None,
    )


def _stated_volatility(metadata: Mapping[str, Any]) -> float | None:
    """As a fraction a year; None where the quote states none that an option can have."""
    stated = next((metadata[name] for name in VOLATILITY_NAMES if metadata.get(name) is not None), None)
    if isinstance(stated, bool) or not isinstance(stated, int | float | str):
        return None
    try:
        volatility = Decimal(str(stated))
    except InvalidOperation:
        return None
    return float(volatility) if volatility.is_finite() and 0 < volatility < Decimal(MOST_VOLATILITY) else None


def _solved_volatility(symbol: str, event: MarketEvent, spot: LatestPrice | None) -> float | None:
    if event.price is None or spot is None or abs(event.timestamp - spot.at) > SAME_MOMENT:
        return None
    option = parse_osi(symbol)
    years = years_until(option.expiry, event.timestamp)
    return implied_volatility(option.right, float(spot.price), float(option.strike), years, RATE, float(event.price))
