"""Returns beside those of a benchmark in the same periods. Pure."""

from __future__ import annotations

from math import expm1, fsum, inf, log1p
from operator import mul
from typing import NamedTuple

from reporting.performance.estimate import Undefined, measure
from reporting.performance.observations import (
    ROUNDING,
    InvalidInput,
    above_zero,
    deviations,
    length,
    mean,
    need,
    number,
    numbers,
    standard_deviation,
)
from reporting.performance.returns import Numbers


class AlphaBeta(NamedTuple):
    """`alpha` per year as a fraction, `beta` a ratio; None where undefined."""

    alpha: float | None
    beta: float | None


@measure("ratio", "cov(r, b) / var(b), b the benchmark's returns")
def beta(returns: Numbers, benchmark: Numbers) -> float:
    values, market = _pairs(returns, benchmark)
    # Two points always lie on a line.
    need(3, len(values))
    if standard_deviation(market) <= ROUNDING:
        raise Undefined("all returns of the benchmark are alike: they have no variance")
    moves = deviations(market)
    size = length(moves)
    return fsum(map(mul, [move / size for move in moves], deviations(values))) / size


@measure("fraction", "(1 + mean(r - {risk_free:g} - beta (b - {risk_free:g})))^{periods_per_year:g} - 1")
def alpha(returns: Numbers, benchmark: Numbers, *, risk_free: float = 0.0, periods_per_year: float = 252) -> float:
    """`risk_free` per period."""
    values, market = _pairs(returns, benchmark)
    free, periods = number("risk_free", risk_free), above_zero("periods_per_year", periods_per_year)
    slope = beta.value(values, market)
    each = (mean(values) - free) - slope * (mean(market) - free)
    if each < -1:
        raise Undefined(f"{each:g} per period: a loss of more than everything can't be compounded")
    return expm1(periods * (-inf if each == -1 else log1p(each)))


def alpha_beta(
    returns: Numbers, benchmark: Numbers, *, risk_free: float = 0.0, periods_per_year: float = 252
) -> AlphaBeta:
    """Both by least squares. InvalidInput where the benchmark has not as many returns."""
    values, market = _pairs(returns, benchmark)
    return AlphaBeta(
        alpha(values, market, risk_free=risk_free, periods_per_year=periods_per_year), beta(values, market)
    )


def _pairs(returns: Numbers, benchmark: Numbers) -> tuple[list[float], list[float]]:
    values, market = numbers("returns", returns), numbers("benchmark", benchmark)
    if len(values) != len(market):
        raise InvalidInput(f"benchmark: {len(market)} returns beside {len(values)}, must be as many")
    return values, market
