"""Series of a strategy as SVG primitives: numbers that a template places. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from math import ceil, floor, log10

from reporting.charts import Line, Tick
from reporting.strategy_figures import percent

WIDTH, HEIGHT = 720, 160
# So many points of a line: more are finer than a pixel.
_POINTS = 360
_X_TICKS = 5
_BARS = 24

Points = Sequence[tuple[date, float | None]]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A vertical line with a name, in viewBox units; `row` of names from 0, so that they don't cover one another."""

    at: float
    text: str
    row: int


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of a histogram: `low` to `high` as fractions, the place in viewBox units."""

    low: float
    high: float
    count: int
    left: float
    top: float
    wide: float
    tall: float
    tone: str
    range_text: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line with what surrounds it: `zero` is where 0 lies, None where it is outside; `band` are closed paths."""

    line: Line
    zero: float | None
    band: tuple[str, ...]
    said_text: str


@dataclass(frozen=True, kw_only=True)
class Sparkline:
    """A small line without axes: only its shape tells."""

    width: int
    height: int
    path: str
    zero: float
    tone: str
    said_text: str


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Bars over their range, with marks; x ticks are returns, y ticks numbers of days."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def sparkline(
    values: Sequence[float], shown: Callable[[float], str], *, width: int = 120, height: int = 28
) -> Sparkline:
    """Of at least one value; 0 before the first belongs to it."""
    points = _thinned([0.0, *values], width)
    low, high = min(points), max(points)
    span = (high - low) or 1.0
    step = width / max(1, len(points) - 1)

    def y(value: float) -> float:
        return round(1 + (height - 2) * (high - value) / span, 1)

    path = "M" + " L".join(f"{place * step:.1f},{y(value)}" for place, value in enumerate(points))
    return Sparkline(
        width=width,
        height=height,
        path=path,
        zero=y(0.0),
        tone="good" if values[-1] > 0 else "bad" if values[-1] < 0 else "muted",
        said_text=f"lowest {shown(low)}, highest {shown(high)}, last {shown(values[-1])}",
    )


def curve(
    points: Points,
    shown: Callable[[float], str],
    *,
    said: Callable[[float], str] | None = None,
    bounds: Sequence[tuple[float, float] | None] = (),
    height: int = HEIGHT,
) -> Curve:
    """Of at least one known value; where there is none the line is broken. `bounds` are those of a band, by point.

    `shown` makes texts of the axis, `said` of values in a sentence.
    """
    places = _kept(len(points), _POINTS)
    kept = [points[place] for place in places]
    edges = [bounds[place] for place in places] if bounds else [None] * len(places)
    known = [value for _, value in kept if value is not None]
    known += [edge for pair in edges if pair is not None for edge in pair]
    ticks = _ticks(min(known), max(known))
    low, high = min(ticks[0], *known), max(ticks[-1], *known)
    span = (high - low) or 1.0
    step = WIDTH / max(1, len(kept) - 1)

    def y(value: float) -> float:
        return round(height * (high - value) / span, 1)

    line = Line(
        width=WIDTH,
        height=height,
        paths=tuple(_paths([value for _, value in kept], step, y)),
        x_ticks=_day_ticks([day for day, _ in kept], step),
        y_ticks=tuple(Tick(at=y(value), text=shown(value)) for value in ticks),
    )
    return Curve(
        line=line,
        zero=y(0.0) if low <= 0 <= high else None,
        band=tuple(_bands(edges, step, y)),
        said_text=_said(points, said or shown),
    )


def histogram(values: Sequence[float], marks: Sequence[tuple[str, float]], *, height: int = HEIGHT) -> Histogram:
    """Of at least one value; bars of equal width over all of them, and `marks` by name. Fractions, shown in percent."""
    low, high = min(values), max(values)
    if high == low:
        low, high = low - 0.005, high + 0.005
    n = min(_BARS, max(5, ceil(len(values) ** 0.5)))
    width = (high - low) / n
    counts = [0] * n
    for value in values:
        counts[min(n - 1, floor((value - low) / width))] += 1
    tallest = max(counts)

    def x(value: float) -> float:
        return round(WIDTH * (value - low) / (high - low), 1)

    bars = []
    for place, count in enumerate(counts):
        start, end = low + place * width, low + (place + 1) * width
        tall = round(height * count / tallest, 1)
        bars.append(
            Bar(
                low=start,
                high=end,
                count=count,
                left=x(start) + 0.5,
                top=round(height - tall, 1),
                wide=round(WIDTH / n - 1, 1),
                tall=tall,
                tone="bad" if end <= 0 else "good" if start >= 0 else "muted",
                range_text=f"{percent(start, signed=True)} to {percent(end, signed=True)}",
            )
        )
    return Histogram(
        width=WIDTH,
        height=height,
        bars=tuple(bars),
        marks=tuple(Mark(at=x(value), text=name, row=row) for row, (name, value) in enumerate(marks)),
        x_ticks=tuple(
            Tick(at=x(value), text=axis_percent(value)) for value in _ticks(low, high) if low <= value <= high
        ),
        y_ticks=tuple(
            Tick(at=round(height - height * value / tallest, 1), text=f"{value:g}") for value in (tallest, 0)
        ),
    )


def axis_percent(value: float) -> str:
    """Of round values: no more digits than they have."""
    return f"{100 * value:+.4g} %" if value else "0 %"


def _said(points: Points, shown: Callable[[float], str]) -> str:
    """The line in a sentence, for who can't see it."""
    known = [(value, day) for day, value in points if value is not None]
    (low, low_day), (high, high_day), (last, last_day) = min(known), max(known), known[-1]
    return f"Lowest {shown(low)} on {low_day}, highest {shown(high)} on {high_day}, last {shown(last)} on {last_day}."


def _kept(n: int, most: int) -> list[int]:
    """Places that are drawn, the last one always."""
    step = max(1, ceil(n / most))
    return sorted(range(n - 1, -1, -step))


def _thinned(values: Sequence[float], most: int) -> list[float]:
    return [values[place] for place in _kept(len(values), most)]


def _paths(values: Sequence[float | None], step: float, y: Callable[[float], float]) -> Iterator[str]:
    for known, group in groupby(enumerate(values), key=lambda item: item[1] is not None):
        points = [f"{place * step:.1f},{y(value)}" for place, value in group if value is not None]
        if known:
            # A lone point needs a length, or no browser draws its round ends.
            yield "M" + " L".join(points) + (" h0.01" if len(points) == 1 else "")


def _bands(edges: Sequence[tuple[float, float] | None], step: float, y: Callable[[float], float]) -> Iterator[str]:
    for known, group in groupby(enumerate(edges), key=lambda item: item[1] is not None):
        pairs = [(place * step, pair) for place, pair in group if pair is not None]
        if known:
            above = [f"{x:.1f},{y(high)}" for x, (_, high) in pairs]
            below = [f"{x:.1f},{y(low)}" for x, (low, _) in reversed(pairs)]
            yield "M" + " L".join([*above, *below]) + " Z"


def _ticks(low: float, high: float) -> list[float]:
    """Round values around both, 0 among them where it lies between; at least two."""
    if high == low:
        low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        high = 1.0
    rough = (high - low) / 4
    unit = 10.0 ** floor(log10(rough))
    size = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    first, last = floor(round(low / size, 9)), ceil(round(high / size, 9))
    return [round(place * size, 12) for place in range(first, last + 1)]


def _day_ticks(days: Sequence[date], step: float) -> tuple[Tick, ...]:
    apart = max(1, ceil(len(days) / _X_TICKS))
    return tuple(
        Tick(at=round(place * step, 1), text=f"{days[place]:%Y-%m-%d}") for place in range(0, len(days), apart)
    )
