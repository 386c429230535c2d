"""What a strategy dealt in -> its trading days: what was closed, paid and held on each. Pure.

A day is New York's, from midnight to midnight. There is one for every day on which something was dealt in, and for
every weekday on which something was held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from heapq import heappop, heappush

from orders.instruments import Terms
from orders.standing import TRADING_ZONE, trading_day
from reporting.trades import ZERO, Book, Closing, Deal, Event, Held, Method, RoundTrip, Settlement, Stated

# What an option settles at is the last price by the close; some trade for a quarter of an hour longer.
CLOSES, SETTLES = time(16, 0), time(17, 0)
_SATURDAY = 5


MARKET, OWN_FILL = "market", "own fill"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The price of one unit, since when it holds, and where it comes from."""

    price: Decimal
    at: datetime
    source: str


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What was held by a statement; `price` is None where it says none."""

    instrument: str
    quantity: Decimal
    price: Decimal | None
    at: datetime
    multiplier: int


Spot = Callable[[Terms, datetime], Decimal | None]
"""The last price at or before a moment (for a settlement: of the same day), None where none is on record."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """`realised` is before fees; `closed` are the round trips that ended on it; `held` and `last_prices` (of own fills,
    by instrument) are as it ended. `inputs` tells all that it follows from but prices. `used`: the prices that
    settlements and statements were taken at. `gaps` say why money can't be told from this day on.
    """

    day: date
    start: datetime
    end: datetime
    inputs: str
    fills: int
    cost: Decimal
    realised: Decimal
    fees: Decimal
    closed: tuple[RoundTrip, ...]
    held: tuple[Held, ...]
    last_prices: Mapping[str, tuple[Decimal, datetime]]
    used: Mapping[str, str]
    gaps: tuple[str, ...]
    notes: tuple[str, ...]


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=TRADING_ZONE).astimezone(UTC)


def end_of(day: date) -> datetime:
    return start_of(day + timedelta(days=1))


def is_weekday(day: date) -> bool:
    """Holidays are in no calendar of the desk: they count as days on which nothing moved."""
    return day.weekday() < _SATURDAY


def name_of(terms: Terms, at: datetime) -> str:
    """Under which a price that was used is kept."""
    return f"{terms.key} {at.isoformat()}"


def days(
    events: Iterable[Deal | Statement],
    *,
    terms: dict[str, Terms],
    spot: Spot,
    now: datetime,
    method: Method = Method.FIFO,
) -> Iterator[Day]:
    """Events by time; the last day may not be over. `terms` has every instrument by the time its event comes, and is
    given those of the shares that are delivered.
    """
    walk = _Walk(terms, spot, method)
    for event in events:
        yield from walk.until(event.at)
        walk.take(event)
    yield from walk.until(now)
    yield from walk.unfinished(now)


@dataclass
class _Tally:
    """A day in the making."""

    day: date
    inputs: list[str]
    began_with: tuple[Decimal, Decimal]
    fills: int = 0
    realised: Decimal = ZERO
    used: dict[str, str] = field(default_factory=dict)


class _Walk:
    def __init__(self, terms: dict[str, Terms], spot: Spot, method: Method) -> None:
        self._terms, self._spot = terms, spot
        self._book = Book(method)
        self._tally: _Tally | None = None
        self._prices: dict[str, tuple[Decimal, datetime]] = {}
        self._due: list[tuple[datetime, str]] = []
        """Options by the moment at which they settle; `_awaited` are those in it."""
        self._awaited: set[str] = set()
        self._gaps: list[str] = []
        self._unsettled: dict[str, str] = {}

    def until(self, moment: datetime) -> Iterator[Day]:
        """The days that are over by then, and what settles on the one that is not."""
        today = trading_day(moment)
        while self._tally is not None and self._tally.day < today:
            yield self._finished(end_of(self._tally.day))
            following = _next_weekday(self._tally.day)
            holding = bool(self._book.held())
            self._tally = self._begun(following) if holding and following <= today else None
        if self._tally is not None:
            self._settle(moment)

    def take(self, event: Deal | Statement) -> None:
        if self._tally is None:
            self._tally = self._begun(trading_day(event.at))
            self._settle(event.at)
        self._tally.inputs.append(repr(event))
        if isinstance(event, Deal):
            self._tally.fills += 1
            if event.price is not None:
                self._prices[event.instrument] = (event.price, event.at)
            self._book_all([event])
        else:
            self._book_all([self._priced(event, self._tally)])
        self._await(event.instrument, event.at)

    def unfinished(self, now: datetime) -> Iterator[Day]:
        if self._tally is not None:
            yield self._finished(now)

    def _begun(self, day: date) -> _Tally:
        state = [
            (trip.order, trip.opened_at.isoformat(), str(trip.pnl), str(trip.fees), repr(trip.held))
            for trip in self._book.open_trips()
        ]
        return _Tally(day, inputs=[repr((state, self._gaps))], began_with=(self._book.cost, self._book.fees))

    def _finished(self, until: datetime) -> Day:
        self._settle(until)
        tally = self._tally
        if tally is None:
            raise ValueError("no day has begun")
        held = self._book.held()
        cost, fees = tally.began_with
        return Day(
            day=tally.day,
            start=start_of(tally.day),
            end=end_of(tally.day),
            inputs=sha256("\n".join(tally.inputs).encode()).hexdigest(),
            fills=tally.fills,
            cost=self._book.cost - cost,
            realised=tally.realised,
            fees=self._book.fees - fees,
            closed=tuple(self._book.take_closed()),
            held=held,
            last_prices={name: price for name, price in self._prices.items() if self._book.quantity(name)},
            used=tally.used,
            gaps=tuple(self._gaps),
            notes=tuple(note for name, note in self._unsettled.items() if self._book.quantity(name)),
        )

    def _book_all(self, events: list[Event]) -> None:
        closings: list[Closing] = self._book.add(events)
        if self._tally is not None:
            self._tally.realised += sum((closing.pnl for closing in closings), ZERO)

    def _priced(self, stated: Statement, tally: _Tally) -> Stated:
        price = stated.price
        if price is None:
            price = self._price(self._terms[stated.instrument], stated.at, tally)
        if price is None:
            price = ZERO
            self._gaps.append(
                f"the statement of {stated.at:%Y-%m-%d %H:%M} says no average price of {stated.instrument},"
                " and no market price is on record"
            )
        return Stated(
            instrument=stated.instrument,
            quantity=stated.quantity,
            price=price,
            at=stated.at,
            multiplier=stated.multiplier,
        )

    def _price(self, terms: Terms, at: datetime, tally: _Tally) -> Decimal | None:
        price = self._spot(terms, at)
        if price is not None:
            tally.used[name_of(terms, at)] = str(price)
            tally.inputs.append(f"{name_of(terms, at)}={price}")
        return price

    def _await(self, instrument: str, at: datetime) -> None:
        expiry = self._terms[instrument].expiry
        if expiry is not None and instrument not in self._awaited:
            heappush(self._due, (max(_at_new_york(expiry, SETTLES), at), instrument))
            self._awaited.add(instrument)

    def _settle(self, until: datetime) -> None:
        while self._due and self._due[0][0] <= until:
            moment = self._due[0][0]
            together: list[Event] = []
            while self._due and self._due[0][0] == moment:
                instrument = heappop(self._due)[1]
                self._awaited.discard(instrument)
                if self._book.quantity(instrument) and (found := self._settlement(instrument, moment)):
                    together.append(found)
            self._book_all(together)

    def _settlement(self, instrument: str, at: datetime) -> Settlement | None:
        """None where its end is not known: it stays open, and a note says why."""
        terms, tally = self._terms[instrument], self._tally
        if tally is None or terms.expiry is None or terms.strike is None:
            return None
        share = self._terms.setdefault(terms.underlying, stock(terms.underlying))
        closed_at = _at_new_york(terms.expiry, CLOSES)
        price = self._price(share, closed_at, tally)
        if price is None:
            self._unsettled[instrument] = (
                f"{instrument} has expired, and no price of {terms.underlying} from {terms.expiry} is on record: open"
            )
            return None
        return Settlement(
            instrument=instrument,
            right=terms.right,
            strike=terms.strike,
            underlying=terms.underlying,
            spot=price,
            at=at,
        )


def stock(symbol: str) -> Terms:
    return Terms(key=symbol, underlying=symbol, right="S", strike=None, expiry=None, multiplier=1)


def _next_weekday(day: date) -> date:
    following = day + timedelta(days=1)
    while not is_weekday(following):
        following += timedelta(days=1)
    return following


def _at_new_york(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, tzinfo=TRADING_ZONE).astimezone(UTC)
