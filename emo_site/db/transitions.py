"""A column that may only change along a table of legal steps: the database itself refuses any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

Table = Mapping[str, Iterable[str]]


def statements_to_guard(vendor: str, table: str, column: str, steps: Table, first: Iterable[str]) -> list[str]:
    """SQL of triggers that refuse a change of the column that is no step of the table, and another beginning."""
    legal = sorted(f"{before}>{after}" for before, afters in steps.items() for after in afters if before != after)
    listed = ", ".join(f"'{step}'" for step in legal)
    step = f"""OLD."{column}" || '>' || NEW."{column}\""""
    begins = ", ".join(f"'{each}'" for each in sorted(first))
    said = f"{table}.{column} can''t change like that"
    if vendor == "sqlite":
        return [
            f'CREATE TRIGGER "{table}_{column}_steps" BEFORE UPDATE OF "{column}" ON "{table}"'
            f' WHEN OLD."{column}" <> NEW."{column}" AND {step} NOT IN ({listed})'
            f" BEGIN SELECT RAISE(ABORT, '{said}'); END",
            f'CREATE TRIGGER "{table}_{column}_first" BEFORE INSERT ON "{table}"'
            f' WHEN NEW."{column}" NOT IN ({begins})'
            f" BEGIN SELECT RAISE(ABORT, '{table}.{column} can''t begin like that'); END",
        ]
    return [
        f'CREATE FUNCTION "{table}_{column}_refuse_step"() RETURNS trigger LANGUAGE plpgsql AS $$'
        f""" BEGIN RAISE EXCEPTION '{said}: % to %', COALESCE(OLD."{column}", 'new'), NEW."{column}\""""
        " USING ERRCODE = 'integrity_constraint_violation'; END $$",
        f'CREATE TRIGGER "{table}_{column}_steps" BEFORE UPDATE OF "{column}" ON "{table}" FOR EACH ROW'
        f' WHEN (OLD."{column}" <> NEW."{column}" AND ({step}) NOT IN ({listed}))'
        f' EXECUTE FUNCTION "{table}_{column}_refuse_step"()',
        f'CREATE TRIGGER "{table}_{column}_first" BEFORE INSERT ON "{table}" FOR EACH ROW'
        f' WHEN (NEW."{column}" NOT IN ({begins})) EXECUTE FUNCTION "{table}_{column}_refuse_step"()',
    ]


def statements_to_release(vendor: str, table: str, column: str) -> list[str]:
    if vendor == "sqlite":
        return [f'DROP TRIGGER IF EXISTS "{table}_{column}_{which}"' for which in ("steps", "first")]
    return [
        f'DROP TRIGGER IF EXISTS "{table}_{column}_first" ON "{table}"',
        f'DROP TRIGGER IF EXISTS "{table}_{column}_steps" ON "{table}"',
        f'DROP FUNCTION IF EXISTS "{table}_{column}_refuse_step"()',
    ]


class GuardSteps(Operation):
    """Migration operation: the column changes by these steps only. A later one with another table takes its place.

    SQLite forgets triggers when a later migration rebuilds the table: repeat this operation after such a migration.
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, model_name: str, column: str, steps: Table, first: Iterable[str]) -> None:
        self.model_name, self.column = model_name, column
        self.first = sorted(first)
        self.steps = {before: sorted(afters) for before, afters in steps.items()}

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return self.__class__.__name__, [self.model_name, self.column, self.steps, self.first], {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Django's picture of the model does not change."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._release(app_label, schema_editor, to_state)
        model = to_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if self.allow_migrate_model(connection.alias, model):
            guards = statements_to_guard(connection.vendor, model._meta.db_table, self.column, self.steps, self.first)
            for statement in guards:
                schema_editor.execute(statement, params=None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._release(app_label, schema_editor, from_state)

    def _release(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState) -> None:
        model = state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if self.allow_migrate_model(connection.alias, model):
            for statement in statements_to_release(connection.vendor, model._meta.db_table, self.column):
                schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return f"Let {self.column} of {self.model_name} change by legal steps only"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_{self.column}_steps"
