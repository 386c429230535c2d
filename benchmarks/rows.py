"""Seeded market events and health records, made inside the database: the same rows on every engine, in time order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db import connection

START = datetime(2026, 1, 5, tzinfo=UTC)
PERIOD = timedelta(days=30)
END = START + PERIOD
SYMBOLS = 200
COMPONENTS = 10
BATCH = 500_000

# Knuth's multiplicative hash instead of a random number: every engine computes the same one.
_HASH = "((n * 2654435761) %% 4294967296)"

# Each row: id (time-ordered), at, h (its hash) and n, from low to high.
POSTGRESQL = f"""
WITH numbered AS (
  SELECT n, {_HASH} AS h, %(start)s::bigint + n * %(step)s::numeric AS at FROM generate_series(%(low)s, %(high)s) AS n
), timed AS (SELECT n, h, floor(at)::bigint AS us FROM numbered)
SELECT (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex(us %% 1000), 3, '0') || '8'
        || substr(md5(n::text), 1, 15))::uuid AS id,
       to_timestamp(us / 1000000) + (us %% 1000000) * interval '1 microsecond' AS at, h, n FROM timed
"""

SQLITE = f"""
WITH RECURSIVE seq(n) AS (SELECT %(low)s UNION ALL SELECT n + 1 FROM seq WHERE n < %(high)s),
timed AS (SELECT n, {_HASH} AS h, %(start)s + CAST(n * %(step)s AS INTEGER) AS us FROM seq)
SELECT printf('%%012x7%%03x8%%015x', us / 1000, us %% 1000, (h * 268435399 + n) & 1152921504606846975) AS id,
       strftime('%%Y-%%m-%%d %%H:%%M:%%S', us / 1000000, 'unixepoch')
       || CASE WHEN us %% 1000000 THEN printf('.%%06d', us %% 1000000) ELSE '' END AS at, h, n FROM timed
"""

_EVENTS = """
INSERT INTO market_events (id, symbol, event_type, timestamp, price, volume, source, level, metadata)
SELECT id, 'S' || substr('000' || CAST((h / 65536) %% {symbols} AS text), -3), CASE WHEN (h / 7) %% 10 < 7 THEN 'trade'
       WHEN (h / 7) %% 10 < 9 THEN 'quote' ELSE 'iv_rank' END, at, 100 + (h %% 100000) / 1000.0,
       CASE WHEN n %% 50 > 0 THEN 1 + h %% 500 END, 'benchmark', 'info', '{{}}' FROM ({source}) AS made
"""

_HEALTH = """
INSERT INTO system_health (id, component_name, health_score, status, timestamp, response_ms, environment, metrics,
                           metadata)
SELECT id, 'component ' || CAST(h %% {components} AS text), 100, 'healthy', at, (h %% 1000) / 10.0, 'dev', '{{}}',
       '{{}}' FROM ({source}) AS made
"""


def fill(count: int) -> Iterator[int]:
    """Fills both tables, which must be empty, with `count` rows each; yields how many rows each has so far."""
    postgresql = connection.vendor == "postgresql"
    source = POSTGRESQL if postgresql else SQLITE
    step = PERIOD / timedelta(microseconds=1) / count
    for low in range(0, count, BATCH):
        high = min(low + BATCH, count) - 1
        values = {"low": low, "high": high, "start": int(START.timestamp()) * 1_000_000, "step": step}
        with connection.cursor() as cursor:
            for statement in (_EVENTS, _HEALTH):
                text = statement.format(source=source, symbols=SYMBOLS, components=COMPONENTS)
                if postgresql:
                    # substr counts from the end only in SQLite.
                    text = text.replace("substr('000' || ", "right('000' || ").replace(", -3)", ", 3)")
                    text = text.replace("'{}'", "'{}'::jsonb")
                cursor.execute(text, values)
        yield high + 1
    with connection.cursor() as cursor:
        if postgresql:
            cursor.execute("VACUUM ANALYZE market_events")
            cursor.execute("VACUUM ANALYZE system_health")
        else:
            cursor.execute("PRAGMA optimize")


def moment(number: int) -> datetime:
    """Another time for each run, in the second half of the rows."""
    return START + PERIOD / 2 + number * timedelta(hours=5, minutes=7)
