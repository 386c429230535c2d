"""A strategy beside something else in the same days: a benchmark's closes, or itself in another environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import fsum, sqrt
from operator import mul, sub

from reporting.performance import Estimate, alpha, beta
from reporting.performance.estimate import Undefined, measure
from reporting.performance.observations import (
    ROUNDING,
    deviations,
    length,
    need,
    number,
    numbers,
    standard_deviation,
)
from reporting.performance.returns import Numbers
from reporting.strategy_series import Returns

# A close that is older tells of more than a day, weekends and holidays aside.
LONGEST_GAP = timedelta(days=5)


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Returns of the same days; `left_out` are the strategy's days on which the other has none."""

    days: tuple[date, ...]
    values: tuple[float, ...]
    others: tuple[float, ...]
    left_out: int


def returns_of_closes(closes: Mapping[date, Decimal]) -> dict[date, float]:
    """Each close against the one before it, where that is at most LONGEST_GAP older. Closes are above 0."""
    found: dict[date, float] = {}
    before: date | None = None
    for day in sorted(closes):
        if before is not None and day - before <= LONGEST_GAP:
            found[day] = float(closes[day] / closes[before] - 1)
        before = day
    return found


def paired(returns: Returns, others: Mapping[date, float]) -> Paired:
    both = [(day, value) for day, value in zip(returns.days, returns.values, strict=True) if day in others]
    return Paired(
        days=tuple(day for day, _ in both),
        values=tuple(value for _, value in both),
        others=tuple(others[day] for day, _ in both),
        left_out=len(returns.days) - len(both),
    )


@measure("ratio", "cov(r, b) / (std(r) std(b))")
def correlation(returns: Numbers, benchmark: Numbers) -> float:
    values, market = numbers("returns", returns), numbers("benchmark", benchmark)
    need(3, len(values))
    for name, each in (("strategy", values), ("other", market)):
        if standard_deviation(each) <= ROUNDING:
            raise Undefined(f"all returns of the {name} are alike: they have no variance")
    mine, theirs = deviations(values), deviations(market)
    together = fsum(map(mul, mine, theirs)) / length(mine) / length(theirs)
    return max(-1.0, min(1.0, together))


@measure("fraction", "std(r - b, ddof=1) sqrt({periods_per_year:g})")
def tracking_error(returns: Numbers, benchmark: Numbers, *, periods_per_year: float = 252) -> float:
    """0 where both moved alike every day."""
    values, market = numbers("returns", returns), numbers("benchmark", benchmark)
    need(2, len(values))
    return standard_deviation(list(map(sub, values, market))) * sqrt(number("periods_per_year", periods_per_year))


def beside(pairs: Paired) -> dict[str, Estimate]:
    """Alpha, beta, correlation and tracking error of the strategy against the other."""
    n = len(pairs.values)
    return {
        "alpha": alpha.estimate(n, pairs.values, pairs.others),
        "beta": beta.estimate(n, pairs.values, pairs.others),
        "correlation": correlation.estimate(n, pairs.values, pairs.others),
        "tracking_error": tracking_error.estimate(n, pairs.values, pairs.others),
    }
