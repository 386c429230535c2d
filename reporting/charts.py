"""Series as SVG primitives: numbers that a template places. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SEVERITY_ORDER = ("error", "warning", "unknown", "healthy")


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One stretch of time in a status strip: its left edge in viewBox units, and the worst status recorded in it."""

    x: int
    status: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Share:
    """One bar: width from 0 to 100."""

    label: str
    value: str
    width: float
    tone: str = "accent"


def status_strip(
    records: Iterable[tuple[datetime, str]], *, end: datetime, hours: int = 24, slots: int = 48
) -> tuple[Slot, ...]:
    """The worst status in each of `slots` equal stretches of the last `hours`; a gap is "none", not healthy."""
    start = end - timedelta(hours=hours)
    length = timedelta(hours=hours) / slots
    found: dict[int, str] = {}
    for at, status in records:
        place = min(slots - 1, int((at - start) / length))
        if place < 0:
            continue
        found[place] = min(found.get(place, "healthy"), status, key=SEVERITY_ORDER.index)
    return tuple(
        Slot(
            x=place,
            status=found.get(place, "none"),
            title=f"{start + place * length:%H:%M}: {found.get(place, 'nothing recorded')}",
        )
        for place in range(slots)
    )


def shares(rows: Sequence[tuple[str, int, str]]) -> tuple[Share, ...]:
    """Bars of (label, count, tone) against the largest of them."""
    largest = max((value for _, value, _ in rows), default=0)
    return tuple(
        Share(label=label, value=f"{value:,}", width=round(100 * value / largest, 2) if largest else 0.0, tone=tone)
        for label, value, tone in rows
    )
