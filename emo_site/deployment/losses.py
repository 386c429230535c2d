"""What goes with a migration that is undone: tables, columns, and rows that its own code takes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.db import migrations
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from emo_site.db.append_only import RefuseChanges
from emo_site.db.timescale.operations import CreateHypertable
from emo_site.db.transitions import GuardSteps

# (table, column) -> rows that have something there, None where there is no such table or column any more. A column of
# "" asks for the rows of the table.
Count = Callable[[str, str], int | None]
TypeOf = Callable[[Any], str | None]

_HARMLESS = (
    migrations.AddIndex,
    migrations.RemoveIndex,
    migrations.RenameIndex,
    migrations.AddConstraint,
    migrations.RemoveConstraint,
    migrations.AlterModelOptions,
    migrations.AlterModelManagers,
    migrations.AlterModelTable,
    migrations.AlterModelTableComment,
    migrations.AlterUniqueTogether,
    migrations.AlterIndexTogether,
    migrations.RenameField,
    migrations.RenameModel,
    RefuseChanges,
    CreateHypertable,
    GuardSteps,
)


def irreversible(migration: Migration) -> list[str]:
    """The operations of it that can't be undone, as Django describes them."""
    return [operation.describe() for operation in migration.operations if not operation.reversible]


def losses(migration: Migration, state: ProjectState, *, count: Count, type_of: TypeOf) -> Iterator[str]:
    """What would be lost, one line each. `state`: the models before the migration. `type_of`: a field's SQL type."""
    for operation in migration.operations:
        after = state.clone()
        operation.state_forwards(migration.app_label, after)
        if isinstance(operation, migrations.CreateModel | migrations.AddField):
            yield from _of_what_was_added(operation, migration.app_label, after, count)
        elif isinstance(operation, migrations.AlterField):
            old, new = (_field(each, migration.app_label, operation) for each in (state, after))
            yield from _of_a_type(operation, old, new, type_of)
        elif not isinstance(operation, _HARMLESS):
            yield from _of_the_rest(operation)
        state = after


def _of_what_was_added(
    operation: migrations.CreateModel | migrations.AddField, app_label: str, after: ProjectState, count: Count
) -> Iterator[str]:
    if isinstance(operation, migrations.CreateModel):
        meta: Any = after.apps.get_model(app_label, operation.name)._meta
        if not meta.managed or meta.proxy:
            return
        table, column = meta.db_table, ""
    else:
        field = _field(after, app_label, operation)
        table, column = (field.m2m_db_table(), "") if field.many_to_many else (field.model._meta.db_table, field.column)
    if (rows := count(table, column)) != 0:
        what = f"the column {column} of {table}" if column else f"the table {table}"
        yield f"{what} goes, with {_said(rows)}"


def _of_a_type(operation: migrations.AlterField, old: Any, new: Any, type_of: TypeOf) -> Iterator[str]:
    before, after = type_of(old), type_of(new)
    if before != after:
        yield f"{operation.name} of {operation.model_name} becomes {before} again, and not every {after} need fit"


def _of_the_rest(operation: Operation) -> Iterator[str]:
    if isinstance(operation, migrations.RemoveField | migrations.DeleteModel):
        yield f"what this took away comes back empty ({operation.describe()}); its rows are in the backup alone"
    elif isinstance(operation, migrations.RunPython):
        if operation.reverse_code not in (None, migrations.RunPython.noop):
            yield f"its own code runs backwards and may remove rows ({getattr(operation.reverse_code, '__name__', '')})"
    elif isinstance(operation, migrations.RunSQL):
        if operation.reverse_sql not in (None, migrations.RunSQL.noop):
            yield f"its own SQL runs backwards and may remove rows ({operation.describe()})"
    else:
        yield f"what this does is not known here ({operation.describe()})"


def _said(rows: int | None) -> str:
    if rows is None:
        return "rows that can't be counted: a later migration changed it"
    return "1 row" if rows == 1 else f"{rows} rows"


def _field(state: ProjectState, app_label: str, operation: Any) -> Any:
    return state.apps.get_model(app_label, operation.model_name)._meta.get_field(operation.name)
