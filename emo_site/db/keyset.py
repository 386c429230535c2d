"""Pages of a list that is newest first, found by where the last page ended: as quick deep in the list as at its top."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from django.db.models import Q, QuerySet

ORDER = ("-timestamp", "-id")
BEGINNING = "beginning"


class BadPlace(ValueError):
    """No place in a list; the message says what one looks like."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Between two rows of a list ordered by (timestamp, id)."""

    at: datetime
    id: UUID

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls(at=row.timestamp, id=row.pk)

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Of the parameter `name` of an address. Raises BadPlace."""
        moment, _, identifier = text.partition("_")
        refusal = BadPlace(
            f"{name}={text!r}: must be a time in ISO 8601 with its zone, _ and the id in 32 hexadecimal digits"
        )
        try:
            at, key = datetime.fromisoformat(moment), UUID(identifier)
        except ValueError:
            raise refusal from None
        if at.tzinfo is None or len(identifier) != 32:
            raise refusal
        try:
            return cls(at=at.astimezone(UTC), id=key)
        except OverflowError:
            raise refusal from None

    @property
    def text(self) -> str:
        return f"{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z_{self.id.hex}"

    def older(self) -> Q:
        # Both halves: the first is what an index and the choice of chunks understand.
        return Q(timestamp__lte=self.at) & (Q(timestamp__lt=self.at) | Q(id__lt=self.id))

    def newer(self) -> Q:
        return Q(timestamp__gte=self.at) & (Q(timestamp__gt=self.at) | Q(id__gt=self.id))


@dataclass(frozen=True, kw_only=True)
class Window:
    """One page: its rows, newest first, and where the newer and the older ones begin (None where there are none)."""

    rows: list[Any]
    newer: Place | None
    older: Place | None


def newest(queryset: QuerySet[Any], size: int) -> Window:
    rows = list(queryset.order_by(*ORDER)[: size + 1])
    return Window(rows=rows[:size], newer=None, older=Place.of(rows[size - 1]) if len(rows) > size else None)


def older_than(queryset: QuerySet[Any], place: Place, size: int) -> Window:
    rows = list(queryset.filter(place.older()).order_by(*ORDER)[: size + 1])
    older = Place.of(rows[size - 1]) if len(rows) > size else None
    return Window(rows=rows[:size], newer=Place.of(rows[0]) if rows else None, older=older)


def newer_than(queryset: QuerySet[Any], place: Place | None, size: int) -> Window:
    """The rows just above the place; from the oldest on where there is none. At the top it is the full newest page."""
    above = queryset.filter(place.newer()) if place else queryset
    rows = list(above.order_by("timestamp", "id")[: size + 1])
    if len(rows) <= size:
        return newest(queryset, size)
    rows = rows[:size][::-1]
    return Window(rows=rows, newer=Place.of(rows[0]), older=Place.of(rows[-1]) if place else None)
