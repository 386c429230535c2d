"""One change of an order together with all that goes with it, whole or not at all: event, facts, the day's risk,
a fill and its positions, and that its day changed. The only writer of those tables beside the recovery of positions.

The UPDATE names the status and the number of events that the caller saw: if somebody else was faster, nothing is
written. On PostgreSQL all of it is one statement, so that a change costs one round trip; SQLite, which has no network
and no writable WITH, takes several in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache, cached_property
from itertools import groupby
from typing import Any

import msgspec
from django.db import connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F
from psycopg.types.json import Jsonb

from emo_site.db import prepared
from orders import order_facts
from orders.holdings import Move, after
from orders.models import (
    ExecutedOrder,
    OrderDayChange,
    OrderEvent,
    OrderFacts,
    OrderLeg,
    Position,
    StagedOrder,
    StagedRisk,
    TradingStateChange,
)
from orders.order_facts import FillSums, Known
from orders.standing import Standing, shard_of, standing, trading_day


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of `order`, which is as its reader saw it.

    `columns` are new values by attribute name, `event` the sealed row of the trail (its to_status is the new status).
    `state_number`: the change holds only while no later trading state was declared than that one.
    """

    order: StagedOrder
    event: OrderEvent
    columns: dict[str, Any]
    state_number: int | None = None
    fill: ExecutedOrder | None = None
    fill_sums: FillSums | None = None
    """What the order's fills add up to after it; None where it leaves them as they were."""
    moves: Sequence[Move] = field(default_factory=tuple)

    @property
    def risk(self) -> Standing:
        """What it adds to, or takes from, the risk staged on the order's day."""
        order, changed = self.order, self.columns
        before = _standing(order.status, order.max_loss, order.unbounded_loss, order.filled_quantity)
        return (
            _standing(
                self.event.to_status,
                changed.get("max_loss", order.max_loss),
                changed.get("unbounded_loss", order.unbounded_loss),
                changed.get("filled_quantity", order.filled_quantity),
            )
            - before
        )

    @property
    def all_columns(self) -> dict[str, Any]:
        event = self.event
        return {
            "status": event.to_status,
            "updated_at": event.at,
            "event_count": event.sequence,
            "audit_head": event.seal,
            **self.columns,
        }

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The columns of the order's facts that may be other ones after it; of a kind of change always the same."""
        changed, order = self.all_columns, self.order
        known = Known(**{name: changed.get(name, getattr(order, name)) for name in order_facts.COLUMNS})
        return {
            **_facts_of_row(known, lambda name: changed.get(name, getattr(order, name))),
            **(order_facts.of_fills(known, self.fill_sums) if self.fill_sums else {}),
            **order_facts.of_event(self.event.seen),
        }


def _facts_of_row(known: Known, column: Callable[[str], Any]) -> dict[str, Any]:
    found = order_facts.of_order(known)
    return {
        **found,
        "reviewer_id": column("reviewed_by_id"),
        "violations": column("violations"),
        "events": column("event_count"),
    }


def facts_of(order: StagedOrder, seen: Mapping[str, Any], fills: FillSums) -> OrderFacts:
    """Those of an order as it is on record, whose last assessment is `seen`."""
    known = Known(**{name: getattr(order, name) for name in order_facts.COLUMNS})
    return OrderFacts(
        order_id=order.pk,
        environment=order.environment,
        created_at=order.created_at,
        expires_at=order.expires_at,
        strategy=order.strategy,
        underlying=order.underlying,
        **_facts_of_row(known, lambda name: getattr(order, name)),
        **order_facts.of_fills(known, fills),
        **order_facts.of_event(seen),
    )


def _change_of_day(order: StagedOrder) -> OrderDayChange:
    return OrderDayChange(day=trading_day(order.created_at), environment=order.environment)


def days_changed(days: Iterable[tuple[date, str]]) -> None:
    """Says of these days (with environment) that their orders are not what they were, where that was no change of one:
    orders were taken away, or rows were written by hand. Call it in the same transaction.
    """
    rows = [OrderDayChange(day=day, environment=environment) for day, environment in days]
    OrderDayChange.objects.using(_connection().alias).bulk_create(rows, batch_size=1000)


def put_facts(facts: Sequence[OrderFacts]) -> None:
    """In the place of those on record, where they are not what follows from their orders (orders/facts_check.py, which
    holds these meanwhile). Call it inside a transaction.
    """
    names = [field.name for field in OrderFacts._meta.concrete_fields if not field.primary_key]
    OrderFacts.objects.using(_connection().alias).bulk_create(
        facts, update_conflicts=True, unique_fields=["order"], update_fields=names
    )
    days_changed({(each.day, each.environment) for each in facts})


def insert(order: StagedOrder, legs: Sequence[OrderLeg], event: OrderEvent) -> None:
    """A new order, which already carries its first event's count and seal. Raises IntegrityError."""
    connection = _connection()
    risk = _standing(order.status, order.max_loss, order.unbounded_loss, Decimal(0))
    if connection.vendor == "postgresql":
        _prepare_keys(order, event)
        statement = _Statement(connection)
        statement.part("written", _insertion(statement, order))
        if legs:
            statement.part("legs", _insertion_of_many(statement, legs))
        if risk:
            statement.part("risk", _addition_to_risk(statement, order, risk))
        statement.part("facts", _insertion(statement, facts_of(order, event.seen, FillSums()), "written"))
        statement.part("changed", _insertion(statement, _change_of_day(order), "written"))
        text = statement.ending_in(_insertion(statement, event, "written"))
        with _undoable(connection):
            prepared.changed(connection, text, statement.parameters)
        return
    with transaction.atomic(using=connection.alias):
        order.save(force_insert=True, using=connection.alias)
        OrderLeg.objects.using(connection.alias).bulk_create(legs)
        _add_risk(order, risk, connection.alias)
        facts_of(order, event.seen, FillSums()).save(force_insert=True, using=connection.alias)
        _change_of_day(order).save(force_insert=True, using=connection.alias)
        event.save(force_insert=True, using=connection.alias)


def write(change: Change) -> bool:
    """Whether it was written: False where the order (or the trading state) is not as its reader saw it any more."""
    connection = _connection()
    if connection.vendor == "postgresql":
        statement = _statement_of(connection, change)
        with _undoable(connection):
            written = prepared.changed(connection, *statement) == 1
    else:
        written = _write_in_steps(change, connection)
    if written:
        _take_over(change)
    return written


def pass_through(order: StagedOrder, to: str, columns: dict[str, Any]) -> None:
    """A step without an event of its own, on the way to one that has (orders/history.py). Call it inside a transaction.

    Raises RuntimeError where somebody else changed the order meanwhile.
    """
    alias = _connection().alias
    before = _standing(order.status, order.max_loss, order.unbounded_loss, order.filled_quantity)
    same = StagedOrder.objects.using(alias).filter(pk=order.pk, status=order.status, event_count=order.event_count)
    if same.update(status=to, **columns) != 1:
        raise RuntimeError(f"order {order.pk} was changed while it was imported")
    _add_risk(order, _standing(to, order.max_loss, order.unbounded_loss, order.filled_quantity) - before, alias)
    for name, value in {"status": to, **columns}.items():
        setattr(order, name, value)


def write_each(changes: Sequence[Change]) -> list[bool]:
    """`write` of many, each by itself, in one transaction; PostgreSQL is not waited for between them."""
    connection = _connection()
    with transaction.atomic(using=connection.alias):
        if connection.vendor != "postgresql":
            return [write(change) for change in changes]
        found = _write_together(changes, connection)
    for place, change in enumerate(changes):
        if found[place]:
            _take_over(change)
    return [found[place] for place in range(len(changes))]


def _write_together(changes: Sequence[Change], connection: BaseDatabaseWrapper) -> dict[int, bool]:
    """By place. Everybody locks first orders by id, then the sums of days by shard: nobody waits in a circle."""
    prepared.rows(connection, _LOCK_ORDERS, [[change.order.pk for change in changes]])
    places = sorted(range(len(changes)), key=lambda place: _place_of_risk(changes[place]))
    statements = {place: _statement_of(connection, changes[place]) for place in places}
    found: dict[int, bool] = {}
    for text, alike in groupby(places, key=lambda place: statements[place][0]):
        these = list(alike)
        counts = prepared.changed_by_each(connection, text, [statements[place][1] for place in these])
        found.update(zip(these, (count == 1 for count in counts), strict=True))
    return found


# Keys that point at the orders, such as those of new events, need not wait.
_LOCK_ORDERS = "SELECT id FROM staged_orders WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE"


def _place_of_risk(change: Change) -> tuple[bool, date, int]:
    """Of the row that its risk is added to; what adds none comes first."""
    order = change.order
    return bool(change.risk), trading_day(order.created_at), shard_of(order.pk)


def _undoable(connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
    """One statement is whole by itself; inside a transaction, its failure must not be the failure of all."""
    return transaction.atomic(using=connection.alias) if connection.in_atomic_block else nullcontext()


def _take_over(change: Change) -> None:
    for name, value in change.all_columns.items():
        setattr(change.order, name, value)


def _standing(status: str, max_loss: Decimal | None, unbounded: bool, filled: Decimal) -> Standing:
    return standing(status, max_loss=max_loss, unbounded=unbounded, filled=filled)


def _connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_write(StagedOrder)]


# ---- PostgreSQL: one statement ---------------------------------------------------------------------------------------


class _Statement:
    """A WITH of several writes and its parameters, in the order in which they stand in the text."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.parts: list[str] = []
        self.parameters: list[Any] = []

    def part(self, name: str, text: str) -> None:
        self.parts.append(f"{name} AS ({text})")

    def ending_in(self, text: str) -> str:
        return f"WITH {', '.join(self.parts)} {text}"

    def place(self, column: Any, value: Any) -> str:
        """A typed placeholder for the value of a model's field."""
        # psycopg knows every other type that fields hold; what Django's preparation adds is only its time.
        if isinstance(column, models.JSONField):
            value = Jsonb(value, dumps=msgspec.json.encode)
        elif isinstance(value, Enum):
            value = value.value
        self.parameters.append(value)
        return f"%s::{_type_of(column)}"


@cache
def _type_of(column: Any) -> str:
    # Without its length: a cast to it would cut a text off in silence, and round a number.
    kind = str(column.db_type(connections[router.db_for_write(StagedOrder)]))
    return kind.partition("(")[0].strip()


def _statement_of(connection: BaseDatabaseWrapper, change: Change) -> tuple[str, list[Any]]:
    statement = _Statement(connection)
    _prepare_keys(change.event, change.fill)
    statement.part("written", _update(statement, change))
    # PostgreSQL runs the last part first: the day's sum is locked before positions, as where positions are built anew.
    if change.moves:
        statement.part("moved", _addition_to_positions(statement, change))
    if change.risk:
        statement.part("risk", _addition_to_risk(statement, change.order, change.risk))
    if change.fill is not None:
        statement.part("fill", _insertion(statement, change.fill, "written"))
    statement.part("facts", _update_of_facts(statement, change))
    statement.part("changed", _insertion(statement, _change_of_day(change.order), "written"))
    return statement.ending_in(_insertion(statement, change.event, "written")), statement.parameters


def _prepare_keys(*rows: models.Model | None) -> None:
    for row in rows:
        if row is not None and row.pk is None:
            row.pk = row._meta.pk.get_pk_value_on_save(row)


def _update(statement: _Statement, change: Change) -> str:
    order = change.order
    meta = StagedOrder._meta
    assigned = ", ".join(
        f'"{_field(name).column}" = {statement.place(_field(name), value)}'
        for name, value in change.all_columns.items()
    )
    text = f"UPDATE staged_orders SET {assigned} WHERE id = {statement.place(meta.pk, order.pk)}"  # noqa: S608
    status = statement.place(_field("status"), order.status)
    count = statement.place(_field("event_count"), order.event_count)
    # Said so that no index is used but that of the key: of a plan made once, the wrong one would be used for ever.
    text += f" AND (status, event_count) IS NOT DISTINCT FROM ({status}, {count})"
    if change.state_number is not None:
        environment = statement.place(_field("environment"), order.environment)
        number = statement.place(_field("event_count"), change.state_number)
        later = f"SELECT 1 FROM trading_state_changes WHERE environment = {environment} AND number > {number}"  # noqa: S608
        text += f" AND NOT EXISTS ({later})"
    return text + " RETURNING id"


@cache
def _field(name: str) -> Any:
    return next(each for each in StagedOrder._meta.concrete_fields if each.attname == name)


def _update_of_facts(statement: _Statement, change: Change) -> str:
    assigned = ", ".join(
        f'"{each.column}" = {statement.place(each, change.facts[each.attname])}'
        for each in OrderFacts._meta.concrete_fields
        if each.attname in change.facts
    )
    return f"UPDATE order_facts SET {assigned} FROM written WHERE order_id = written.id"  # noqa: S608


def _insertion(statement: _Statement, row: models.Model, source: str = "") -> str:
    columns, values = _values(statement, row)
    table = row._meta.db_table
    if not source:
        return f'INSERT INTO "{table}" ({columns}) VALUES ({values}) RETURNING id'  # noqa: S608  # names of our own
    return f'INSERT INTO "{table}" ({columns}) SELECT {values} FROM {source}'  # noqa: S608


def _insertion_of_many(statement: _Statement, rows: Sequence[models.Model]) -> str:
    pairs = [_values(statement, row) for row in rows]
    table = rows[0]._meta.db_table
    return f'INSERT INTO "{table}" ({pairs[0][0]}) VALUES ' + ", ".join(f"({values})" for _, values in pairs)  # noqa: S608


def _values(statement: _Statement, row: models.Model) -> tuple[str, str]:
    fields = [each for each in row._meta.concrete_fields if not isinstance(each, models.AutoField)]
    columns = ", ".join(f'"{each.column}"' for each in fields)
    return columns, ", ".join(statement.place(each, getattr(row, each.attname)) for each in fields)


def _addition_to_risk(statement: _Statement, order: StagedOrder, risk: Standing) -> str:
    columns, values = _values(statement, _risk_row(order, risk))
    sums = ", ".join(f"{name} = staged_risk.{name} + EXCLUDED.{name}" for name in _SUMS)
    return (
        f"INSERT INTO staged_risk ({columns}) SELECT {values} FROM written"  # noqa: S608
        f" ON CONFLICT (environment, day, shard) DO UPDATE SET {sums}"
    )


def _addition_to_positions(statement: _Statement, change: Change) -> str:
    pairs = [_values(statement, _position_row(change, move)) for move in change.moves]
    rows = " UNION ALL ".join(f"SELECT {values} FROM written" for _, values in pairs)  # noqa: S608
    return (
        f"INSERT INTO positions AS held ({pairs[0][0]}) {rows}"
        " ON CONFLICT (environment, strategy, instrument) DO UPDATE SET"
        " quantity = held.quantity + EXCLUDED.quantity, updated_at = EXCLUDED.updated_at, cost = CASE"
        " WHEN held.quantity = 0 OR sign(held.quantity) = sign(EXCLUDED.quantity) THEN held.cost + EXCLUDED.cost"
        " WHEN abs(EXCLUDED.quantity) <= abs(held.quantity)"
        " THEN round(held.cost * (held.quantity + EXCLUDED.quantity) / held.quantity, 6)"
        " ELSE round(EXCLUDED.cost * (held.quantity + EXCLUDED.quantity) / EXCLUDED.quantity, 6) END"
    )


# ---- any engine: several, in one transaction -------------------------------------------------------------------------


def _write_in_steps(change: Change, connection: BaseDatabaseWrapper) -> bool:
    order, alias = change.order, connection.alias
    with transaction.atomic(using=alias):
        if change.state_number is not None and _later_state(change, alias):
            return False
        same = StagedOrder.objects.using(alias).filter(pk=order.pk, status=order.status, event_count=order.event_count)
        if same.update(**change.all_columns) != 1:
            return False
        _add_risk(order, change.risk, alias)
        if change.fill is not None:
            change.fill.save(force_insert=True, using=alias)
        for move in change.moves:
            _move(change, move, alias)
        OrderFacts.objects.using(alias).filter(pk=order.pk).update(**change.facts)
        _change_of_day(order).save(force_insert=True, using=alias)
        change.event.save(force_insert=True, using=alias)
    return True


def _later_state(change: Change, alias: str) -> bool:
    later = TradingStateChange.objects.using(alias).filter(
        environment=change.order.environment, number__gt=change.state_number
    )
    return later.exists()


def _add_risk(order: StagedOrder, risk: Standing, alias: str) -> None:
    if not risk:
        return
    row = _risk_row(order, risk)
    same = StagedRisk.objects.using(alias).filter(environment=row.environment, day=row.day, shard=row.shard)
    if not same.update(**{name: F(name) + getattr(row, name) for name in _SUMS}):
        row.save(force_insert=True, using=alias)


def _move(change: Change, move: Move, alias: str) -> None:
    row = _position_row(change, move)
    held = Position.objects.using(alias).filter(
        environment=row.environment, strategy=row.strategy, instrument=row.instrument
    )
    found = held.first()
    if found is None:
        row.save(force_insert=True, using=alias)
        return
    quantity, cost = after(found.quantity, found.cost, move)
    held.update(quantity=quantity, cost=cost, updated_at=row.updated_at)


_SUMS = ("orders", "max_loss", "unbounded", "unknown")


def _risk_row(order: StagedOrder, risk: Standing) -> StagedRisk:
    return StagedRisk(
        environment=order.environment,
        day=trading_day(order.created_at),
        shard=shard_of(order.pk),
        orders=risk.orders,
        max_loss=risk.max_loss,
        unbounded=risk.unbounded,
        unknown=risk.unknown,
    )


def _position_row(change: Change, move: Move) -> Position:
    return position(change.order.environment, change.order.strategy, move, change.event.at)


def position(environment: str, strategy: str, move: Move, at: datetime) -> Position:
    """The row of a position that began with this move."""
    terms = move.terms
    return Position(
        environment=environment,
        strategy=strategy,
        instrument=terms.key,
        underlying=terms.underlying,
        right=terms.right,
        strike=terms.strike,
        expiry=terms.expiry,
        multiplier=terms.multiplier,
        quantity=move.quantity,
        cost=move.cost,
        updated_at=at,
    )
