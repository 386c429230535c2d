"""What would be lost by undoing a migration is named before it is undone."""

from __future__ import annotations

import pytest
from django.db import connection, migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from emo_site.db.append_only import RefuseChanges
from emo_site.deployment import losses

ROWS = {("notes", ""): 3, ("notes", "text"): 2}


def forwards(apps: object, schema_editor: object) -> None: ...


def backwards(apps: object, schema_editor: object) -> None: ...


def before() -> ProjectState:
    state = ProjectState()
    options = {"db_table": "notes"}
    fields = [("id", models.BigAutoField(primary_key=True)), ("old", models.CharField(max_length=9))]
    migrations.CreateModel("Note", fields, options=options).state_forwards("desk", state)
    return state


def lost(*operations: Operation, rows: dict[tuple[str, str], int] = ROWS) -> list[str]:
    migration = migrations.Migration("0002_next", "desk")
    migration.operations = list(operations)
    found = losses.losses(
        migration,
        before(),
        count=lambda table, column: rows.get((table, column), 0),
        type_of=lambda field: field.db_type(connection),
    )
    return list(found)


TEXT = models.CharField(max_length=9, null=True)
TABLE = migrations.CreateModel("Memo", [("id", models.BigAutoField(primary_key=True))], options={"db_table": "memos"})


@pytest.mark.parametrize(
    ("operation", "rows", "line"),
    [
        (migrations.AddField("note", "text", TEXT), ROWS, "the column text of notes goes, with 2 rows"),
        (TABLE, {("memos", ""): 5}, "the table memos goes, with 5 rows"),
        (
            migrations.AddField("note", "kin", models.ManyToManyField("desk.note")),
            {("notes_kin", ""): 1},
            "the table notes_kin goes, with 1 row",
        ),
        (
            migrations.RunPython(forwards, backwards),
            ROWS,
            "its own code runs backwards and may remove rows (backwards)",
        ),
        (
            migrations.RunSQL("SELECT 1", "DELETE FROM notes"),
            ROWS,
            "its own SQL runs backwards and may remove rows (Raw SQL operation)",
        ),
        (
            migrations.RemoveField("note", "old"),
            ROWS,
            "what this took away comes back empty (Remove field old from note); its rows are in the backup alone",
        ),
        (
            migrations.SeparateDatabaseAndState(),
            ROWS,
            "what this does is not known here (Custom state/database change combination)",
        ),
    ],
)
def test_each_loss_is_named(operation: Operation, rows: dict[tuple[str, str], int], line: str) -> None:
    assert lost(operation, rows=rows) == [line]


def test_table_that_a_later_migration_renamed_counts_as_lost() -> None:
    migration = migrations.Migration("0002_next", "desk")
    migration.operations = [TABLE]
    found = losses.losses(migration, before(), count=lambda table, column: None, type_of=lambda field: None)
    assert list(found) == ["the table memos goes, with rows that can't be counted: a later migration changed it"]


def test_type_that_goes_back_is_named() -> None:
    [line] = lost(migrations.AlterField("note", "old", models.TextField()))
    assert line.startswith("old of note becomes varchar(9) again, and not every text need fit")


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("note", "text", TEXT),
        TABLE,
        migrations.AddIndex("note", models.Index(fields=["old"], name="notes_old")),
        migrations.AddConstraint("note", models.CheckConstraint(condition=~models.Q(old=""), name="notes_old_said")),
        migrations.RenameField("note", "old", "older"),
        migrations.AlterField("note", "old", models.CharField(max_length=9, null=True)),
        migrations.RunPython(forwards, migrations.RunPython.noop),
        migrations.RunSQL("SELECT 1", migrations.RunSQL.noop),
        RefuseChanges("Note"),
    ],
    ids=lambda operation: operation.__class__.__name__,
)
def test_what_holds_no_rows_is_no_loss(operation: Operation) -> None:
    assert lost(operation, rows={}) == []


def test_what_can_not_be_undone_is_named_and_no_loss_beside() -> None:
    migration = migrations.Migration("0002_next", "desk")
    migration.operations = [migrations.RunPython(forwards), migrations.RunSQL("SELECT 1"), TABLE]
    assert losses.irreversible(migration) == ["Raw Python operation", "Raw SQL operation"]
    assert lost(*migration.operations, rows={}) == []
