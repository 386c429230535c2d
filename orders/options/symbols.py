"""OCC OSI option symbols, read and written."""

from __future__ import annotations

import re
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
