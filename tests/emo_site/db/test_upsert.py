"""Rows of other programs: written whole, into tables of their own, or refused with field, value and rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection

from emo_site.db.upsert import UpsertRefused, statement, upsert

AT = datetime(2026, 11, 25, 15, 30, 0, 250000, tzinfo=UTC)
COLUMNS = ("symbol", "ts", "close")


@pytest.fixture
def bars(db: None) -> None:
    """A table as another program would have made it, gone with the test's transaction."""
    kind = "timestamptz" if connection.vendor == "postgresql" else "datetime"
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE bars (symbol varchar(20) NOT NULL, ts {kind} NOT NULL, close numeric(10, 2), note text,"
            " PRIMARY KEY (symbol, ts))"
        )
        cursor.execute("CREATE UNIQUE INDEX bars_note ON bars (note)")


def kept(columns: str = "symbol, close") -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM bars ORDER BY symbol")
        return [tuple(row) for row in cursor.fetchall()]


def write(rows: list[Any], columns: Any = COLUMNS, key: Any = ("symbol", "ts"), table: Any = "bars") -> int:
    return upsert(connection, table, columns=columns, key=key, rows=rows)


@pytest.mark.usefixtures("bars")
def test_rows_are_inserted_and_those_that_are_there_updated() -> None:
    assert write([("SPY", AT, Decimal("689.50")), ("QQQ", AT, 612)]) == 2
    assert write([("SPY", AT, Decimal("690.25")), ("IWM", AT, None)]) == 2
    assert [(symbol, None if close is None else float(close)) for symbol, close in kept()] == [
        ("IWM", None),
        ("QQQ", 612.0),
        ("SPY", 690.25),
    ]


@pytest.mark.usefixtures("bars")
def test_of_two_rows_with_one_key_the_later_stays_and_a_key_alone_changes_nothing() -> None:
    assert write([("SPY", AT, 1), ("SPY", AT, 2)]) == 2
    assert write([("SPY", AT)], columns=("symbol", "ts")) == 1
    assert [int(close) for _, close in kept()] == [2]


@pytest.mark.usefixtures("bars")
def test_one_moment_is_one_key_however_its_offset_is_spelt() -> None:
    write([("SPY", AT, 1)])
    write([("SPY", AT.astimezone(timezone(timedelta(hours=-5))), 2)])
    write([("SPY", AT.replace(tzinfo=None), 3)])
    [(at, close)] = kept("ts, close")
    assert int(close) == 3
    assert at.replace(tzinfo=UTC) == AT


@pytest.mark.usefixtures("bars")
def test_a_row_that_the_database_refuses_takes_all_of_them_back() -> None:
    with pytest.raises(DatabaseError):
        write([("SPY", AT, 1), (None, AT, 2)])
    assert kept() == []


@pytest.mark.usefixtures("bars")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"table": "nothing_here"}, "table='nothing_here': must be a table of the default database"),
        ({"table": "bars; DROP TABLE bars"}, "table='bars; DROP TABLE bars': must be up to 63 letters"),
        ({"table": 'bars"'}, "must be up to 63 letters"),
        ({"table": None}, "table=None: must be up to 63 letters"),
        ({"table": "b" * 64}, "must be up to 63 letters"),
        ({"columns": ("symbol", "ts", 'close") VALUES (1)--')}, "column='close\") VALUES (1)--': must be"),
        ({"columns": ("symbol", "ts", 4)}, "column=4: must be"),
        ({"columns": ("symbol", "ts", "ts")}, "columns=['symbol', 'ts', 'ts']: must name each column once"),
        ({"columns": ("symbol", "ts", "open")}, "columns=['open']: must be columns of bars, which has close, note,"),
        ({"key": ()}, "conflict_columns=[]: must name the columns of a unique key"),
        ({"key": ("symbol", "note")}, "conflict_columns=['symbol', 'note']: must be among the columns; note is not"),
        ({"key": ("symbol",)}, "conflict_columns=['symbol']: must be a unique key of bars; its keys: "),
        ({"rows": [("SPY", AT, {"a": 1})]}, "rows[0][close]={'a': 1}: must be a text, a number, a time"),
        ({"rows": [("SPY", AT, 1), ("SPY", AT, [1])]}, "rows[1][close]=[1]: must be"),
    ],
)
def test_rubbish_is_refused_with_field_value_and_rule(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UpsertRefused) as refused:
        write(**({"rows": [("SPY", AT, 1)]} | given))
    assert said in str(refused.value)
    assert kept() == []


@pytest.mark.usefixtures("bars")
def test_a_unique_index_is_a_key_too() -> None:
    write([("SPY", AT, "first"), ("QQQ", AT, "second")], columns=("symbol", "ts", "note"), key=("note",))
    write([("IWM", AT, "first")], columns=("symbol", "ts", "note"), key=["note"])
    assert kept("symbol, note") == [("IWM", "first"), ("QQQ", "second")]


@pytest.mark.django_db
def test_every_table_of_the_desk_is_refused_whatever_its_case() -> None:
    own = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)} | {"django_migrations"})
    assert "staged_orders" in own
    for table in own:
        for spelt in (table, table.upper()):
            with pytest.raises(UpsertRefused, match="is the desk's own and has one writer"):
                write([], columns=("id",), key=("id",), table=spelt)


@pytest.mark.usefixtures("bars")
def test_a_view_is_refused_since_it_could_lead_into_a_table_of_the_desk() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE VIEW harmless AS SELECT symbol, ts, close FROM bars")
    with pytest.raises(UpsertRefused, match="table='harmless': must be a table"):
        write([("SPY", AT, 1)], table="harmless")


def test_values_go_as_parameters() -> None:
    assert statement("t", ["a", "b"], ["a"]) == (
        'INSERT INTO "t" ("a", "b") VALUES (%s, %s) ON CONFLICT ("a") DO UPDATE SET "b" = excluded."b"'
    )
    assert statement("t", ["a"], ["a"]).endswith('ON CONFLICT ("a") DO NOTHING')
