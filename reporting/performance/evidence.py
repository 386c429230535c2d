"""What a Sharpe ratio proves: its error, the chance that it is above another, how long a record has to be. Pure.

Sharpe ratios here are **per period**, not per year: sharpe_ratio(returns, periods_per_year=1). The kurtosis is raw: 3
is normal. Sources: Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier" (2012) and "The Deflated Sharpe
Ratio" (2014).
"""

from __future__ import annotations

from math import e, erfc, sqrt
from statistics import NormalDist

from reporting.performance.estimate import Undefined, measure
from reporting.performance.observations import ROUNDING, InvalidInput, between, count, need, number

_NORMAL = NormalDist()
_EULER_MASCHERONI = 0.5772156649015329


@measure("ratio", "sqrt((1 - g3 SR + (g4 - 1) / 4 SR^2) / (n - 1))")
def sharpe_standard_error(*, sharpe: float, n: int, skewness: float = 0, kurtosis: float = 3) -> float:
    """Of a Sharpe ratio per period that was estimated from n returns."""
    ratio, returns = number("sharpe", sharpe), count("n", n, 0)
    variance = _variance(ratio, skewness, kurtosis)
    need(2, returns)
    return sqrt(variance / (returns - 1))


@measure("probability", "Phi((SR - SR*) / standard error of SR), SR* = {benchmark_sharpe:g}, per period")
def probabilistic_sharpe_ratio(
    *, sharpe: float, benchmark_sharpe: float, n: int, skewness: float = 0, kurtosis: float = 3
) -> float:
    """The chance, 0 to 1, that the true Sharpe ratio is above the benchmark's, given this one from n returns."""
    above = number("sharpe", sharpe) - number("benchmark_sharpe", benchmark_sharpe)
    error = sharpe_standard_error.value(sharpe=sharpe, n=n, skewness=skewness, kurtosis=kurtosis)
    # Not NormalDist.cdf: that is 0 from nine standard errors down.
    return erfc(-above / error / sqrt(2)) / 2


@measure("probability", "probabilistic Sharpe ratio, SR* = the best of {trials} trials expected without any skill")
def deflated_sharpe_ratio(
    *, sharpe: float, n: int, trials: int, sharpe_variance: float, skewness: float = 0, kurtosis: float = 3
) -> float:
    """The same for the best of several strategies or settings that were tried.

    `trials` is how many (all that were looked at, not those that were kept), `sharpe_variance` the variance of their
    Sharpe ratios per period.
    """
    return probabilistic_sharpe_ratio.value(
        sharpe=sharpe,
        benchmark_sharpe=expected_best_sharpe(trials=trials, sharpe_variance=sharpe_variance),
        n=n,
        skewness=skewness,
        kurtosis=kurtosis,
    )


@measure(
    "periods",
    "1 + (1 - g3 SR + (g4 - 1) / 4 SR^2) (z / (SR - SR*))^2, "
    "z at {confidence:g}, SR* = {benchmark_sharpe:g}, per period",
)
def minimum_track_record_length(
    *,
    sharpe: float,
    benchmark_sharpe: float = 0.0,
    skewness: float = 0,
    kurtosis: float = 3,
    confidence: float = 0.95,
) -> float:
    """How many returns are needed until this Sharpe ratio is above the benchmark's with this confidence (0.5 to 1)."""
    above = number("sharpe", sharpe) - number("benchmark_sharpe", benchmark_sharpe)
    quantile = _NORMAL.inv_cdf(confident(confidence))
    variance = _variance(number("sharpe", sharpe), skewness, kurtosis)
    if above <= 0:
        raise Undefined(f"a Sharpe ratio of {sharpe:g} is not above {benchmark_sharpe:g}: no record is long enough")
    return 1 + variance * (quantile / above) ** 2


def _variance(sharpe: float, skewness: float, kurtosis: float) -> float:
    """Of the estimated Sharpe ratio, times n - 1. Undefined where it is 0."""
    g3, g4 = number("skewness", skewness), number("kurtosis", kurtosis)
    # No distribution has less. It also tells when an excess kurtosis was given, where 0 is normal.
    if g4 < g3**2 + 1 - 1e-9:
        raise InvalidInput(f"kurtosis={kurtosis:g}: must be at least skewness^2 + 1 = {g3**2 + 1:g} (raw: 3 is normal)")
    variance = 1 - g3 * sharpe + (g4 - 1) / 4 * sharpe**2
    # It is (1 - g3 SR / 2)^2 at least. At 0, of returns that have two values only, it says nothing.
    if variance <= ROUNDING:
        raise Undefined(f"with skewness {g3:g} and kurtosis {g4:g} a Sharpe ratio of {sharpe:g} has no standard error")
    return variance


def confident(confidence: float) -> float:
    return between("confidence", confidence, 0.5, 1)


def expected_best_sharpe(*, trials: int, sharpe_variance: float) -> float:
    """The greatest Sharpe ratio per period to be expected of so many trials whose true ratio is 0."""
    tried, variance = count("trials", trials, 1), number("sharpe_variance", sharpe_variance)
    if variance < 0:
        raise InvalidInput(f"sharpe_variance={variance:g}: must not be below 0")
    if tried == 1:
        return 0.0
    # inv_cdf(1 - x) is -inv_cdf(x), which keeps its digits where trials are many.
    within = -(1 - _EULER_MASCHERONI) * _NORMAL.inv_cdf(1 / tried)
    beyond = -_EULER_MASCHERONI * _NORMAL.inv_cdf(1 / (tried * e))
    return sqrt(variance) * (within + beyond)
