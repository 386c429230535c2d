"""The marks along an axis: round numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from emo_site import display

# Steps that people count in, times a power of ten.
STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A mark at a place of the drawing (viewBox units) with its number."""

    at: float
    label: str


def round_numbers(low: Decimal, high: Decimal, most: int) -> tuple[Decimal, ...]:
    """At most `most` + 1 evenly spaced round numbers from `low` to `high`. ValueError unless low is below high."""
    if not low < high:
        raise ValueError(f"low={low}: must be below high={high}")
    least = (high - low) / most
    power = Decimal(10) ** least.adjusted()
    step = next(each * power for each in STEPS if each * power >= least)
    first = (low / step).to_integral_value(rounding=ROUND_CEILING)
    return tuple(
        (first + place) * step
        for place in range(int((high / step).to_integral_value() - first) + 1)
        if (first + place) * step <= high
    )


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Numbers from `low` to `high` onto places from `start` to `end` (viewBox units, either way round)."""

    low: Decimal
    high: Decimal
    start: float
    end: float

    def place(self, value: Decimal | float) -> float:
        share = (float(value) - float(self.low)) / (float(self.high) - float(self.low))
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most: int) -> tuple[Tick, ...]:
        return tuple(Tick(at=self.place(each), label=display.number(each)) for each in self.numbers(most))

    def numbers(self, most: int) -> Sequence[Decimal]:
        return round_numbers(self.low, self.high, most)
