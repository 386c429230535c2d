"""Market events in: validated, then written once each. The only writer of MarketEvent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from emo_site.db.routers import database_of
from emo_site.db.uuid7 import uuid7
from monitoring.choices import EventLevel, EventType
from monitoring.models import MarketEvent

MAX_FIGURE = Decimal(10) ** 12
STEP = Decimal("1e-6")
BATCH = 2000


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
        if len(self.symbol) > 32 or not (self.symbol == "" or self.symbol.isprintable()):
            raise InvalidEvent(f"symbol={self.symbol!r}: must be at most 32 printable characters")
        if len(self.source) > 64:
            raise InvalidEvent(f"source={self.source!r}: has more than 64 characters")
        if self.timestamp.tzinfo is None:
            raise InvalidEvent(f"timestamp={self.timestamp!r}: needs a time zone")
        for name, value in (("price", self.price), ("volume", self.volume)):
            if value is not None and (not value.is_finite() or abs(value) >= MAX_FIGURE):
                raise InvalidEvent(f"{name}={value}: must be a finite number below {MAX_FIGURE:f}")
        if self.volume is not None and self.volume < 0:
            raise InvalidEvent(f"volume={self.volume}: must not be negative")

    @property
    def identity(self) -> UUID:
        """The same event from the same source has the same id, so that recording it twice changes nothing."""
        text = "\x1f".join((self.source, self.symbol, self.event_type, str(self.price), str(self.volume), repr(self.metadata)))
        tail = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        return uuid7(self.timestamp, tail=tail)


def record(events: Iterable[Event]) -> int:
    """Writes the events that are not on record yet; returns how many those were. All or nothing."""
    rows = {event.identity: event for event in events}
    using = database_of("monitoring")
    with transaction.atomic(using=using):
        known = _known(rows)
        fresh = [_row(identity, event) for identity, event in rows.items() if identity not in known]
        # Another process may have written one of them since: the key refuses the second.
        MarketEvent.objects.bulk_create(fresh, batch_size=BATCH, ignore_conflicts=True)
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


def _row(identity: UUID, event: Event) -> MarketEvent:
    return MarketEvent(
        id=identity,
        symbol=event.symbol,
        event_type=event.event_type,
        timestamp=event.timestamp,
        price=None if event.price is None else event.price.quantize(STEP),
        volume=None if event.volume is None else event.volume.quantize(STEP),
        source=event.source,
        level=event.level,
        metadata=event.metadata,
    )
