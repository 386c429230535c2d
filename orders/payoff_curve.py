"""What an order makes or loses at each price of its underlying: at expiry, and today. Pure.

Money is Decimal at expiry, where it is exact; what Black and Scholes say of today is a statistic, in floats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from orders.options import Leg, black_scholes, breakevens, max_loss, max_profit, payoff
from orders.options.legs import net_premium
from orders.order_legs import osi_of

# No curve of interest rates is on record. At zero, an implied volatility that was solved here is consistent with it.
RATE = 0.0
SAMPLES = 96
# To find where a line that was computed crosses zero: steps, and halvings of one.
FINE, HALVINGS = 400, 30
YEAR_SECONDS = 365 * 86_400
CLOSE = time(16, 0, tzinfo=ZoneInfo("America/New_York"))

# A volatility of each option by its OSI symbol, 0.2 for 20 % a year.
Volatilities = Mapping[str, float]
Point = tuple[Decimal, Decimal]


@dataclass(frozen=True, kw_only=True)
class Payoff:
    """Points of (spot, profit or loss in account currency), by spot. A line that can't be drawn is empty, and its
    reason says why.

    `max_loss` and `max_profit` are None where they are unbounded. `estimated`: the legs end on several days. The line
    is then that of the first one, what lives on is valued by its volatility, profit and breakevens are read off that
    line, and `max_loss` is an upper bound.
    """

    spot: Decimal | None
    premium: Decimal
    at_expiry: tuple[Point, ...]
    today: tuple[Point, ...]
    no_expiry_reason: str
    no_today_reason: str
    breakevens: tuple[Decimal, ...]
    max_loss: Decimal | None
    max_profit: Decimal | None
    profit_known: bool
    ends_on: date | None
    options: bool
    estimated: bool


def payoff_of(
    legs: Sequence[Leg], *, spot: Decimal | None, now: datetime, volatilities: Volatilities, unit_price: Decimal | None
) -> Payoff:
    """The lines of one order. `unit_price` is only for the range: the spots around what a share costs.

    Raises ValueError for legs of several underlyings.
    """
    options = [leg for leg in legs if leg.right != "S"]
    expiries = sorted({leg.expiry for leg in options if leg.expiry is not None})
    several = len({leg.expiry for leg in options}) > 1
    ends_on = expiries[0] if expiries else None
    reason = _why_not_at_first_expiry(options, ends_on, volatilities) if several else ""
    zeros: tuple[Decimal, ...] = () if several else tuple(breakevens(legs))
    first = _value_at(legs, close_of(ends_on), volatilities) if several and ends_on is not None and not reason else None
    if first is not None:
        zeros = _crossings(first, spots(legs, [], spot, unit_price))
    low, high = spots(legs, zeros, spot, unit_price)
    places = _samples(low, high, [*(leg.strike for leg in options if leg.strike is not None), *zeros])
    if first is not None:
        known = {zero: Decimal(0) for zero in zeros}
        at_expiry = tuple((place, known.get(place, profit)) for place, profit in _line(places, first))
    elif several:
        at_expiry = ()
    else:
        paid = net_premium(legs)
        at_expiry = tuple((place, payoff(legs, place) - paid) for place in places)
    no_today = _why_not_today(options, ends_on, now, volatilities)
    return Payoff(
        spot=spot,
        premium=net_premium(legs),
        at_expiry=at_expiry,
        today=() if no_today else _line(places, _value_at(legs, now, volatilities)),
        no_expiry_reason=reason,
        no_today_reason=no_today,
        breakevens=zeros,
        max_loss=max_loss(legs),
        max_profit=_best(at_expiry) if several else max_profit(legs),
        profit_known=not several or bool(at_expiry),
        ends_on=ends_on,
        options=bool(options),
        estimated=several,
    )


def spots(
    legs: Iterable[Leg], zeros: Iterable[Decimal], spot: Decimal | None, unit_price: Decimal | None
) -> tuple[Decimal, Decimal]:
    """The stretch of prices that shows what there is to see: every strike, breakeven and the spot, and room around."""
    marks = [leg.strike for leg in legs if leg.strike is not None]
    marks += [zero for zero in zeros if zero > 0]
    if spot is not None:
        marks.append(spot)
    if not marks:
        marks = [abs(unit_price) if unit_price else Decimal(100)]
    low, high = min(marks), max(marks)
    room = max((high - low) * Decimal("0.35"), high * Decimal("0.06"))
    return max(Decimal(0), low - room), high + room


def close_of(day: date) -> datetime:
    """When options that expire on `day` do: 16:00 in New York."""
    return datetime.combine(day, CLOSE)


def years_until(day: date, now: datetime) -> float:
    """Until the close of `day`, as a fraction of 365 days; 0 from then on."""
    return max(0.0, (close_of(day) - now).total_seconds() / YEAR_SECONDS)


def missing_volatilities(options: Iterable[Leg], volatilities: Volatilities) -> list[Leg]:
    return [leg for leg in options if osi_of(leg) not in volatilities]


def _why_not_today(options: Sequence[Leg], ends_on: date | None, now: datetime, volatilities: Volatilities) -> str:
    if not options:
        return "shares have no other value than their price"
    if ends_on is None or any(leg.expiry is None for leg in options):
        return "the expiry of an option is not stated"
    if now >= close_of(ends_on):
        return f"options of it expired on {ends_on:%Y-%m-%d}"
    if missing := missing_volatilities(options, volatilities):
        return f"no implied volatility is on record for {_named(missing)}"
    return ""


def _why_not_at_first_expiry(options: Sequence[Leg], ends_on: date | None, volatilities: Volatilities) -> str:
    """What is worth its payoff on the first expiry needs no volatility; what lives on does."""
    if ends_on is None or any(leg.expiry is None for leg in options):
        return "the legs end on several days, and one of them is not stated"
    later = [leg for leg in options if leg.expiry != ends_on]
    if missing := missing_volatilities(later, volatilities):
        return (
            "the legs end on several days, and no implied volatility is on record for"
            f" {_named(missing)}, which outlives {ends_on:%Y-%m-%d}"
        )
    return ""


def _named(legs: Sequence[Leg]) -> str:
    first = legs[0]
    name = f"{'call' if first.right == 'C' else 'put'} {(first.strike or Decimal(0)).normalize():f}"
    return name if len(legs) == 1 else f"{name} and {len(legs) - 1} more"


def _samples(low: Decimal, high: Decimal, marks: Iterable[Decimal]) -> list[Decimal]:
    step = (high - low) / SAMPLES
    even = (low + step * place for place in range(SAMPLES + 1))
    return sorted({*even, *(mark for mark in marks if low <= mark <= high)})


def _value_at(legs: Sequence[Leg], at: datetime, volatilities: Volatilities) -> Callable[[float], float]:
    """Profit or loss at a spot, net of premium, as Black and Scholes value the legs at the moment `at`."""
    paid = float(net_premium(legs))
    terms = [
        (float(leg.units), leg.right, float(leg.strike), years, volatilities[osi_of(leg)] if years > 0 else 0.0)
        for leg in legs
        if leg.strike is not None and leg.expiry is not None
        for years in [years_until(leg.expiry, at)]
    ]
    shares = float(sum((leg.units for leg in legs if leg.right == "S"), Decimal(0)))

    def value(spot: float) -> float:
        options = sum(
            units * black_scholes(right, spot, strike, years, RATE, volatility)
            for units, right, strike, years, volatility in terms
        )
        return options + shares * spot - paid

    return value


def _line(places: Iterable[Decimal], value: Callable[[float], float]) -> tuple[Point, ...]:
    # Options have no price at a spot of zero.
    return tuple((place, Decimal(repr(value(float(place))))) for place in places if place > 0)


def _crossings(value: Callable[[float], float], around: tuple[Decimal, Decimal]) -> tuple[Decimal, ...]:
    """Where a smooth line changes its sign, to the cent, from half of the lowest spot to twice the highest."""
    low, high = float(around[0]) / 2 or 0.01, float(around[1]) * 2
    places = [low + (high - low) * place / FINE for place in range(FINE + 1)]
    found = [_halved(value, left, right) for left, right in pairwise(places) if value(left) * value(right) < 0]
    return tuple(Decimal(repr(round(zero, 2))) for zero in found)


def _halved(value: Callable[[float], float], left: float, right: float) -> float:
    below = value(left) < 0
    for _ in range(HALVINGS):
        middle = (left + right) / 2
        if (value(middle) < 0) == below:
            left = middle
        else:
            right = middle
    return (left + right) / 2


def _best(line: Sequence[Point]) -> Decimal | None:
    return max((profit for _, profit in line), default=None)
