"""What a strategy dealt in, read from its fills and from statements of what it held, as trades are made of it.

Fills that were corrected or taken back don't count; what took their place does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from heapq import merge
from itertools import chain, islice
from typing import NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from emo_site.db.fields import current_environment
from orders.holdings import Move, moves
from orders.instruments import Terms
from orders.models import ExecutedOrder, OrderLeg, PositionSnapshot, StagedOrder
from reporting.strategy_days import Statement
from reporting.trades import MONEY_STEP, ZERO, Deal

_CHUNK = 2000
_Timed = tuple[datetime, int, Deal | Statement]


@dataclass(frozen=True, kw_only=True)
class OnRecord:
    """How many rows there are: fills, corrections and busts, and statements. None of them ever goes."""

    executions: int
    statements: int


def strategies() -> list[str]:
    """Those of this environment that have a fill or a statement, by name; "" is that of orders without one."""
    environment = current_environment()
    found = set(_executions().order_by().values_list("staged_order__strategy", flat=True).distinct())
    found |= set(PositionSnapshot.objects.filter(environment=environment).values_list("strategy", flat=True))
    return sorted(found)


def on_record(strategy: str, *, environment: str | None = None) -> OnRecord:
    return OnRecord(
        executions=_executions(strategy, environment).count(),
        statements=_statements(strategy, environment or current_environment()).count(),
    )


def events(strategy: str, terms: dict[str, Terms], *, environment: str | None = None) -> Iterator[Deal | Statement]:
    """By time, those at one moment fills first; `terms` is given each instrument before its event comes. Of this
    environment, or of another one whose rows are in the same database.
    """
    place = environment or current_environment()
    fills: Iterator[_Timed] = ((deal.at, 0, deal) for deal in _deals(strategy, place, terms))
    stated: Iterator[_Timed] = ((each.at, 1, each) for each in _stated(strategy, place, terms))
    for _, _, event in merge(fills, stated, key=lambda each: each[:2]):
        yield event


def _executions(strategy: str | None = None, environment: str | None = None) -> QuerySet[ExecutedOrder]:
    rows = ExecutedOrder.objects.filter(environment=environment or current_environment())
    return rows if strategy is None else rows.filter(staged_order__strategy=strategy)


def _statements(strategy: str, environment: str) -> QuerySet[PositionSnapshot]:
    return PositionSnapshot.objects.filter(environment=environment, strategy=strategy)


class _Fill(NamedTuple):
    order: UUID
    leg: int | None
    quantity: Decimal
    price: Decimal
    fees: Decimal
    at: datetime


_COLUMNS = (
    "staged_order",
    "leg__position",
    "execution_quantity",
    "execution_price",
    "fees",
    "execution_timestamp",
)


def _deals(strategy: str, environment: str, terms: dict[str, Terms]) -> Iterator[Deal]:
    holding = ExecutedOrder.objects.holding().filter(environment=environment)
    rows = holding.filter(staged_order__strategy=strategy).values_list(*_COLUMNS)
    fills = map(_Fill._make, rows.iterator(chunk_size=_CHUNK))
    # As columns, and each order once: to make a model of each fill takes longer than all else.
    while some := list(islice(fills, _CHUNK)):
        orders = _orders({fill.order for fill in some})
        for fill in some:
            yield from _deals_of(fill, *orders[fill.order], terms)


def _orders(keys: set[UUID]) -> dict[UUID, tuple[StagedOrder, list[OrderLeg]]]:
    legs: dict[UUID, list[OrderLeg]] = {}
    for leg in OrderLeg.objects.filter(order__in=keys).order_by("order", "position"):
        legs.setdefault(leg.order_id, []).append(leg)
    found = StagedOrder.objects.filter(pk__in=keys).only("symbol", "side", "quantity")
    return {order.pk: (order, legs.get(order.pk, [])) for order in found}


def _deals_of(fill: _Fill, order: StagedOrder, legs: Sequence[OrderLeg], terms: dict[str, Terms]) -> Iterator[Deal]:
    """One for each instrument. Cost and fees of a combination stand on one of them: they can't be told apart."""
    found = moves(order, legs, fill.leg, fill.quantity, fill.price)
    parts = chain.from_iterable(_parts(each, fill.quantity) for each in found)
    for place, move in enumerate(parts):
        terms[move.terms.key] = move.terms
        yield Deal(
            instrument=move.terms.key,
            quantity=move.quantity,
            cost=move.cost.quantize(MONEY_STEP, ROUND_HALF_UP),
            at=fill.at,
            multiplier=move.terms.multiplier,
            fees=fill.fees if place == 0 else ZERO,
            order=str(order.pk),
            price=fill.price if len(legs) <= 1 or fill.leg is not None else None,
        )


def _parts(move: Move, size: Decimal) -> list[Move]:
    """Legs that cancel one another out hold nothing, and still cost what they cost."""
    if move.quantity:
        return [move]
    return [replace(move, quantity=size), replace(move, quantity=-size, cost=ZERO)]


def _stated(strategy: str, environment: str, terms: dict[str, Terms]) -> Iterator[Statement]:
    for row in _statements(strategy, environment).order_by("taken_at", "id").iterator(chunk_size=_CHUNK):
        terms[row.instrument] = Terms(
            key=row.instrument,
            underlying=row.underlying,
            right=row.right,
            strike=row.strike,
            expiry=row.expiry,
            multiplier=row.multiplier,
        )
        yield Statement(
            instrument=row.instrument,
            quantity=row.quantity,
            price=row.average_price,
            at=row.taken_at,
            multiplier=row.multiplier,
        )
