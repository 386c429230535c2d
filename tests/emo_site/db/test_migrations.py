"""Every migration goes back to nothing and forward again, on the engine this run is about."""

from __future__ import annotations

import importlib
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import Model

from emo_site.db.health import unapplied_migrations
from emo_site.db.timescale.capabilities import look_up
from emo_site.db.timescale.hypertables import existing
from orders import audit, workflow
from orders.models import OrderEvent, OrderFacts, StagedOrder
from tests.factories import NOW, equity, person, staged

APPS = ("reporting", "orders", "monitoring", "jobs")


def migrate(*arguments: str) -> None:
    call_command("migrate", *arguments, verbosity=0)


def models(label: str) -> list[type[Model]]:
    """Those with tables of their own."""
    return [model for model in apps.get_app_config(label).get_models() if not model._meta.proxy]


def structure() -> dict[str, object]:
    """Tables of ours with their columns, and the names and kinds of their constraints and indexes."""
    found: dict[str, object] = {}
    with connection.cursor() as cursor:
        for label in APPS:
            for model in models(label):
                table = model._meta.db_table
                columns = [column.name for column in connection.introspection.get_table_description(cursor, table)]
                constraints = connection.introspection.get_constraints(cursor, table)
                found[table] = (
                    columns,
                    {
                        (name, tuple(item["columns"] or ()), item["primary_key"], item["unique"], item["check"])
                        for name, item in constraints.items()
                        # SQLite's names of keys without one are numbers that it gives anew.
                        if not name.startswith("__unnamed")
                    },
                )
    return found


def triggers() -> list[str]:
    question = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
        if connection.vendor == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgname !~ '^_?ts_' ORDER BY 1"
    )
    with connection.cursor() as cursor:
        cursor.execute(question)
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.usefixtures("emptied_afterwards")
@pytest.mark.parametrize("label", APPS)
def test_app_goes_to_nothing_and_comes_back_as_it_was(label: str) -> None:
    before, guards, hypertables = structure(), triggers(), existing(connection)
    groups = set(Group.objects.values_list("name", "permissions__codename"))
    tables = {model._meta.db_table for model in models(label)}
    try:
        migrate(label, "zero")
        with connection.cursor() as cursor:
            assert not tables & set(connection.introspection.table_names(cursor))
    finally:
        migrate()
    assert structure() == before
    assert triggers() == guards
    assert guards
    assert existing(connection) == hypertables
    assert set(Group.objects.values_list("name", "permissions__codename")) == groups
    assert unapplied_migrations(connection) == []


@pytest.mark.usefixtures("emptied_afterwards")
def test_trail_is_protected_after_the_way_back_and_forth() -> None:
    migrate("orders", "zero")
    migrate()
    equity()
    staged(person("trader", "trader"))
    with pytest.raises(IntegrityError, match="order_events is append-only"), transaction.atomic():
        OrderEvent.objects.update(reason="better")


@pytest.mark.usefixtures("emptied_afterwards")
def test_groups_go_with_their_migration() -> None:
    try:
        migrate("reporting", "0001")
        assert not Group.objects.filter(name__in=("reviewer", "trader", "operator", "auditor", "risk officer")).exists()
    finally:
        migrate()
    assert set(Group.objects.values_list("name", flat=True)) == {
        "reviewer",
        "trader",
        "operator",
        "auditor",
        "risk officer",
    }


def test_models_and_migrations_say_the_same(db: None) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_hypertables_are_made_wherever_they_can_be(db: None) -> None:
    wanted = {"market_events", "system_health"} if look_up(connection).available else set()
    assert existing(connection) == wanted


@pytest.mark.usefixtures("emptied_afterwards")
def test_events_that_are_there_are_sealed_and_unsealed_again(capsys: pytest.CaptureFixture[str]) -> None:
    equity()
    trader = person("trader", "trader")
    orders = [staged(trader, now=NOW + timedelta(seconds=number)) for number in range(5)]
    workflow.cancel(orders[0].pk, actor=trader, now=NOW)
    before = list(OrderEvent.objects.order_by("pk").values_list("pk", "seal"))
    heads = list(StagedOrder.objects.order_by("pk").values_list("pk", "audit_head"))
    try:
        migrate("orders", "0008")
        assert set(OrderEvent.objects.values_list("seal", flat=True)) == {""}
        assert set(StagedOrder.objects.values_list("audit_head", flat=True)) == {""}
        assert audit.verify(now=NOW).bad == len(orders)
        with pytest.MonkeyPatch.context() as patch:
            sealing = importlib.import_module("orders.migrations.0009_seal_events")
            patch.setattr(sealing, "ORDERS_AT_ONCE", 2)
            patch.setattr(sealing, "SAY_EVERY", 4)
            migrate()
    finally:
        migrate()
    assert list(OrderEvent.objects.order_by("pk").values_list("pk", "seal")) == before
    assert list(StagedOrder.objects.order_by("pk").values_list("pk", "audit_head")) == heads
    assert audit.verify(now=NOW).is_sound
    assert capsys.readouterr().out == "  5 events\n"
    with pytest.raises(IntegrityError, match="order_events is append-only"), transaction.atomic():
        OrderEvent.objects.update(reason="better")


@pytest.mark.usefixtures("emptied_afterwards")
def test_orders_that_were_there_before_their_facts_get_them() -> None:
    """As the rows were then, without the columns that came later."""
    equity()
    trader = person("trader", "trader")
    orders = [staged(trader, now=NOW + timedelta(seconds=number)) for number in range(3)]
    workflow.cancel(orders[0].pk, actor=trader, now=NOW)
    before = list(OrderFacts.objects.order_by("pk").values())
    try:
        migrate("orders", "0009")
    finally:
        migrate()
    assert list(OrderFacts.objects.order_by("pk").values()) == before
