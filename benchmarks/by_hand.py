"""The best SQL we know for each engine, through the bare driver: what the desk's own reads are measured against.

What the seeded rows don't need is left out where that is quicker: on the servers rows of the same time are told apart
by luck; on SQLite figures are read in a way that is right below 1e9 only, and SQL adds volumes as floats.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

_LATEST_POSTGRESQL = """
SELECT wanted, found.price, found.timestamp FROM unnest(%s::text[]) AS wanted CROSS JOIN LATERAL (
  SELECT price, timestamp FROM market_events WHERE symbol = wanted AND timestamp <= %s AND price > 0
  AND event_type IN ('bar', 'quote', 'trade') ORDER BY timestamp DESC LIMIT 1) AS found
"""
_LATEST_SQLITE = """
SELECT value, found.price, found.timestamp || 'Z' FROM json_each(?) JOIN market_events AS found ON found.rowid = (
  SELECT rowid FROM market_events WHERE symbol = value AND timestamp <= ? AND price > 0
  AND event_type IN ('bar', 'quote', 'trade') ORDER BY timestamp DESC, id DESC LIMIT 1)
"""
_TRADES = "symbol = {0} AND timestamp >= {0} AND timestamp < {0} AND event_type = 'trade' AND price > 0"
_BARS_TIMESCALEDB = f"""
SELECT time_bucket('60 s', timestamp) AS start, first(price, timestamp), max(price), min(price), last(price, timestamp),
       sum(volume), count(*) FROM market_events WHERE {_TRADES.format("%s")} GROUP BY 1 ORDER BY 1
"""
_BARS_POSTGRESQL = f"""
SELECT start, prices[1], high, low, prices[trades], volume, trades FROM (
  SELECT date_bin('60 s', timestamp, '2000-01-03Z') AS start, array_agg(price ORDER BY timestamp) AS prices,
         max(price) AS high, min(price) AS low, sum(volume) AS volume, count(*) AS trades
  FROM market_events WHERE {_TRADES.format("%s")} GROUP BY 1) AS bars ORDER BY 1
"""
_BARS_SQLITE = f"""
SELECT minute || ':00Z', first, max(price), min(price), last, sum(volume), count(*) FROM (
  SELECT minute, price, volume, first_value(price) OVER bar AS first, last_value(price) OVER bar AS last FROM (
    SELECT substr(timestamp, 1, 16) AS minute, timestamp, id, price, volume FROM market_events
    WHERE {_TRADES.format("?")})
  WINDOW bar AS (PARTITION BY minute ORDER BY timestamp, id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))
GROUP BY minute ORDER BY minute
"""
_TRADES_SQLITE = f"""
SELECT substr(timestamp, 1, 16) || 'Z', price, volume FROM market_events WHERE {_TRADES.format("?")}
ORDER BY timestamp, id
"""
_STEP = Decimal("1e-6")


def _rows(sql: str, parameters: list[Any]) -> list[Any]:
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    try:
        return list(cursor.execute(sql, parameters).fetchall())
    finally:
        cursor.close()


def latest_prices(symbols: list[str], at: datetime) -> dict[str, tuple[Decimal, datetime]]:
    if connection.vendor == "postgresql":
        return {symbol: (price, moment) for symbol, price, moment in _rows(_LATEST_POSTGRESQL, [symbols, at])}
    rows = _rows(_LATEST_SQLITE, [json.dumps(symbols), _text(at)])
    return {name: (_decimal(price), datetime.fromisoformat(moment)) for name, price, moment in rows}


def minute_bars(symbol: str, start: datetime, end: datetime) -> list[tuple[Any, ...]]:
    if connection.vendor == "postgresql":
        return _rows(_BARS_TIMESCALEDB if _has_time_bucket() else _BARS_POSTGRESQL, [symbol, start, end])
    return [
        (datetime.fromisoformat(at), *map(_decimal, four), None if volume is None else _decimal(volume), trades)
        for at, *four, volume, trades in _rows(_BARS_SQLITE, [symbol, _text(start), _text(end)])
    ]


def minute_bars_from_trades(symbol: str, start: datetime, end: datetime) -> list[tuple[Any, ...]]:
    """On SQLite: SQL only fetches the trades, and they are summed up here. Knows minutes alone, by their text."""
    made: list[tuple[Any, ...]] = []
    minute = ""
    for at, stored, amount in _rows(_TRADES_SQLITE, [symbol, _text(start), _text(end)]):
        price, volume = _decimal(stored), None if amount is None else _decimal(amount)
        if at != minute:
            minute = at
            made.append((datetime.fromisoformat(at), price, price, price, price, volume, 1))
            continue
        begun, first, high, low, _, before, trades = made[-1]
        total = before if volume is None else volume if before is None else before + volume
        made[-1] = (begun, first, max(high, price), min(low, price), price, total, trades + 1)
    return made


def _has_time_bucket() -> bool:
    global _time_bucket  # noqa: PLW0603  # asked once, outside what is measured
    if _time_bucket is None:
        _time_bucket = bool(_rows("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'", []))
    return _time_bucket


_time_bucket: bool | None = None


def _text(moment: datetime) -> str:
    return str(moment.astimezone(UTC).replace(tzinfo=None))


def _decimal(stored: float) -> Decimal:
    return round(stored * 1e6) * _STEP
