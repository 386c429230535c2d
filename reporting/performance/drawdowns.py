"""How far below its high the wealth was, and for how long: -0.2 is 20 % below. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import expm1, inf

from reporting.performance.estimate import Undefined, measure
from reporting.performance.observations import ROUNDING, above_zero, need, numbers
from reporting.performance.returns import Numbers, annual_return, log_growth


@dataclass(frozen=True, kw_only=True)
class Drawdown:
    """From a high until it is reached again. Positions count periods passed: 0 is before the first return.

    `end` is None where the high was not reached again: the drawdown is open.
    """

    peak: int
    trough: int
    end: int | None
    depth: float


def underwater(returns: Numbers) -> tuple[float, ...] | None:
    """wealth / highest wealth so far - 1, before the first return (0.0) and after each: n + 1 values from -1 to 0.

    The wealth starts at 1, so that a loss in the first period counts. None without returns, and where one is below -1.
    """
    try:
        return tuple(_underwater(numbers("returns", returns)))
    except Undefined:
        return None


def drawdowns(returns: Numbers) -> tuple[Drawdown, ...] | None:
    """All of them, as they came, the last perhaps open. None without returns, and where one is below -1."""
    try:
        return tuple(_drawdowns(numbers("returns", returns)))
    except Undefined:
        return None


@measure("drawdowns", "times that the wealth fell below an earlier high, an open one counted")
def drawdown_count(returns: Numbers) -> float:
    return len(_drawdowns(numbers("returns", returns)))


@measure("fraction", "min(wealth / highest wealth so far - 1), wealth starting at 1")
def max_drawdown(returns: Numbers) -> float:
    """Zero or below; 0 where the wealth never fell."""
    return min((each.depth for each in _drawdowns(numbers("returns", returns))), default=0.0)


@measure("ratio", "annual return ({periods_per_year:g} periods) / |max drawdown|")
def calmar_ratio(returns: Numbers, *, periods_per_year: float = 252) -> float:
    values, periods = numbers("returns", returns), above_zero("periods_per_year", periods_per_year)
    deepest = max_drawdown.value(values)
    if deepest == 0:
        raise Undefined("there was no drawdown")
    return annual_return.value(values, periods_per_year=periods) / -deepest


@measure("days", "days from the low of the deepest drawdown until its high was reached again")
def recovery_days(equity: Numbers) -> float:
    """Over one value a day, oldest first: trading days where only these are given. None while the drawdown is open."""
    values = numbers("equity", equity)
    need(2, len(values), "day")
    if values[0] <= 0:
        raise Undefined(f"equity[0]={values[0]:g}: a drawdown is a share of a high above 0")
    falls = _episodes([value / high - 1 for value, high in zip(values, accumulate(values, max), strict=True)])
    if not falls:
        raise Undefined("there was no drawdown")
    deepest = min(falls, key=lambda fall: fall.depth)
    if deepest.end is None:
        days = len(values) - 1 - deepest.trough
        raise Undefined(f"the deepest drawdown is open, {days} day{'' if days == 1 else 's'} after its low")
    return deepest.end - deepest.trough


def _drawdowns(returns: Sequence[float]) -> list[Drawdown]:
    return _episodes(_underwater(returns))


def _underwater(returns: Sequence[float]) -> list[float]:
    need(1, len(returns))
    # Of logarithms: a product of many returns could leave the range of floats.
    wealth = list(accumulate(log_growth(returns), initial=0.0))
    return [expm1(now - high) for now, high in zip(wealth, accumulate(wealth, max), strict=True)]


def _episodes(depths: Sequence[float]) -> list[Drawdown]:
    """The stretches of `depths` below 0, each with the position of the high before it."""
    found: list[Drawdown] = []
    peak, trough = 0, 0
    for place, depth in enumerate([*depths, inf]):
        if depth < -ROUNDING:
            trough = place if depth < depths[trough] else trough
            continue
        if depths[trough] < -ROUNDING:
            end = place if place < len(depths) else None
            found.append(Drawdown(peak=peak, trough=trough, end=end, depth=depths[trough]))
        peak = trough = place
    return found
