"""The market tables of the bot's databases: which table, by its name and columns, becomes which market event. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from statistics import median
from typing import Any

from monitoring.choices import EventType
from monitoring.events import Event
from orders.legacy_import.documents import json_safe
from orders.legacy_import.fields import day, moment, number, optional_number, symbol, text, word
from orders.options import InvalidOptionSymbol, format_osi, parse_osi
from orders.ticket import InvalidTicket

Row = Mapping[str, Any]
TIMES = ("timestamp", "ts", "created_at", "updated_at", "recorded_at")
RIGHTS = {"call": "C", "c": "C", "put": "P", "p": "P"}


@dataclass(frozen=True, kw_only=True)
class MarketTable:
    """Where a table says what. Each tuple names columns of which one must be there; empty: the table has none."""

    name: str
    event_type: EventType
    time: tuple[str, ...]
    symbol: tuple[str, ...] = ()
    price: tuple[str, ...] = ()
    volume: tuple[str, ...] = ()
    """Taken where it is stated, not needed."""
    price_needed: bool = False
    renamed: Mapping[str, str] | None = None
    extra: Mapping[str, str] | None = None

    def missing(self, columns: Sequence[str]) -> str:
        """The column that keeps this table from being read, empty where it can be."""
        for names in (self.time, self.symbol, self.price):
            if names and not set(names) & set(columns):
                return " or ".join(names)
        return ""

    def event(self, row: Row) -> Event:
        """Raises InvalidTicket or InvalidEvent, naming the column."""
        time_name, time = _column(row, self.time)
        used = {time_name}
        name = ""
        if self.symbol:
            symbol_name, stated = _column(row, self.symbol)
            name = symbol(symbol_name, stated)
            if not name:
                raise InvalidTicket(symbol_name, stated, "is missing")
            used.add(symbol_name)
        price = self._price(row, used)
        volume = None
        if self.volume:
            volume_name, stated_volume = _column(row, self.volume)
            volume = optional_number(volume_name, stated_volume)
            used.add(volume_name)
        return Event(
            symbol=name,
            event_type=self.event_type,
            timestamp=moment(time_name, time),
            price=price,
            volume=volume,
            source=f"legacy:{self.name}",
            metadata={**(self.extra or {}), **self._rest(row, used)},
        )

    def _price(self, row: Row, used: set[str]) -> Decimal | None:
        if not self.price:
            return None
        name, stated = _column(row, self.price)
        used.add(name)
        if stated is None and not self.price_needed:
            return None
        return number(name, stated)

    def _rest(self, row: Row, used: set[str]) -> dict[str, Any]:
        """Every other column, so that nothing of the row is lost."""
        names = self.renamed or {}
        return {
            names.get(key, key): plain(key, value)
            for key, value in row.items()
            if key not in used and value is not None
        }


def plain(name: str, value: Any) -> Any:
    """A value of a column as JSON holds it; numbers with a fraction as text, exactly."""
    if isinstance(value, str):
        return text(name, value)
    if isinstance(value, bytes):
        raise InvalidTicket(name, value, "must be a number or a text")
    return json_safe(number(name, value)) if isinstance(value, float) else value


def _column(row: Row, names: tuple[str, ...]) -> tuple[str, Any]:
    """The first of the columns that the table has, also where it is NULL."""
    name = next((name for name in names if name in row), names[0])
    return name, row.get(name)


_POSITION: dict[str, Any] = {"event_type": EventType.POSITION, "symbol": ("symbol",)}
_EQUITY: dict[str, Any] = {"event_type": EventType.EQUITY, "price": ("equity",), "price_needed": True}
_BAR: dict[str, Any] = {
    "event_type": EventType.BAR,
    "symbol": ("symbol",),
    "price": ("close", "c"),
    "volume": ("volume", "v"),
    "price_needed": True,
}

TABLES: dict[str, MarketTable] = {
    table.name: table
    for table in (
        MarketTable(name="bars", time=("ts", "timestamp"), **_BAR),
        MarketTable(name="market_bars", time=("ts", "timestamp"), **_BAR),
        MarketTable(name="enhanced_bars", time=("t",), renamed={"o": "open", "h": "high", "l": "low"}, **_BAR),
        MarketTable(name="risk_metrics", time=("timestamp", "ts"), **_EQUITY),
        MarketTable(name="equity_curve", time=("ts", "timestamp"), **_EQUITY),
        MarketTable(name="position_snapshots", time=("timestamp", "ts"), price=("mark",), **_POSITION),
        MarketTable(name="position_history", time=("ts", "timestamp"), price=("mark",), **_POSITION),
        # No market price in this one: what was paid stays among the rest.
        MarketTable(name="positions", time=TIMES, **_POSITION),
        MarketTable(name="market_regime", event_type=EventType.REGIME, time=("timestamp", "ts")),
        MarketTable(name="runs", event_type=EventType.REGIME, time=("ts_utc",)),
        MarketTable(
            name="iv_history",
            event_type=EventType.IV_RANK,
            time=("ts",),
            symbol=("symbol",),
            price=("iv_rank",),
            price_needed=True,
        ),
        MarketTable(
            name="performance_metrics",
            event_type=EventType.METRIC,
            time=TIMES,
            price=("metric_value",),
            extra={"kind": "performance"},
            renamed={"metric_name": "name", "metric_data": "data"},
        ),
        # What the bot itself traded says nothing of what the market paid, so it is no trade event.
        MarketTable(
            name="trades",
            event_type=EventType.METRIC,
            time=TIMES,
            symbol=("symbol",),
            price=("price",),
            volume=("quantity", "qty"),
            extra={"kind": "bot_trade"},
        ),
        # At the time of the run that described it.
        MarketTable(
            name="symbols",
            event_type=EventType.BAR,
            time=("run_at", "run_id"),
            symbol=("symbol",),
            price=("close",),
            price_needed=True,
        ),
        MarketTable(
            name="options_data",
            event_type=EventType.OPTION_QUOTE,
            time=TIMES,
            symbol=("option_symbol",),
            volume=("volume",),
        ),
    )
}


def reader_of(table: MarketTable, context: Context) -> Callable[[Row], Event]:
    """How a row of this table becomes an event, with what it needs from the rest of the database."""
    if table.name == "symbols":
        return lambda row: table.event(_with_run_time(row, context.run_times))
    if table.name == "iv_history":
        return lambda row: _iv_rank(table, row, context.iv_rank_unit)
    if table.name == "options_data":
        return _option_quote
    return table.event


@dataclass(frozen=True, kw_only=True)
class Context:
    """What single rows do not say: the time of each run by its id, and the unit of IV ranks (1 or 100)."""

    run_times: Mapping[Any, Any]
    iv_rank_unit: Decimal = Decimal(1)


def iv_rank_unit(values: Iterable[Any]) -> Decimal:
    """1 where ranks run from 0 to 1, 100 where they run from 0 to 100: the scale that most rows speak.

    Ranks above 1 can only be of the second scale, and a column has one scale, so the median decides. What is then
    outside the scale is refused row by row: one odd row must not divide all others by 100.
    """
    figures = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return Decimal(100) if figures and median(figures) > 1 else Decimal(1)


def _iv_rank(table: MarketTable, row: Row, unit: Decimal) -> Event:
    stated = row.get("iv_rank")
    rank = number("iv_rank", stated)
    if not 0 <= rank <= unit:
        raise InvalidTicket("iv_rank", stated, f"must be from 0 to {unit}, the scale of this table")
    return table.event({**row, "iv_rank": rank / unit})


def _with_run_time(row: Row, run_times: Mapping[Any, datetime]) -> Row:
    run = row.get("run_id")
    if run not in run_times:
        raise InvalidTicket("run_id", run, "no row of runs has this id")
    return {**row, "run_at": run_times[run]}


def _option_quote(row: Row) -> Event:
    """Price: the middle of bid and ask, else the last trade."""
    table = TABLES["options_data"]
    bid, ask, last = (optional_number(name, row.get(name)) for name in ("bid", "ask", "last"))
    middle = (bid + ask) / 2 if bid is not None and ask is not None else last
    event = table.event({**row, "option_symbol": _osi(row)})
    return Event(
        symbol=event.symbol,
        event_type=event.event_type,
        timestamp=event.timestamp,
        price=middle,
        volume=event.volume,
        source=event.source,
        metadata=event.metadata,
    )


def _osi(row: Row) -> str:
    """The padded symbol; where the table has the option's parts too, they must be the same option."""
    stated = row.get("option_symbol")
    try:
        option = parse_osi(symbol("option_symbol", stated))
    except InvalidOptionSymbol as error:
        raise InvalidTicket("option_symbol", stated, str(error)) from error
    parts = {
        "strike": optional_number("strike", row.get("strike")),
        "expiry": day("expiry", row.get("expiry")),
        "right": word("option_type", row.get("option_type"), RIGHTS),
    }
    for name, value in parts.items():
        if value is not None and value != getattr(option, name):
            raise InvalidTicket("option_symbol", stated, f"the row's own {name} is {value}")
    return format_osi(option.root, option.expiry, option.right, option.strike)
