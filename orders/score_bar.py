"""A score as one stacked bar: a segment for each rule, on a track from 0 to 100. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

TRACK = Decimal(100)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """`start` and `width` in points of the score, and in viewBox units of each drawing. `number` is the rule's place
    in the table, shown where the segment is wide enough for it."""

    number: str
    code: str
    points: Decimal
    start: Decimal
    severity: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Box:
    """A segment as it is drawn, in viewBox units."""

    x: float
    width: float
    severity: str
    pattern: str
    title: str
    label: str
    label_x: float


@dataclass(frozen=True, kw_only=True)
class Track:
    """One drawing of the bar."""

    name: str
    width: int
    height: int
    label_y: float
    boxes: tuple[Box, ...]


@dataclass(frozen=True, kw_only=True)
class ScoreBar:
    """Segments end to end from 0; their points add up to the score."""

    segments: tuple[Segment, ...]
    tracks: tuple[Track, ...]
    description: str


# What a label needs beside its segment's borders.
LABEL = 9.0
SIZES = (("wide", 760), ("narrow", 360))
HEIGHT = 22
# So that colour is not all that tells a rule that blocks from one that warns.
PATTERNS = {"block": "hatch", "warn": "dots"}


def score_bar(rows: Iterable[tuple[str, str, Decimal, str]], *, title: str) -> ScoreBar:
    """Rows of (number, code, points, severity), in the table's order; those without points have no segment."""
    segments: list[Segment] = []
    start = Decimal(0)
    for number, code, points, severity in rows:
        if points <= 0:
            continue
        segments.append(
            Segment(
                number=number,
                code=code,
                points=points,
                start=start,
                severity=severity,
                title=f"{number}. {code}: {points:.2f} points, {severity}",
            )
        )
        start += points
    return ScoreBar(
        segments=tuple(segments),
        tracks=tuple(_track(name, width, segments) for name, width in SIZES),
        description=f"{title} {start:.2f} of 100: "
        + (", ".join(f"{each.code} {each.points:.2f} ({each.severity})" for each in segments) or "no rule adds to it"),
    )


def _track(name: str, width: int, segments: Iterable[Segment]) -> Track:
    unit = Decimal(width) / TRACK
    return Track(
        name=name,
        width=width,
        height=HEIGHT,
        label_y=HEIGHT / 2 + 4,
        boxes=tuple(_box(each, unit) for each in segments),
    )


def _box(segment: Segment, unit: Decimal) -> Box:
    x, width = float(segment.start * unit), float(segment.points * unit)
    fits = width >= LABEL * len(segment.number) + 4
    return Box(
        x=round(x, 2),
        width=round(width, 2),
        severity=segment.severity,
        pattern=PATTERNS.get(segment.severity, ""),
        title=segment.title,
        label=segment.number if fits else "",
        label_x=round(x + width / 2, 2),
    )
