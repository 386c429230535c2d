"""Tables that only grow: the database itself refuses UPDATE, DELETE and TRUNCATE on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

Keys = Sequence[Sequence[str]]


def unique_keys(model: type[models.Model]) -> Keys:
    """The columns of the primary key, of each unique field and of each unique constraint."""
    single = [[str(field.column)] for field in model._meta.concrete_fields if field.unique and not field.primary_key]
    constraints = [item for item in model._meta.constraints if isinstance(item, models.UniqueConstraint)]
    column_of = {field.name: str(field.column) for field in model._meta.concrete_fields}
    several = [[column_of[name] for name in item.fields] for item in constraints]
    return [[str(model._meta.pk.column)], *single, *several]


def statements_to_protect(vendor: str, table: str, keys: Keys) -> list[str]:
    """SQL that makes the engine refuse UPDATE, DELETE and TRUNCATE of the table, and SQLite's INSERT OR REPLACE.

    SQLite knows no TRUNCATE.
    """
    if vendor == "sqlite":
        taken = " OR ".join(" AND ".join(f'"{name}" = NEW."{name}"' for name in key) for key in [["rowid"], *keys])
        existing = f'SELECT 1 FROM "{table}" WHERE {taken}'  # noqa: S608  # names of our own models
        return [
            *(
                f'CREATE TRIGGER "{table}_no_{verb}" BEFORE {verb.upper()} ON "{table}"'
                f" BEGIN SELECT RAISE(ABORT, '{table} is append-only: {verb} is refused'); END"
                for verb in ("update", "delete")
            ),
            # REPLACE deletes what is in its way, unseen by the trigger above unless a connection asks for it.
            f'CREATE TRIGGER "{table}_no_replace" BEFORE INSERT ON "{table}" WHEN EXISTS ({existing})'
            f" BEGIN SELECT RAISE(ABORT, '{table} is append-only: this row exists'); END",
        ]
    return [
        f'CREATE FUNCTION "{table}_refuse_change"() RETURNS trigger LANGUAGE plpgsql AS $$'
        f" BEGIN RAISE EXCEPTION '{table} is append-only: % is refused', lower(TG_OP)"
        " USING ERRCODE = 'integrity_constraint_violation'; END $$",
        f'CREATE TRIGGER "{table}_append_only" BEFORE UPDATE OR DELETE ON "{table}"'
        f' FOR EACH ROW EXECUTE FUNCTION "{table}_refuse_change"()',
        # It looks at no row, and at none of the triggers for rows.
        f'CREATE TRIGGER "{table}_no_truncate" BEFORE TRUNCATE ON "{table}"'
        f' FOR EACH STATEMENT EXECUTE FUNCTION "{table}_refuse_change"()',
    ]


def statements_to_release(vendor: str, table: str) -> list[str]:
    """SQL that undoes `statements_to_protect`; for migrations backwards and for emptying test databases."""
    if vendor == "sqlite":
        return [f'DROP TRIGGER IF EXISTS "{table}_no_{verb}"' for verb in ("update", "delete", "replace")]
    return [
        f'DROP TRIGGER IF EXISTS "{table}_append_only" ON "{table}"',
        f'DROP TRIGGER IF EXISTS "{table}_no_truncate" ON "{table}"',
        f'DROP FUNCTION IF EXISTS "{table}_refuse_change"()',
    ]


def run(connection: BaseDatabaseWrapper, statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


class RefuseChanges(Operation):
    """Migration operation: the model's table becomes append-only.

    SQLite forgets triggers when a later migration rebuilds the table: repeat this operation after such a migration.
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return self.__class__.__name__, [self.model_name], {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Django's picture of the model does not change."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._execute(app_label, schema_editor, to_state, forwards=True)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._execute(app_label, schema_editor, from_state, forwards=False)

    def _execute(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState, *, forwards: bool
    ) -> None:
        model = state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if not self.allow_migrate_model(connection.alias, model):
            return
        vendor, table = connection.vendor, model._meta.db_table
        protect, release = statements_to_protect, statements_to_release
        for statement in protect(vendor, table, unique_keys(model)) if forwards else release(vendor, table):
            # No parameters: the function's body has percent signs of its own.
            schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return f"Refuse UPDATE, DELETE and TRUNCATE on {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_append_only"


class KeepRefusingChanges(RefuseChanges):
    """Migration operation: the first and the last of a migration that alters an append-only table.

    SQLite builds the table anew then, without its triggers: this one puts them back, on the way forth as the last
    operation and on the way back as the first.
    """

    def _execute(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState, *, forwards: bool
    ) -> None:
        super()._execute(app_label, schema_editor, state, forwards=False)
        super()._execute(app_label, schema_editor, state, forwards=True)

    def describe(self) -> str:
        return f"Go on refusing UPDATE, DELETE and TRUNCATE on {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_still_append_only"
