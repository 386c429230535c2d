"""Rows of other programs into tables of their own: inserted, or updated where their key is there already.

No table of the desk is written here: each of those has one writer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.health import MIGRATIONS_TABLE

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_VALUES = (str, int, float, Decimal, bytes, date, time)


class UpsertRefused(ValueError):
    """The message names field, value and rule; nothing was written."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(f"{field}={value!r}: {rule}")


def upsert(
    connection: BaseDatabaseWrapper,
    table: str,
    *,
    columns: Sequence[str],
    key: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> int:
    """Writes all rows or none; returns how many. `key` names the columns of a unique key of the table.

    Of two rows with the same key the later one stays. Times without an offset are UTC. Raises UpsertRefused, and
    DatabaseError for what only the database can tell.
    """
    _require_names(table, columns, key)
    _require_foreign(table)
    _require_table(connection, table, columns, key)
    values = [
        [adapted(connection, f"rows[{place}][{name}]", value) for name, value in zip(columns, row, strict=True)]
        for place, row in enumerate(rows)
    ]
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.executemany(statement(table, columns, key), values)
    return len(values)


def statement(table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """INSERT … ON CONFLICT with a parameter for each column; the names must have been looked at."""
    others = [f'"{name}" = excluded."{name}"' for name in columns if name not in key]
    update = f"UPDATE SET {', '.join(others)}" if others else "NOTHING"
    return (
        f'INSERT INTO "{table}" ({_listed(columns)}) VALUES ({", ".join(["%s"] * len(columns))})'  # noqa: S608
        f" ON CONFLICT ({_listed(key)}) DO {update}"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def adapted(connection: BaseDatabaseWrapper, field: str, value: Any) -> Any:
    """The value as the desk's driver takes it, times as the desk writes them. Raises UpsertRefused."""
    if isinstance(value, datetime):
        # Without an offset it stays as it is: sessions are in UTC, and so is what SQLite's file holds.
        return connection.ops.adapt_datetimefield_value(value)
    if value is None or isinstance(value, _VALUES):
        return value
    raise UpsertRefused(field, value, "must be a text, a number, a time, bytes or None")


def _require_names(table: str, columns: Sequence[str], key: Sequence[str]) -> None:
    for field, name in (("table", table), *(("column", each) for each in (*columns, *key))):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UpsertRefused(
                field, name, "must be up to 63 letters, digits and underscores, and begin with no digit"
            )
    if len(set(columns)) != len(columns):
        raise UpsertRefused("columns", list(columns), "must name each column once")
    if not key:
        raise UpsertRefused("conflict_columns", list(key), "must name the columns of a unique key of the table")
    if missing := [name for name in key if name not in columns]:
        raise UpsertRefused("conflict_columns", list(key), f"must be among the columns; {', '.join(missing)} is not")


def _require_foreign(table: str) -> None:
    # SQLite takes a name for the same in capitals.
    models = apps.get_models(include_auto_created=True)
    own = {model._meta.db_table.lower() for model in models} | {MIGRATIONS_TABLE}
    if table.lower() in own:
        raise UpsertRefused(
            "table", table, "is the desk's own and has one writer; allowed are tables that the desk did not make"
        )


def _require_table(connection: BaseDatabaseWrapper, table: str, columns: Sequence[str], key: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        # No views: one could lead into a table of the desk.
        kinds = {found.name: found.type for found in connection.introspection.get_table_list(cursor)}
        if kinds.get(table) != "t":
            raise UpsertRefused("table", table, "must be a table of the default database; there is none of that name")
        there = {found.name for found in connection.introspection.get_table_description(cursor, table)}
        constraints = connection.introspection.get_constraints(cursor, table).values()
    if unknown := [name for name in columns if name not in there]:
        raise UpsertRefused("columns", unknown, f"must be columns of {table}, which has {', '.join(sorted(there))}")
    keys = [each["columns"] for each in constraints if each["unique"] or each["primary_key"]]
    if set(key) not in map(set, keys):
        has = "; ".join(", ".join(each) for each in keys) or "none"
        raise UpsertRefused("conflict_columns", list(key), f"must be a unique key of {table}; its keys: {has}")
