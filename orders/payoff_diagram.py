"""The payoff diagram: a Payoff as SVG primitives with their labels, and the same figures as words. Pure.

Everything is placed here; a template only writes it down. Two drawings are made, a wide and a narrow one, because the
texts of a drawing that is scaled down to a phone can't be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from emo_site import display
from orders.axis import Scale, Tick
from orders.payoff_curve import Payoff, Point

UNIT = "account currency"
# A little more than what a character of the page's small type takes, in viewBox units.
CHARACTER = 6.6
ROW = 17.0
WIDE, NARROW = (760, 340), (360, 300)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A vertical line at a price, from the label above the plot down to its end. `anchor` is SVG's text-anchor."""

    kind: str
    x: float
    label: str
    label_x: float
    label_y: float
    top: float
    anchor: str


@dataclass(frozen=True, kw_only=True)
class Level:
    """A dashed horizontal line at the most that is lost or made."""

    kind: str
    y: float
    label: str
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One drawing in viewBox units. Lines and areas are SVG point lists, empty where there is none."""

    name: str
    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    zero_y: float
    price_ticks: tuple[Tick, ...]
    money_ticks: tuple[Tick, ...]
    gain: str
    loss: str
    expiry: str
    today: str
    marks: tuple[Mark, ...]
    levels: tuple[Level, ...]
    price_label: str
    price_label_x: float
    tick_labels_x: float
    price_tick_end: float
    price_labels_y: float
    price_title_y: float


@dataclass(frozen=True, kw_only=True)
class Figure:
    label: str
    value: str


@dataclass(frozen=True, kw_only=True)
class PayoffDiagram:
    """`drawings` is empty where nothing can be drawn; `figures` and `caption` say everything in words."""

    drawings: tuple[Drawing, ...]
    figures: tuple[Figure, ...]
    description: str
    caption: tuple[str, ...]
    shows_today: bool
    expiry_name: str


def diagram(
    payoff: Payoff, *, underlying: str, spot_age: str, premium_note: str, volatility_note: str
) -> PayoffDiagram:
    """The picture of a payoff. The notes say where its spot, premium and volatilities come from."""
    figures = _figures(payoff, spot_age)
    drawn = (_drawing(payoff, "wide", WIDE, underlying), _drawing(payoff, "narrow", NARROW, underlying))
    return PayoffDiagram(
        drawings=drawn if payoff.at_expiry or payoff.today else (),
        figures=figures,
        description=f"Profit and loss of this order by the price of {underlying}. "
        + ". ".join(f"{figure.label}: {figure.value}" for figure in figures)
        + ".",
        caption=tuple(note for note in _caption(payoff, premium_note, volatility_note) if note),
        shows_today=bool(payoff.today),
        expiry_name=_expiry_name(payoff),
    )


def _expiry_name(payoff: Payoff) -> str:
    if payoff.ends_on is None:
        return "At expiry" if payoff.options else "At each price"
    return f"{'When the first leg ends' if payoff.estimated else 'At expiry'}, {payoff.ends_on:%Y-%m-%d}"


def _figures(payoff: Payoff, spot_age: str) -> tuple[Figure, ...]:
    spot = "n/a: no price of the underlying is on record"
    if payoff.spot is not None:
        spot = f"{display.number(payoff.spot)}, {spot_age}"
    return (
        Figure(label="Max loss", value=_max_loss(payoff)),
        Figure(label="Max profit", value=_max_profit(payoff)),
        Figure(label="Breakevens", value=_breakevens(payoff)),
        Figure(label="Spot", value=spot),
        Figure(label="Premium", value=_premium(payoff.premium)),
    )


def _max_loss(payoff: Payoff) -> str:
    if payoff.max_loss is None:
        return "unbounded, each expiry by itself" if payoff.estimated else "unbounded"
    return f"{'at most ' if payoff.estimated else ''}{display.money(payoff.max_loss)}"


def _max_profit(payoff: Payoff) -> str:
    if not payoff.profit_known:
        return f"n/a: {payoff.no_expiry_reason}"
    if payoff.max_profit is None:
        return "unbounded"
    return f"about {display.money(payoff.max_profit)}" if payoff.estimated else display.money(payoff.max_profit)


def _breakevens(payoff: Payoff) -> str:
    if not payoff.profit_known:
        return f"n/a: {payoff.no_expiry_reason}"
    if not payoff.breakevens:
        return "none"
    about = "about " if payoff.estimated else ""
    return about + " and ".join(_price(zero) for zero in payoff.breakevens)


def _premium(premium: Decimal) -> str:
    if premium == 0:
        return display.money(premium)
    return f"{display.money(abs(premium))} {'paid' if premium > 0 else 'received'}"


def _caption(payoff: Payoff, premium_note: str, volatility_note: str) -> tuple[str, ...]:
    today = ""
    if payoff.options:
        today = f"No line for today: {payoff.no_today_reason}." if payoff.no_today_reason else volatility_note
    expiry = f"No line at expiry: {payoff.no_expiry_reason}." if payoff.no_expiry_reason else ""
    estimated = (
        "The legs end on several days: the line is that of the first one, what lives on is valued by its volatility."
        if payoff.estimated and payoff.at_expiry
        else ""
    )
    return (f"In {UNIT}, without fees. {premium_note}", estimated, expiry, today)


def _price(value: Decimal) -> str:
    return display.number(value.quantize(Decimal("0.01")))


def _short(value: Decimal) -> str:
    return f"{value:,.2f}"


def _drawing(payoff: Payoff, name: str, size: tuple[int, int], underlying: str) -> Drawing:
    width, height = size
    line = payoff.at_expiry or payoff.today
    if not line:
        line = ((Decimal(0), Decimal(0)), (Decimal(1), Decimal(0)))
    prices = Scale(low=line[0][0], high=line[-1][0], start=0, end=1)
    money = _money_range(payoff)
    most_money, most_prices = (7, 7) if name == "wide" else (5, 4)
    left = 12 + CHARACTER * max(len(tick.label) for tick in money.ticks(most_money))
    right = width - 12.0
    prices = Scale(low=prices.low, high=prices.high, start=left, end=right)
    marks, rows = _marks(payoff, prices)
    top, bottom = 8 + ROW * rows, height - 42.0
    money = Scale(low=money.low, high=money.high, start=bottom, end=top)
    return Drawing(
        name=name,
        width=width,
        height=height,
        left=round(left, 1),
        right=right,
        top=top,
        bottom=bottom,
        zero_y=money.place(0),
        price_ticks=prices.ticks(most_prices),
        money_ticks=money.ticks(most_money),
        gain=_area(payoff.at_expiry, prices, money, sign=1),
        loss=_area(payoff.at_expiry, prices, money, sign=-1),
        expiry=_points(payoff.at_expiry, prices, money),
        today=_points(payoff.today, prices, money),
        marks=tuple(marks),
        levels=_levels(payoff, prices, money),
        price_label=f"Price of {underlying}",
        price_label_x=round((left + right) / 2, 1),
        tick_labels_x=round(left - 6, 1),
        price_tick_end=bottom + 4,
        price_labels_y=bottom + 16,
        price_title_y=bottom + 34,
    )


def _money_range(payoff: Payoff) -> Scale:
    """Both lines and zero, with room above and below."""
    values = [profit for _, profit in (*payoff.at_expiry, *payoff.today)] or [Decimal(0)]
    low, high = min(*values, Decimal(0)), max(*values, Decimal(0))
    room = (high - low) * Decimal("0.12") or Decimal(1)
    return Scale(low=low - room, high=high + room, start=0, end=1)


def _points_of(line: Sequence[Point], prices: Scale, money: Scale) -> list[tuple[float, float]]:
    return [(prices.place(spot), money.place(profit)) for spot, profit in line]


def _points(line: Sequence[Point], prices: Scale, money: Scale) -> str:
    return " ".join(f"{x},{y}" for x, y in _points_of(line, prices, money))


def _area(line: Sequence[Point], prices: Scale, money: Scale, *, sign: int) -> str:
    """What lies between the line and zero on one side of it; the line has a point at each breakeven."""
    if not line:
        return ""
    kept = [(spot, profit if profit * sign > 0 else Decimal(0)) for spot, profit in line]
    if not any(profit for _, profit in kept):
        return ""
    ends = [(line[0][0], Decimal(0)), *kept, (line[-1][0], Decimal(0))]
    return _points(ends, prices, money)


def _marks(payoff: Payoff, prices: Scale) -> tuple[list[Mark], int]:
    """Breakevens and the spot, each label in the first row above the plot where it covers no other; and the rows."""
    found = [("breakeven", zero, f"Breakeven {_price(zero)}") for zero in payoff.breakevens]
    if payoff.spot is not None:
        found.insert(0, ("spot", payoff.spot, f"Spot {_price(payoff.spot)}"))
    taken: list[list[tuple[float, float]]] = []
    placed: list[tuple[str, float, str, float, int]] = []
    for kind, price, label in found:
        if not prices.low <= price <= prices.high:
            continue
        x, half = prices.place(price), CHARACTER * len(label) / 2
        middle = min(max(x, prices.start + half), prices.end - half)
        start, end = middle - half - 4, middle + half + 4
        row = next(
            (place for place, used in enumerate(taken) if all(end <= low or start >= high for low, high in used)),
            len(taken),
        )
        if row == len(taken):
            taken.append([])
        taken[row].append((start, end))
        placed.append((kind, x, label, middle, row))
    # The first row is the one nearest to the plot.
    return [
        Mark(
            kind=kind,
            x=x,
            label=label,
            label_x=round(middle, 1),
            label_y=8 + ROW * (len(taken) - row) - 6,
            top=8 + ROW * (len(taken) - row) - 2,
            anchor="middle",
        )
        for kind, x, label, middle, row in placed
    ], len(taken)


def _levels(payoff: Payoff, prices: Scale, money: Scale) -> tuple[Level, ...]:
    """The most that is made or lost, where the plot reaches it; the words below have it in any case."""
    if payoff.estimated:
        return ()
    wanted = []
    if payoff.max_profit is not None:
        wanted.append(("profit", payoff.max_profit, f"Max profit {_short(payoff.max_profit)}"))
    if payoff.max_loss is not None:
        wanted.append(("loss", -payoff.max_loss, f"Max loss {_short(payoff.max_loss)}"))
    reached = {profit for _, profit in payoff.at_expiry}
    return tuple(
        _level(kind, label, money.place(value), _points_of(payoff.at_expiry, prices, money))
        for kind, value, label in wanted
        if value in reached
    )


def _level(kind: str, label: str, y: float, line: Sequence[tuple[float, float]]) -> Level:
    """The label goes where the line at expiry is farthest away: at the left end, the middle or the right end."""
    first, last = line[0][0], line[-1][0]
    places = {
        "start": (first + 6, line[len(line) // 8][1]),
        "middle": ((first + last) / 2, line[len(line) // 2][1]),
        "end": (last - 6, line[-1 - len(line) // 8][1]),
    }
    anchor = max(places, key=lambda each: abs(places[each][1] - y))
    return Level(
        kind=kind,
        y=y,
        label=label,
        label_x=round(places[anchor][0], 1),
        label_y=round(y - 5 if kind == "profit" else y + 14, 1),
        anchor=anchor,
    )
