"""The order ticket: an order as values, before it is a row. Pure; a ticket that exists is well-formed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from hashlib import sha256
from math import gcd
from typing import Any

from emo_site.db.json_documents import problem
from orders.choices import NEEDS_PRICE, NEEDS_STOP_PRICE, Instrument, LegAction, OrderType, Side, TimeInForce
from orders.options import InvalidOptionSymbol, Leg, OptionSymbol, parse_osi

MAX_SYMBOL_LENGTH = 32
# The largest figures the tables hold; a number beyond them is a mistake, not an order.
MAX_QUANTITY = Decimal(10) ** 10
MAX_PRICE = Decimal(10) ** 10
MAX_OBJECTIONS = 5
STOCK_MULTIPLIER = 1
OPTION_MULTIPLIER = 100
QUANTITY_STEP = Decimal("1e-8")
PRICE_STEP = Decimal("1e-6")
# Taken for a share, a mistyped option would be judged at a hundredth of its size.
_LIKE_AN_OPTION = re.compile(r"[0-9]{6}[CP][0-9]", re.IGNORECASE)
_CODE = re.compile(r"[A-Z0-9_]{1,32}")
_INSTRUMENTS = {"C": Instrument.CALL, "P": Instrument.PUT}

_TEXTS = (("strategy", 64), ("client_order_id", 128), ("source", 64), ("source_file", 255), ("checksum", 64))


class InvalidTicket(ValueError):
    """A field of a ticket breaks a rule. The message names field, value and rule."""

    def __init__(self, field_name: str, value: object, rule: str) -> None:
        super().__init__(f"{field_name}={_shown(value)}: {rule}")
        self.field_name, self.value, self.rule = field_name, value, rule


@dataclass(frozen=True, kw_only=True)
class Objection:
    """What an order's own source holds against it (a broken signature, the bot's gate): it blocks the order."""

    code: str
    message: str

    def __post_init__(self) -> None:
        # The code is kept in a list of codes, separated by commas.
        if not _CODE.fullmatch(self.code):
            raise InvalidTicket("code", self.code, "must be 1 to 32 capital letters, digits or underscores")
        if found := problem(self.message):
            raise InvalidTicket("message", self.message, found)


@dataclass(frozen=True, kw_only=True)
class TicketLeg:
    """One leg: quantity in contracts (or shares), positive; `action` says the side. Option legs have a strike.

    `symbol` is the underlying's or the option's own; the latter must say what the other fields say.
    """

    action: LegAction
    instrument: Instrument
    symbol: str
    quantity: Decimal
    strike: Decimal | None = None
    expiry: date | None = None
    multiplier: int = OPTION_MULTIPLIER

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbol", self.symbol.upper())
        _one_of("action", self.action, LegAction)
        _one_of("instrument", self.instrument, Instrument)
        check_symbol("symbol", self.symbol)
        check_number("quantity", self.quantity, low=QUANTITY_STEP, high=MAX_QUANTITY, step=QUANTITY_STEP)
        if self.instrument == Instrument.STOCK:
            if self.strike is not None or self.expiry is not None:
                raise InvalidTicket("strike", self.strike, "stock has neither strike nor expiry")
            if self.multiplier != STOCK_MULTIPLIER:
                # With an option's multiplier a hundred shares would cover a hundred calls.
                raise InvalidTicket("multiplier", self.multiplier, "stock is counted in shares: 1")
        elif self.strike is None:
            raise InvalidTicket("strike", None, f"a {self.instrument} leg needs a strike")
        else:
            check_number("strike", self.strike, low=PRICE_STEP, high=MAX_PRICE, step=PRICE_STEP)
        if self.multiplier < 1 or self.multiplier > 1_000_000:
            raise InvalidTicket("multiplier", self.multiplier, "must be from 1 to 1000000")
        if self.option is not None and not self._agrees_with(self.option):
            raise InvalidTicket("symbol", self.symbol, "is an option of another kind, strike or expiry than the leg's")

    @cached_property
    def option(self) -> OptionSymbol | None:
        return _option(self.symbol)

    @property
    def underlying(self) -> str:
        return self.option.root if self.option else self.symbol

    def _agrees_with(self, option: OptionSymbol) -> bool:
        return (
            self.instrument == _INSTRUMENTS[option.right]
            and self.strike == option.strike
            and self.expiry in (None, option.expiry)
        )


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """An order to stage. `quantity` counts shares, contracts, or whole combinations where there are legs.

    `price` is the limit price per unit; of a combination it is the net price, positive for a debit and negative for a
    credit. `missing` names the fields that the source did not state and that were filled with a default. Raises
    InvalidTicket.
    """

    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    strategy: str = ""
    confidence: Decimal | None = None
    expires_at: datetime | None = None
    client_order_id: str = ""
    source: str = ""
    source_file: str = ""
    checksum: str = ""
    legs: tuple[TicketLeg, ...] = ()
    missing: tuple[str, ...] = ()
    objections: tuple[Objection, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Quotes, lists and limits are looked up by these names: a letter of another case must not slip past them.
        object.__setattr__(self, "symbol", self.symbol.upper())
        object.__setattr__(self, "strategy", self.strategy.lower())
        check_symbol("symbol", self.symbol)
        _one_of("side", self.side, Side)
        _one_of("order_type", self.order_type, OrderType)
        _one_of("time_in_force", self.time_in_force, TimeInForce)
        check_number("quantity", self.quantity, low=QUANTITY_STEP, high=MAX_QUANTITY, step=QUANTITY_STEP)
        self._check_prices()
        if (self.side == Side.AS_DEFINED) != bool(self.legs):
            raise InvalidTicket("side", self.side, "is as_defined exactly where the order has legs")
        if self.legs:
            self._check_legs()
        if self.confidence is not None:
            check_number("confidence", self.confidence, low=Decimal(0), high=Decimal(1), step=Decimal("1e-4"))
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            raise InvalidTicket("expires_at", self.expires_at, "needs a time zone")
        if self.time_in_force == TimeInForce.GTD and self.expires_at is None:
            raise InvalidTicket("expires_at", None, "an order good till a date needs the date")
        for name, limit in _TEXTS:
            check_text(name, getattr(self, name), limit)
        if len(self.objections) > MAX_OBJECTIONS:
            raise InvalidTicket("objections", len(self.objections), f"are more than {MAX_OBJECTIONS}")
        if found := problem(self.metadata):
            raise InvalidTicket("metadata", self.metadata, found)

    def _check_legs(self) -> None:
        if self.option is not None:
            raise InvalidTicket("symbol", self.symbol, "a combination is named by its underlying")
        # The net price counts once per combination: more of them than the legs make would multiply a credit.
        if self.quantity != (made := combination_quantity(self.legs)):
            raise InvalidTicket("quantity", self.quantity, f"the legs make {made} combinations")
        if len({leg.multiplier for leg in self.legs if leg.instrument != Instrument.STOCK}) > 1:
            raise InvalidTicket("legs", len(self.legs), "options of different multipliers have no common net price")

    def _check_prices(self) -> None:
        for name, needed in (("price", NEEDS_PRICE), ("stop_price", NEEDS_STOP_PRICE)):
            value = getattr(self, name)
            if value is None:
                if self.order_type in needed:
                    raise InvalidTicket(name, None, f"a {self.order_type} order needs it")
                continue
            if self.order_type not in needed:
                # It would still be taken for what the order costs, and could hide its size.
                raise InvalidTicket(name, value, f"a {self.order_type} order has none")
            # Only a combination can trade at zero or at a credit.
            low = -MAX_PRICE if self.legs else PRICE_STEP
            check_number(name, value, low=low, high=MAX_PRICE, step=PRICE_STEP)

    @cached_property
    def option(self) -> OptionSymbol | None:
        """The option that `symbol` itself names, None where it names an underlying."""
        return _option(self.symbol)

    @property
    def underlying(self) -> str:
        return self.option.root if self.option else self.symbol

    @property
    def symbols(self) -> list[str]:
        """Every symbol the order trades or depends on: its own, its legs' and their underlyings."""
        legs = [name for leg in self.legs for name in (leg.symbol, leg.underlying)]
        return sorted({self.symbol, self.underlying, *legs})

    @property
    def multiplier(self) -> int:
        """How many units of the underlying one unit of the price stands for."""
        if self.legs:
            return max(leg.multiplier for leg in self.legs)
        return OPTION_MULTIPLIER if self.option else STOCK_MULTIPLIER

    @cached_property
    def fingerprint(self) -> str:
        """Equal for tickets of the same symbol, side, quantity, prices and legs, however the numbers are written."""
        legs = sorted(
            f"{leg.action} {leg.quantity.normalize():f} {leg.instrument} {leg.symbol} {_plain(leg.strike)} {leg.expiry}"
            for leg in self.legs
        )
        prices = f"{_plain(self.price)} {_plain(self.stop_price)}"
        text = "\n".join([self.symbol, self.side, f"{self.quantity.normalize():f}", prices, *legs])
        return sha256(text.encode()).hexdigest()

    @property
    def expiries(self) -> list[date | None]:
        """The expiry of each option in the order; None where one is not stated."""
        if self.option:
            return [self.option.expiry]
        return [leg.expiry for leg in self.legs if leg.instrument != Instrument.STOCK]

    @cached_property
    def unpriced_legs(self) -> tuple[Leg, ...]:
        """The order as signed legs, premium not counted."""
        return tuple(self.option_legs(None))

    def option_legs(self, unit_price: Decimal | None) -> list[Leg]:
        """The order as signed legs; `unit_price` is what one unit costs (None: premium not counted)."""
        price = unit_price or Decimal(0)
        if not self.legs:
            sign = -1 if self.side == Side.SELL else 1
            option = self.option
            right, strike, expiry = (option.right, option.strike, option.expiry) if option else ("S", None, None)
            return [Leg(right, strike, sign * self.quantity, price, Decimal(self.multiplier), expiry, self.underlying)]
        return [_signed(leg) for leg in self.legs]


def combination_quantity(legs: Iterable[TicketLeg]) -> Decimal:
    """How many whole combinations the legs make: the greatest common divisor of their quantities, at least 1."""
    quantities = [leg.quantity for leg in legs]
    if any(quantity != int(quantity) for quantity in quantities):
        return Decimal(1)
    return Decimal(max(1, gcd(*(int(quantity) for quantity in quantities))))


def _plain(number: Decimal | None) -> str:
    return "none" if number is None else f"{number.normalize():f}"


def _signed(leg: TicketLeg) -> Leg:
    sign = -1 if leg.action == LegAction.SELL else 1
    right = {Instrument.CALL: "C", Instrument.PUT: "P", Instrument.STOCK: "S"}[leg.instrument]
    return Leg(
        right,
        leg.strike,
        sign * leg.quantity,
        multiplier=Decimal(leg.multiplier),
        expiry=leg.expiry,
        underlying=leg.underlying,
    )


def _option(symbol: str) -> OptionSymbol | None:
    try:
        return parse_osi(symbol)
    except InvalidOptionSymbol:
        return None


def _one_of(name: str, value: object, allowed: Any) -> None:
    if value not in allowed.values:
        raise InvalidTicket(name, value, f"must be one of {', '.join(allowed.values)}")


def check_symbol(name: str, value: str) -> None:
    if not value or value != value.strip() or len(value) > MAX_SYMBOL_LENGTH or not value.isprintable():
        raise InvalidTicket(
            name, value, f"must be 1 to {MAX_SYMBOL_LENGTH} printable characters, no blanks around them"
        )
    if _LIKE_AN_OPTION.search(value):
        try:
            parse_osi(value)
        except InvalidOptionSymbol as error:
            raise InvalidTicket(name, value, f"looks like an option and is none ({error})") from error


def check_text(name: str, value: str, limit: int) -> None:
    if len(value) > limit:
        raise InvalidTicket(name, value, f"has more than {limit} characters")
    if not value.isprintable():
        raise InvalidTicket(name, value, "holds a line break or another control character")


def check_number(name: str, value: Decimal, *, low: Decimal, high: Decimal, step: Decimal) -> None:
    if not isinstance(value, Decimal) or not value.is_finite():
        raise InvalidTicket(name, value, "must be a finite decimal number")
    if not low <= value <= high:
        raise InvalidTicket(name, value, f"must be from {low.normalize():f} to {high.normalize():f}")
    if value != value.quantize(step):
        raise InvalidTicket(name, value, f"must be a multiple of {step.normalize():f}")


def _shown(value: object) -> str:
    try:
        text = str(value) if isinstance(value, Decimal | None) else repr(value)
    except ValueError:
        # Whole numbers of thousands of digits have no text.
        text = f"a {type(value).__name__} too long to be shown"
    return text if len(text) <= 80 else text[:79] + "…"
