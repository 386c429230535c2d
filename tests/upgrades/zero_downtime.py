"""Expand, migrate, contract: no migration may break the desk of the release before, which runs on meanwhile.

`python -m tests.upgrades.zero_downtime` (a part of `make check`) asks django-migration-linter about the SQL that every
migration of the desk becomes on PostgreSQL. Exit status 1 names what breaks the rule and is not in `ACCEPTED`, and what
is in there for nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import django

from tests import servers
from tests.desk import environment_of

# Of these a release is made; the others' migrations are not ours to write.
APPS = ("jobs", "monitoring", "orders", "reporting")


@dataclass(frozen=True)
class Finding:
    """One operation that breaks the rule; `code` is the linter's."""

    migration: str
    operation: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.migration}: {self.operation}: {self.message} ({self.code})"


def findings_of(migration: Any, state: Any, connection: Any) -> Iterator[Finding]:
    """What the linter holds against each operation; `state` is moved on to the one after the migration.

    Operation by operation: of a whole migration it forgets a column without a default where another one has it.
    """
    from django_migration_linter.sql_analyser import PostgresqlAnalyser
    from django_migration_linter.sql_analyser.analyser import analyse_sql_statements

    created: list[str] = []
    for operation in migration.operations:
        before = state.clone()
        operation.state_forwards(migration.app_label, state)
        if not operation.reduces_to_sql:
            continue
        with connection.schema_editor(collect_sql=True, atomic=False) as editor:
            operation.database_forwards(migration.app_label, editor, before, state)
        statements = [*created, *editor.collected_sql]
        errors, _, _ = analyse_sql_statements(PostgresqlAnalyser, statements)
        for error in errors:
            name = f"{migration.app_label}.{migration.name}"
            yield Finding(name, operation.describe(), error.code, error.message)
        created += [each for each in editor.collected_sql if each.startswith("CREATE TABLE")]


def all_findings(connection: Any) -> Iterator[Finding]:
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.state import ProjectState

    loader = MigrationLoader(None)
    state = ProjectState(real_apps=loader.unmigrated_apps)
    plan = dict.fromkeys(node for leaf in loader.graph.leaf_nodes() for node in loader.graph.forwards_plan(leaf))
    for app_label, name in plan:
        migration = loader.graph.nodes[app_label, name]
        if app_label in APPS:
            yield from findings_of(migration, state, connection)
        else:
            state = migration.mutate_state(state, preserve=False)


def verdict(found: Iterable[Finding], accepted: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What is wrong, one line each: findings that nobody accepted, and acceptances that nothing needs."""
    found = list(found)
    wrong = [str(each) for each in found if each.code not in accepted.get(each.migration, {})]
    needed = {(each.migration, each.code) for each in found}
    stale = [
        f"{migration}: {code} is accepted, and nothing there needs it"
        for migration, codes in accepted.items()
        for code in codes
        if (migration, code) not in needed
    ]
    return wrong + stale


def main() -> int:
    from tests.upgrades.accepted_breaks import ACCEPTED

    with servers.postgresql() as url:
        own = environment_of({"EMO_ENV": "dev", "EMO_DB_URL": url, "EMO_TIMESERIES_URL": ""})
        os.environ.clear()
        os.environ.update(own, DJANGO_SETTINGS_MODULE="emo_site.settings")
        django.setup()
        from django.db import connection, connections

        wrong = verdict(all_findings(connection), ACCEPTED)
        connections.close_all()
    for line in wrong:
        print(line)
    if wrong:
        print("Expand first, contract in a later release: docs/upgrade.md says how.")
        return 1
    print("No migration breaks the desk of the release before.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
