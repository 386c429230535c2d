"""Fills -> round trips: what each position made, from its first fill until it is flat, and what is still open. Pure.

Money is Decimal and nothing is lost between the parts: what a fill paid is split by quantity to the millionth, and the
last part gets the rest. At any moment, before fees,

    realised + unrealised = -(all that fills paid) + value of what is held

Quantities are signed: positive bought, negative sold. `cost` is cash paid, negative where it was received.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from enum import StrEnum
from itertools import groupby

ZERO = Decimal(0)
MONEY_STEP = Decimal("1e-6")
# Room for the product of quantity, price and multiplier, and for many of them added up.
_WIDE = Context(prec=100, traps=[DivisionByZero, InvalidOperation, Overflow])
_LARGEST = Decimal(10) ** 20
_MONEY_DIGITS, _QUANTITY_DIGITS = 6, 8
# Options that are in the money by this much are exercised by the clearing house; those by less lapse.
EXERCISED_FROM = Decimal("0.01")


class Method(StrEnum):
    """Which part of a position a closing fill closes: the oldest fill's, or the same share of all of it."""

    FIFO = "fifo"
    AVERAGE = "average"


class Ending(StrEnum):
    """What closed a position, or a part of it."""

    FILL = "fill"
    EXPIRED = "expired worthless"
    EXERCISED = "exercised"
    ASSIGNED = "assigned"
    STATEMENT = "statement"


class InvalidDeal(ValueError):
    """The message names field, value and rule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deal:
    """One instrument's change by one fill. `at` is aware. `fees` are money, negative for a rebate.

    `order` names what was opened together: the legs of a combination, and the parts in which an order was filled, are
    one position; without it a fill opens one of its own. `price` is that of one unit, None where only the combination
    had one. Raises InvalidDeal.
    """

    instrument: str
    quantity: Decimal
    cost: Decimal
    at: datetime
    multiplier: int = 1
    fees: Decimal = ZERO
    order: str = ""
    price: Decimal | None = None

    def __post_init__(self) -> None:
        _check_instrument(self.instrument, self.multiplier)
        _check_number("quantity", self.quantity, _QUANTITY_DIGITS)
        if self.quantity == 0:
            raise InvalidDeal(f"quantity={self.quantity}: must not be 0")
        _check_number("cost", self.cost, _MONEY_DIGITS)
        _check_number("fees", self.fees, _MONEY_DIGITS)
        if self.price is not None:
            _check_number("price", self.price, _MONEY_DIGITS)
        _check_moment("at", self.at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """The last moment of an option on `underlying`, which stood at `spot` then. `right` is C or P.

    In the money it is exercised or assigned: it closes at what it is worth, and the shares of all options that settle
    together come in at the spot. Together that is the delivery at the strike, and nothing of it is counted twice.
    """

    instrument: str
    right: str
    strike: Decimal
    underlying: str
    spot: Decimal
    at: datetime

    def __post_init__(self) -> None:
        if self.right not in ("C", "P"):
            raise InvalidDeal(f"right={self.right!r}: C or P is needed")
        for name in ("strike", "spot"):
            _check_number(name, getattr(self, name), _MONEY_DIGITS)
            if getattr(self, name) < 0:
                raise InvalidDeal(f"{name}={getattr(self, name)}: must not be below 0")
        _check_moment("at", self.at)

    @property
    def worth(self) -> Decimal:
        """Of one unit; 0 where it lapses."""
        inside = self.spot - self.strike if self.right == "C" else self.strike - self.spot
        return inside if inside >= EXERCISED_FROM else ZERO


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """What was held of an instrument by a statement. What differs from the fills is taken as dealt at `price`."""

    instrument: str
    quantity: Decimal
    price: Decimal
    at: datetime
    multiplier: int = 1

    def __post_init__(self) -> None:
        _check_instrument(self.instrument, self.multiplier)
        _check_number("quantity", self.quantity, _QUANTITY_DIGITS)
        _check_number("price", self.price, _MONEY_DIGITS)
        _check_moment("at", self.at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Closing:
    """A part of a position that was closed at once: `quantity` as it was opened, `cost` what it was opened for,
    `proceeds` what it was closed for (cash received), `fees` its share of those of both; `closed_by` is the order of
    what closed it.
    """

    instrument: str
    quantity: Decimal
    opened_at: datetime
    closed_at: datetime
    cost: Decimal
    proceeds: Decimal
    fees: Decimal
    ending: Ending
    closed_by: str = field(default="", compare=False)

    @property
    def pnl(self) -> Decimal:
        """Before fees."""
        return self.proceeds - self.cost


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A part of a position that is open, with its share of the fees paid to open it."""

    instrument: str
    quantity: Decimal
    multiplier: int
    opened_at: datetime
    cost: Decimal
    fees: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundTrip:
    """A position from its first fill until all its legs are flat; `closed_at` is None and `held` not empty while it is
    open. `pnl` is what its closed parts made before fees; `fees` are those of what is closed and of what is held.
    """

    order: str
    instruments: tuple[str, ...]
    opened_at: datetime
    closed_at: datetime | None
    pnl: Decimal
    fees: Decimal
    closings: tuple[Closing, ...]
    held: tuple[Held, ...] = ()

    @property
    def net(self) -> Decimal:
        return self.pnl - self.fees


@dataclass(frozen=True, kw_only=True, slots=True)
class Trades:
    """`closed` by the time of their end, `open` by that of their beginning. `cost` and `fees`: all that was paid."""

    closed: tuple[RoundTrip, ...]
    open: tuple[RoundTrip, ...]
    cost: Decimal
    fees: Decimal

    @property
    def realised(self) -> Decimal:
        """Before fees, of what is closed, the closed parts of open positions included."""
        with localcontext(_WIDE):
            return sum((trip.pnl for trip in (*self.closed, *self.open)), ZERO)

    def unrealised(self, prices: Mapping[str, Decimal]) -> Decimal:
        """Before fees, of what is open. Raises KeyError for an instrument without a price."""
        return unrealised([part for trip in self.open for part in trip.held], prices)


Event = Deal | Settlement | Stated


def round_trips(events: Iterable[Event], *, method: Method = Method.FIFO) -> Trades:
    """Events in any order; of those at one moment fills come first, then settlements, then statements."""
    book = Book(method)
    ordered = sorted(events, key=lambda event: (event.at, _PLACES[type(event)]))
    for _, alike in groupby(ordered, key=lambda event: (event.at, type(event))):
        book.add(list(alike))
    return Trades(closed=tuple(book.take_closed()), open=book.open_trips(), cost=book.cost, fees=book.fees)


def unrealised(held: Iterable[Held], prices: Mapping[str, Decimal]) -> Decimal:
    """Value less cost. Raises KeyError for an instrument without a price."""
    with localcontext(_WIDE):
        return sum((part.quantity * prices[part.instrument] * part.multiplier - part.cost for part in held), ZERO)


_PLACES: dict[type[Event], int] = {Deal: 0, Settlement: 1, Stated: 2}


class Book:
    """What is held, fill by fill. Events must come in the order of their times."""

    def __init__(self, method: Method = Method.FIFO) -> None:
        self.cost = ZERO
        """All that fills paid so far, less what they received; what settlements and statements moved included."""
        self.fees = ZERO
        self._method = method
        self._lots: dict[str, deque[_Lot]] = {}
        self._trips: dict[str, _Trip] = {}
        """The open position that each order opened, or added to."""
        self._closed: list[RoundTrip] = []
        self._last: datetime | None = None

    def add(self, events: Sequence[Event]) -> list[Closing]:
        """Events of one moment and kind; what they close. Raises InvalidDeal, before anything is changed."""
        for event in events:
            self._check(event)
        self._last = max((event.at for event in events), default=self._last)
        with localcontext(_WIDE):
            closings = self._settle([event for event in events if isinstance(event, Settlement)])
            for event in events:
                if isinstance(event, Deal):
                    closings += self._deal(event, Ending.FILL)
                elif isinstance(event, Stated):
                    closings += self._state(event)
        return closings

    def quantity(self, instrument: str) -> Decimal:
        return sum((lot.quantity for lot in self._lots.get(instrument, ())), ZERO)

    def held(self) -> tuple[Held, ...]:
        """By instrument, oldest first."""
        return tuple(lot.shown(key) for key in sorted(self._lots) for lot in self._lots[key])

    def take_closed(self) -> list[RoundTrip]:
        """The positions that were closed since this was last asked."""
        closed, self._closed = self._closed, []
        return closed

    def open_trips(self) -> tuple[RoundTrip, ...]:
        """By the time of their beginning."""
        parts: dict[_Trip, list[Held]] = {}
        for key in sorted(self._lots):
            for lot in self._lots[key]:
                parts.setdefault(lot.trip, []).append(lot.shown(key))
        found = (trip.shown(None, tuple(held)) for trip, held in parts.items())
        return tuple(sorted(found, key=lambda trip: (trip.opened_at, trip.order)))

    def _check(self, event: Event) -> None:
        at, last = event.at.isoformat(), self._last
        if last is not None and event.at < last:
            raise InvalidDeal(f"at={at}: must not be before the last event, {last.isoformat()}")
        lots = self._lots.get(event.instrument)
        if lots and not isinstance(event, Settlement) and event.multiplier != lots[0].multiplier:
            held = lots[0].multiplier
            raise InvalidDeal(f"multiplier={event.multiplier}: {event.instrument} is held with {held}")

    def _deal(self, deal: Deal, ending: Ending) -> list[Closing]:
        self.cost += deal.cost
        self.fees += deal.fees
        lots = self._lots.setdefault(deal.instrument, deque())
        part = _Part(deal.quantity, deal.cost, deal.fees)
        closings = []
        while part.quantity and lots and (lots[0].quantity > 0) != (part.quantity > 0):
            closings.append(self._close(deal, lots, part, ending))
        if part.quantity:
            self._open(deal, lots, part)
        elif not lots:
            del self._lots[deal.instrument]
        return closings

    def _close(self, deal: Deal, lots: deque[_Lot], part: _Part, ending: Ending) -> Closing:
        lot = lots[0]
        size = min(abs(lot.quantity), abs(part.quantity))
        opened, paid_back = lot.take(size), part.take(size)
        closing = Closing(
            instrument=deal.instrument,
            quantity=opened.quantity,
            opened_at=lot.opened_at,
            closed_at=deal.at,
            cost=opened.cost,
            proceeds=-paid_back.cost,
            fees=opened.fees + paid_back.fees,
            ending=ending,
            closed_by=deal.order,
        )
        lot.trip.closings.append(closing)
        if not lot.quantity:
            lots.popleft()
            lot.trip.lots -= 1
            if not lot.trip.lots:
                self._end(lot.trip, deal.at)
        return closing

    def _open(self, deal: Deal, lots: deque[_Lot], part: _Part) -> None:
        trip = self._trips.get(deal.order)
        if self._method is Method.AVERAGE and lots:
            lot = lots[0]
            if trip is not None and trip is not lot.trip:
                self._merge(trip, into=lot.trip)
            lot.quantity, lot.cost, lot.fees = lot.quantity + part.quantity, lot.cost + part.cost, lot.fees + part.fees
            trip = lot.trip
        else:
            trip = trip or _Trip(deal.order, deal.at)
            trip.lots += 1
            lots.append(
                _Lot(part.quantity, part.cost, part.fees, opened_at=deal.at, multiplier=deal.multiplier, trip=trip)
            )
        if deal.order:
            trip.orders.add(deal.order)
            self._trips[deal.order] = trip

    def _merge(self, trip: _Trip, *, into: _Trip) -> None:
        """At average cost the parts of a position can't be told apart by the order that opened them."""
        for lots in self._lots.values():
            for lot in lots:
                if lot.trip is trip:
                    lot.trip = into
        into.lots += trip.lots
        into.opened_at, into.order = min((into.opened_at, into.order), (trip.opened_at, trip.order))
        into.closings += trip.closings
        into.orders |= trip.orders
        for order in trip.orders:
            self._trips[order] = into

    def _end(self, trip: _Trip, at: datetime) -> None:
        for order in trip.orders:
            del self._trips[order]
        self._closed.append(trip.shown(at, ()))

    def _settle(self, settlements: Sequence[Settlement]) -> list[Closing]:
        closings: list[Closing] = []
        shares: dict[tuple[str, Decimal], Decimal] = {}
        for each in settlements:
            if each.instrument not in self._lots:
                continue
            multiplier = self._lots[each.instrument][0].multiplier
            units = self.quantity(each.instrument)
            closings += self._deal(_lapse(each, units, multiplier), _ending(each, units))
            if each.worth:
                delivered = units * multiplier if each.right == "C" else -units * multiplier
                place = (each.underlying, each.spot)
                shares[place] = shares.get(place, ZERO) + delivered
        for (underlying, spot), quantity in sorted(shares.items()):
            if quantity:
                closings += self._deal(_delivery(underlying, spot, quantity, settlements[0].at), Ending.FILL)
        return closings

    def _state(self, stated: Stated) -> list[Closing]:
        difference = stated.quantity - self.quantity(stated.instrument)
        if not difference:
            return []
        deal = Deal(
            instrument=stated.instrument,
            quantity=difference,
            cost=(difference * stated.price * stated.multiplier).quantize(MONEY_STEP, ROUND_HALF_UP),
            at=stated.at,
            multiplier=stated.multiplier,
            order=f"statement: {stated.instrument}",
            price=stated.price,
        )
        return self._deal(deal, Ending.STATEMENT)


@dataclass(slots=True)
class _Part:
    quantity: Decimal
    cost: Decimal
    fees: Decimal

    def take(self, size: Decimal) -> _Part:
        """The part of `size` (positive) of it; what is left keeps the rest, to the millionth."""
        if size == abs(self.quantity):
            taken = _Part(self.quantity, self.cost, self.fees)
            self.quantity = self.cost = self.fees = ZERO
            return taken
        left = self.quantity - (size if self.quantity > 0 else -size)
        cost, fees = (_share(money, left, self.quantity) for money in (self.cost, self.fees))
        taken = _Part(self.quantity - left, self.cost - cost, self.fees - fees)
        self.quantity, self.cost, self.fees = left, cost, fees
        return taken


@dataclass(slots=True, kw_only=True)
class _Lot(_Part):
    opened_at: datetime
    multiplier: int
    trip: _Trip

    def shown(self, instrument: str) -> Held:
        return Held(
            instrument=instrument,
            quantity=self.quantity,
            multiplier=self.multiplier,
            opened_at=self.opened_at,
            cost=self.cost,
            fees=self.fees,
        )


@dataclass(slots=True, eq=False)
class _Trip:
    """`lots`: how many of its parts are open."""

    order: str
    opened_at: datetime
    lots: int = 0
    closings: list[Closing] = field(default_factory=list)
    orders: set[str] = field(default_factory=set)

    def shown(self, closed_at: datetime | None, held: tuple[Held, ...]) -> RoundTrip:
        parts: list[Closing | Held] = [*self.closings, *held]
        with localcontext(_WIDE):
            return RoundTrip(
                order=self.order,
                instruments=tuple(sorted({part.instrument for part in parts})),
                opened_at=self.opened_at,
                closed_at=closed_at,
                pnl=sum((closing.pnl for closing in self.closings), ZERO),
                fees=sum((part.fees for part in parts), ZERO),
                closings=tuple(self.closings),
                held=held,
            )


def _share(money: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return (money * part / whole).quantize(MONEY_STEP, ROUND_HALF_UP)


def _ending(settlement: Settlement, units: Decimal) -> Ending:
    if not settlement.worth:
        return Ending.EXPIRED
    return Ending.EXERCISED if units > 0 else Ending.ASSIGNED


def _lapse(settlement: Settlement, units: Decimal, multiplier: int) -> Deal:
    worth = settlement.worth
    return Deal(
        instrument=settlement.instrument,
        quantity=-units,
        cost=(-units * worth * multiplier).quantize(MONEY_STEP, ROUND_HALF_UP),
        at=settlement.at,
        multiplier=multiplier,
        order=f"settlement: {settlement.instrument}",
        price=worth,
    )


def _delivery(underlying: str, spot: Decimal, quantity: Decimal, at: datetime) -> Deal:
    return Deal(
        instrument=underlying,
        quantity=quantity,
        cost=(quantity * spot).quantize(MONEY_STEP, ROUND_HALF_UP),
        at=at,
        order=f"delivery: {underlying} {at:%Y-%m-%d}",
        price=spot,
    )


def _check_instrument(instrument: str, multiplier: int) -> None:
    if not instrument:
        raise InvalidDeal("instrument='': what was dealt in is needed")
    if multiplier <= 0:
        raise InvalidDeal(f"multiplier={multiplier}: must be above 0")


def _check_number(name: str, value: Decimal, digits: int) -> None:
    if not isinstance(value, Decimal):
        raise InvalidDeal(f"{name}={value!r}: must be a Decimal, not {type(value).__name__}")
    if not value.is_finite() or abs(value) > _LARGEST:
        raise InvalidDeal(f"{name}={value}: must be finite and at most {_LARGEST:f}")
    if int(value.as_tuple().exponent) < -digits and int(value.normalize(_WIDE).as_tuple().exponent) < -digits:
        raise InvalidDeal(f"{name}={value}: must have at most {digits} digits after the point")


def _check_moment(name: str, at: datetime) -> None:
    if at.tzinfo is None:
        raise InvalidDeal(f"{name}={at.isoformat()}: needs a time zone")
