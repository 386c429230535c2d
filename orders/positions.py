"""Positions built anew: from the last statement of what was held, if there is one, and every fill since that holds.

Fills keep positions up as they are booked (orders/journal.py). This is the definition of what they must come to; it is
used after a correction, after a statement was taken over, and to prove that both agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q, QuerySet

from orders.holdings import Move, after, moves
from orders.instruments import Terms
from orders.journal import position
from orders.models import ExecutedOrder, OrderLeg, Position, PositionSnapshot

ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A position that the table tells otherwise than the fills. Quantities are signed; 0 where there is none."""

    environment: str
    strategy: str
    instrument: str
    on_record: Decimal
    from_fills: Decimal


_Found = dict[tuple[str, str], tuple[Terms, Decimal, Decimal]]


def rebuild(environment: str, strategy: str, underlying: str | None, *, now: datetime) -> None:
    """Writes the positions of a strategy in one underlying (None: in all) as its statements and fills have them."""
    with transaction.atomic():
        locked: set[str] = set()
        while True:
            found = _found(environment, strategy, underlying)
            wanted = {row.instrument: _terms_of(row) for row in _kept(environment, strategy, underlying)}
            wanted |= {terms.key: terms for terms, _, _ in found.values()}
            if wanted.keys() <= locked:
                break
            # Whoever books a fill from now on waits until this is done, and adds to it. Whoever was before is found by
            # the next look, maybe with an instrument that had no row.
            _lock(environment, strategy, wanted, now)
            locked |= wanted.keys()
        kept = _kept(environment, strategy, underlying)
        for (_, key), (_, quantity, cost) in found.items():
            kept.filter(instrument=key).update(quantity=quantity, cost=cost)
        gone = locked - {key for _, key in found}
        kept.filter(instrument__in=gone).update(quantity=ZERO, cost=ZERO)


def _lock(environment: str, strategy: str, instruments: dict[str, Terms], now: datetime) -> None:
    """Rows that are not there yet are made, flat; all of them in the order in which fills lock them."""
    flat = (Move(terms=instruments[key], quantity=ZERO, cost=ZERO) for key in sorted(instruments))
    Position.objects.bulk_create(
        [position(environment, strategy, each, now) for each in flat],
        update_conflicts=True,
        unique_fields=["environment", "strategy", "instrument"],
        update_fields=["updated_at"],
    )


def differences() -> Iterator[Difference]:
    """Every position whose quantity is not what statements and fills add up to. Reads all fills."""
    strategies = set(ExecutedOrder.objects.values_list("environment", "staged_order__strategy"))
    strategies |= set(PositionSnapshot.objects.values_list("environment", "strategy"))
    strategies |= set(Position.objects.values_list("environment", "strategy"))
    for environment, strategy in sorted(strategies):
        found = {key: quantity for (_, key), (_, quantity, _) in _found(environment, strategy, None).items()}
        kept = dict(_kept(environment, strategy, None).values_list("instrument", "quantity"))
        for key in sorted(found.keys() | kept.keys()):
            said, made = kept.get(key, ZERO), found.get(key, ZERO)
            if said != made:
                yield Difference(
                    environment=environment, strategy=strategy, instrument=key, on_record=said, from_fills=made
                )


def _kept(environment: str, strategy: str, underlying: str | None) -> QuerySet[Position]:
    rows = Position.objects.filter(environment=environment, strategy=strategy)
    return rows if underlying is None else rows.filter(underlying=underlying)


def _found(environment: str, strategy: str, underlying: str | None) -> _Found:
    """(underlying, instrument) -> terms, signed quantity, cost: the last statement of each, and the fills since."""
    found: _Found = {}
    since: dict[str, datetime] = {}
    for snapshot in _last_snapshots(environment, strategy, underlying):
        terms = _terms_of(snapshot)
        paid = (snapshot.average_price or ZERO) * snapshot.quantity * snapshot.multiplier
        found[terms.underlying, terms.key] = (terms, snapshot.quantity, paid)
        since[terms.key] = snapshot.taken_at
    for executed_at, move in _moves(environment, strategy, underlying):
        if underlying is not None and move.terms.underlying != underlying:
            continue
        key = move.terms.key
        if key in since and executed_at <= since[key]:
            continue
        terms, quantity, cost = found.get((move.terms.underlying, key), (move.terms, ZERO, ZERO))
        found[move.terms.underlying, key] = (terms, *after(quantity, cost, move))
    return found


def _last_snapshots(environment: str, strategy: str, underlying: str | None) -> Iterator[PositionSnapshot]:
    rows = PositionSnapshot.objects.filter(environment=environment, strategy=strategy)
    if underlying is not None:
        rows = rows.filter(underlying=underlying)
    last: dict[str, PositionSnapshot] = {}
    for row in rows.order_by("taken_at", "id"):
        last[row.instrument] = row
    yield from last.values()


def _terms_of(row: PositionSnapshot | Position) -> Terms:
    return Terms(
        key=row.instrument,
        underlying=row.underlying,
        right=row.right,
        strike=row.strike,
        expiry=row.expiry,
        multiplier=row.multiplier,
    )


def _moves(environment: str, strategy: str, underlying: str | None) -> Iterator[tuple[datetime, Move]]:
    """In the order in which the desk learned of them, which is the one in which they were booked."""
    fills = ExecutedOrder.objects.holding().filter(environment=environment, staged_order__strategy=strategy)
    if underlying is not None:
        fills = fills.filter(
            Q(staged_order__underlying=underlying) | Q(staged_order__legs__symbol=underlying)
        ).distinct()
    legs: dict[object, list[OrderLeg]] = {}
    for fill in fills.select_related("staged_order", "leg").order_by("recorded_at", "id").iterator(chunk_size=2000):
        order = fill.staged_order
        if order.pk not in legs:
            legs[order.pk] = list(OrderLeg.objects.filter(order=order).order_by("position"))
        place = fill.leg.position if fill.leg else None
        for move in moves(order, legs[order.pk], place, fill.execution_quantity, fill.execution_price):
            yield fill.execution_timestamp, move
