"""Run inside the desk's environment: records market events without end, as a feed handler does, until its input ends.

Each batch is sent until it is acknowledged, the same events again after a failure: they are idempotent by id. Prints
`acknowledged TOTAL` after each batch and `failed REASON` after each failure.
"""

from __future__ import annotations

import os
import select
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import django
import psycopg

BATCH = 100
EVERY_SECONDS = 0.2
PATIENCE_SECONDS = 9.0
# Between the times of two events: each has its own, by which it is known again whatever its id.
EVERY_EVENT = timedelta(milliseconds=1)


def main(source: str, begin: datetime) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")
    django.setup()
    from django.db import Error, close_old_connections  # only after the set-up

    from emo_site.db import deadline
    from monitoring import events

    total = 0
    while not _ended():
        batch = [_event(events, source, begin, number) for number in range(total, total + BATCH)]
        try:
            # A command waits as long as it takes, and a primary that is cut off from its standby never answers.
            with deadline.within(PATIENCE_SECONDS):
                events.record(batch)
        except (Error, psycopg.Error) as error:
            _say(f"failed {type(error).__name__}")
            # It forgets the connection that broke.
            close_old_connections()
            continue
        total += BATCH
        _say(f"acknowledged {total}")


def _event(events: Any, source: str, begin: datetime, number: int) -> Any:
    from monitoring.choices import EventType

    return events.Event(
        symbol="DRILL",
        event_type=EventType.QUOTE,
        timestamp=begin + EVERY_EVENT * number,
        price=Decimal(100) + Decimal(number % 1000) / 100,
        source=source,
    )


def _ended() -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], EVERY_SECONDS)
    return bool(readable)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], datetime.fromisoformat(sys.argv[2]))
