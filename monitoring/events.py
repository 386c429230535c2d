"""Market events in: validated, then written once each. The only writer of MarketEvent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connections, transaction

from emo_site.db.json_documents import problem
from emo_site.db.routers import database_of
from emo_site.db.uuid7 import uuid7
from monitoring.choices import EventLevel, EventType
from monitoring.models import MarketEvent

# A tenth of what the columns hold: SQLite keeps fifteen digits, and a figure rounded up to one more can't be read.
MAX_FIGURE = Decimal(10) ** 11
STEP = Decimal("1e-6")
BATCH = 2000
# Long before any event; ids made from a time begin in 1970.
EARLIEST_YEAR = 1971


class InvalidEvent(ValueError):
    """The message names field, value and rule."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One market event as values. `price` and `volume` mean what `event_type` says. Raises InvalidEvent."""

    symbol: str
    event_type: EventType
    timestamp: datetime
    price: Decimal | None = None
    volume: Decimal | None = None
    source: str = ""
    level: EventLevel = EventLevel.INFO
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, text, limit in (("symbol", self.symbol, 32), ("source", self.source, 64)):
            if len(text) > limit or not text.isprintable():
                raise InvalidEvent(f"{name}={text!r}: must be at most {limit} printable characters")
        # The database refuses other words too, but SQLite does so by leaving the row out without a word.
        for name, word, allowed in (("event_type", self.event_type, EventType), ("level", self.level, EventLevel)):
            if word not in allowed.values:
                raise InvalidEvent(f"{name}={str(word)!r}: must be one of {', '.join(allowed.values)}")
        if self.timestamp.tzinfo is None:
            raise InvalidEvent(f"timestamp={self.timestamp!r}: needs a time zone")
        if self.timestamp.year < EARLIEST_YEAR:
            raise InvalidEvent(f"timestamp={self.timestamp!r}: is before {EARLIEST_YEAR}")
        for name, value in (("price", self.price), ("volume", self.volume)):
            if value is not None and (not value.is_finite() or abs(value) > MAX_FIGURE - STEP):
                raise InvalidEvent(f"{name}={value}: must be a finite number below {MAX_FIGURE:f}")
        if self.volume is not None and self.volume < 0:
            raise InvalidEvent(f"volume={self.volume}: must not be negative")
        if found := problem(self.metadata):
            raise InvalidEvent(f"metadata={self.metadata!r}: {found}")

    @property
    def identity(self) -> UUID:
        """The same event from the same source has the same id, so that recording it twice changes nothing."""
        # As it is stored: 400.5 and 400.50 are one price, and a mapping has no order.
        figures = [str(_rounded(value)) for value in (self.price, self.volume)]
        metadata = json.dumps(self.metadata, sort_keys=True)
        text = "\x1f".join((self.source, self.symbol, self.event_type, *figures, metadata))
        tail = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        return uuid7(self.timestamp, tail=tail)


def record(events: Iterable[Event]) -> int:
    """Writes the events that are not on record yet; returns how many those were. All or nothing."""
    rows = {event.identity: event for event in events}
    using = database_of("monitoring")
    with transaction.atomic(using=using):
        known = _known(rows)
        fresh = [_row(identity, event) for identity, event in rows.items() if identity not in known]
        # Another process may have written one of them since: the key refuses the second. SQLite has one writer at a
        # time, and its OR IGNORE would swallow every other mistake too.
        one_writer = connections[using].vendor == "sqlite"
        MarketEvent.objects.bulk_create(fresh, batch_size=BATCH, ignore_conflicts=not one_writer)
    return len(fresh)


def _known(rows: dict[UUID, Event]) -> set[UUID]:
    identities = list(rows)
    found: set[UUID] = set()
    for start in range(0, len(identities), 500):
        part = identities[start : start + 500]
        times = [rows[identity].timestamp for identity in part]
        # The period keeps the look-up to the chunks that can hold these ids.
        query = MarketEvent.objects.filter(pk__in=part, timestamp__gte=min(times), timestamp__lte=max(times))
        found.update(query.values_list("pk", flat=True))
    return found


def _rounded(value: Decimal | None) -> Decimal | None:
    return None if value is None else value.quantize(STEP)


def _row(identity: UUID, event: Event) -> MarketEvent:
    return MarketEvent(
        id=identity,
        symbol=event.symbol,
        event_type=event.event_type,
        timestamp=event.timestamp,
        price=_rounded(event.price),
        volume=_rounded(event.volume),
        source=event.source,
        level=event.level,
        metadata=event.metadata,
    )
