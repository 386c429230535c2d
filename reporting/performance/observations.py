"""The numbers that go in: what is taken, what is refused, and what is known of a set of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from math import floor, fsum, hypot, isfinite, sqrt
from numbers import Integral, Real

from reporting.performance.estimate import Undefined

# Returns are quotients of prices, as floats. A spread below this is their rounding, and a ratio to it would be a number
# about nothing: a price that grows by exactly 1 % a day would have a Sharpe ratio of 10 to the 15th.
ROUNDING = 1e-12


class InvalidInput(ValueError):
    """The text names field, value and rule: "returns[3]=nan: must be finite"."""


def number(name: str, value: object) -> float:
    """A float, an int, a Decimal or another real number such as NumPy's, as a float. InvalidInput for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise InvalidInput(f"{name}={value!r}: must be a number, not {type(value).__name__}")
    try:
        converted = float(value)
    except (OverflowError, ValueError):  # an int beyond every float, a signaling NaN
        converted = float("nan")
    if not isfinite(converted):
        raise InvalidInput(f"{name}={value}: must be finite")
    return converted


def numbers(name: str, values: Iterable[object]) -> list[float]:
    """All of them as floats, or InvalidInput for the first that is none, by its position from 0."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidInput(f"{name}={values!r}: must be a sequence of numbers, not {type(values).__name__}")
    given = list(values)
    plain = [value for value in given if type(value) is float]
    if len(plain) == len(given) and all(map(isfinite, plain)):
        return plain
    return [number(f"{name}[{place}]", value) for place, value in enumerate(given)]


def above_zero(name: str, value: object) -> float:
    converted = number(name, value)
    if converted <= 0:
        raise InvalidInput(f"{name}={value}: must be above 0")
    return converted


def between(name: str, value: object, low: float, high: float) -> float:
    converted = number(name, value)
    if not low < converted < high:
        raise InvalidInput(f"{name}={value}: must be above {low:g} and below {high:g}")
    return converted


def count(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidInput(f"{name}={value!r}: must be a whole number, not {type(value).__name__}")
    if value < least:
        raise InvalidInput(f"{name}={value}: must be at least {least}")
    return int(value)


def need(least: int, given: int, what: str = "return") -> None:
    """Undefined where there are fewer."""
    if given == 0:
        raise Undefined(f"no {what}s")
    if given < least:
        raise Undefined(f"{given} {what}{'' if given == 1 else 's'}, {least} are needed")


def mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def deviations(values: Sequence[float]) -> list[float]:
    """From their mean; exactly 0 where all are alike, which the rounding of the mean would hide.

    OverflowError where one is infinite: what is divided by it would be 0.
    """
    if min(values) == max(values):
        return [0.0] * len(values)
    middle = mean(values)
    return [_held(value - middle) for value in values]


def standard_deviation(values: Sequence[float], *, ddof: int = 1) -> float:
    """Divided by n - ddof. OverflowError where it is infinite."""
    return length(deviations(values)) / sqrt(len(values) - ddof)


def length(values: Sequence[float]) -> float:
    """The root of the sum of their squares, which alone could overflow. OverflowError where it is infinite."""
    return _held(hypot(*values))


def _held(value: float) -> float:
    if not isfinite(value):
        raise OverflowError("beyond every float")
    return value


def percentile(values: Sequence[float], share: float) -> float:
    """Linear between the two nearest observations (Hyndman and Fan's type 7), `share` from 0 to 1."""
    ordered = sorted(values)
    # 0.29 x 100 is 28.999999999999996: the rounding must not leave out an observation.
    place = round(share * (len(ordered) - 1), 9)
    below = floor(place)
    if place == below:
        return ordered[below]
    low, high = ordered[below : below + 2]
    return low + (high - low) * (place - below)


def longest_run(flags: Sequence[bool]) -> int:
    """The most True in a row."""
    ends = [-1, *(place for place, flag in enumerate(flags) if not flag), len(flags)]
    return max(after - before - 1 for before, after in pairwise(ends))
