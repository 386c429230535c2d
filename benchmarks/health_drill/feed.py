"""Run inside the desk's environment: one quote a second, dated now, until its input ends. An outage is waited out."""

from __future__ import annotations

import os
import select
import sys
from datetime import UTC, datetime
from decimal import Decimal

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.health_drill.settings")
    django.setup()
    from django.db import Error, close_old_connections  # only after the set-up

    from monitoring import events
    from monitoring.choices import EventType

    while not select.select([sys.stdin], [], [], 1.0)[0]:
        quote = events.Event(
            symbol="SPY",
            event_type=EventType.QUOTE,
            timestamp=datetime.now(UTC),
            price=Decimal("450.20"),
            source="drill",
        )
        try:
            events.record([quote])
        except Error:
            close_old_connections()


if __name__ == "__main__":
    main()
