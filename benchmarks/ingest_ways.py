"""The ways of taking events in that benchmarks/ingest.py compares; each runs in a process of its own."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import django
import psutil


def file_with_errors_on_conflict(lines: Path, rows: int) -> None:
    _ingest(lines, rows, "error")


def file_with_skips(lines: Path, rows: int) -> None:
    _ingest(lines, rows, "skip")


def _ingest(lines: Path, rows: int, on_conflict: str) -> None:
    from monitoring.event_files import event_file
    from monitoring.events import OnConflict
    from monitoring.ingest import ingest

    summary = ingest(
        event_file(str(lines)),
        quarantine=lines.with_name("quarantine.jsonl"),
        now=datetime.now(UTC),
        on_conflict=OnConflict(on_conflict),
    )
    if summary.rows != rows or summary.quarantined or not summary.finished:
        raise SystemExit(f"not the {rows} rows that were to go in: {summary}")


def row_by_row(lines: Path, rows: int) -> None:
    """As the old bot did it: one INSERT for each event, no rules, all in one transaction."""
    from django.db import connection
    from psycopg.types.json import Jsonb

    from emo_site.db.uuid7 import uuid7

    insert = (
        "INSERT INTO market_events (id, symbol, event_type, timestamp, price, volume, source, level, metadata)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
    )
    connection.ensure_connection()
    with connection.connection.transaction(), connection.connection.cursor() as cursor, lines.open() as file:
        for line in islice(file, rows):
            values = json.loads(line)
            at = datetime.fromisoformat(values["timestamp"])
            figures = (Decimal(str(values["price"])), Decimal(values["volume"]))
            names = (values["symbol"], values["event_type"], at)
            rest = (values["source"], "info", Jsonb(values["metadata"]))
            cursor.execute(insert, (uuid7(at), *names, *figures, *rest))


def bulk_create(lines: Path, rows: int) -> None:
    """Django's own way, with the rules of an event, 2,000 to a statement."""
    from benchmarks.feed import event_of
    from monitoring.models import MarketEvent

    with lines.open() as file:
        left = islice(file, rows)
        while part := [event_of(json.loads(line)) for line in islice(left, 2000)]:
            MarketEvent.objects.bulk_create(
                MarketEvent(
                    id=event.identity,
                    **{name: getattr(event, name) for name in ("symbol", "event_type", "timestamp", "price", "volume")},
                    **{name: getattr(event, name) for name in ("source", "level", "metadata")},
                )
                for event in part
            )


WAYS: dict[str, Callable[[Path, int], None]] = {
    "error": file_with_errors_on_conflict,
    "skip": file_with_skips,
    "row_by_row": row_by_row,
    "bulk_create": bulk_create,
}


@contextmanager
def _memory() -> Iterator[list[float]]:
    """Megabytes of this process and those it started, five times a second; what several share is counted once."""
    own, seen, ended = psutil.Process(), [0.0], threading.Event()

    def look() -> None:
        while not ended.wait(0.2):
            total = 0
            for process in (own, *own.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_full_info().pss
            seen.append(total / 1e6)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def main(argv: list[str]) -> int:
    way, lines, rows = argv
    django.setup()
    from django.db import connection

    connection.ensure_connection()
    with _memory() as peak:
        started, worked = time.perf_counter(), time.process_time()
        WAYS[way](Path(lines), int(rows))
        found: dict[str, Any] = {"seconds": time.perf_counter() - started, "worked": time.process_time() - worked}
    found["peak_megabytes"] = max(peak)
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
