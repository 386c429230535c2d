"""A migration that would break the desk of the release before is found before it is merged."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from tests.upgrades.accepted_breaks import ACCEPTED
from tests.upgrades.release import release, run
from tests.upgrades.zero_downtime import Finding, findings_of, verdict

pytestmark = pytest.mark.postgresql


def codes(*operations: Operation) -> set[str]:
    """What is held against a migration of these operations that follows all that there are."""
    migration = migrations.Migration("next", "orders")
    migration.operations = list(operations)
    state = MigrationLoader(None).project_state()
    return {each.code for each in findings_of(migration, state, connection)}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (migrations.AddField("stagedorder", "desk", models.CharField(max_length=9, default="")), "NOT_NULL"),
        (migrations.RemoveField("stagedorder", "strategy"), "DROP_COLUMN"),
        (migrations.RenameField("stagedorder", "strategy", "plan"), "RENAME_COLUMN"),
        (migrations.AlterModelTable("stagedorder", "orders"), "RENAME_TABLE"),
        (migrations.DeleteModel("SavedFilter"), "DROP_TABLE"),
        (migrations.AlterField("stagedorder", "strategy", models.IntegerField(null=True)), "ALTER_COLUMN"),
        (
            migrations.AddConstraint("orderleg", models.UniqueConstraint(fields=["quantity"], name="legs_once")),
            "ADD_UNIQUE",
        ),
    ],
)
def test_what_the_desk_of_before_can_not_bear_is_found(operation: Operation, code: str) -> None:
    assert code in codes(operation)


@pytest.mark.django_db
def test_what_only_adds_passes() -> None:
    added = models.CharField(max_length=9, null=True)
    filled_by_the_database = models.CharField(max_length=9, default="", db_default="")
    table = migrations.CreateModel(
        "Note", [("id", models.BigAutoField(primary_key=True)), ("text", models.TextField())]
    )
    assert codes(migrations.AddField("stagedorder", "desk", added)) == set()
    assert codes(migrations.AddField("stagedorder", "desk", filled_by_the_database)) == set()
    once = migrations.AddConstraint("note", models.UniqueConstraint(fields=["text"], name="notes_once"))
    assert codes(table, once) == set()


@pytest.mark.django_db
def test_column_with_a_default_of_the_database_does_not_hide_one_without() -> None:
    without = migrations.AddField("stagedorder", "desk", models.CharField(max_length=9, default=""))
    with_one = migrations.AddField("stagedorder", "room", models.CharField(max_length=9, default="", db_default=""))
    assert codes(without, with_one) == {"NOT_NULL"}
    assert codes(with_one, without) == {"NOT_NULL"}


def test_acceptance_is_for_one_code_of_one_migration_and_ends_with_its_need() -> None:
    found = [Finding("orders.0099_x", "Remove field", "DROP_COLUMN", "DROPPING columns")]
    assert verdict(found, {"orders.0099_x": {"DROP_COLUMN": "nobody reads it since 1.4"}}) == []
    assert verdict(found, {"orders.0099_x": {"NOT_NULL": "…"}, "orders.0098_y": {"DROP_COLUMN": "…"}}) == [
        "orders.0099_x: Remove field: DROPPING columns (DROP_COLUMN)",
        "orders.0099_x: NOT_NULL is accepted, and nothing there needs it",
        "orders.0098_y: DROP_COLUMN is accepted, and nothing there needs it",
    ]


def test_every_acceptance_has_a_reason() -> None:
    assert all(len(reason) > 20 for codes_of in ACCEPTED.values() for reason in codes_of.values())


_BREAKING = """
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orders", "{last}")]
    operations = [migrations.RemoveField("stagedorder", "strategy")]
"""


@pytest.mark.cluster
def test_check_fails_over_a_migration_that_takes_a_column_away(tmp_path: Path) -> None:
    [(_, last)] = MigrationLoader(None).graph.leaf_nodes("orders")
    place = release(tmp_path, {"orders/migrations/0099_no_strategy.py": _BREAKING.format(last=last)})
    ran = run(place, "-m", "tests.upgrades.zero_downtime", environment={})
    assert ran.status == 1, ran.err
    assert "orders.0099_no_strategy: Remove field strategy from stagedorder: DROPPING columns (DROP_COLUMN)" in ran.out
    assert "accepted, and nothing" not in ran.out
