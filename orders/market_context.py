"""The market when an order was staged, when it was last judged, and now; and what waiting has cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from emo_site import display
from orders.assessment import Context, Quote
from orders.execution_quality import BASIS_POINTS, slippage_bps, slippage_money

NOT_ON_RECORD = "not on record"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value at the time `at`; None where it was not on record."""

    value: Decimal | None
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The market as it was known at `at`: quotes by symbol, equity in account currency, IV rank from 0 to 1."""

    name: str
    at: datetime
    quotes: Mapping[str, Reading]
    equity: Reading
    iv_rank: Reading


@dataclass(frozen=True, kw_only=True)
class Cell:
    value: str
    age: str


@dataclass(frozen=True, kw_only=True)
class MarketRow:
    """One quantity over the snapshots; `change` is from the first to the last of them."""

    label: str
    cells: tuple[Cell, ...]
    change: str


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What an order that was not sent yet has lost (positive) or gained since it was staged."""

    money: str
    basis_points: str
    reason: str
    tone: str


@dataclass(frozen=True, kw_only=True)
class MarketContext:
    columns: tuple[Cell, ...]
    rows: tuple[MarketRow, ...]
    waiting: Waiting
    unavailable: str


def snapshot_of(context: Context, name: str) -> Snapshot:
    """What the rules saw."""
    quotes = {quote.symbol: Reading(value=quote.price, at=quote.at) for quote in _quotes(context)}
    return Snapshot(
        name=name,
        at=context.now,
        quotes=quotes,
        equity=Reading(value=context.equity, at=context.equity_at),
        iv_rank=Reading(value=context.iv_rank, at=context.iv_rank_at),
    )


def market_context(
    snapshots: tuple[Snapshot, ...], *, symbols: tuple[str, ...], waiting: Waiting, unavailable: str
) -> MarketContext:
    """`snapshots` by time, the last one is now. A symbol that no snapshot has a quote of gets its row too."""
    rows = [_row(f"{symbol} price", [each.quotes.get(symbol) for each in snapshots], snapshots) for symbol in symbols]
    # A share of a share would say little of a rank.
    rows.append(_row("IV rank, 0 to 1", [each.iv_rank for each in snapshots], snapshots, in_bps=False))
    rows.append(_row("Account equity", [each.equity for each in snapshots], snapshots))
    return MarketContext(
        columns=tuple(Cell(value=each.name, age=display.moment(each.at)) for each in snapshots),
        rows=tuple(rows),
        waiting=waiting,
        unavailable=unavailable,
    )


def waited(
    *, side: str, price_then: Decimal, price_now: Decimal, quantity: Decimal, multiplier: int, name_then: str
) -> Waiting:
    """s x (now - then) x quantity x multiplier; positive = cost. `side` of a combination is buy, at its net price."""
    money = slippage_money(side, price_now, price_then, quantity, multiplier)
    bps = "no basis points at a credit"
    if price_then > 0:
        bps = f"{slippage_bps(side, price_now, price_then):+,.1f} bps"
    tone = "muted" if money == 0 else "bad" if money > 0 else "good"
    return Waiting(
        money=f"{money:+,.2f}",
        basis_points=bps,
        reason=f"{display.number(price_then)} {name_then}, {display.number(price_now)} now. Positive is a cost.",
        tone=tone,
    )


def not_waited(reason: str) -> Waiting:
    return Waiting(money="n/a", basis_points="", reason=reason, tone="muted")


def _quotes(context: Context) -> list[Quote]:
    return [quote for quote in (context.underlying_quote, context.quote) if quote is not None]


def _row(
    label: str, readings: list[Reading | None], snapshots: tuple[Snapshot, ...], *, in_bps: bool = True
) -> MarketRow:
    cells = tuple(_cell(reading, each.at) for reading, each in zip(readings, snapshots, strict=True))
    known = [reading.value if reading else None for reading in readings]
    return MarketRow(label=label, cells=cells, change=_change(known[0], known[-1], in_bps=in_bps))


def _cell(reading: Reading | None, at: datetime) -> Cell:
    if reading is None or reading.value is None:
        return Cell(value=NOT_ON_RECORD, age="")
    age = f"{display.age(at - reading.at)} old" if reading.at else ""
    return Cell(value=display.number(reading.value), age=age)


def _change(then: Decimal | None, now: Decimal | None, *, in_bps: bool) -> str:
    if then is None or now is None:
        return "n/a"
    if now == then:
        return "unchanged"
    plain = f"{(now - then).normalize():+,f}"
    return f"{plain} ({(now / then - 1) * BASIS_POINTS:+,.1f} bps)" if in_bps and then > 0 else plain
