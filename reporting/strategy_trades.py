"""The round trips of a strategy as rows of a table, newest first, found by place. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import NAMESPACE_OID, UUID, uuid5

from emo_site.db.keyset import Place
from reporting.trades import RoundTrip

PAGE = 50


@dataclass(frozen=True, kw_only=True)
class OrderLink:
    """An order behind a trade; `role` is "opened" or "closed"."""

    order: str
    role: str
    url: str


@dataclass(frozen=True, kw_only=True)
class TradeRow:
    """`pnl` is before fees, `net` after them. `endings` say what closed its parts."""

    instruments: tuple[str, ...]
    opened_at: datetime
    closed_at: datetime
    pnl: Decimal
    fees: Decimal
    net: Decimal
    endings: tuple[str, ...]
    orders: tuple[OrderLink, ...]
    instruments_text: str
    opened_text: str
    closed_text: str
    held_text: str
    pnl_text: str
    fees_text: str
    net_text: str
    endings_text: str


@dataclass(frozen=True, kw_only=True)
class TradePage:
    """`older` and `newer` say where the next pages begin; None where there are none."""

    rows: tuple[TradeRow, ...]
    total: int
    older: Place | None
    newer: bool


def place_of(trip: RoundTrip) -> Place:
    """The same for the same trade, whatever comes late: several may end at one moment."""
    named = f"{trip.opened_at.isoformat()}|{trip.order}|{trip.instruments}|{trip.pnl}|{trip.fees}"
    return Place(at=closed(trip), id=uuid5(NAMESPACE_OID, named))


def closed(trip: RoundTrip) -> datetime:
    """Of a trade that ended."""
    if trip.closed_at is None:
        raise ValueError(f"closed_at=None: the position opened at {trip.opened_at.isoformat()} is open")
    return trip.closed_at


def page(trips: Sequence[RoundTrip], url_of: Callable[[UUID], str], *, older_than: Place | None = None) -> TradePage:
    """`trips` that ended, in any order."""
    placed = sorted(((place_of(trip), trip) for trip in trips), key=lambda pair: _key(pair[0]), reverse=True)
    if older_than is not None:
        placed = [pair for pair in placed if _key(pair[0]) < _key(older_than)]
    shown = placed[:PAGE]
    return TradePage(
        rows=tuple(_row(trip, url_of) for _, trip in shown),
        total=len(trips),
        older=shown[-1][0] if len(placed) > PAGE else None,
        newer=older_than is not None,
    )


def _key(place: Place) -> tuple[datetime, UUID]:
    return place.at, place.id


def _row(trip: RoundTrip, url_of: Callable[[UUID], str]) -> TradeRow:
    ended = closed(trip)
    endings = tuple(sorted({str(each.ending) for each in trip.closings}))
    held = ended - trip.opened_at
    return TradeRow(
        instruments=trip.instruments,
        opened_at=trip.opened_at,
        closed_at=ended,
        pnl=trip.pnl,
        fees=trip.fees,
        net=trip.net,
        endings=endings,
        orders=_links(trip, url_of),
        instruments_text=", ".join(trip.instruments),
        opened_text=f"{trip.opened_at:%Y-%m-%d %H:%M}",
        closed_text=f"{ended:%Y-%m-%d %H:%M}",
        held_text=f"{held.days} d" if held.days else f"{held.seconds // 3600} h {held.seconds // 60 % 60} min",
        pnl_text=f"{trip.pnl:+,.2f}",
        fees_text=f"{trip.fees:,.2f}",
        net_text=f"{trip.net:+,.2f}",
        endings_text=", ".join(endings),
    )


def _links(trip: RoundTrip, url_of: Callable[[UUID], str]) -> tuple[OrderLink, ...]:
    """What opened it and what closed it; settlements and statements are no orders."""
    named = [(trip.order, "opened"), *((each.closed_by, "closed") for each in trip.closings)]
    found: dict[str, OrderLink] = {}
    for text, role in named:
        try:
            key = UUID(text)
        except ValueError:
            continue
        found.setdefault(text, OrderLink(order=text, role=role, url=url_of(key)))
    return tuple(found.values())
