"""The account's high-water mark, kept beyond the retention of equity events. The only writer of EquityHigh."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from emo_site.db.fields import current_environment
from monitoring.choices import EventType
from monitoring.models import MarketEvent
from orders.assessment import Context
from orders.models import EquityHigh

# How far the mark may lag behind: what came in since is looked at for every order.
LOOK_EVERY = timedelta(minutes=10)


def keep_high(context: Context, looked_until: datetime | None, *, now: datetime) -> None:
    """Moves the mark on where it was last looked at long ago. Events that came in late are found by that, too."""
    if context.equity_high is None or (looked_until is not None and now - looked_until < LOOK_EVERY):
        return
    curve = MarketEvent.objects.filter(symbol="", event_type=EventType.EQUITY, timestamp__lte=now)
    highest = curve.exclude(price=None).order_by("-price", "timestamp").first()
    price, at = context.equity_high, context.equity_high_at or now
    if highest is not None and highest.price is not None and highest.price > price:
        price, at = highest.price, highest.timestamp
    environment = current_environment()
    with transaction.atomic():
        EquityHigh.objects.bulk_create(
            [EquityHigh(environment=environment, price=price, at=at, looked_until=now)], ignore_conflicts=True
        )
        mark = EquityHigh.objects.filter(environment=environment)
        mark.filter(price__lt=price).update(price=price, at=at)
        mark.update(looked_until=Greatest(F("looked_until"), now))
