"""An order with its people, legs and fills as they are now, in as few statements as the engine allows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db import prepared
from orders.choices import AT_BROKER, FillKind
from orders.models import ExecutedOrder, OrderEvent, OrderLeg, StagedOrder
from orders.order_facts import FillSums


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One order as it is on record. `fills` are (leg's position or None, quantity, price) of those that still hold:
    neither taken back nor put right by a later row, the first of them executed at `first_fill_at`; `fill_sums` has
    their fees and times. `was_at_broker`: whether it ever was.
    """

    order: StagedOrder
    legs: tuple[OrderLeg, ...]
    fills: tuple[tuple[int | None, Decimal, Decimal], ...]
    was_at_broker: bool
    fill_sums: FillSums

    @property
    def first_fill_at(self) -> datetime | None:
        return self.fill_sums.first_at


def read(order_ids: Sequence[UUID]) -> dict[UUID, Recorded]:
    """Those that exist, by id; from the primary, since a decision follows. PostgreSQL: one statement."""
    connection = connections[router.db_for_write(StagedOrder)]
    if connection.vendor == "postgresql":
        found = (_recorded(row, connection) for row in prepared.rows(connection, _sql(), [list(order_ids)]))
        return {each.order.pk: each for each in found}
    return _read_by_model(order_ids, connection.alias)


def fill_sums(fills: Iterable[tuple[Decimal, datetime]]) -> FillSums:
    """Of (fees, at) pairs."""
    found = FillSums()
    for fees, at in fills:
        found = found.and_one_more(fees, at)
    return found


# ---- PostgreSQL ------------------------------------------------------------------------------------------------------

_LEG = ("id", "position", "action", "instrument", "symbol", "strike", "expiry", "quantity", "multiplier")


@cache
def _sql() -> str:
    columns = ", ".join(f'o."{field.column}"' for field in StagedOrder._meta.concrete_fields)
    legs = ", ".join(f"leg.{name}::text" for name in _LEG)
    at_broker = ", ".join(f"'{status}'" for status in sorted(AT_BROKER))
    # One by one by key, and asked for inside: the plan is made once, maybe on empty tables, where to read all of them
    # looks cheap.
    return f"""
SELECT {columns},
  (SELECT username FROM auth_user WHERE id = o.created_by_id),
  (SELECT username FROM auth_user WHERE id = o.reviewed_by_id),
  (SELECT json_agg(json_build_array({legs}) ORDER BY leg.position)
   FROM order_legs AS leg WHERE leg.order_id = o.id)::text,
  (SELECT json_agg(json_build_array((SELECT position FROM order_legs WHERE id = fill.leg_id),
                                    fill.execution_quantity::text, fill.execution_price::text,
                                    fill.execution_timestamp, fill.fees::text)
                   ORDER BY fill.execution_timestamp, fill.id)
   FROM executed_orders AS fill
   WHERE fill.staged_order_id = o.id AND fill.kind <> '{FillKind.BUST}'
     AND (SELECT later.id FROM executed_orders AS later WHERE later.corrects_id = fill.id) IS NULL)::text,
  (SELECT true FROM order_events AS event WHERE event.order_id = o.id AND event.to_status IN ({at_broker}) LIMIT 1)
    IS NOT NULL
FROM unnest(%s::uuid[]) AS wanted(id)
CROSS JOIN LATERAL (SELECT * FROM staged_orders WHERE id = wanted.id OFFSET 0) AS o
"""  # noqa: S608  # names of our own


def _recorded(row: tuple[Any, ...], connection: BaseDatabaseWrapper) -> Recorded:
    fields = StagedOrder._meta.concrete_fields
    values = [
        field.from_db_value(value, None, connection) if isinstance(field, models.JSONField) else value  # type: ignore[arg-type]  # Django's own
        for field, value in zip(fields, row, strict=False)
    ]
    order = StagedOrder.from_db(connection.alias, [field.attname for field in fields], values)
    creator, reviewer, legs, fills, was_at_broker = row[len(fields) :]
    holding = _list(fills)
    order.created_by = _person(connection.alias, order.created_by_id, creator)
    if order.reviewed_by_id is not None:
        order.reviewed_by = _person(connection.alias, order.reviewed_by_id, reviewer)
    return Recorded(
        order=order,
        legs=tuple(_leg(order, *each) for each in _list(legs)),
        fills=tuple((position, Decimal(quantity), Decimal(price)) for position, quantity, price, *_ in holding),
        was_at_broker=was_at_broker,
        fill_sums=fill_sums((Decimal(fees), datetime.fromisoformat(at)) for *_, at, fees in holding),
    )


def _list(document: str | None) -> list[Any]:
    return json.loads(document) if document else []


def _person(alias: str, identifier: int, name: str) -> User:
    """Everything else of them is fetched by whoever asks for it."""
    return User.from_db(alias, ["id", "username"], [identifier, name])


def _leg(order: StagedOrder, *values: str | None) -> OrderLeg:
    row: dict[str, Any] = dict(zip(_LEG, values, strict=True))
    leg = OrderLeg(
        **{
            **row,
            "id": int(row["id"]),
            "position": int(row["position"]),
            "strike": None if row["strike"] is None else Decimal(row["strike"]),
            "expiry": None if row["expiry"] is None else date.fromisoformat(row["expiry"]),
            "quantity": Decimal(row["quantity"]),
            "multiplier": int(row["multiplier"]),
        }
    )
    leg.order = order
    return leg


# ---- any engine ------------------------------------------------------------------------------------------------------


def _read_by_model(order_ids: Sequence[UUID], alias: str) -> dict[UUID, Recorded]:
    orders = StagedOrder.objects.using(alias).with_people().in_bulk(list(order_ids))
    legs: dict[UUID, list[OrderLeg]] = {}
    for leg in OrderLeg.objects.using(alias).filter(order__in=orders).order_by("position"):
        legs.setdefault(leg.order_id, []).append(leg)
    fills: dict[UUID, list[Any]] = {}
    holding = ExecutedOrder.objects.using(alias).filter(staged_order__in=orders).holding()
    for pk, *fill in holding.values_list(
        "staged_order_id", "leg__position", "execution_quantity", "execution_price", "execution_timestamp", "fees"
    ):
        fills.setdefault(pk, []).append(fill)
    sent = OrderEvent.objects.using(alias).filter(order__in=orders, to_status__in=AT_BROKER)
    at_broker = set(sent.values_list("order_id", flat=True))
    return {
        pk: Recorded(
            order=order,
            legs=tuple(legs.get(pk, ())),
            fills=tuple((position, quantity, price) for position, quantity, price, *_ in fills.get(pk, ())),
            was_at_broker=pk in at_broker,
            fill_sums=fill_sums((fees, at) for *_, at, fees in fills.get(pk, ())),
        )
        for pk, order in orders.items()
    }
