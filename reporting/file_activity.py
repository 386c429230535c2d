"""The files that came in during the last day: the bot's orders, and market events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max

from emo_site import display
from monitoring.models import IngestCheckpoint
from orders.choices import EventKind
from orders.models import OrderEvent

RECENT = timedelta(hours=24)
SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class File:
    """`rows` are orders staged from it, or events taken in."""

    name: str
    kind: str
    at: datetime
    rows: int
    at_text: str
    rows_text: str


def order_files(*, now: datetime) -> tuple[int, tuple[File, ...]]:
    """How many, and the newest ten: two queries. Raises DatabaseError."""
    events = OrderEvent.objects.filter(kind=EventKind.STAGED, at__gt=now - RECENT, at__lte=now)
    files = events.exclude(order__source_file="").order_by().values("order__source_file")
    newest = files.annotate(n=Count("pk"), last=Max("at")).order_by("-last", "order__source_file")[:SHOWN]
    return files.distinct().count(), tuple(
        _file(row["order__source_file"], "orders", row["last"], row["n"], "order") for row in newest
    )


def event_files(*, now: datetime) -> tuple[File, ...]:
    """The newest ten whose taking in began in the last day: one query. Raises DatabaseError."""
    begun = IngestCheckpoint.objects.filter(started_at__gt=now - RECENT, started_at__lte=now)
    return tuple(
        _file(each.source, "market events", each.started_at, each.rows, "row")
        for each in begun.order_by("-started_at", "source")[:SHOWN]
    )


def _file(name: str, kind: str, at: datetime, rows: int, unit: str) -> File:
    return File(
        name=name,
        kind=kind,
        at=at,
        rows=rows,
        at_text=display.moment(at),
        rows_text=f"{display.count(rows)} {unit if rows == 1 else unit + 's'}",
    )
