"""Price, Greeks and implied volatility, held against published figures and against each other."""

from __future__ import annotations

from decimal import Decimal
from math import exp, log, sqrt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orders.options import black_scholes, greeks, implied_volatility

RIGHTS = st.sampled_from("CP")
SPOTS = st.floats(20, 500)
MONEYNESS = st.floats(0.4, 2.5)
YEARS = st.floats(0.02, 3)
RATES = st.floats(-0.02, 0.12)
VOLATILITIES = st.floats(0.05, 2)
YIELDS = st.floats(0, 0.08)


@pytest.mark.parametrize(
    ("terms", "expected", "digits"),
    [
        # Hull, Options, Futures, and Other Derivatives: example 15.6 (call and put), 17.1 (index with a yield).
        (("C", 42, 40, 0.5, 0.10, 0.20), 4.76, 2),
        (("P", 42, 40, 0.5, 0.10, 0.20), 0.81, 2),
        (("C", 930, 900, 2 / 12, 0.08, 0.20, 0.03), 51.83, 2),
        # Hull, chapter 19: the stock whose Greeks he works out; the price is 2.40.
        (("C", 49, 50, 20 / 52, 0.05, 0.20), 2.40, 2),
        # Haug, The Complete Guide to Option Pricing Formulas, 1.1.1 and 1.1.2.
        (("C", 60, 65, 0.25, 0.08, 0.30), 2.1334, 4),
        (("P", 100, 95, 0.5, 0.10, 0.20, 0.05), 2.4648, 4),
    ],
)
def test_price_is_the_published_one(terms: tuple[float, ...], expected: float, digits: int) -> None:
    assert round(black_scholes(*terms), digits) == expected


def test_greeks_are_the_published_ones() -> None:
    # Hull, chapter 19, examples 19.1, 19.2, 19.4, 19.6 and 19.7: theta -4.31 a year, vega 12.1 and rho 8.91 per 1.
    found = greeks("C", 49, 50, 20 / 52, 0.05, 0.20)
    assert round(found.delta, 3) == 0.522
    assert round(found.gamma, 3) == 0.066
    assert round(found.theta * 365, 2) == -4.31
    assert round(found.vega, 3) == 0.121
    assert round(found.rho, 4) == 0.0891


def test_implied_volatility_is_the_published_one() -> None:
    # Hull, 15.11: a call at 1.875 on a stock at 21.
    found = implied_volatility("C", 21, 20, 0.25, 0.10, 1.875)
    assert found is not None
    assert round(found, 3) == 0.235


@given(SPOTS, MONEYNESS, YEARS, RATES, VOLATILITIES, YIELDS)
def test_call_and_put_are_at_parity(s: float, m: float, t: float, r: float, v: float, q: float) -> None:
    k = s * m
    difference = black_scholes("C", s, k, t, r, v, q) - black_scholes("P", s, k, t, r, v, q)
    assert difference == pytest.approx(s * exp(-q * t) - k * exp(-r * t), abs=1e-9)


@given(RIGHTS, SPOTS, MONEYNESS, YEARS, RATES, VOLATILITIES, YIELDS)
def test_greeks_are_the_slopes_of_the_price(
    right: str, s: float, m: float, t: float, r: float, v: float, q: float
) -> None:
    k, found = s * m, greeks(right, s, s * m, t, r, v, q)

    def slope(position: int, step: float) -> float:
        terms = [s, k, t, r, v, q]
        up, down = list(terms), list(terms)
        up[position] += step
        down[position] -= step
        return (black_scholes(right, *up) - black_scholes(right, *down)) / (2 * step)

    step = s * 1e-3
    middle = black_scholes(right, s, k, t, r, v, q)
    curve = black_scholes(right, s + step, k, t, r, v, q) - 2 * middle + black_scholes(right, s - step, k, t, r, v, q)
    peak = 1 / (s * v * sqrt(t))
    assert found.delta == pytest.approx(slope(0, s * 1e-5), abs=1e-5)
    assert found.gamma == pytest.approx(curve / step**2, abs=2e-2 * peak)
    assert found.vega == pytest.approx(slope(4, 1e-5) / 100, abs=1e-5 * s)
    assert found.theta == pytest.approx(-slope(2, 1e-5) / 365, abs=1e-5 * s)
    assert found.rho == pytest.approx(slope(3, 1e-5) / 100, abs=1e-5 * s)


@given(RIGHTS, SPOTS, MONEYNESS, YEARS, RATES, VOLATILITIES, YIELDS)
def test_volatility_comes_back_from_its_price(
    right: str, s: float, m: float, t: float, r: float, v: float, q: float
) -> None:
    k, price = s * m, black_scholes(right, s, s * m, t, r, v, q)
    # Where a thousandth of a volatility point does not move the price by a visible digit, no solver gets it back.
    assume(greeks(right, s, k, t, r, v, q).vega > 1e-7 * s)
    found = implied_volatility(right, s, k, t, r, price, q)
    assert found == pytest.approx(v, rel=1e-6)


@given(st.floats(0.05, 1), st.floats(1, 30))
def test_volatility_comes_back_far_out_of_the_money(volatility: float, deviations: float) -> None:
    strike = 100 * exp(deviations * volatility)
    price = black_scholes("C", 100, strike, 1, 0, volatility)
    assert 0 < price < 100
    assert implied_volatility("C", 100, strike, 1, 0, price) == pytest.approx(volatility, rel=1e-6)


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        (("C", 110, 100, 0.5, 0.05, 10), "below intrinsic value"),
        (("C", 110, 100, 0.5, 0, 10), "at intrinsic value"),
        (("C", 110, 100, 0.5, 0, 10 + 1e-15), "above it by a rounding"),
        (("P", 90, 100, 0.5, 0, 9.99), "below intrinsic value"),
        (("C", 90, 100, 0.5, 0, 0), "free"),
        (("C", 90, 100, 0.5, 0, -1), "less than free"),
        (("C", 100, 100, 0.5, 0, 100), "at the bound of a call"),
        (("C", 100, 100, 0.5, 0, 101), "above it"),
        (("P", 100, 100, 0.5, 0.05, 99), "above the bound of a put"),
        (("C", 100, 90, 0, 0, 12), "at expiry"),
        (("C", 100, 90, -0.1, 0, 12), "after it"),
        (("C", 0, 90, 1, 0, 12), "no spot"),
        (("C", 100, 90, 1, 0, float("nan")), "no price"),
    ],
)
def test_no_volatility_is_not_available_rather_than_zero(terms: tuple[float, ...], why: str) -> None:
    assert implied_volatility(*terms) is None, why


ANY = st.floats(-1e6, 1e6)


@given(RIGHTS, ANY, ANY, ANY, st.floats(-1, 1), ANY, st.floats(-1, 1))
def test_implied_volatility_is_above_zero_or_not_available(
    right: str, spot: float, strike: float, years: float, rate: float, price: float, dividend_yield: float
) -> None:
    found = implied_volatility(right, spot, strike, years, rate, price, dividend_yield)
    assert found is None or found > 0


def test_option_at_expiry_is_worth_its_intrinsic_value() -> None:
    assert black_scholes("C", 110, 100, 0, 0.05, 0.2) == 10
    assert black_scholes("P", 110, 100, 0, 0.05, 0.2) == 0
    assert black_scholes("P", 90, 100, 1, 0.05, 0) == pytest.approx(100 * exp(-0.05) - 90)
    found = greeks("P", 90, 100, 0, 0.05, 0.2)
    assert (found.delta, found.gamma, found.vega, found.theta, found.rho) == (-1, 0, 0, 0, 0)
    assert greeks("C", 100, 100, 0, 0.05, 0.2).delta == 0.5


def test_far_option_keeps_the_digits_of_its_price() -> None:
    # Twelve deviations out, 1 + erf is 0; the leading term of the tail expansion is not.
    price = black_scholes("C", 100, 100 * exp(1.2), 1, 0, 0.1)
    assert log(price) == pytest.approx(log(100) - 12**2 / 2, abs=15)
    assert price > 0


def test_decimals_are_taken_as_floats() -> None:
    as_decimals = black_scholes("C", *(Decimal(text) for text in ("42", "40", "0.5", "0.1", "0.2")))  # type: ignore[arg-type]
    assert as_decimals == black_scholes("C", 42, 40, 0.5, 0.1, 0.2)


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (("X", 1, 1, 1, 0, 1), "right='X': C or P is needed"),
        (("C", 0, 1, 1, 0, 1), "spot=0: must be above 0"),
        (("C", 1, -1, 1, 0, 1), "strike=-1: must be above 0"),
        (("C", 1, 1, -1, 0, 1), "years=-1: must not be negative"),
        (("C", 1, 1, 1, 0, -1), "volatility=-1: must not be negative"),
    ],
)
def test_terms_without_a_price_are_refused_by_name(terms: tuple[float, ...], reason: str) -> None:
    for figure in (black_scholes, greeks):
        with pytest.raises(ValueError, match=reason):
            figure(*terms)
