"""Option symbols and what a set of legs is worth at expiry. Pure: Decimal in, Decimal out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

_ROOT = re.compile(r"[A-Z0-9.]{1,6}")
_TAIL_LENGTH = 15  # yymmdd, C or P, eight digits of strike x 1000
_STRIKE_UNIT = Decimal("0.001")


class InvalidOptionSymbol(ValueError):
    """Not an OCC OSI option symbol; the message names the part that is wrong."""


@dataclass(frozen=True)
class OptionSymbol:
    root: str
    expiry: date
    right: str
    strike: Decimal


def parse_osi(symbol: str) -> OptionSymbol:
    """Reads an OCC OSI symbol, padded to 21 characters ("SPY   251219P00440000") or compact.

    Raises InvalidOptionSymbol for an empty or too long root, an impossible date, a right other than C or P, or a
    strike that is not eight digits. Source: OCC Options Symbology Initiative.
    """
    head, tail = symbol[:-_TAIL_LENGTH], symbol[-_TAIL_LENGTH:]
    root = head.rstrip(" ")
    if len(symbol) <= _TAIL_LENGTH or not root:
        raise InvalidOptionSymbol(f"{symbol!r}: the root is empty or the symbol too short")
    if len(head) != len(root) and len(symbol) != 21:
        raise InvalidOptionSymbol(f"{symbol!r}: a padded symbol has 21 characters, this one {len(symbol)}")
    if not _ROOT.fullmatch(root):
        raise InvalidOptionSymbol(f"{symbol!r}: the root {root!r} is not 1 to 6 capital letters or digits")
    day, right, strike = tail[:6], tail[6], tail[7:]
    if right not in ("C", "P"):
        raise InvalidOptionSymbol(f"{symbol!r}: the right {right!r} is neither C nor P")
    if not (strike.isascii() and strike.isdigit()):
        raise InvalidOptionSymbol(f"{symbol!r}: the strike {strike!r} is not eight digits")
    if not (day.isascii() and day.isdigit()):
        raise InvalidOptionSymbol(f"{symbol!r}: the expiry {day!r} is not six digits")
    try:
        # Not %y: strptime turns 69 to 99 into the last century.
        expiry = date(2000 + int(day[:2]), int(day[2:4]), int(day[4:]))
    except ValueError as error:
        raise InvalidOptionSymbol(f"{symbol!r}: the expiry {day!r} is not a date ({error})") from error
    return OptionSymbol(root, expiry, right, Decimal(strike) * _STRIKE_UNIT)


def format_osi(root: str, expiry: date, right: str, strike: Decimal, compact: bool = False) -> str:
    """The OSI symbol of an option; InvalidOptionSymbol where a part does not fit."""
    thousandths = Decimal(strike) / _STRIKE_UNIT
    if thousandths != int(thousandths) or not 0 <= thousandths < 10**8:
        raise InvalidOptionSymbol(f"strike {strike} does not fit: at most 99999.999, in steps of 0.001")
    if isinstance(expiry, datetime) or not 2000 <= expiry.year <= 2099:
        raise InvalidOptionSymbol(f"expiry {expiry!r} is not a date from 2000 to 2099")
    symbol = f"{root if compact else root.ljust(6)}{expiry:%y%m%d}{right}{int(thousandths):08d}"
    parse_osi(symbol)
    return symbol


@dataclass(frozen=True)
class Leg:
    """One line of a position: quantity positive for long, negative for short; price the premium per unit."""

    right: str
    strike: Decimal | None
    quantity: Decimal
    price: Decimal = Decimal(0)
    multiplier: Decimal = Decimal(100)
    expiry: date | None = None
    underlying: str = ""

    def __post_init__(self) -> None:
        if self.right not in ("C", "P", "S"):
            raise ValueError(f"right={self.right!r}: C, P or S (the stock itself) is needed")
        if (self.strike is None) != (self.right == "S"):
            raise ValueError(f"strike={self.strike!r} with right={self.right!r}: options have one, stock has none")


def payoff(legs: Iterable[Leg], spot: Decimal) -> Decimal:
    """What the legs are worth at expiry with the underlying at `spot`, premium not counted."""
    return sum((leg.quantity * leg.multiplier * _intrinsic(leg, spot) for leg in legs), Decimal(0))


def max_loss(legs: Sequence[Leg]) -> Decimal | None:
    """The worst loss at expiry, net of premium, never below 0; None where it is unbounded (net short calls).

    The payoff is piecewise linear, so its minimum lies at 0, at a strike, or at infinity. Legs of different underlyings
    and of different expiries are taken apart, each with its own worst price: the sum is an upper bound, since one long
    leg may outlive the short one it covers, and nothing of one underlying covers another.
    """
    worst = Decimal(0)
    for underlying in {leg.underlying for leg in legs}:
        own = _worst_payoff([leg for leg in legs if leg.underlying == underlying])
        if own is None:
            return None
        worst += own
    premium = sum((leg.quantity * leg.multiplier * leg.price for leg in legs), Decimal(0))
    return max(Decimal(0), premium - worst)


def _worst_payoff(legs: Sequence[Leg]) -> Decimal | None:
    """The lowest payoff of legs on one underlying, None where there is none. Stock may be given up at any expiry.

    Counted is the worst expiry among those at which it leaves nothing unbounded: shares that cover a call go with it.
    """
    stock = [leg for leg in legs if leg.right == "S"]
    groups = _by_expiry([leg for leg in legs if leg.right != "S"])
    totals: list[Decimal] = []
    for place in range(len(groups)):
        lowest = [_lowest([*group, *stock] if number == place else group) for number, group in enumerate(groups)]
        known = [payoff for payoff in lowest if payoff is not None]
        if len(known) == len(groups):
            totals.append(sum(known, Decimal(0)))
    return min(totals, default=None)


def _lowest(legs: Sequence[Leg]) -> Decimal | None:
    if _slope_at_infinity(legs) < 0:
        return None
    corners = {Decimal(0)} | {leg.strike for leg in legs if leg.strike is not None}
    return min(payoff(legs, spot) for spot in corners)


def _intrinsic(leg: Leg, spot: Decimal) -> Decimal:
    if leg.strike is None:
        return spot
    difference = spot - leg.strike if leg.right == "C" else leg.strike - spot
    return max(Decimal(0), difference)


def _slope_at_infinity(legs: Iterable[Leg]) -> Decimal:
    return sum((leg.quantity * leg.multiplier for leg in legs if leg.right in ("C", "S")), Decimal(0))


def _by_expiry(legs: Sequence[Leg]) -> list[list[Leg]]:
    groups: dict[date | None, list[Leg]] = defaultdict(list)
    for leg in legs:
        groups[leg.expiry].append(leg)
    return list(groups.values()) or [[]]
