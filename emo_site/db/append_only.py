"""Tables that only grow: the database itself refuses UPDATE and DELETE on them."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState


def statements_to_protect(vendor: str, table: str) -> list[str]:
    """SQL that makes the engine refuse UPDATE and DELETE of any row of the table."""
    if vendor == "sqlite":
        return [
            f'CREATE TRIGGER "{table}_no_{verb}" BEFORE {verb.upper()} ON "{table}"'
            f" BEGIN SELECT RAISE(ABORT, '{table} is append-only: {verb} is refused'); END"
            for verb in ("update", "delete")
        ]
    return [
        f'CREATE FUNCTION "{table}_refuse_change"() RETURNS trigger LANGUAGE plpgsql AS $$'
        f" BEGIN RAISE EXCEPTION '{table} is append-only: % is refused', lower(TG_OP)"
        " USING ERRCODE = 'integrity_constraint_violation'; END $$",
        f'CREATE TRIGGER "{table}_append_only" BEFORE UPDATE OR DELETE ON "{table}"'
        f' FOR EACH ROW EXECUTE FUNCTION "{table}_refuse_change"()',
    ]


def statements_to_release(vendor: str, table: str) -> list[str]:
    """SQL that undoes `statements_to_protect`; for migrations backwards and for emptying test databases."""
    if vendor == "sqlite":
        return [f'DROP TRIGGER IF EXISTS "{table}_no_{verb}"' for verb in ("update", "delete")]
    return [
        f'DROP TRIGGER IF EXISTS "{table}_append_only" ON "{table}"',
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
        statements = statements_to_protect if forwards else statements_to_release
        for statement in statements(connection.vendor, model._meta.db_table):
            # No parameters: the function's body has percent signs of its own.
            schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return f"Refuse UPDATE and DELETE on {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_append_only"
