"""A seeded feed of market events, as JSON lines and, for psql, as a CSV of the very columns of the table."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from monitoring import events
from monitoring.choices import EventType

SEED = 20251103
SYMBOLS = 200
START = datetime(2025, 11, 3, 14, 30, tzinfo=UTC)
COLUMNS = ("id", "symbol", "event_type", "timestamp", "price", "volume", "source", "level", "metadata")
TYPES = (EventType.TRADE, EventType.TRADE, EventType.QUOTE, EventType.BAR)
VENUES = ("XNAS", "XNYS", "ARCX")


def feed(count: int) -> Iterator[dict[str, Any]]:
    """In the order of time, a third of a second apart on average; every fourth event names its venue."""
    chance = random.Random(SEED)  # the same numbers each time
    prices = [chance.uniform(20, 900) for _ in range(SYMBOLS)]
    at = START
    for number in range(count):
        at += timedelta(microseconds=chance.randrange(1, 600_000))
        symbol = chance.randrange(SYMBOLS)
        prices[symbol] *= 1 + chance.gauss(0, 0.0002)
        yield {
            "symbol": f"SYM{symbol:03}",
            "event_type": chance.choice(TYPES).value,
            "timestamp": at.isoformat(),
            "price": round(prices[symbol], 2),
            "volume": chance.randrange(1, 2000),
            "source": "feed",
            "metadata": {} if number % 4 else {"venue": chance.choice(VENUES), "sequence": number},
        }


def event_of(values: dict[str, Any]) -> events.Event:
    """As a caller makes one."""
    return events.Event(
        symbol=values["symbol"],
        event_type=EventType(values["event_type"]),
        timestamp=datetime.fromisoformat(values["timestamp"]),
        price=Decimal(str(values["price"])),
        volume=Decimal(str(values["volume"])),
        source=values["source"],
        metadata=values["metadata"],
    )


def write(count: int, *, lines: Path, table: Path | None = None, half: Path | None = None) -> None:
    """The feed as JSON lines, the table that it becomes, and every second row of that table."""
    with lines.open("w") as out:
        for values in feed(count):
            out.write(json.dumps(values) + "\n")
    if table is None or half is None:
        return
    with table.open("w", newline="") as whole, half.open("w", newline="") as second:
        writers = csv.writer(whole), csv.writer(second)
        for number, values in enumerate(feed(count)):
            event = event_of(values)
            figures = (values["price"], values["volume"])
            names = (event.symbol, event.event_type.value, values["timestamp"])
            row = (event.identity, *names, *figures, event.source, event.level.value, json.dumps(event.metadata))
            for writer in writers[: 1 + number % 2]:
                writer.writerow(row)
