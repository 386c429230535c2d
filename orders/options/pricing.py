"""Price, Greeks and implied volatility of a European option: Black, Scholes and Merton with a continuous yield.

Floats, since these are statistics and no money. By hand, because the kept libraries cost more than they save (looked
at in 2026): vollib pulls in numpy, scipy and pandas, QuantLib is a wheel of 21 MB, and blackscholes, small and without
dependencies, solves no implied volatility. The formulas are Hull's (Options, Futures, and Other Derivatives, chapters
15, 17 and 19); the tests hold them against his examples, put-call parity and differences of the price.

Years are a fraction of 365 calendar days; rate, dividend yield and volatility are per year, 0.05 for 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, isfinite, log, pi, sqrt

DAYS_A_YEAR = 365
# In standard deviations of the whole term: at the upper end an option is worth its bound to the last digit.
_LEAST_DEVIATION, _MOST_DEVIATION = 1e-9, 80.0
# Halving this logarithmic range so often leaves less than a float can hold.
_HALVINGS = 100
# Time value smaller than this share of the larger term is rounding: it says nothing of the volatility.
_ROUNDING = 4e-16


@dataclass(frozen=True)
class Greeks:
    """By unit of the underlying and option: delta and gamma per 1 of spot, vega per volatility point (0.01), theta
    per calendar day (negative where time costs), rho per percentage point of the rate.
    """

    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float


def black_scholes(  # noqa: PLR0917  # the order that textbooks have
    right: str,
    spot: float,
    strike: float,
    years: float,
    rate: float,
    volatility: float,
    dividend_yield: float = 0,
) -> float:
    """What one unit of the option is worth. Without time or volatility: the discounted intrinsic value.

    Raises ValueError for a right other than C or P, a spot or strike that is not above 0, and negative time or
    volatility.
    """
    _check(right, spot, strike, years, volatility)
    forward, strike_now = _discounted(spot, strike, years, rate, dividend_yield)
    deviation = float(volatility) * sqrt(years)
    return max(0.0, _sign(right) * (forward - strike_now)) + _time_value(forward, strike_now, deviation)


def greeks(  # noqa: PLR0917  # the order that textbooks have
    right: str,
    spot: float,
    strike: float,
    years: float,
    rate: float,
    volatility: float,
    dividend_yield: float = 0,
) -> Greeks:
    """The sensitivities of black_scholes' price. Without time or volatility, only those of the intrinsic value.

    At expiry, at the money, delta is half way between its two sides. Raises ValueError as black_scholes does.
    """
    _check(right, spot, strike, years, volatility)
    sign, root = _sign(right), sqrt(years)
    forward, strike_now = _discounted(spot, strike, years, rate, dividend_yield)
    deviation = float(volatility) * root
    d1, d2 = _d1_d2(forward, strike_now, deviation)
    holds, pays = forward * _cdf(sign * d1), strike_now * _cdf(sign * d2)
    density = exp(-d1 * d1 / 2) / sqrt(2 * pi) if deviation > 0 else 0.0
    decay = -forward * density * float(volatility) / (2 * root) if deviation > 0 else 0.0
    # At expiry nothing is left to decay.
    carry = sign * (float(dividend_yield) * holds - float(rate) * pays) if years > 0 else 0.0
    return Greeks(
        delta=sign * holds / float(spot),
        gamma=forward * density / (float(spot) ** 2 * deviation) if deviation > 0 else 0.0,
        vega=forward * density * root / 100,
        theta=(decay + carry) / DAYS_A_YEAR,
        rho=sign * float(years) * pays / 100,
    )


def implied_volatility(  # noqa: PLR0917  # the order that textbooks have
    right: str,
    spot: float,
    strike: float,
    years: float,
    rate: float,
    price: float,
    dividend_yield: float = 0,
) -> float | None:
    """The volatility at which black_scholes gives `price`; the arguments are in its order, price for volatility.

    None, which pages show as n/a, where there is none: at or below the discounted intrinsic value (also where what is
    above it is lost in rounding), at or above the bound (the discounted spot of a call, strike of a put), at or after
    expiry, for a spot or strike that is not above 0, and for numbers that are not finite or beyond all reason. Never
    0. Raises ValueError for a right other than C or P only.
    """
    sign = _sign(right)
    numbers = [float(number) for number in (spot, strike, years, rate, price, dividend_yield)]
    if not all(isfinite(number) for number in numbers) or min(numbers[:3]) <= 0:
        return None
    try:
        forward, strike_now = _discounted(spot, strike, years, rate, dividend_yield)
    except OverflowError:  # a discount that no float holds
        return None
    if min(forward, strike_now) <= 0:
        return None
    # By parity, call and put of a strike have the same time value: that of the one out of the money, and no bits of it
    # are lost under an intrinsic value.
    intrinsic = max(0.0, sign * (forward - strike_now))
    wanted = float(price) - intrinsic
    if intrinsic > 0 and wanted <= _ROUNDING * max(forward, strike_now):
        return None
    deviation = _deviation(forward, strike_now, wanted)
    return None if deviation is None else deviation / sqrt(years)


def _deviation(forward: float, strike_now: float, wanted: float) -> float | None:
    """The standard deviation of the whole term at which the time value is `wanted`, None where there is none."""
    low, high = log(_LEAST_DEVIATION), log(_MOST_DEVIATION)
    if not _time_value(forward, strike_now, exp(low)) < wanted < _time_value(forward, strike_now, exp(high)):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _time_value(forward, strike_now, exp(middle)) < wanted:
            low = middle
        else:
            high = middle
    return exp((low + high) / 2)


def _check(right: str, spot: float, strike: float, years: float, volatility: float) -> None:
    _sign(right)
    for name, value in (("spot", spot), ("strike", strike)):
        if not value > 0:
            raise ValueError(f"{name}={value!r}: must be above 0")
    for name, value in (("years", years), ("volatility", volatility)):
        if not value >= 0:
            raise ValueError(f"{name}={value!r}: must not be negative")


def _sign(right: str) -> int:
    if right not in ("C", "P"):
        raise ValueError(f"right={right!r}: C or P is needed")
    return 1 if right == "C" else -1


def _discounted(spot: float, strike: float, years: float, rate: float, dividend_yield: float) -> tuple[float, float]:
    """Spot without the dividends until expiry, and the strike's present value."""
    time = float(years)
    return float(spot) * exp(-float(dividend_yield) * time), float(strike) * exp(-float(rate) * time)


def _time_value(forward: float, strike_now: float, deviation: float) -> float:
    """The price of whichever of call and put is out of the money."""
    if deviation <= 0:
        return 0.0
    low, high = sorted((forward, strike_now))
    d1, d2 = _d1_d2(low, high, deviation)
    return max(0.0, low * _cdf(d1) - high * _cdf(d2))


def _d1_d2(forward: float, strike_now: float, deviation: float) -> tuple[float, float]:
    moneyness = log(forward) - log(strike_now)
    if deviation <= 0:
        side = 0.0 if moneyness == 0 else float("inf") if moneyness > 0 else float("-inf")
        return side, side
    return moneyness / deviation + deviation / 2, moneyness / deviation - deviation / 2


def _cdf(x: float) -> float:
    # Not NormalDist.cdf: it is 1 + erf, which is 0 below -8.3, and far out of the money that is the whole price.
    return erfc(-x / sqrt(2)) / 2
