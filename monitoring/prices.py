"""The latest price of each of many symbols."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from monitoring.choices import PRICE_TYPES, EventType

STEP = Decimal("1e-6")
# Below it a float tells six decimals apart, with room to spare for the multiplication in decimal().
EXACT_BELOW = 1e9


class LatestPrice(NamedTuple):
    """What a symbol could last be traded at, and since when (aware, UTC)."""

    price: Decimal
    at: datetime


class BidAsk(NamedTuple):
    """What a quote stated, and when (aware, UTC); the bid not below 0, the ask above 0, maybe below the bid."""

    bid: Decimal
    ask: Decimal
    at: datetime


# Types that may state a bid and an ask, in their metadata under these names.
QUOTE_TYPES = frozenset({EventType.QUOTE, EventType.OPTION_QUOTE})
BID, ASK = "bid", "ask"
_LARGEST_QUOTED = Decimal(10) ** 11


def bid_ask(bid: object, ask: object, at: datetime) -> BidAsk | None:
    """From what a quote's metadata hold, numbers or their texts; None unless both are there and can be prices."""
    low, high = _quoted(bid), _quoted(ask)
    return None if low is None or not high else BidAsk(low, high, at)


def _quoted(stated: object) -> Decimal | None:
    try:
        found = Decimal(str(stated))
    except InvalidOperation:
        return None
    return found.quantize(STEP) if found.is_finite() and 0 <= found < _LARGEST_QUOTED else None


TRADABLE = f"event_type IN ({', '.join(repr(str(each)) for each in sorted(PRICE_TYPES))}) AND price > 0"

# One short walk down the index of symbol and time for each symbol. Rows of the same time all come: ordered by id too,
# TimescaleDB would walk the index of times through every other symbol instead.
LATEST_POSTGRESQL = f"""
SELECT wanted.symbol, found.price, found.timestamp, found.id FROM unnest(%s::text[]) AS wanted(symbol)
CROSS JOIN LATERAL (
    SELECT price, timestamp, id FROM market_events
    WHERE symbol = wanted.symbol AND {TRADABLE} AND timestamp <= %s
    ORDER BY timestamp DESC FETCH FIRST 1 ROW WITH TIES
) AS found
"""  # noqa: S608  # words of our own

# SQLite has no LATERAL: the subquery gives the row's key. The time as text, with its zone: a column of type datetime
# would go through Django's slow parser.
LATEST_SQLITE = f"""
SELECT wanted.value, found.price, found.timestamp || 'Z'
FROM json_each(%s) AS wanted JOIN market_events AS found ON found.rowid = (
    SELECT rowid FROM market_events
    WHERE symbol = wanted.value AND {TRADABLE} AND timestamp <= %s
    ORDER BY timestamp DESC, id DESC LIMIT 1)
"""  # noqa: S608


def latest(connection: BaseDatabaseWrapper, symbols: Iterable[str], at: datetime) -> dict[str, LatestPrice]:
    """Symbol -> its latest price at or before `at` (aware), by (timestamp, id); symbols without one are left out."""
    # One that is asked for twice is found twice, which costs less than looking for it here.
    wanted = list(symbols)
    if connection.vendor == "postgresql":
        return _newest(rows(connection, LATEST_POSTGRESQL, [wanted, at]))
    moment = connection.ops.adapt_datetimefield_value(at)
    found = rows(connection, LATEST_SQLITE, [json.dumps(wanted), moment])
    if not found:
        return {}
    # By columns: row by row it takes a quarter longer, and more is lost here than anywhere else around the statement.
    names, figures, moments = zip(*found, strict=True)
    return dict(zip(names, map(LatestPrice, decimals(figures), map(datetime.fromisoformat, moments)), strict=True))


def rows(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[Any]:
    """What the statement answers, as the driver gives it."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def _newest(found_rows: list[Any]) -> dict[str, LatestPrice]:
    found: dict[str, LatestPrice] = {}
    ids: dict[str, Any] = {}
    for symbol, price, moment, identifier in found_rows:
        if symbol not in ids or identifier > ids[symbol]:
            ids[symbol] = identifier
            found[symbol] = LatestPrice(price, moment)
    return found


def decimal(stored: float) -> Decimal:
    """A figure of six decimals as SQLite stores it, read as Django reads it: fifteen digits of a float."""
    if -EXACT_BELOW < stored < EXACT_BELOW:
        # A seventh of the time that the text below takes.
        return round(stored * 1e6) * STEP
    return Decimal(f"{stored:.15g}").quantize(STEP)


def decimals(stored: Sequence[float]) -> list[Decimal]:
    """`decimal` of each of one or more figures, without a call for each."""
    if min(stored) > -EXACT_BELOW and max(stored) < EXACT_BELOW:
        return [round(each * 1e6) * STEP for each in stored]
    return [decimal(each) for each in stored]
