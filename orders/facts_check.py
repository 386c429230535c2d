"""Facts of orders against the orders, fills and events that they follow from; and made anew where they differ.

They are written with every change of an order, so that they differ only after rows were written by hand, were restored
in part, or were made by an older formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import router, transaction
from django.db.models import QuerySet

from emo_site.db.snapshot import snapshot
from orders import journal, order_facts
from orders.models import ExecutedOrder, OrderEvent, OrderFacts, StagedOrder
from orders.order_facts import FillSums

AT_ONCE = 500
MISSING = "facts"
_COLUMNS = tuple(field.attname for field in OrderFacts._meta.concrete_fields if not field.primary_key)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A column of an order's facts; that called MISSING where it has none at all."""

    order: UUID
    column: str
    on_record: Any
    follows: Any


def differences() -> Iterator[Difference]:
    """By order, oldest first; AT_ONCE at a time, as they are at one moment: orders change meanwhile."""
    orders = _orders()
    for keys in _batches(orders):
        with snapshot(orders.db):
            batch = list(orders.filter(pk__in=keys).select_related("facts"))
            found = list(_differences(batch, _expected(batch)))
        yield from found


def rebuild() -> int:
    """Makes the facts anew that differ; returns of how many orders. Each batch whole or not at all."""
    return sum(map(_rebuild, _batches(_orders())))


def _rebuild(keys: Sequence[UUID]) -> int:
    orders = _orders()
    with transaction.atomic(using=orders.db):
        # No change of them comes in between.
        list(orders.select_for_update().filter(pk__in=keys).values_list("pk"))
        batch = list(orders.filter(pk__in=keys).select_related("facts"))
        expected = _expected(batch)
        wrong = {each.order for each in _differences(batch, expected)}
        if wrong:
            journal.put_facts([expected[key] for key in sorted(wrong)])
    return len(wrong)


def _orders() -> QuerySet[StagedOrder]:
    return StagedOrder.objects.using(router.db_for_write(StagedOrder)).order_by("pk")


def _batches(orders: QuerySet[StagedOrder]) -> Iterator[list[UUID]]:
    last: UUID | None = None
    while keys := list((orders if last is None else orders.filter(pk__gt=last)).values_list("pk", flat=True)[:AT_ONCE]):
        yield keys
        last = keys[-1]


def _differences(orders: Sequence[StagedOrder], expected: Mapping[UUID, OrderFacts]) -> Iterator[Difference]:
    for order in orders:
        facts, wanted = getattr(order, "facts", None), expected[order.pk]
        if facts is None:
            yield Difference(order=order.pk, column=MISSING, on_record=None, follows="a row")
            continue
        for name in _COLUMNS:
            if getattr(facts, name) != getattr(wanted, name):
                yield Difference(
                    order=order.pk, column=name, on_record=getattr(facts, name), follows=getattr(wanted, name)
                )


def _expected(orders: Sequence[StagedOrder]) -> dict[UUID, OrderFacts]:
    keys, alias = [order.pk for order in orders], router.db_for_write(StagedOrder)
    seen, fills = _assessments(keys, alias), _fills(keys, alias)
    return {
        order.pk: journal.facts_of(order, seen.get(order.pk, {}), fills.get(order.pk, FillSums())) for order in orders
    }


def _assessments(keys: Sequence[UUID], alias: str) -> dict[UUID, Mapping[str, Any]]:
    """What the last event with an assessment saw, by order."""
    events = OrderEvent.objects.using(alias).filter(order__in=keys).order_by("sequence")
    return {order: seen for order, seen in events.values_list("order_id", "seen") if order_facts.of_event(seen)}


def _fills(keys: Sequence[UUID], alias: str) -> dict[UUID, FillSums]:
    """Of those that hold, by order."""
    found: dict[UUID, FillSums] = {}
    holding = ExecutedOrder.objects.using(alias).holding().filter(staged_order__in=keys)
    for order, fees, at in holding.values_list("staged_order_id", "fees", "execution_timestamp"):
        found[order] = found.get(order, FillSums()).and_one_more(fees, at)
    return found
