"""What the returns of strategies prove: figures with their estimators, the error of a Sharpe ratio, and how it moved.

Pure. Figures are those of reporting/performance; ratios are per year of PERIODS days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import accumulate
from math import sqrt
from statistics import NormalDist, variance

from reporting.performance import (
    Estimate,
    deflated_sharpe_ratio,
    describe,
    kurtosis,
    sharpe_ratio,
    sharpe_standard_error,
    skewness,
)
from reporting.performance.estimate import Undefined
from reporting.strategy_series import Returns, Series

PERIODS = 252
CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
# A quarter of trading days: one estimate of the course.
WINDOW = 63
# So many points of a course: a page is no wider.
POINTS = 120
# Below these many days no figure of returns says anything, whatever its value.
LEAST_DAYS = 30
# What trades tell, whether or not there are returns.
_OF_TRADES = frozenset(
    {
        "win_rate",
        "profit_factor",
        "expectancy",
        "average_win",
        "average_loss",
        "longest_win_streak",
        "longest_loss_streak",
    }
)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A Sharpe ratio per year between the bounds of CONFIDENCE; all None where `reason` says why."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """How many strategies are compared; the variance of their Sharpe ratios per day, None where `reason` says why."""

    count: int
    variance: float | None
    reason: str = ""


def interval(values: Sequence[float]) -> Interval:
    """The Sharpe ratio of these daily returns; by the normal distribution, with skewness and kurtosis."""
    try:
        ratio = sharpe_ratio.value(values, periods_per_year=1)
        error = sharpe_standard_error.value(
            sharpe=ratio, n=len(values), skewness=skewness.value(values), kurtosis=kurtosis.value(values)
        )
    except Undefined as undefined:
        return Interval(reason=str(undefined))
    year = sqrt(PERIODS)
    return Interval(value=ratio * year, low=(ratio - _Z * error) * year, high=(ratio + _Z * error) * year)


def trials(compared: Sequence[Series]) -> Trials:
    """All strategies that are compared were tried, those without a Sharpe ratio included."""
    found = [sharpe_ratio(each.returns.values, periods_per_year=1) for each in compared]
    known = [each for each in found if each is not None]
    if len(compared) <= 1:
        return Trials(count=1, variance=0.0)
    if len(known) < 2:
        return Trials(
            count=len(compared),
            variance=None,
            reason=f"{len(known)} of {len(compared)} strategies has a Sharpe ratio: their variance is not known",
        )
    return Trials(count=len(compared), variance=variance(known))


def described(returns: Returns, *, pnl: Sequence[float], tried: Trials) -> dict[str, Estimate]:
    """Every figure of reporting/performance by its name. `pnl` of closed trades, as they were closed."""
    values = returns.values
    wealth = list(accumulate(values, lambda before, each: before * (1 + each), initial=1.0))
    known = tried.variance is not None
    found = describe(
        values,
        pnl=pnl,
        equity=wealth if values else None,
        trials=tried.count if known else None,
        sharpe_variance=tried.variance,
    )
    if not known:
        found["deflated_sharpe_ratio"] = deflated_sharpe_ratio.missing(tried.reason, trials=tried.count)
    return _with_reason(found, returns.reason)


def _with_reason(found: Mapping[str, Estimate], reason: str) -> dict[str, Estimate]:
    """Without returns, why there are none says more than that there are none."""
    return {
        name: replace(each, value=None, n=0, reason=reason) if reason and name not in _OF_TRADES else each
        for name, each in found.items()
    }


def warnings(found: Mapping[str, Estimate]) -> tuple[str, ...]:
    """Why a Sharpe ratio must not be relied on yet, shortest record first."""
    ratio, least = found["sharpe_ratio"], found["minimum_track_record_length"]
    if ratio.value is None:
        return ()
    said = []
    if ratio.n < LEAST_DAYS:
        said.append(f"{ratio.n} days of returns: fewer than {LEAST_DAYS} say nothing")
    if least.value is not None and ratio.n < least.value:
        said.append(
            f"{ratio.n} days are fewer than the minimum track record length of {least.value:,.0f}:"
            " a true Sharpe ratio of 0 is not ruled out"
        )
    return tuple(said)


def rolling(returns: Returns, *, window: int = WINDOW) -> tuple[tuple[date, Interval], ...]:
    """The Sharpe ratio of the last `window` days, by the day on which they end, at POINTS places or fewer; the last
    day is always one. Empty where there are fewer days.
    """
    n = len(returns.values)
    if n < window:
        return ()
    step = max(1, -(-(n - window + 1) // POINTS))
    places = sorted(range(n, window - 1, -step))
    return tuple((returns.days[place - 1], interval(returns.values[place - window : place])) for place in places)
