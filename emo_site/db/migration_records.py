"""What a database says it has been migrated to, held against the tables that it has.

Django records a migration as applied in each database that it runs on, also where a router leaves its tables out. So a
default database whose time series lived elsewhere for a while believes that it has their tables.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState

from emo_site.db.aliases import TIMESERIES_APPS, apps_of


@dataclass(frozen=True, kw_only=True)
class MissingTables:
    """An app that is recorded as migrated and lacks `tables` of its `expected` number."""

    app_label: str
    tables: tuple[str, ...]
    expected: int

    @property
    def mendable(self) -> bool:
        """Whether they may be made: nothing of the app is there, and it is one that may have lived elsewhere.

        Where one of several tables is missing, or orders are, rows were lost: an empty table would hide that.
        """
        return self.app_label in TIMESERIES_APPS and len(self.tables) == self.expected

    def __str__(self) -> str:
        return f"{self.app_label} is recorded as migrated, but {', '.join(self.tables)} is missing"


def missing_tables(connection: BaseDatabaseWrapper) -> list[MissingTables]:
    """The apps of this database whose recorded migrations have left no tables."""
    here = set(apps_of(connection.alias, [config.label for config in apps.get_app_configs()]))
    with connection.cursor() as cursor:
        present = set(connection.introspection.table_names(cursor))
    expected: dict[str, list[str]] = defaultdict(list)
    for (app_label, _), model in _recorded_models(connection).items():
        if app_label in here and model.options.get("managed", True) and not model.options.get("proxy"):
            expected[app_label].append(str(model.options.get("db_table") or f"{app_label}_{model.name_lower}"))
    return [
        MissingTables(app_label=app_label, tables=missing, expected=len(tables))
        for app_label, tables in sorted(expected.items())
        if (missing := tuple(sorted(set(tables) - present)))
    ]


def make_tables(connection: BaseDatabaseWrapper, app_label: str) -> None:
    """Runs the app's recorded migrations, without recording them again: all of them or none.

    Taking the records back instead (migrate zero --fake) would take along those of every app that depends on it.
    """
    loader = MigrationLoader(connection)
    recorded = [node for node in loader.applied_migrations or {} if node[0] == app_label and node in loader.graph.nodes]
    plan = dict.fromkeys(node for target in sorted(recorded) for node in loader.graph.forwards_plan(target))
    state = loader.project_state([], at_end=True)
    # One editor, as if it were one migration: all tables or none, on SQLite too.
    with connection.schema_editor(atomic=True) as editor:
        for node in plan:
            migration = loader.graph.nodes[node]
            if migration is None:
                continue
            if node[0] == app_label:
                state = migration.apply(state, editor)
            else:
                state = migration.mutate_state(state, preserve=False)


def _recorded_models(connection: BaseDatabaseWrapper) -> dict[tuple[str, str], ModelState]:
    loader = MigrationLoader(connection)
    recorded = [node for node in loader.applied_migrations or {} if node in loader.graph.nodes]
    if not recorded:
        return {}
    state = loader.graph.make_state(nodes=recorded, at_end=True, real_apps=loader.unmigrated_apps)
    return dict(state.models)
