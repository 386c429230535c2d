"""What was known of the market and of the account at one moment: what the rules of an order see, in one question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connections

from emo_site.db import prepared
from monitoring import prices
from monitoring.choices import EventType
from monitoring.prices import ASK, BID, QUOTE_TYPES, BidAsk, LatestPrice, bid_ask

if TYPE_CHECKING:
    from monitoring.querysets import MarketEventQuerySet


@dataclass(frozen=True, kw_only=True)
class MarketFacts:
    """The last price of each symbol, the last IV rank of each underlying (0 to 1), the account's last equity and its
    highest since the moment that was asked for; what is not on record is left out or None. Times are aware. `quotes`:
    bid and ask of the last quote of each symbol for which they were asked, left out where that states none.
    """

    prices: dict[str, LatestPrice]
    iv_ranks: dict[str, LatestPrice]
    equity: LatestPrice | None
    highest_equity: LatestPrice | None
    quotes: dict[str, BidAsk] = field(default_factory=dict)


# Rows of the same time all come, for the reason that prices.py gives; the newest by id is taken here.
_LATEST = """
SELECT {kind} AS kind, wanted.symbol, found.price, found.timestamp, found.id, {bid} AS bid, {ask} AS ask
FROM unnest(%s::text[]) AS wanted(symbol)
CROSS JOIN LATERAL (
    SELECT price, timestamp, id, metadata FROM market_events
    WHERE symbol = wanted.symbol AND {which} AND timestamp <= %s::timestamptz
    ORDER BY timestamp DESC FETCH FIRST 1 ROW WITH TIES
) AS found
"""


def _latest(kind: int, which: str, bid: str = "NULL::text", ask: str = "NULL::text") -> str:
    return _LATEST.format(kind=kind, which=which, bid=bid, ask=ask)


_HIGHEST = f"""
SELECT 3 AS kind, '' AS symbol, price, timestamp, id, NULL::text, NULL::text FROM (
    SELECT price, timestamp, id FROM market_events
    WHERE symbol = '' AND event_type = '{EventType.EQUITY}' AND price IS NOT NULL
      AND timestamp > %s::timestamptz AND timestamp <= %s::timestamptz
    ORDER BY price DESC, timestamp LIMIT 1
) AS highest
"""  # noqa: S608  # words of our own
_SQL = "\nUNION ALL\n".join(
    [
        _latest(0, prices.TRADABLE),
        _latest(1, f"event_type = '{EventType.IV_RANK}' AND price IS NOT NULL"),
        _latest(2, f"event_type = '{EventType.EQUITY}' AND price IS NOT NULL"),
        _HIGHEST,
        _latest(
            4,
            f"event_type IN ({', '.join(repr(str(each)) for each in sorted(QUOTE_TYPES))})",
            bid=f"found.metadata->>'{BID}'",
            ask=f"found.metadata->>'{ASK}'",
        ),
    ]
)


def gather(
    events: MarketEventQuerySet,
    *,
    symbols: Sequence[str],
    underlyings: Sequence[str],
    quoted: Sequence[str],
    at: datetime,
    since: datetime,
) -> MarketFacts:
    """As known at `at`; the highest equity of (since, at]. PostgreSQL: one statement."""
    connection = connections[events.db]
    if connection.vendor != "postgresql":
        return _one_by_one(events, symbols=symbols, underlyings=underlyings, quoted=quoted, at=at, since=since)
    found: dict[tuple[int, str], tuple[Any, ...]] = {}
    parameters = [list(symbols), at, list(underlyings), at, [""], at, since, at, list(quoted), at]
    for kind, symbol, price, moment, identifier, *stated in prepared.rows(connection, _SQL, parameters):
        known = found.get((kind, symbol))
        if known is None or identifier > known[2]:
            found[kind, symbol] = (price, moment, identifier, *stated)
    of_kind = [
        {symbol: LatestPrice(*row[:2]) for (kind, symbol), row in found.items() if kind == each} for each in range(4)
    ]
    stated_by = {symbol: bid_ask(row[3], row[4], row[1]) for (kind, symbol), row in found.items() if kind == 4}
    return MarketFacts(
        prices=of_kind[0],
        iv_ranks=of_kind[1],
        equity=of_kind[2].get(""),
        highest_equity=of_kind[3].get(""),
        quotes={symbol: each for symbol, each in stated_by.items() if each is not None},
    )


def merged(parts: Iterable[MarketFacts]) -> MarketFacts:
    """Of databases of which each knows other symbols, and one the account."""
    found = list(parts)
    return MarketFacts(
        prices=dict(pair for part in found for pair in part.prices.items()),
        iv_ranks=dict(pair for part in found for pair in part.iv_ranks.items()),
        equity=next((part.equity for part in found if part.equity), None),
        highest_equity=next((part.highest_equity for part in found if part.highest_equity), None),
        quotes=dict(pair for part in found for pair in part.quotes.items()),
    )


def _one_by_one(
    events: MarketEventQuerySet,
    *,
    symbols: Sequence[str],
    underlyings: Sequence[str],
    quoted: Sequence[str],
    at: datetime,
    since: datetime,
) -> MarketFacts:
    told = events.exclude(price=None)
    ranks = {symbol: told.latest_of(EventType.IV_RANK, symbol, at=at) for symbol in underlyings}
    equity = told.latest_of(EventType.EQUITY, "", at=at)
    curve = told.filter(symbol="", event_type=EventType.EQUITY, timestamp__gt=since, timestamp__lte=at)
    highest = curve.order_by("-price", "timestamp").first()
    return MarketFacts(
        prices=events.latest_prices(symbols, at=at),
        iv_ranks={
            symbol: LatestPrice(found.price, found.timestamp)
            for symbol, found in ranks.items()
            if found is not None and found.price is not None
        },
        equity=LatestPrice(equity.price, equity.timestamp) if equity and equity.price is not None else None,
        highest_equity=LatestPrice(highest.price, highest.timestamp) if highest and highest.price is not None else None,
        quotes=_quotes(events, quoted, at),
    )


def _quotes(events: MarketEventQuerySet, symbols: Sequence[str], at: datetime) -> dict[str, BidAsk]:
    found = {}
    for symbol in symbols:
        last = events.filter(event_type__in=QUOTE_TYPES).newest_of(symbol, at).first()
        stated = last and bid_ask(last.metadata.get(BID), last.metadata.get(ASK), last.timestamp)
        if stated:
            found[symbol] = stated
    return found
