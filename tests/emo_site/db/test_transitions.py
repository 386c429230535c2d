"""A column that changes along a table of legal steps only: the database agrees with the table, pair by pair."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from emo_site.db.transitions import GuardSteps, statements_to_guard, statements_to_release
from orders.choices import FIRST, TRANSITIONS, OrderStatus
from orders.models import StagedOrder
from tests.factories import NOW, equity, person, staged
from tests.tampering import any_step

S = OrderStatus


@pytest.fixture
def order(db: None) -> StagedOrder:
    equity()
    return staged(person("trader", "trader"))


def execute(sql: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def lead(order: StagedOrder, to: str) -> None:
    execute("UPDATE staged_orders SET status = %s WHERE status = %s", to, order.status)


def reviewed() -> dict[str, object]:
    """So that no other constraint has a say in what an order may be."""
    return {"reviewed_by": person("reviewer"), "reviewed_at": NOW, "review_notes": "no"}


@pytest.mark.parametrize("to", OrderStatus)
@pytest.mark.parametrize("start", OrderStatus)
def test_database_allows_exactly_the_steps_of_the_table(
    order: StagedOrder, start: OrderStatus, to: OrderStatus
) -> None:
    with any_step():
        StagedOrder.objects.update(status=start, **reviewed())
    order.status = start
    if to == start or to in TRANSITIONS[start]:
        lead(order, to)
    else:
        with (
            pytest.raises(IntegrityError, match=r"^staged_orders\.status can't change like that"),
            transaction.atomic(),
        ):
            lead(order, to)
        to = start
    assert StagedOrder.objects.get().status == to


@pytest.mark.parametrize("status", OrderStatus)
def test_database_lets_an_order_begin_only_where_the_table_says(order: StagedOrder, status: OrderStatus) -> None:
    order.pk, order.client_order_id, order.status = None, "another", status
    for name, value in reviewed().items():
        setattr(order, name, value)
    if status in FIRST:
        order.save(force_insert=True)
        assert StagedOrder.objects.filter(status=status, client_order_id="another").exists()
        return
    begins = r"^staged_orders\.status can't (begin|change) like that"
    with pytest.raises(IntegrityError, match=begins), transaction.atomic():
        order.save(force_insert=True)
    assert StagedOrder.objects.count() == 1


def test_column_that_is_not_guarded_changes_freely(order: StagedOrder) -> None:
    execute("UPDATE staged_orders SET source = 'elsewhere', status = status")
    assert StagedOrder.objects.get().source == "elsewhere"


@pytest.mark.usefixtures("emptied_afterwards")
def test_table_holds_after_the_way_to_nothing_and_back() -> None:
    call_command("migrate", "orders", "zero", verbosity=0)
    call_command("migrate", verbosity=0)
    equity()
    order = staged(person("trader", "trader"))
    with pytest.raises(IntegrityError, match="can't change like that"), transaction.atomic():
        lead(order, S.EXECUTED)
    lead(order, S.CANCELLED)
    assert StagedOrder.objects.get().status == S.CANCELLED


def test_guard_can_be_released_and_put_back(order: StagedOrder) -> None:
    with any_step():
        StagedOrder.objects.update(status=S.DRAFT)
        # Twice is no more than once.
        for statement in statements_to_release(connection.vendor, "staged_orders", "status"):
            execute(statement)
    order.status = S.DRAFT
    with pytest.raises(IntegrityError, match="can't change like that"), transaction.atomic():
        lead(order, S.APPROVED)


def test_operation_is_written_into_a_migration_as_it_was() -> None:
    operation = GuardSteps("StagedOrder", "status", {"a": {"c", "b"}, "b": set()}, {"b", "a"})
    name, args, kwargs = operation.deconstruct()
    assert (name, args, kwargs) == (
        "GuardSteps",
        ["StagedOrder", "status", {"a": ["b", "c"], "b": []}, ["a", "b"]],
        {},
    )
    assert operation.describe() == "Let status of StagedOrder change by legal steps only"
    assert operation.migration_name_fragment == "stagedorder_status_steps"


def test_same_value_again_is_no_step() -> None:
    update = statements_to_guard("sqlite", "t", "c", {"a": ["a", "b"]}, ["a"])[0]
    assert "'a>b'" in update
    assert "'a>a'" not in update
