"""Asks one connection what its database holds. The same questions of the source and of what was restored from it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.utils.module_loading import import_string

from emo_site.db.backup.errors import NotProven
from emo_site.db.backup.manifest import DatabaseFacts, Trail
from emo_site.db.health import MIGRATIONS_TABLE
from emo_site.db.timescale.capabilities import look_up

# Model label -> dotted path of a function (connection) -> str that gives the head of its chain; "" without a chain.
Heads = Mapping[str, str]


def gather(
    connection: BaseDatabaseWrapper, *, heads: Heads, columns: Mapping[str, tuple[str, ...]] | None = None
) -> DatabaseFacts:
    """Everything that must be the same after a restore. One query per table: call it inside one snapshot.

    `columns` of each audit trail: those of the backup that it is compared with; every one that there is, otherwise.
    """
    postgresql = connection.vendor == "postgresql"
    extension = look_up(connection).installed or ""
    tables = _tables(connection)
    version = _one(connection, "SHOW server_version" if postgresql else "SELECT sqlite_version()")
    return DatabaseFacts(
        alias=connection.alias,
        engine="timescaledb" if extension else connection.vendor,
        server_version=str(version),
        server_major=int(str(version).split(".", maxsplit=1)[0].split()[0]),
        extension_version=extension,
        migrations=_migrations(connection) if MIGRATIONS_TABLE in tables else (),
        tables={table: _count(connection, table) for table in tables},
        structure=tuple(sorted(_asked(connection, _STRUCTURE if postgresql else _SQLITE_STRUCTURE))),
        sequences=dict(_sequences(connection, tables)),
        hypertables=dict(_rows(connection, _HYPERTABLES)) if extension else {},
        trails=dict(_trails(connection, tables, heads, columns or {})),
    )


_STRUCTURE = """
SELECT 'constraint ' || c.relname || '.' || k.conname
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
 WHERE c.relnamespace = current_schema()::regnamespace AND k.convalidated AND k.contype <> 'n'
UNION ALL
SELECT 'index ' || t.relname || '.' || i.relname
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
 WHERE t.relnamespace = current_schema()::regnamespace AND x.indisvalid
UNION ALL
SELECT 'trigger ' || c.relname || '.' || g.tgname
  FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
 WHERE c.relnamespace = current_schema()::regnamespace AND NOT g.tgisinternal AND g.tgenabled <> 'D'
"""
_SQLITE_STRUCTURE = """
SELECT type || ' ' || tbl_name || '.' || name FROM sqlite_master WHERE type IN ('index', 'trigger')
"""
_HYPERTABLES = "SELECT hypertable_name, num_chunks::int FROM timescaledb_information.hypertables"


def broken(connection: BaseDatabaseWrapper) -> list[str]:
    """What the database itself says is wrong with its rows: keys that lead nowhere, pages that can't be read."""
    if connection.vendor == "postgresql":
        question = (
            "SELECT conrelid::regclass || '.' || conname FROM pg_constraint"
            " WHERE NOT convalidated AND connamespace = current_schema()::regnamespace"
        )
        return [f"constraint {name} is not valid" for name in _asked(connection, question)]
    found = [str(line) for line in _asked(connection, "PRAGMA integrity_check") if line != "ok"]
    for table, row, parent, _ in _rows(connection, "PRAGMA foreign_key_check"):
        found.append(f"row {row} of {table} names a row of {parent} that does not exist")
    return found


def behind(connection: BaseDatabaseWrapper) -> list[str]:
    """Sequences whose next number is taken: the next insert would fail."""
    found = []
    for table, column, name, following in _sequences_of(connection, _tables(connection)):
        quote = connection.ops.quote_name
        highest = _one(connection, f"SELECT max({quote(column)}) FROM {quote(table)}")  # noqa: S608  # names it gave
        if highest is not None and highest >= following:
            found.append(f"sequence {name} goes on with {following}, but {table}.{column} has {highest}")
    return found


def _tables(connection: BaseDatabaseWrapper) -> list[str]:
    with connection.cursor() as cursor:
        return sorted(table.name for table in connection.introspection.get_table_list(cursor) if table.type == "t")


def _count(connection: BaseDatabaseWrapper, table: str) -> int:
    return int(_one(connection, f"SELECT count(*) FROM {connection.ops.quote_name(table)}"))  # noqa: S608  # its names


def _migrations(connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    question = f"SELECT app, name FROM {MIGRATIONS_TABLE} ORDER BY app, name"  # noqa: S608  # Django's own table
    return tuple(f"{app}.{name}" for app, name in _rows(connection, question))


def _sequences(connection: BaseDatabaseWrapper, tables: list[str]) -> Iterator[tuple[str, int]]:
    for _, _, name, following in _sequences_of(connection, tables):
        yield name, following


def _sequences_of(connection: BaseDatabaseWrapper, tables: list[str]) -> Iterator[tuple[str, str, str, int]]:
    """(table, column, the sequence's name, the number that it gives next)."""
    for table in tables:
        with connection.cursor() as cursor:
            sequences = connection.introspection.get_sequences(cursor, table)
        for sequence in sequences:
            column = sequence["column"]
            if connection.vendor == "postgresql":
                name = str(sequence["name"])
                state = f"SELECT last_value + is_called::int FROM {connection.ops.quote_name(name)}"  # noqa: S608
                yield table, column, name, int(_one(connection, state))
            elif rows := _rows(connection, "SELECT seq FROM sqlite_sequence WHERE name = %s", [table]):
                yield table, column, f"{table}.{column}", int(rows[0][0]) + 1


def _trails(
    connection: BaseDatabaseWrapper, tables: Iterable[str], heads: Heads, columns: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, Trail]]:
    for label, head in heads.items():
        model = apps.get_model(label)
        if model._meta.db_table in tables:
            there = _columns(connection, model._meta.db_table)
            every = tuple(field.attname for field in model._meta.concrete_fields if field.column in there)
            chain = str(import_string(head)(connection)) if head else ""
            yield label, digest(connection, model, columns=columns.get(label, every), head=chain)


def _columns(connection: BaseDatabaseWrapper, table: str) -> set[str]:
    with connection.cursor() as cursor:
        return {column.name for column in connection.introspection.get_table_description(cursor, table)}


def digest(connection: BaseDatabaseWrapper, model: type[Model], *, columns: tuple[str, ...], head: str = "") -> Trail:
    """SHA-256 over every row in key order, each as one line of JSON: the same rows give the same on every engine.

    Through the model's fields, since engines store the same value in different forms. Raises NotProven where a
    column is not one of this code's.
    """
    known = {field.attname for field in model._meta.concrete_fields}
    if unknown := sorted(set(columns) - known):
        raise NotProven([f"{model._meta.db_table}: this version of the desk does not know {', '.join(unknown)}"])
    key = columns.index(model._meta.pk.attname)
    rows = model._base_manager.order_by("pk").values_list(*columns)
    # The connection is in no list of aliases: Django offers it only here.
    compiler = rows.query.get_compiler(connection=connection)
    found, count, last = hashlib.sha256(), 0, ""
    for row in compiler.results_iter(chunked_fetch=True, chunk_size=2000):
        line = json.dumps([_plain(value) for value in row], sort_keys=True, separators=(",", ":"))
        found.update(line.encode() + b"\n")
        count, last = count + 1, str(row[key])
    return Trail(columns=columns, rows=count, last_id=last, sha256=found.hexdigest(), head=head)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return str(value) if isinstance(value, uuid.UUID | date) else value


def _rows(connection: BaseDatabaseWrapper, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def _asked(connection: BaseDatabaseWrapper, sql: str) -> list[Any]:
    return [row[0] for row in _rows(connection, sql)]


def _one(connection: BaseDatabaseWrapper, sql: str) -> Any:
    return _rows(connection, sql)[0][0]
