"""Named questions about market events and recorded health."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models

from monitoring.choices import PRICE_TYPES, EventType

if TYPE_CHECKING:
    from monitoring.models import MarketEvent, SystemHealth  # noqa: F401  # named in texts below


class MarketEventQuerySet(models.QuerySet["MarketEvent"]):
    def latest_price(self, symbol: str, *, at: datetime) -> MarketEvent | None:
        """The last event at or before `at` whose price is one the symbol could be traded at."""
        return self.filter(event_type__in=PRICE_TYPES, price__gt=0)._latest(symbol, at)

    def latest_of(self, event_type: EventType, symbol: str, *, at: datetime) -> MarketEvent | None:
        """The last event of one type for the symbol at or before `at`."""
        return self.filter(event_type=event_type)._latest(symbol, at)

    def newest(self) -> MarketEvent | None:
        return self.order_by("-timestamp", "-id").first()

    def _latest(self, symbol: str, at: datetime) -> MarketEvent | None:
        return self.filter(symbol=symbol, timestamp__lte=at).order_by("-timestamp", "-id").first()


class SystemHealthQuerySet(models.QuerySet["SystemHealth"]):
    def since(self, start: datetime) -> SystemHealthQuerySet:
        return self.filter(timestamp__gte=start).order_by("timestamp", "id")
