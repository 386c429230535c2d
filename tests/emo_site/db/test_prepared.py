"""Statements that are planned once for each connection, and counted and worded as all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from emo_site.db import prepared

# Nothing is set for a connection inside a transaction, where it would be undone with it.
pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("emptied_afterwards")]


@pytest.fixture
def table(emptied_afterwards: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE numbers (number int PRIMARY KEY, times int NOT NULL DEFAULT 0)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE numbers")


def planned() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%asked again%'")
        return int(cursor.fetchone()[0])


def test_statement_is_planned_once_however_often_it_is_asked() -> None:
    before = planned()
    for number in (1, 2, 3):
        asked = "SELECT %s::int + 1 /* asked again */"
        assert prepared.rows(connection, asked, [number]) == [(number + 1,)]
    assert planned() == before + 1


def test_no_other_statement_is_planned_ahead() -> None:
    before = planned()
    with connection.cursor() as cursor:
        for number in range(20):
            cursor.execute("SELECT %s::int /* not asked again */", [number])
    assert planned() == before


def test_rows_come_as_the_driver_gives_them() -> None:
    found = prepared.rows(connection, "SELECT 1.50::numeric(8, 2), NULL, ARRAY['a']", [])
    assert found == [(Decimal("1.50"), None, ["a"])]


@pytest.mark.usefixtures("table")
def test_each_set_of_parameters_has_its_own_count() -> None:
    add = "INSERT INTO numbers (number) SELECT generate_series(%s::int, %s::int)"
    assert prepared.changed_by_each(connection, add, [(1, 3), (4, 4), (9, 8)]) == [3, 1, 0]
    assert prepared.changed(connection, "UPDATE numbers SET times = 1 WHERE number > %s", [2]) == 2
    assert prepared.changed_by_each(connection, "UPDATE numbers SET times = %s WHERE number = 99", [(1,)]) == [0]


@pytest.mark.usefixtures("table")
def test_many_sets_of_parameters_are_one_statement_to_who_counts() -> None:
    sent: list[str] = []

    def count(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append(sql)
        return execute(sql, params, many, context)

    add = "INSERT INTO numbers (number) VALUES (%s)"
    with connection.execute_wrapper(count):
        prepared.changed_by_each(connection, add, [(number,) for number in range(100)])
        prepared.rows(connection, "SELECT 1", [])
    assert sent == [add, "SELECT 1"]


TWICE = {
    "changed": lambda sql: [prepared.changed(connection, sql, [1]) for _ in range(2)],
    "changed by each": lambda sql: prepared.changed_by_each(connection, sql, [(1,), (1,)]),
    "rows": lambda sql: [prepared.rows(connection, f"{sql} RETURNING number", [1]) for _ in range(2)],
}


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("twice", TWICE.values(), ids=TWICE.keys())
def test_errors_are_said_in_djangos_words(twice: Callable[[str], object]) -> None:
    with pytest.raises(IntegrityError, match="numbers_pkey"), transaction.atomic():
        twice("INSERT INTO numbers (number) VALUES (%s)")
    # The connection goes on.
    assert prepared.rows(connection, "SELECT count(*) FROM numbers", []) == [(0,)]
