"""The bot's signals file: CSV with ts, symbol, strategy, action, confidence, notes -> strategy signals. Pure."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TextIO

from monitoring.choices import EventType
from monitoring.events import Event
from orders.legacy_import.fields import moment, number, symbol, text
from orders.legacy_import.report import Unreadable
from orders.ticket import InvalidTicket

HEADER = ["ts", "symbol", "strategy", "action", "confidence", "notes"]


def lines(file: TextIO) -> Iterator[tuple[str, list[str]]]:
    """Each line with its place. Raises Unreadable where this is no signals file."""
    reader = csv.reader(file, strict=True)
    try:
        header = next(reader, [])
        if [name.strip().lower() for name in header] != HEADER:
            raise Unreadable(f"unknown format: the first line is not {','.join(HEADER)}", where="line 1")
        for values in reader:
            if values:
                yield f"line {reader.line_num}", values
    except csv.Error as error:
        raise Unreadable(f"not CSV: {error}", where=f"line {reader.line_num}") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8: {error.reason}", where=f"after line {reader.line_num}") from error


def signal(values: list[str]) -> Event:
    """Raises Unreadable or InvalidTicket. A signal is no price: confidence and action are metadata."""
    if len(values) != len(HEADER):
        raise Unreadable(f"{len(values)} fields instead of {len(HEADER)}")
    row = dict(zip(HEADER, values, strict=True))
    confidence = number("confidence", row["confidence"])
    if not 0 <= confidence <= 1:
        raise InvalidTicket("confidence", confidence, "must be from 0 to 1")
    name = symbol("symbol", row["symbol"])
    for needed in ("symbol", "strategy", "action"):
        if not row[needed].strip():
            raise InvalidTicket(needed, row[needed], "is missing")
    return Event(
        symbol=name,
        event_type=EventType.STRATEGY_SIGNAL,
        timestamp=moment("ts", row["ts"]),
        source="legacy:signals",
        metadata={
            "strategy": text("strategy", row["strategy"]),
            "action": text("action", row["action"]).lower(),
            "confidence": str(confidence),
            "notes": text("notes", row["notes"]),
        },
    )
