"""The audit trail only grows, whoever asks and in whatever words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction

from emo_site.db import append_only
from orders.models import OrderEvent
from tests.factories import equity, person, staged


@pytest.fixture
def event(db: None) -> OrderEvent:
    equity()
    return staged(person("trader", "trader")).events.get()


def execute(sql: str) -> Callable[[OrderEvent], object]:
    def run(event: OrderEvent) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    return run


ATTEMPTS = {
    "UPDATE": (execute("UPDATE order_events SET reason = 'better'"), "update"),
    "UPDATE of nothing new": (execute("UPDATE order_events SET reason = reason"), "update"),
    "DELETE": (execute("DELETE FROM order_events"), "delete"),
    "queryset.update": (lambda event: OrderEvent.objects.update(reason="better"), "update"),
    "queryset.delete": (lambda event: OrderEvent.objects.all().delete(), "delete"),
    "model.save": (lambda event: event.save(), "update"),
    "model.delete": (lambda event: event.delete(), "delete"),
}


def refused(attempt: Callable[[OrderEvent], object], event: OrderEvent, verb: str) -> None:
    before = list(OrderEvent.objects.values())
    with pytest.raises(IntegrityError, match=f"^order_events is append-only: {verb} is refused"), transaction.atomic():
        attempt(event)
    assert list(OrderEvent.objects.values()) == before


@pytest.mark.parametrize(("attempt", "verb"), ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_history_is_neither_changed_nor_removed(
    event: OrderEvent, attempt: Callable[[OrderEvent], object], verb: str
) -> None:
    refused(attempt, event, verb)


@pytest.mark.sqlite
def test_history_is_not_replaced_under_its_own_id(event: OrderEvent) -> None:
    columns = ", ".join(field.column for field in OrderEvent._meta.concrete_fields)
    changed = columns.replace("reason", "'better'")
    replace = f"REPLACE INTO order_events ({columns}) SELECT {changed} FROM order_events"
    before = list(OrderEvent.objects.values())
    # Any program's connection, which does not ask for triggers to see what REPLACE deletes.
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA recursive_triggers=OFF")
    with pytest.raises(IntegrityError, match=r"^order_events is append-only: this row exists"), transaction.atomic():
        execute(replace)(event)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA recursive_triggers=ON")
    assert list(OrderEvent.objects.values()) == before


def test_history_can_be_added_to(event: OrderEvent) -> None:
    event.pk = None
    event.sequence += 1
    event.save(force_insert=True)
    assert OrderEvent.objects.count() == 2


def test_other_tables_are_not_protected(event: OrderEvent) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE staged_orders SET source = 'elsewhere'")
    event.order.refresh_from_db()
    assert event.order.source == "elsewhere"


def test_protection_can_be_released_and_put_back(event: OrderEvent) -> None:
    append_only.run(connection, append_only.statements_to_release(connection.vendor, "order_events"))
    execute("UPDATE order_events SET reason = 'better'")(event)
    append_only.run(connection, append_only.statements_to_release(connection.vendor, "order_events"))
    append_only.run(
        connection,
        append_only.statements_to_protect(connection.vendor, "order_events", append_only.unique_keys(OrderEvent)),
    )
    refused(ATTEMPTS["UPDATE"][0], event, "update")


def test_operation_is_written_into_a_migration_as_it_was() -> None:
    operation = append_only.RefuseChanges("OrderEvent")
    name, args, kwargs = operation.deconstruct()
    assert (name, args, kwargs) == ("RefuseChanges", ["OrderEvent"], {})
    assert operation.describe() == "Refuse UPDATE and DELETE on OrderEvent"
    assert operation.migration_name_fragment == "orderevent_append_only"
