"""Bars: the trades of one symbol summed up by buckets of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.buckets import ORIGIN, bucket_start, whole_seconds
from monitoring.prices import decimal, rows


class Bar(NamedTuple):
    """The trades of one symbol in one bucket of time, which begins at `start` (aware, UTC).

    `open` and `close` are the prices of the first and last trade by (timestamp, id). `volume` is the sum over those
    trades that state one, None where none does. `trades` counts all of them and is at least 1.
    """

    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    trades: int


_TRADES = "symbol = %s AND timestamp >= %s AND timestamp < %s AND event_type = 'trade' AND price > 0"

# The array is written the same way twice and built once.
_PRICES = "(array_agg(price ORDER BY timestamp, id))"
_POSTGRESQL = f"""
SELECT {{start}}, {_PRICES}[1], max(price), min(price), {_PRICES}[count(*)], sum(volume), count(*)
FROM market_events WHERE {_TRADES} GROUP BY 1 ORDER BY 1
"""  # noqa: S608  # words of our own

# Summed up here, trade by trade: SQL that finds a bar's first and last price takes up to twice as long in all, and adds
# volumes as floats. The time as text, with its zone: a column of type datetime would go through Django's slow parser.
_SQLITE = f"SELECT timestamp || 'Z', price, volume FROM market_events WHERE {_TRADES} ORDER BY timestamp, id"  # noqa: S608


def of_trades(
    connection: BaseDatabaseWrapper, symbol: str, start: datetime, end: datetime, bucket: timedelta
) -> list[Bar]:
    """The bars of [start, end), oldest first; buckets without trades have none. Raises InvalidBucket."""
    sql, parameters = statement(connection, symbol, start, end, bucket)
    if connection.vendor == "postgresql":
        return [Bar(*row) for row in rows(connection, sql, parameters)]
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(_summed_up(cursor, bucket))


def statement(
    connection: BaseDatabaseWrapper, symbol: str, start: datetime, end: datetime, bucket: timedelta
) -> tuple[str, list[Any]]:
    """The SQL of `of_trades` and its parameters."""
    seconds = whole_seconds(bucket)
    if connection.vendor == "postgresql":
        return _POSTGRESQL.format(start=bucket_start("timestamp", seconds)), [symbol, start, end]
    return _SQLITE, [symbol, *map(connection.ops.adapt_datetimefield_value, (start, end))]


def _summed_up(trades: Iterable[tuple[str, float, float | None]], bucket: timedelta) -> Iterator[Bar]:
    """The bars of trades (time, price, volume as SQLite stores them) that come in their order; holds one bucket."""
    start = ORIGIN
    prices: list[float] = []
    volumes: list[float] = []
    for time, price, volume in trades:
        at = datetime.fromisoformat(time)
        if not prices or at - start >= bucket:
            if prices:
                yield _bar(start, prices, volumes)
            start, prices, volumes = at - (at - ORIGIN) % bucket, [], []
        prices.append(price)
        if volume is not None:
            volumes.append(volume)
    if prices:
        yield _bar(start, prices, volumes)


def _bar(start: datetime, prices: list[float], volumes: list[float]) -> Bar:
    opened = high = low = closed = decimal(prices[0])
    # Short buckets mostly have one trade, and each figure read is a tenth of what such a bar takes.
    if len(prices) > 1:
        high, low, closed = decimal(max(prices)), decimal(min(prices)), decimal(prices[-1])
    # Added up as floats they would not be exact.
    volume = sum(map(decimal, volumes), Decimal(0)) if volumes else None
    return Bar(start, opened, high, low, closed, volume, len(prices))
