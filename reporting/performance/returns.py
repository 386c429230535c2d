"""Figures of a sequence of returns, one per period: 0.01 = +1 %. Pure.

Every figure is a float, or None where it is undefined; docs/performance.md says when, and where other libraries compute
something else under the same name. InvalidInput for a return or an option that is not a finite number.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate
from math import expm1, fsum, hypot, inf, log1p, sqrt

from reporting.performance.estimate import Undefined, measure
from reporting.performance.observations import (
    ROUNDING,
    above_zero,
    between,
    deviations,
    mean,
    need,
    number,
    numbers,
    percentile,
    standard_deviation,
)

Numbers = Sequence[float | Decimal]

_ALIKE = "all returns are alike: they have no variance"


def log_growth(returns: Sequence[float]) -> list[float]:
    """ln(1 + r) of each, -inf for a loss of everything. Sums of them neither overflow nor underflow as products do."""
    for place, each in enumerate(returns):
        if each < -1:
            raise Undefined(f"returns[{place}]={each:g}: a loss of more than everything can't be compounded")
    return [-inf if each == -1 else log1p(each) for each in returns]


@measure("fraction", "prod(1 + r) - 1")
def total_return(returns: Numbers) -> float:
    values = numbers("returns", returns)
    need(1, len(values))
    return expm1(sum_of_logs(log_growth(values)))


@measure("fraction", "prod(1 + r)^({periods_per_year:g} / n) - 1")
def annual_return(returns: Numbers, *, periods_per_year: float = 252) -> float:
    values, periods = numbers("returns", returns), above_zero("periods_per_year", periods_per_year)
    need(1, len(values))
    return expm1(sum_of_logs(log_growth(values)) * periods / len(values))


def sum_of_logs(logs: Sequence[float]) -> float:
    return -inf if -inf in logs else fsum(logs)


@measure("fraction", "std(r, ddof=1) sqrt({periods_per_year:g})")
def annual_volatility(returns: Numbers, *, periods_per_year: float = 252) -> float:
    values, periods = numbers("returns", returns), above_zero("periods_per_year", periods_per_year)
    need(2, len(values))
    return standard_deviation(values) * sqrt(periods)


@measure("ratio", "mean(r - {risk_free:g}) / std(r, ddof=1) sqrt({periods_per_year:g})")
def sharpe_ratio(returns: Numbers, *, risk_free: float = 0.0, periods_per_year: float = 252) -> float:
    """`risk_free` per period. With periods_per_year=1 it is the ratio per period."""
    values, periods = numbers("returns", returns), above_zero("periods_per_year", periods_per_year)
    free = number("risk_free", risk_free)
    need(2, len(values))
    spread = standard_deviation(values)
    if spread <= ROUNDING:
        raise Undefined(_ALIKE)
    return (mean(values) - free) / spread * sqrt(periods)


@measure("fraction", "sqrt(mean(min(r - {required_return:g}, 0)^2)) over all n, sqrt({periods_per_year:g})")
def downside_risk(returns: Numbers, *, required_return: float = 0.0, periods_per_year: float = 252) -> float:
    """`required_return` per period. 0 where no return is below it."""
    values, periods = numbers("returns", returns), above_zero("periods_per_year", periods_per_year)
    required = number("required_return", required_return)
    need(1, len(values))
    return hypot(*(min(each - required, 0.0) for each in values)) / sqrt(len(values)) * sqrt(periods)


@measure("ratio", "mean(r - {required_return:g}) / downside deviation over all n below it, sqrt({periods_per_year:g})")
def sortino_ratio(returns: Numbers, *, required_return: float = 0.0, periods_per_year: float = 252) -> float:
    """`required_return` per period."""
    values, periods = numbers("returns", returns), above_zero("periods_per_year", periods_per_year)
    required = number("required_return", required_return)
    need(2, len(values))
    below = downside_risk.value(values, required_return=required, periods_per_year=1)
    if below <= ROUNDING:
        raise Undefined(f"no return is below the required {required:g}")
    return (mean(values) - required) / below * sqrt(periods)


@measure("ratio", "sum(max(r - {required_return:g}, 0)) / sum(max({required_return:g} - r, 0))")
def omega_ratio(returns: Numbers, *, required_return: float = 0.0) -> float:
    """`required_return` per period."""
    values, required = numbers("returns", returns), number("required_return", required_return)
    need(2, len(values))
    shortfall = fsum(max(required - each, 0.0) for each in values)
    if shortfall <= ROUNDING:
        raise Undefined(f"no return is below the required {required:g}")
    return fsum(max(each - required, 0.0) for each in values) / shortfall


@measure("ratio", "95th percentile / |5th percentile|, both linear")
def tail_ratio(returns: Numbers) -> float:
    """Undefined where a tail has the other's sign: there is a gain on the left, or a loss on the right."""
    values = numbers("returns", returns)
    need(1, len(values))
    low, high = percentile(values, 0.05), percentile(values, 0.95)
    if low >= -ROUNDING:
        raise Undefined(f"the 5th percentile is {low:g}: the left tail has no loss")
    if high <= ROUNDING:
        raise Undefined(f"the 95th percentile is {high:g}: the right tail has no gain")
    return high / -low


@measure("ratio", "R^2 of ln(wealth) after each period on the period's number, least squares")
def stability(returns: Numbers) -> float:
    """0 (the way says nothing of growth) to 1 (the same growth in every period)."""
    values = numbers("returns", returns)
    # Two points always lie on a line.
    need(3, len(values))
    logs = log_growth(values)
    if -inf in logs:
        raise Undefined(f"returns[{logs.index(-inf)}]=-1: everything is lost, and the logarithm of 0 is not defined")
    rises = deviations(list(accumulate(logs)))
    steps = deviations(list(map(float, range(len(values)))))
    if max(map(abs, rises)) <= ROUNDING:
        raise Undefined("the wealth does not move after the first period")
    together = fsum(step * rise for step, rise in zip(steps, rises, strict=True))
    return min(1.0, (together / hypot(*steps) / hypot(*rises)) ** 2)


@measure("fraction", "historical: percentile {cutoff:g} of r, linear")
def value_at_risk(returns: Numbers, *, cutoff: float = 0.05) -> float:
    """With its sign: losses are negative. `cutoff` above 0 and below 1."""
    values, share = numbers("returns", returns), between("cutoff", cutoff, 0, 1)
    need(1, len(values))
    return percentile(values, share)


@measure("fraction", "historical: mean of r at or below percentile {cutoff:g}")
def conditional_value_at_risk(returns: Numbers, *, cutoff: float = 0.05) -> float:
    """With its sign: losses are negative. Also called expected shortfall."""
    values = numbers("returns", returns)
    limit = value_at_risk.value(values, cutoff=cutoff)
    return mean([each for each in values if each <= limit])


@measure("ratio", "m3 / m2^1.5, central moments of the sample")
def skewness(returns: Numbers) -> float:
    values = numbers("returns", returns)
    # Two values are always symmetric.
    need(3, len(values))
    return mean([each**3 for each in _standardised(values)])


@measure("ratio", "m4 / m2^2, central moments of the sample; raw: 3 is normal")
def kurtosis(returns: Numbers) -> float:
    values = numbers("returns", returns)
    # Of three values it is always 1.5.
    need(4, len(values))
    return mean([each**4 for each in _standardised(values)])


def _standardised(values: Sequence[float]) -> list[float]:
    spread = standard_deviation(values, ddof=0)
    if spread <= ROUNDING:
        raise Undefined(_ALIKE)
    return [each / spread for each in deviations(values)]
