"""What fills cost, against what was known when they were decided. Pure. Positive = cost to us.

Numbers are Decimals or ints: a float or a text is refused (ValueError), since what it stands for would be a guess, and
so is what is not finite. Sums and products are exact, whatever the caller's decimal context; only a division rounds, to
28 significant digits. Sides are "buy" (s = +1) and "sell" (s = -1). Formulas and sources: docs/execution-quality.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow, localcontext

# What the functions take; what they return is always a Decimal.
Number = Decimal | int

BASIS_POINTS = Decimal(10_000)

# The parts of execution_score, together 100. Where the latency is known, it takes its points from the other two, in
# equal shares.
FILL_RATE_POINTS = Decimal(50)
SLIPPAGE_POINTS = Decimal(50)
LATENCY_POINTS = Decimal(20)
# What takes all points of its part away. In % of the spread 50 is the way from the mid to the far side of the quote:
# the price that anyone gets at once.
WORST_SLIPPAGE_BPS = Decimal(50)
WORST_SLIPPAGE_OF_SPREAD = Decimal(50)
WORST_LATENCY = timedelta(seconds=60)
# Parts are kept to this: fine enough for every stored score, and so few digits that adding them up rounds nothing.
_POINT = Decimal("1e-20")

# Market impact is looked at this long after a fill: what passes again, and what stays.
IMPACT_HORIZONS = (timedelta(seconds=60), timedelta(hours=1))

MOST_DIGITS = 40
# Room for the product of three numbers of MOST_DIGITS before and after the point, and for adding up many of them.
# Should it ever not do, that is an error and no rounding.
_EXACT = Context(prec=10 * MOST_DIGITS, traps=[DivisionByZero, InvalidOperation, Overflow, Inexact])
_DIVISION = Context(prec=28, traps=[DivisionByZero, InvalidOperation, Overflow])


@contextmanager
def _exact() -> Iterator[None]:
    with localcontext(_EXACT):
        yield


def _number(name: str, value: Number) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise ValueError(f"{name}={value!r}: must be a Decimal or an int, not {type(value).__name__}")  # noqa: TRY004
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{name}={value}: must be finite")
    if number and (number.adjusted() >= MOST_DIGITS or int(number.as_tuple().exponent) < -MOST_DIGITS):
        raise ValueError(f"{name}={value}: must have at most {MOST_DIGITS} digits before and after the point")
    return number


def _positive(name: str, value: Number) -> Decimal:
    number = _number(name, value)
    if number <= 0:
        raise ValueError(f"{name}={value}: must be above 0")
    return number


def _not_negative(name: str, value: Number) -> Decimal:
    number = _number(name, value)
    if number < 0:
        raise ValueError(f"{name}={value}: must not be below 0")
    return number


def _cost(side: str, amount: Decimal) -> Decimal:
    """s x amount. Adding to 0 rather than multiplying: -1 x 0 is shown as -0."""
    if side not in ("buy", "sell"):
        raise ValueError(f"side={side!r}: buy or sell is needed")
    return Decimal(0) + amount if side == "buy" else Decimal(0) - amount


def _ratio(numerator: Decimal, denominator: Decimal) -> Decimal:
    return _DIVISION.divide(numerator, denominator)


def _pairs(name: str, pairs: Iterable[tuple[Number, Number]]) -> list[tuple[Decimal, Decimal]]:
    return [
        (_positive(f"{name}[{place}].quantity", quantity), _number(f"{name}[{place}].price", price))
        for place, (quantity, price) in enumerate(pairs)
    ]


def _moment(name: str, at: datetime) -> datetime:
    """In UTC: two times of one zone are compared by the clock on the wall, which goes back once a year."""
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise ValueError(f"{name}={at}: must be a datetime with a time zone")
    return at.astimezone(UTC)


def _timed(name: str, pairs: Iterable[tuple[datetime, Number]]) -> list[tuple[datetime, Decimal]]:
    """By time; pairs of one moment stay in the order they were given in."""
    moments = [
        (_moment(f"{name}[{place}].at", at), _number(f"{name}[{place}].price", price))
        for place, (at, price) in enumerate(pairs)
    ]
    return sorted(moments, key=lambda pair: pair[0])


def _microseconds(time: timedelta) -> Decimal:
    return Decimal(time // timedelta(microseconds=1))


def _sums(pairs: Iterable[tuple[Decimal, Decimal]]) -> tuple[Decimal, Decimal]:
    """sum(q), sum(q x p)."""
    quantity = paid = Decimal(0)
    for q, p in pairs:
        quantity += q
        paid += q * p
    return quantity, paid


@dataclass(frozen=True, kw_only=True)
class ExecutionScore:
    """0 (bad) to 100 points. A part whose input is not known is None, and `missing` has the reason by the part's name.

    Without slippage there is no total: half of the question would be left out. Without latency there is one, of the two
    other parts.
    """

    fill_rate: Decimal
    slippage: Decimal | None
    latency: Decimal | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Decimal]:
        """The points of the parts that are known, by name."""
        named = {"fill_rate": self.fill_rate, "slippage": self.slippage, "latency": self.latency}
        return {name: points for name, points in named.items() if points is not None}

    @property
    @_exact()
    def total(self) -> Decimal | None:
        """The sum of the parts, exactly; None without slippage."""
        return None if self.slippage is None else sum(self.parts.values(), Decimal(0))


@_exact()
def average_fill_price(fills: Iterable[tuple[Number, Number]]) -> Decimal | None:
    """sum(p x q) / sum(q) over (quantity, price) pairs, in the price's unit; None without fills.

    ValueError for a quantity that is not above 0. Prices of combinations may be 0 or negative.
    """
    quantity, paid = _sums(_pairs("fills", fills))
    return None if quantity == 0 else _ratio(paid, quantity)


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What an order's fills add up to. `average_price` of the fills of the order as a whole, None without one."""

    quantity: Decimal
    average_price: Decimal | None
    overfills: Mapping[str, Decimal]
    """What exceeds the order, and what exceeds a leg of it: a leg may be filled twice before another is at all."""


def add_up(
    *, ordered: Decimal, legs: Mapping[int, Decimal], fills: Sequence[tuple[int | None, Decimal, Decimal]]
) -> Filled:
    """`fills` as (leg's position or None, quantity, price), `legs` the ordered quantity of each by its position.

    Whole-order fills count as they are; fills of legs as many whole combinations as the least filled leg makes.
    """
    whole = [(quantity, price) for position, quantity, price in fills if position is None]
    done: dict[int, Decimal] = defaultdict(Decimal)
    for position, quantity, _ in fills:
        if position is not None:
            done[position] += quantity
    of_legs = legs if done else {}
    share = min((done[position] / wanted for position, wanted in of_legs.items()), default=Decimal(0))
    quantity = (sum((quantity for quantity, _ in whole), Decimal(0)) + share * ordered).quantize(Decimal("1e-8"))
    average = average_fill_price(whole)
    beyond = {"order": quantity - ordered}
    beyond |= {f"leg {position}": done[position] - wanted for position, wanted in of_legs.items()}
    return Filled(
        quantity=quantity,
        average_price=None if average is None else average.quantize(Decimal("1e-6")),
        overfills={what: by for what, by in beyond.items() if by > 0},
    )


@_exact()
def slippage_bps(side: str, fill_price: Number, benchmark_price: Number) -> Decimal:
    """s x (fill / benchmark - 1) in basis points, s = +1 for a buy and -1 for a sell; positive = cost.

    Undefined against a benchmark of 0 or below, as combinations have them: ValueError, so that a caller must say what
    it shows instead (slippage_money and slippage_of_spread are defined there). The fill's price may be 0 or negative.
    """
    fill, benchmark = _number("fill_price", fill_price), _number("benchmark_price", benchmark_price)
    cost = _cost(side, fill - benchmark)
    if benchmark <= 0:
        raise ValueError(f"benchmark_price={benchmark_price}: a ratio needs a price above 0")
    return _ratio(cost * BASIS_POINTS, benchmark)


@_exact()
def slippage_money(
    side: str, fill_price: Number, benchmark_price: Number, quantity: Number, multiplier: Number = 1
) -> Decimal:
    """s x (fill - benchmark) x quantity x multiplier, in money; positive = cost. Defined at every price.

    ValueError for a quantity or multiplier that is not above 0.
    """
    size = _positive("quantity", quantity) * _positive("multiplier", multiplier)
    return _cost(side, (_number("fill_price", fill_price) - _number("benchmark_price", benchmark_price)) * size)


@_exact()
def slippage_of_spread(
    side: str, fill_price: Number, benchmark_price: Number, bid: Number, ask: Number
) -> Decimal | None:
    """s x (fill - benchmark) / (ask - bid), in % of the quoted spread; positive = cost. For options, at every price.

    From the mid to the far side of the quote is 50. None where the quote is locked or crossed (ask at or below bid): it
    has no spread to be measured by.
    """
    cost = _cost(side, _number("fill_price", fill_price) - _number("benchmark_price", benchmark_price))
    spread = _number("ask", ask) - _number("bid", bid)
    return _ratio(cost * 100, spread) if spread > 0 else None


@_exact()
def effective_spread(side: str, fill_price: Number, mid: Number) -> Decimal:
    """2 x s x (fill - mid), in the price's unit; positive = cost, negative where the fill was better than the mid.

    Source: SEC Rule 605 ("average effective spread").
    """
    return _cost(side, 2 * (_number("fill_price", fill_price) - _number("mid", mid)))


@_exact()
def price_improvement(side: str, fill_price: Number, bid: Number, ask: Number) -> Decimal | None:
    """How much better than the quote a fill was, in the price's unit: ask - fill for a buy, fill - bid for a sell.

    **Positive = gain**, as the name says: the one figure here that is no cost. Negative outside the quote. None where
    the quote is crossed (ask below bid): neither side of it could be had. Source: SEC Rule 605.
    """
    fill, low, high = _number("fill_price", fill_price), _number("bid", bid), _number("ask", ask)
    gain = _cost(side, (high if side == "buy" else low) - fill)
    return gain if low <= high else None


@_exact()
def market_impact(side: str, fill_price: Number, later_price: Number) -> Decimal:
    """s x (later - fill), in the price's unit; positive = cost: the market went on our way, as if we had moved it.

    `later_price` is to be what price_after finds for each of IMPACT_HORIZONS. Source: tcapy's transient and permanent
    market impact, there as a ratio; in basis points it is slippage_bps(side, later_price, fill_price).
    """
    return _cost(side, _number("later_price", later_price) - _number("fill_price", fill_price))


def price_after(trades: Iterable[tuple[datetime, Number]], filled_at: datetime, horizon: timedelta) -> Decimal | None:
    """The last trade after `filled_at` and at or before `filled_at` + `horizon`, trades as (at, price) in any order.

    None where nothing traded in between: an older price says nothing about what came after. Meant for horizons that
    have passed. ValueError for a naive datetime and a horizon that is not above 0.
    """
    if horizon <= timedelta(0):
        raise ValueError(f"horizon={horizon}: must be above 0")
    since = _moment("filled_at", filled_at)
    return _last(trades, since=since, until=since + horizon)


def arrival_price(trades: Iterable[tuple[datetime, Number]], at: datetime) -> Decimal | None:
    """The last trade at or before the moment, trades as (at, price) in any order; of several at once the last given.

    None where there is none. ValueError for a naive datetime.
    """
    return _last(trades, since=None, until=_moment("at", at))


def _last(trades: Iterable[tuple[datetime, Number]], *, since: datetime | None, until: datetime) -> Decimal | None:
    found = [(at, price) for at, price in _timed("trades", trades) if at <= until and (since is None or at > since)]
    return found[-1][1] if found else None


@_exact()
def vwap(trades: Iterable[tuple[Number, Number]]) -> Decimal | None:
    """sum(p x q) / sum(q) over (quantity, price) pairs of trades, in the price's unit. None without volume.

    Trades of quantity 0 (corrections, odd prints) are ignored, whatever their price. ValueError for one below 0.
    """
    quantity, paid = _sums(
        (volume, _number(f"trades[{place}].price", price))
        for place, (quantity, price) in enumerate(trades)
        if (volume := _not_negative(f"trades[{place}].quantity", quantity))
    )
    return _ratio(paid, quantity) if quantity else None


@_exact()
def twap(quotes: Iterable[tuple[datetime, Number]], end: datetime) -> Decimal | None:
    """The mean over time from the first quote to `end`, in the price's unit, quotes as (at, price) in any order.

    A quote holds until the next one, of several at the same moment the last given; those at or after `end` don't count.
    None where no quote is before `end`. ValueError for a naive datetime.
    """
    until = _moment("end", end)
    held = [(at, price) for at, price in _timed("quotes", quotes) if at < until]
    if not held:
        return None
    ends = [*(at for at, _ in held[1:]), until]
    duration, weighted = _sums((_microseconds(to - at), price) for (at, price), to in zip(held, ends, strict=True))
    return _ratio(weighted, duration)


@dataclass(frozen=True)
class ImplementationShortfall:
    """What an order cost against the decision to give it, in money; positive = cost. Exactly,

    total = delay + execution + opportunity + fees, and delay = review_delay + broker_delay where these are known.
    """

    review_delay: Decimal | None
    """From the decision to the approval: the cost of the human in the loop. None without a price at the approval."""
    broker_delay: Decimal | None
    """From the approval to the arrival at the broker. None without a price at the approval."""
    delay: Decimal
    execution: Decimal
    opportunity: Decimal
    fees: Decimal
    total: Decimal
    total_bps: Decimal | None
    """total / (quantity x decision price x multiplier), in basis points; None where that is not above 0."""


@_exact()
def implementation_shortfall(  # noqa: PLR0917 (other programs give them by place)
    side: str,
    quantity: Number,
    decision_price: Number,
    arrival_price: Number | None,
    fills: Iterable[tuple[Number, Number]],
    end_price: Number | None,
    fees: Number = 0,
    approval_price: Number | None = None,
    multiplier: Number = 1,
) -> ImplementationShortfall:
    """Perold's implementation shortfall, delay taken apart as Wagner and Edwards do, and once more at the approval.

    With Q the quantity ordered, F the quantity filled, fills as (quantity, price) pairs, all prices per unit:
    delay s F (arrival - decision), of it s F (approval - decision) review and s F (arrival - approval) broker;
    execution s (sum(q x p) - F x arrival), which is s F (average fill - arrival) without its rounding;
    opportunity s max(0, Q - F) (end - decision); each times the multiplier (100 for options). `fees` are money for the
    whole order, negative for a rebate.

    An overfill (F above Q) misses nothing: opportunity is 0, the excess counts in delay and execution like any fill,
    and total_bps stays per unit ordered. What the excess earns or loses later is a position's result, not a cost of
    execution. `arrival_price` may be None where nothing was filled, `end_price` where nothing is left; elsewhere that
    is a ValueError, as are a side other than buy and sell and a quantity or multiplier that is not above 0.
    """
    ordered, decision = _positive("quantity", quantity), _number("decision_price", decision_price)
    size = _positive("multiplier", multiplier)
    filled, paid = _sums(_pairs("fills", fills))
    left = max(Decimal(0), ordered - filled)
    arrival = _price_of(filled, "arrival_price", arrival_price, "filled")
    end = _price_of(left, "end_price", end_price, "left")
    delay = _cost(side, filled * (arrival - decision) * size)
    review = broker = None
    if approval_price is not None:
        approval = _number("approval_price", approval_price)
        review = _cost(side, filled * (approval - decision) * size)
        broker = _cost(side, filled * (arrival - approval) * size)
    execution = _cost(side, (paid - filled * arrival) * size)
    opportunity = _cost(side, left * (end - decision) * size)
    charged = _number("fees", fees)
    total = delay + execution + opportunity + charged
    decided = ordered * decision * size
    return ImplementationShortfall(
        review_delay=review,
        broker_delay=broker,
        delay=delay,
        execution=execution,
        opportunity=opportunity,
        fees=charged,
        total=total,
        total_bps=_ratio(total * BASIS_POINTS, decided) if decided > 0 else None,
    )


def _price_of(quantity: Decimal, name: str, price: Number | None, what: str) -> Decimal:
    """The price that a quantity is multiplied by: any will do where that is 0."""
    if price is None and quantity == 0:
        return Decimal(0)
    if price is None:
        raise ValueError(f"{name}=None: {quantity} units are {what}, what they cost needs a price")
    return _number(name, price)


@_exact()
def fill_rate(filled: Number, ordered: Number) -> Decimal:
    """Filled over ordered quantity, 0 to 1 (an overfill is no better than a fill).

    ValueError where filled is below 0 or ordered not above 0.
    """
    return min(Decimal(1), _ratio(_not_negative("filled", filled), _positive("ordered", ordered)))


@_exact()
def execution_score(
    *,
    filled: Number,
    ordered: Number,
    slippage: Number | None = None,
    spread_slippage: Number | None = None,
    latency: timedelta | None = None,
) -> ExecutionScore:
    """How well an order was executed: for being filled, for a price no worse than the benchmark, for being quick.

    `slippage` in basis points (slippage_bps), `spread_slippage` in % of the quoted spread (slippage_of_spread), both
    positive = cost; the spread's counts where both are known. `latency` is the time from submission to the first fill.
    None = not known. Points fall in a straight line: all of them at no cost (or a gain) and no time, none of them at
    WORST_SLIPPAGE_BPS or WORST_SLIPPAGE_OF_SPREAD and at WORST_LATENCY.

    Fill rate and slippage have 50 points each; where the latency is known, 40 each, and latency has 20. ValueError for
    filled or latency below 0 and for ordered not above 0.
    """
    share = 1 - LATENCY_POINTS / 100 if latency is not None else Decimal(1)
    price = _price_share(slippage, spread_slippage)
    return ExecutionScore(
        fill_rate=_points(FILL_RATE_POINTS * share, fill_rate(filled, ordered)),
        slippage=None if price is None else _points(SLIPPAGE_POINTS * share, price),
        latency=None if latency is None else _points(LATENCY_POINTS, _latency_share(latency)),
        missing=_missing(slippage, spread_slippage, latency),
    )


def _points(all_of_them: Decimal, share: Decimal) -> Decimal:
    return _DIVISION.quantize(all_of_them * share, _POINT)


def _price_share(slippage: Number | None, spread_slippage: Number | None) -> Decimal | None:
    in_bps = None if slippage is None else _share(_number("slippage", slippage), WORST_SLIPPAGE_BPS)
    if spread_slippage is None:
        return in_bps
    return _share(_number("spread_slippage", spread_slippage), WORST_SLIPPAGE_OF_SPREAD)


def _latency_share(latency: timedelta) -> Decimal:
    if latency < timedelta(0):
        raise ValueError(f"latency={latency.total_seconds():f} s: must not be below 0")
    return _share(_microseconds(latency), _microseconds(WORST_LATENCY))


def _share(cost: Decimal, worst: Decimal) -> Decimal:
    """1 without cost, 0 at the worst and beyond."""
    return 1 - _ratio(min(max(cost, Decimal(0)), worst), worst)


def _missing(slippage: Number | None, spread_slippage: Number | None, latency: timedelta | None) -> dict[str, str]:
    missing = {}
    if slippage is None and spread_slippage is None:
        missing["slippage"] = "n/a: neither a benchmark price above 0 nor a quoted spread is known"
    elif spread_slippage is None:
        missing["spread"] = "n/a: no quoted spread is known; slippage counts in basis points"
    if latency is None:
        missing["latency"] = "n/a: the time from submission to the first fill is not known"
    return missing
