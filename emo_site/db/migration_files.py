"""What the files of migrations say, held against the models on one side and a database's records on the other."""

from __future__ import annotations

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState


def unmade() -> list[str]:
    """What models say and no migration does ("orders: Add field x to stagedorder"), and migrations that branch."""
    loader = MigrationLoader(None)
    if conflicts := loader.detect_conflicts():
        return [f"{app_label}: {' and '.join(sorted(names))} both come last" for app_label, names in conflicts.items()]
    changes = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps)).changes(graph=loader.graph)
    return [
        f"{app_label}: {operation.describe()}"
        for app_label, migrations in changes.items()
        for migration in migrations
        for operation in migration.operations
    ]


def without_file(connection: BaseDatabaseWrapper) -> list[str]:
    """Migrations that are recorded as applied and that this code does not have: another version made them."""
    loader = MigrationLoader(connection)
    return [
        f"{app_label}.{name}"
        for app_label, name in sorted(loader.applied_migrations or {})
        if app_label in loader.migrated_apps and (app_label, name) not in loader.disk_migrations
    ]
