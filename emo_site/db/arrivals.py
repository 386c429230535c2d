"""Tables whose every new row is noted in another one: the database itself does it, whoever inserts."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState


def statements_to_note(vendor: str, table: str, key: str, notes: str, column: str) -> list[str]:
    """SQL of a trigger that writes the `key` of each new row of `table` into `column` of a new row of `notes`."""
    insertion = f'INSERT INTO "{notes}" ("{column}") VALUES (NEW."{key}")'  # noqa: S608  # names of our own models
    if vendor == "sqlite":
        return [f'CREATE TRIGGER "{table}_noted" AFTER INSERT ON "{table}" BEGIN {insertion}; END']
    return [
        f'CREATE FUNCTION "{table}_note_arrival"() RETURNS trigger LANGUAGE plpgsql AS $$'
        f" BEGIN {insertion}; RETURN NULL; END $$",
        f'CREATE TRIGGER "{table}_noted" AFTER INSERT ON "{table}"'
        f' FOR EACH ROW EXECUTE FUNCTION "{table}_note_arrival"()',
    ]


def statements_to_stop(vendor: str, table: str) -> list[str]:
    if vendor == "sqlite":
        return [f'DROP TRIGGER IF EXISTS "{table}_noted"']
    return [
        f'DROP TRIGGER IF EXISTS "{table}_noted" ON "{table}"',
        f'DROP FUNCTION IF EXISTS "{table}_note_arrival"()',
    ]


class NoteArrivals(Operation):
    """Migration operation: new rows of the model are noted in the field `column` of the model `notes`.

    SQLite forgets triggers when a later migration rebuilds the table: repeat this operation after such a migration.
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, model_name: str, *, notes: str, column: str) -> None:
        self.model_name, self.notes, self.column = model_name, notes, column

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return self.__class__.__name__, [self.model_name], {"notes": self.notes, "column": self.column}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Django's picture of the models does not change."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._stop(app_label, schema_editor, to_state)
        model, notes = (to_state.apps.get_model(app_label, name) for name in (self.model_name, self.notes))
        connection = schema_editor.connection
        if self.allow_migrate_model(connection.alias, model):
            key, column = str(model._meta.pk.column), str(notes._meta.get_field(self.column).column)
            for statement in statements_to_note(
                connection.vendor, model._meta.db_table, key, notes._meta.db_table, column
            ):
                schema_editor.execute(statement, params=None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._stop(app_label, schema_editor, from_state)

    def _stop(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState) -> None:
        model = state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if self.allow_migrate_model(connection.alias, model):
            for statement in statements_to_stop(connection.vendor, model._meta.db_table):
                schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return f"Note each new {self.model_name} in {self.notes}"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_noted"
