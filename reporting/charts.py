"""Series as SVG primitives: numbers that a template places. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

# A bar that is not there can't be told from one of score 0.
_LEAST_HEIGHT = 2.0
_BAR_HEIGHT = 10.0


@dataclass(frozen=True, kw_only=True)
class Hour:
    """One hour of something. `status` "none" and `score` None where nothing was recorded; `known_share` from 0 to 1."""

    at: datetime
    status: str
    score: float | None
    known_share: float
    records: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """Hours in a row that are alike, as one bar: `x` and `width` in hours, `y` and `height` of 10."""

    x: int
    width: float
    y: float
    height: float
    status: str
    score: float | None
    records: int
    since: datetime
    until: datetime
    from_text: str
    until_text: str
    score_text: str
    title_text: str


@dataclass(frozen=True, kw_only=True)
class Share:
    """One bar: width from 0 to 100."""

    label: str
    value: str
    width: float
    tone: str = "accent"
    url: str = ""
    """Of the rows behind it, empty where there is no list of them."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A mark on an axis, in viewBox units."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line in a viewBox of `width` by `height`; `paths` are its unbroken parts as SVG path data."""

    width: int
    height: int
    paths: tuple[str, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def runs(hours: Sequence[Hour]) -> tuple[Run, ...]:
    """Hours of equal status and score, to a point, as one bar each: a quiet day is one."""
    found: list[Run] = []
    place = 0
    for (status, score), group in groupby(hours, key=lambda hour: (hour.status, _rounded(hour.score))):
        alike = list(group)
        found.append(_run(place, alike, status, score))
        place += len(alike)
    return tuple(found)


def _rounded(score: float | None) -> int | None:
    return None if score is None else round(score)


def _run(place: int, alike: Sequence[Hour], status: str, score: int | None) -> Run:
    height = _BAR_HEIGHT if score is None else max(_LEAST_HEIGHT, _BAR_HEIGHT * score / 100)
    until = f"{alike[-1].at:%H}:59"
    what = "nothing recorded" if status == "none" else status
    shown = "n/a" if score is None else str(score)
    return Run(
        x=place,
        width=len(alike) - 0.15,
        y=round(_BAR_HEIGHT - height, 2),
        height=round(height, 2),
        status=status,
        score=score,
        records=sum(hour.records for hour in alike),
        since=alike[0].at,
        until=alike[-1].at + timedelta(hours=1),
        from_text=f"{alike[0].at:%d %b %H:%M}",
        until_text=f"{alike[-1].at:%d %b} {until}",
        score_text=shown,
        title_text=f"{alike[0].at:%H:%M} to {until}: {what}" + ("" if score is None else f", mean score {shown}"),
    )


def score_line(hours: Sequence[Hour], *, width: int = 720, height: int = 140) -> Line:
    """The score by the hour, from 0 to 100; a gap is a gap in the line."""
    step = width / max(1, len(hours))

    def point(place: int, score: float) -> str:
        return f"{(place + 0.5) * step:.1f},{height * (1 - score / 100):.1f}"

    paths = []
    for known, group in groupby(enumerate(hours), key=lambda item: item[1].score is not None):
        points = [point(place, hour.score) for place, hour in group if hour.score is not None]
        if known:
            # A lone point needs a length, or no browser draws its round ends.
            paths.append("M" + " L".join(points) + (" h0.01" if len(points) == 1 else ""))
    days = [(place, hour.at) for place, hour in enumerate(hours) if hour.at.hour == 0]
    return Line(
        width=width,
        height=height,
        paths=tuple(paths),
        x_ticks=tuple(Tick(at=round(place * step, 1), text=f"{at:%a %d %b}") for place, at in days),
        y_ticks=tuple(Tick(at=height * (1 - value / 100), text=str(value)) for value in (100, 50, 0)),
    )


def shares(rows: Sequence[tuple[str, int, str]]) -> tuple[Share, ...]:
    """Bars of (label, count, tone) against the largest of them."""
    largest = max((value for _, value, _ in rows), default=0)
    return tuple(
        Share(label=label, value=f"{value:,}", width=round(100 * value / largest, 2) if largest else 0.0, tone=tone)
        for label, value, tone in rows
    )
