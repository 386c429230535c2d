"""What instruments were worth at a moment, and what the account held then: the last event at or before it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from monitoring.choices import EventType
from monitoring.models import MarketEvent
from orders.instruments import Terms
from orders.options import InvalidOptionSymbol, format_osi
from orders.standing import trading_day
from reporting.strategy_days import MARKET, Mark


def market_marks(instruments: Iterable[Terms], at: datetime) -> dict[str, Mark]:
    """By key; of an option the later of its last trade and its last quote. Two queries; what has none is left out."""
    wanted = {terms.key: terms for terms in instruments}
    symbols = {key: symbol_of(terms) for key, terms in wanted.items()}
    traded = MarketEvent.objects.latest_prices(sorted(set(symbols.values())), at=at)
    options = sorted({symbols[key] for key, terms in wanted.items() if terms.right != "S"})
    quoted = MarketEvent.objects.latest_option_quotes(options, at=at)
    found: dict[str, Mark] = {}
    for key, symbol in symbols.items():
        trade, quote = traded.get(symbol), quoted.get(symbol)
        if trade is not None:
            found[key] = Mark(price=trade.price, at=trade.at, source=MARKET)
        if quote is None or quote.price is None or quote.price < 0:
            continue
        if trade is None or trade.at < quote.timestamp:
            found[key] = Mark(price=quote.price, at=quote.timestamp, source=MARKET)
    return found


def equity_at(at: datetime) -> Mark | None:
    """The account's last equity at or before the moment."""
    event = MarketEvent.objects.exclude(price=None).latest_of(EventType.EQUITY, "", at=at)
    return None if event is None or event.price is None else Mark(price=event.price, at=event.timestamp, source=MARKET)


def market_spot(terms: Terms, at: datetime) -> Decimal | None:
    """The last price of the moment's own trading day: what was paid the day before settles nothing."""
    mark = market_marks([terms], at).get(terms.key)
    return mark.price if mark is not None and trading_day(mark.at) == trading_day(at) else None


def symbol_of(terms: Terms) -> str:
    """Under which events come: an option's OSI symbol, padded; the key itself where it has none."""
    if terms.right == "S":
        return terms.underlying
    if terms.expiry is None or terms.strike is None:
        return terms.key
    try:
        return format_osi(terms.underlying, terms.expiry, terms.right, terms.strike)
    except InvalidOptionSymbol:
        return terms.key
