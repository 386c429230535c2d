"""CreateHypertable: a migration operation that goes forward and back on every engine."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from emo_site.db.timescale.hypertables import existing, make_hypertable


class CreateHypertable(Operation):
    """Partitions the model's table by time where the server has TimescaleDB; elsewhere the table stays as it is.

    Backwards it becomes an ordinary table again, with its rows, its key on id alone, and all its constraints.
    """

    reversible = True
    reduces_to_sql = False

    def __init__(self, model_name: str, *, time_column: str, chunk_interval: str = "7 days") -> None:
        self.model_name = model_name
        self.time_column = time_column
        self.chunk_interval = chunk_interval

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return (
            self.__class__.__name__,
            [self.model_name],
            {"time_column": self.time_column, "chunk_interval": self.chunk_interval},
        )

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Django's picture of the model does not change: its key is id, on every engine."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if not self.allow_migrate_model(connection.alias, model) or settings.EMO_TIMESCALE == "off":
            return
        make_hypertable(
            connection, model._meta.db_table, time_column=self.time_column, chunk_interval=self.chunk_interval
        )

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        connection, table = schema_editor.connection, model._meta.db_table
        if not self.allow_migrate_model(connection.alias, model) or table not in existing(connection):
            return
        # Django builds the ordinary table anew from the model, so that every constraint and index has its own name.
        columns = ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields)
        kept = f"{table}_kept"
        copy = f'SELECT {columns} FROM "{table}"'  # noqa: S608  # names of our own models
        schema_editor.execute(f'CREATE TEMPORARY TABLE "{kept}" ON COMMIT DROP AS {copy}')
        schema_editor.delete_model(model)
        schema_editor.create_model(model)
        schema_editor.execute(f'INSERT INTO "{table}" ({columns}) SELECT {columns} FROM "{kept}"')  # noqa: S608
        schema_editor.execute(f'DROP TABLE "{kept}"')

    def describe(self) -> str:
        return f"Make {self.model_name} a hypertable partitioned by {self.time_column}, where TimescaleDB is to be had"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_hypertable"
