"""Which symbols the feed delivers, and when each was last heard of."""

from __future__ import annotations

import json
from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper

# Of each symbol one step down the index of symbol and time, whatever the number of its events.
_LAST = """
SELECT wanted.{value}, (
    SELECT max(timestamp) FROM market_events
    WHERE symbol = wanted.{value} AND timestamp > %s AND timestamp <= %s) AS last
FROM {source} ORDER BY 1
"""
_POSTGRESQL = _LAST.format(value="symbol", source="unnest(%s::text[]) AS wanted(symbol)")
_SQLITE = _LAST.format(value="value", source="json_each(%s) AS wanted")


def last_heard(
    connection: BaseDatabaseWrapper, symbols: list[str], *, since: datetime, at: datetime
) -> dict[str, datetime]:
    """Symbol -> the time of its last event in (since, at]; one without any is left out. Times are aware."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_POSTGRESQL, [since, at, symbols])
            return {symbol: last for symbol, last in cursor.fetchall() if last is not None}
        moments = [connection.ops.adapt_datetimefield_value(each) for each in (since, at)]
        cursor.execute(_SQLITE, [*moments, json.dumps(symbols)])
        return {symbol: datetime.fromisoformat(f"{last}Z") for symbol, last in cursor.fetchall() if last is not None}
