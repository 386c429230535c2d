"""What is traded, by its terms: the key under which a position in it is kept. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from orders.choices import Instrument
from orders.options import InvalidOptionSymbol, format_osi, parse_osi
from orders.ticket import OPTION_MULTIPLIER, STOCK_MULTIPLIER

RIGHTS = {Instrument.CALL: "C", Instrument.PUT: "P", Instrument.STOCK: "S"}


@dataclass(frozen=True, kw_only=True)
class Terms:
    """`right` is C, P or S (the stock itself, without strike and expiry). `key` is equal for equal terms."""

    key: str
    underlying: str
    right: str
    strike: Decimal | None
    expiry: date | None
    multiplier: int


def terms_of_symbol(symbol: str) -> Terms:
    """Of an order without legs: the option that the symbol names, else the stock."""
    try:
        option = parse_osi(symbol)
    except InvalidOptionSymbol:
        return terms("S", symbol, None, None, STOCK_MULTIPLIER)
    return terms(option.right, option.root, option.strike, option.expiry, OPTION_MULTIPLIER)


def terms_of_leg(
    *, instrument: str, symbol: str, strike: Decimal | None, expiry: date | None, multiplier: int
) -> Terms:
    """Of one leg; an option's own symbol says its underlying, and its expiry where the leg does not."""
    try:
        option = parse_osi(symbol)
    except InvalidOptionSymbol:
        return terms(RIGHTS[Instrument(instrument)], symbol, strike, expiry, multiplier)
    return terms(option.right, option.root, option.strike, option.expiry, multiplier)


def terms(right: str, underlying: str, strike: Decimal | None, expiry: date | None, multiplier: int) -> Terms:
    if strike is None:
        key = underlying
    elif expiry is None or len(underlying) > 6:
        key = f"{underlying} {expiry or 'no expiry'} {right}{strike.normalize():f}"
    else:
        key = format_osi(underlying, expiry, right, strike, compact=True)
    usual = STOCK_MULTIPLIER if strike is None else OPTION_MULTIPLIER
    if multiplier != usual:
        key = f"{key} x{multiplier}"
    return Terms(key=key, underlying=underlying, right=right, strike=strike, expiry=expiry, multiplier=multiplier)
