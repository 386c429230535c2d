"""Bars: the trades of one symbol summed up by buckets of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.buckets import bucket_start, whole_seconds
from monitoring.prices import STEP, decimal, rows


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

# One text that sorts by time and id and ends with the price, from character 59 on. (Times without a fraction are stored
# without one.) Volumes in whole units and millionths apart: added as they are stored, as floats, they would not be
# exact, and in millionths alone they would soon be too big for an integer.
_KEY = "substr(timestamp || '.000000', 1, 26) || id || price"
_WHOLE = "CAST(volume AS INTEGER)"
_SQLITE = f"""
SELECT {{start}} AS start, substr(min({_KEY}), 59), max(price), min(price), substr(max({_KEY}), 59),
       sum({_WHOLE}), sum(CAST(round((volume - {_WHOLE}) * 1000000) AS INTEGER)), count(*)
FROM market_events WHERE {_TRADES} GROUP BY start ORDER BY start
"""  # noqa: S608


def of_trades(
    connection: BaseDatabaseWrapper, symbol: str, start: datetime, end: datetime, bucket: timedelta
) -> list[Bar]:
    """The bars of [start, end), oldest first; buckets without trades have none. Raises InvalidBucket."""
    found = rows(connection, *statement(connection, symbol, start, end, bucket))
    return [Bar(*row) for row in found] if connection.vendor == "postgresql" else [_from_sqlite(row) for row in found]


def statement(
    connection: BaseDatabaseWrapper, symbol: str, start: datetime, end: datetime, bucket: timedelta
) -> tuple[str, list[Any]]:
    """The SQL of `of_trades` and its parameters."""
    text = bucket_start(connection.vendor, "timestamp", whole_seconds(bucket))
    if connection.vendor == "postgresql":
        return _POSTGRESQL.format(start=text), [symbol, start, end]
    period = (connection.ops.adapt_datetimefield_value(moment) for moment in (start, end))
    return _SQLITE.format(start=text), [symbol, *period]


def _from_sqlite(row: tuple[Any, ...]) -> Bar:
    start, first, high, low, last, whole, millionths, trades = row
    volume = None if whole is None else Decimal(whole * 1_000_000 + millionths).scaleb(-6)
    opened, closed = Decimal(first).quantize(STEP), Decimal(last).quantize(STEP)
    return Bar(datetime.fromtimestamp(start, UTC), opened, decimal(high), decimal(low), closed, volume, trades)
