"""What a set of legs is worth at expiry, and the most it can lose or make. Decimal in, Decimal out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import pairwise

ZERO = Decimal(0)


def exact(name: str, value: Decimal | int | float | str) -> Decimal:
    """`value` as a finite Decimal; a float counts as it prints (0.1 is a tenth). Raises ValueError with the name."""
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{name}={value!r}: a number is needed") from error
    if not number.is_finite():
        raise ValueError(f"{name}={value!r}: a finite number is needed")
    return number


@dataclass(frozen=True)
class Leg:
    """One line of a position: quantity positive for long, negative for short; price the premium per unit.

    Stock has no strike; its quantity x multiplier is the number of shares, its price what a share cost. Numbers may be
    given as int or str: they are Decimals from then on. Raises ValueError.
    """

    right: str
    strike: Decimal | None
    quantity: Decimal
    price: Decimal = ZERO
    multiplier: Decimal = Decimal(100)
    expiry: date | None = None
    underlying: str = ""

    def __post_init__(self) -> None:
        if self.right not in ("C", "P", "S"):
            raise ValueError(f"right={self.right!r}: C, P or S (the stock itself) is needed")
        if (self.strike is None) != (self.right == "S"):
            raise ValueError(f"strike={self.strike!r} with right={self.right!r}: options have one, stock has none")
        for name in ("strike", "quantity", "price", "multiplier"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, exact(name, value))

    @property
    def units(self) -> Decimal:
        """Shares of the underlying it stands for, negative for short."""
        return self.quantity * self.multiplier


def payoff(legs: Iterable[Leg], spot: Decimal) -> Decimal:
    """What the legs are worth at expiry with the underlying at `spot`, premium not counted."""
    at = exact("spot", spot)
    return sum((leg.units * _intrinsic(leg, at) for leg in legs), ZERO)


def net_premium(legs: Iterable[Leg]) -> Decimal:
    """What the legs cost in all: positive for a debit, negative for a credit."""
    return sum((leg.units * leg.price for leg in legs), ZERO)


def max_loss(legs: Sequence[Leg]) -> Decimal | None:
    """The worst loss at expiry, net of premium, never below 0; None where it is unbounded (net short calls).

    The payoff is piecewise linear, so its minimum lies at 0, at a strike, or at infinity. Legs of different underlyings
    and of different expiries are taken apart, each with its own worst price: the sum is an upper bound, since one long
    leg may outlive the short one it covers, and nothing of one underlying covers another.
    """
    worst = ZERO
    for underlying in {leg.underlying for leg in legs}:
        own = _worst_payoff([leg for leg in legs if leg.underlying == underlying])
        if own is None:
            return None
        worst += own
    return max(ZERO, net_premium(legs) - worst)


def max_profit(legs: Sequence[Leg]) -> Decimal | None:
    """The best profit at expiry, net of premium, never below 0; None where it is unbounded (net long calls or stock).

    Raises ValueError for legs of several underlyings or expiries: what a far leg is worth when the near one ends is a
    matter of volatility, and a bound that adds up the best of each would promise what can't happen.
    """
    require_one_expiry(legs)
    if _slope_at_infinity(legs) > 0:
        return None
    return max(ZERO, max(payoff(legs, spot) for spot in corners(legs)) - net_premium(legs))


def breakevens(legs: Sequence[Leg]) -> list[Decimal]:
    """The spots from 0 on at which the payoff at expiry net of premium is zero, sorted.

    A stretch that is zero throughout gives its two ends; one that never ends gives its beginning. Without legs there
    are none. A spot that is no finite decimal is rounded to the context's 28 digits. Raises ValueError for legs of
    several underlyings or expiries, as max_profit does.
    """
    require_one_expiry(legs)
    if not legs:
        return []
    paid = net_premium(legs)
    points = [(spot, payoff(legs, spot) - paid) for spot in sorted(corners(legs))]
    found = {spot for spot, profit in points if profit == 0}
    for (left, low), (right, high) in pairwise(points):
        if low * high < 0:
            found.add(left + (right - left) * low / (low - high))
    spot, profit = points[-1]
    slope = _slope_at_infinity(legs)
    if profit * slope < 0:
        found.add(spot - profit / slope)
    return sorted(found)


def corners(legs: Iterable[Leg]) -> set[Decimal]:
    """The spots between which the payoff is a straight line: 0 and every strike."""
    return {ZERO} | {leg.strike for leg in legs if leg.strike is not None}


def require_one_expiry(legs: Iterable[Leg]) -> None:
    """Raises ValueError, with the names, where the legs have several underlyings or their options several expiries."""
    kept = list(legs)
    require_one_underlying(kept)
    expiries = {leg.expiry for leg in kept if leg.right != "S"}
    if len(expiries) > 1:
        names = ", ".join(sorted(str(expiry) for expiry in expiries))
        raise ValueError(f"the legs end on several days ({names}): at none of them is the whole worth its payoff")


def require_one_underlying(legs: Iterable[Leg]) -> None:
    underlyings = {leg.underlying for leg in legs}
    if len(underlyings) > 1:
        names = ", ".join(sorted(name or "none" for name in underlyings))
        raise ValueError(f"the legs have several underlyings ({names}): no one price moves them all")


def _worst_payoff(legs: Sequence[Leg]) -> Decimal | None:
    """The lowest payoff of legs on one underlying, None where there is none. Stock may be given up at any expiry.

    Counted is the worst expiry among those at which it leaves nothing unbounded: shares that cover a call go with it.
    """
    stock = [leg for leg in legs if leg.right == "S"]
    groups = _by_expiry([leg for leg in legs if leg.right != "S"])
    totals: list[Decimal] = []
    for place in range(len(groups)):
        lowest = [lowest_payoff([*group, *stock] if number == place else group) for number, group in enumerate(groups)]
        known = [value for value in lowest if value is not None]
        if len(known) == len(groups):
            totals.append(sum(known, ZERO))
    return min(totals, default=None)


def lowest_payoff(legs: Sequence[Leg]) -> Decimal | None:
    """The lowest payoff at one common expiry, None where it has no bound."""
    if _slope_at_infinity(legs) < 0:
        return None
    return min(payoff(legs, spot) for spot in corners(legs))


def _intrinsic(leg: Leg, spot: Decimal) -> Decimal:
    if leg.strike is None:
        return spot
    difference = spot - leg.strike if leg.right == "C" else leg.strike - spot
    return max(ZERO, difference)


def _slope_at_infinity(legs: Iterable[Leg]) -> Decimal:
    return sum((leg.units for leg in legs if leg.right in ("C", "S")), ZERO)


def _by_expiry(legs: Sequence[Leg]) -> list[list[Leg]]:
    groups: dict[date | None, list[Leg]] = defaultdict(list)
    for leg in legs:
        groups[leg.expiry].append(leg)
    return list(groups.values()) or [[]]
