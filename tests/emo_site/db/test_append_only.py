"""The audit trail, and all else that is a record, only grows: whoever asks and in whatever words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Model

from emo_site.api import tokens
from emo_site.api.models import ApiCall
from emo_site.db import append_only
from emo_site.db.roles import audit_tables
from orders.models import (
    ExecutedOrder,
    FeedPlace,
    OrderAccess,
    OrderEvent,
    PositionSnapshot,
    RefusedDecision,
    RuleOverride,
    StagedOrder,
    TradingStateChange,
)
from tests.factories import NOW, equity, person, staged
from tests.tampering import protected_models, released


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


@pytest.mark.postgresql
@pytest.mark.parametrize("statement", ["TRUNCATE order_events", "TRUNCATE staged_orders CASCADE"])
def test_history_is_not_truncated(event: OrderEvent, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with (
        pytest.raises(IntegrityError, match=r"^\w+ is append-only: truncate is refused"),
        transaction.atomic(),
    ):
        execute(statement)(event)
    assert OrderEvent.objects.count() == 1


RECORDS = {
    "api_calls": lambda order: ApiCall(
        at=NOW,
        token=tokens.create(
            name="bot",
            owner=order.created_by,
            scopes=["read"],
            expires_at=NOW + timedelta(days=1),
            created_by="a test",
            now=NOW,
        ).token,
        actor=order.created_by,
        actor_name="trader",
        method="POST",
        route="orders",
        status=201,
        request_id="r",
    ),
    "order_feed": lambda order: FeedPlace(number=1, event=order.events.get()),
    "order_accesses": lambda order: OrderAccess(
        order=order, at=NOW, kind="viewed", actor=order.created_by, actor_name="trader", what="order page"
    ),
    "refused_decisions": lambda order: RefusedDecision(
        order=order, at=NOW, attempt="approve", code="SELF_APPROVAL", actor=order.created_by, actor_name="trader"
    ),
    "rule_overrides": lambda order: RuleOverride(
        order=order,
        code="EXPIRY",
        reason="agreed",
        staged_by=order.created_by,
        given_by=person("officer"),
        given_at=NOW,
        expires_at=NOW + timedelta(days=1),
    ),
    "trading_state_changes": lambda order: TradingStateChange(
        number=1, at=NOW, state="halted", before="active", changed_by=order.created_by, reason="a fault"
    ),
    "position_snapshots": lambda order: PositionSnapshot(
        strategy="momentum",
        instrument="SPY",
        underlying="SPY",
        quantity=Decimal(1),
        taken_at=NOW,
        source="statement.csv",
        imported_at=NOW,
        imported_by=order.created_by,
    ),
    "executed_orders": lambda order: ExecutedOrder(
        staged_order=order,
        execution_id="x1",
        symbol="SPY",
        side="buy",
        execution_price=Decimal(400),
        execution_quantity=Decimal(1),
        execution_timestamp=NOW,
    ),
}


@pytest.mark.parametrize("make", RECORDS.values(), ids=RECORDS.keys())
def test_other_records_only_grow_too(event: OrderEvent, make: Callable[[StagedOrder], Model]) -> None:
    record = make(event.order)
    record.save(force_insert=True)
    table, column = record._meta.db_table, record._meta.pk.column
    attempts = {
        "update": f"UPDATE {table} SET {column} = {column}",
        "delete": f"DELETE FROM {table}",
    }
    if connection.vendor == "postgresql":
        execute("SET CONSTRAINTS ALL IMMEDIATE")(event)
        attempts["truncate"] = f"TRUNCATE {table} CASCADE"
    for verb, sql in attempts.items():
        with (
            pytest.raises(IntegrityError, match=f"^{table} is append-only: {verb} is refused"),
            transaction.atomic(),
        ):
            execute(sql)(event)
    assert type(record)._base_manager.count() == 1


def test_records_are_all_of_these(db: None) -> None:
    assert audit_tables() == sorted({"order_events", *RECORDS})
    assert {model._meta.db_table for model in protected_models(connection)} == set(audit_tables())


def test_unique_fields_are_keys_that_nothing_replaces() -> None:
    keys = append_only.unique_keys(ExecutedOrder)
    assert keys == [["id"], ["corrects_id"], ["execution_id"]]


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
    with released(OrderEvent):
        execute("UPDATE order_events SET reason = 'better'")(event)
        # Twice is no more than once.
        append_only.run(connection, append_only.statements_to_release(connection.vendor, "order_events"))
    refused(ATTEMPTS["UPDATE"][0], event, "update")


def test_operation_is_written_into_a_migration_as_it_was() -> None:
    operation = append_only.RefuseChanges("OrderEvent")
    name, args, kwargs = operation.deconstruct()
    assert (name, args, kwargs) == ("RefuseChanges", ["OrderEvent"], {})
    assert operation.describe() == "Refuse UPDATE, DELETE and TRUNCATE on OrderEvent"
    assert operation.migration_name_fragment == "orderevent_append_only"
