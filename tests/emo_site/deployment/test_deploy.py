"""Deploy and rollback as an operator runs them: on real databases, with releases that fail in the middle."""

from __future__ import annotations

import json
import re
import shlex
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db.migrations.loader import MigrationLoader

from tests.conftest import BACKEND
from tests.desk import Ran, empty_database, manage, postgresql_programs
from tests.upgrades.release import release, run

LAST = MigrationLoader(None).graph.leaf_nodes("orders")[0][1]

_MIGRATION = """
from django.db import migrations, models


def forwards(apps, schema_editor):
    apps.get_model("orders", "SavedFilter").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("orders", "{after}")]
    operations = [{operations}]
"""


def migration(after: str, operations: str) -> str:
    return _MIGRATION.format(after=after, operations=operations)


NOTES = {
    "orders/migrations/0098_notes.py": migration(
        LAST,
        'migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True)), ("text", models.TextField())],'
        ' options={"db_table": "notes"}),'
        ' migrations.AddField("savedfilter", "remark", models.CharField(max_length=9, null=True))',
    )
}
FAILING = NOTES | {
    "orders/migrations/0099_fails.py": migration("0098_notes", 'migrations.RunSQL("SELECT * FROM nowhere", "SELECT 1")')
}
IRREVERSIBLE = NOTES | {"orders/migrations/0099_one_way.py": migration("0098_notes", "migrations.RunPython(forwards)")}


@dataclass
class Desk:
    """One desk's database and settings; the code varies."""

    url: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "EMO_ENV": "dev",
            "EMO_DB_URL": self.url,
            "EMO_BACKUP_DIR": str(self.folder / "backups"),
            "EMO_BACKUP_KEY_FILE": str(self.folder / "key"),
            "EMO_PG_BIN": str(postgresql_programs()),
        }

    def run(self, code: Path, *arguments: str, **changes: str) -> Ran:
        return run(code, "manage.py", *arguments, environment=self.environment | changes)

    def succeeds(self, code: Path, *arguments: str) -> str:
        ran = self.run(code, *arguments)
        assert ran.status == 0, ran.out + ran.err
        return ran.out

    def asked(self, question: str) -> list[tuple[Any, ...]]:
        if self.url.startswith("sqlite"):
            import sqlite3

            file = sqlite3.connect(self.url.removeprefix("sqlite://"))
            try:
                with file:
                    return file.execute(question).fetchall()
            finally:
                file.close()
        with psycopg.connect(self.url) as server:
            done = server.execute(question)  # type: ignore[call-overload]
            return done.fetchall() if done.description else []

    def state(self) -> tuple[list[tuple[Any, ...]], ...]:
        """What must be the same again after the way back."""
        return (
            self.asked("SELECT app, name FROM django_migrations ORDER BY 1, 2"),
            self.asked("SELECT count(*), count(DISTINCT status) FROM staged_orders"),
            self.asked("SELECT id, seal FROM order_events ORDER BY id"),
            self.asked("SELECT name FROM saved_filters ORDER BY 1"),
        )

    @property
    def record(self) -> list[dict[str, Any]]:
        text = (self.folder / "backups" / ".emo-dev-deployments.json").read_text()
        found: list[dict[str, Any]] = json.loads(text)["deployments"]
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with empty_database(tmp_path) as url:
        made = Desk(url, tmp_path)
        environment = {name: value for name, value in made.environment.items() if name != "EMO_BACKUP_KEY_FILE"}
        assert manage("backup", "--make-key", str(tmp_path / "key"), environment=environment).status == 0
        yield made


@pytest.fixture
def old(desk: Desk, tmp_path: Path) -> Path:
    """The release that runs, deployed, with orders in it."""
    code = release(tmp_path / "old", {})
    desk.succeeds(code, "deploy", "dev")
    desk.succeeds(code, "load_demo")
    return code


def test_release_that_fails_in_the_middle_stops_says_how_to_go_back_and_is_taken_back(
    desk: Desk, old: Path, tmp_path: Path
) -> None:
    new = release(tmp_path / "new", FAILING)
    before = desk.state()
    stopped = desk.run(new, "deploy", "dev")
    assert stopped.status == 2, stopped.out + stopped.err
    assert "Stopped at migrations: default: " in stopped.err
    assert "nowhere" in stopped.err
    assert "`manage.py rollback --yes` goes it" in stopped.err
    assert re.search(r"^backup +\d+\.\d s  .*\.tar\.age, ", stopped.out, re.MULTILINE)
    assert "static files" not in stopped.out
    assert ("orders", "0098_notes") in desk.state()[0]
    assert ("orders", "0099_fails") not in desk.state()[0]
    last = desk.record[-1]
    assert (last["outcome"], last["step"], last["code_before"]) == ("stopped", "migrations", "0.1.0")
    assert last["before"]["default"] == [".".join(row) for row in before[0]]
    # It expands only, so the code of before goes on.
    desk.succeeds(old, "order_facts", "check")

    desk.asked("INSERT INTO notes (id, text) VALUES (1, 'somebody wrote this')")
    shown = desk.succeeds(new, "rollback")
    assert "default: orders.0098_notes is undone" in shown
    assert "default: would be lost: orders.0098_notes: the table notes goes, with 1 row" in shown
    assert "Nothing was changed. Run again with --yes." in shown
    refused = desk.run(new, "rollback", "--yes")
    assert refused.status == 1
    assert "add --lose-data if it may. Nothing was changed." in refused.err
    assert desk.asked("SELECT text FROM notes") == [("somebody wrote this",)]

    done = desk.succeeds(new, "rollback", "--yes", "--lose-data")
    assert "The databases are as the deployment found them. Install the code of before, 0.1.0," in done
    assert desk.state() == before
    assert desk.record[-1]["outcome"] == "taken back"
    desk.succeeds(old, "verify_audit")
    desk.succeeds(old, "migrate_all", "--check")
    again = desk.run(new, "rollback", "--yes")
    assert again.status == 2
    assert "was taken back already" in again.err


def test_plan_names_every_step_and_changes_nothing(desk: Desk, old: Path, tmp_path: Path) -> None:
    new = release(tmp_path / "new", NOTES)
    before, files = desk.state(), sorted(path.name for path in (desk.folder / "backups").iterdir())
    planned = desk.succeeds(new, "deploy", "dev", "--plan")
    steps = [line.split()[0] for line in planned.splitlines()]
    assert list(dict.fromkeys(steps)) == [
        "preflight", "record", "backup", "migrations", "static", "health", "Nothing",
    ]  # fmt: skip
    assert "migrations    default: would apply orders.0098_notes" in planned
    assert (desk.state(), sorted(path.name for path in (desk.folder / "backups").iterdir())) == (before, files)
    assert not (new / "data" / "static").exists()
    assert len(desk.record) == 1


def test_deployment_does_every_step_and_tells_the_seconds_of_each(desk: Desk, old: Path, tmp_path: Path) -> None:
    new = release(tmp_path / "new", NOTES)
    told = desk.succeeds(new, "deploy", "dev", "--verbosity", "0")
    steps = re.findall(r"^(\w[\w ]*?) +\d+\.\d s(?: |$)", told, re.MULTILINE)
    assert steps == [
        "preflight", "record", "backup", "proof of the backup", "migrations", "static files", "health", "in all",
    ]  # fmt: skip
    assert ("default: 1 applied" in told, (new / "data" / "static" / "staticfiles.json").exists()) == (True, True)
    assert [each["outcome"] for each in desk.record] == ["done", "done"]
    assert Path(desk.record[-1]["backup"]).exists()
    # On a server it is tried elsewhere; files are tried on the spot.
    proven = "not proven here: EMO_BACKUP_SCRATCH_URL" if BACKEND != "sqlite" else "proven"
    assert re.search(rf"^proof of the backup +\d+\.\d s  {proven}", told, re.MULTILINE)


def test_what_can_not_be_undone_leads_to_the_backup_and_the_command_that_restores_it(
    desk: Desk, old: Path, tmp_path: Path
) -> None:
    desk.succeeds(old, "shell", "-c", _FILTER)
    new = release(tmp_path / "new", IRREVERSIBLE)
    before = desk.state()
    assert before[3] == [("mine",)]
    desk.succeeds(new, "deploy", "dev")
    assert desk.state()[3] == []
    refused = desk.run(new, "rollback", "--yes", "--lose-data")
    assert refused.status == 1
    assert "default: can't be undone: orders.0099_one_way: Raw Python operation" in refused.out
    assert ("orders", "0098_notes") in desk.state()[0]
    [command] = re.findall(r"^  manage\.py (restore .*)$", refused.err, re.MULTILINE)
    desk.succeeds(old, *shlex.split(command))
    assert desk.state() == before
    desk.succeeds(old, "verify_audit")


_FILTER = """
from datetime import UTC, datetime
from django.contrib.auth.models import User
from orders.models import SavedFilter
SavedFilter.objects.create(name="mine", owner=User.objects.first(), created_at=datetime.now(UTC))
"""


def test_preflight_refuses_and_nothing_was_changed(desk: Desk, old: Path, tmp_path: Path) -> None:
    before = desk.state()
    other = desk.run(old, "deploy", "prod")
    assert other.status == 1
    assert "this desk is dev (EMO_ENV), not prod: EMO_ENV=prod manage.py deploy prod" in other.err
    keyless = desk.run(old, "deploy", "dev", EMO_BACKUP_KEY_FILE="")
    assert keyless.status == 1
    assert "Stopped at preflight: key of the backups: EMO_BACKUP_KEY is not set" in keyless.err
    assert "The databases are as they were before." in keyless.err
    planned = desk.run(old, "deploy", "dev", "--plan", EMO_BACKUP_KEY_FILE="")
    assert planned.status == 1
    assert "It would stop at the preflight: 1 problems." in planned.err
    # What the database was migrated to by newer code is not this code's to deploy over.
    new = release(tmp_path / "new", NOTES)
    desk.succeeds(new, "migrate_all", "--verbosity", "0")
    older = desk.run(old, "deploy", "dev")
    assert older.status == 1
    assert "migrations: default: orders.0098_notes was applied by newer code" in older.err
    desk.succeeds(new, "migrate", "orders", LAST, "--verbosity", "0")
    assert desk.state() == before
    assert len(desk.record) == 1


def test_rollback_without_a_deployment_has_nothing_to_go_back_to(desk: Desk, tmp_path: Path) -> None:
    none = manage("rollback", environment=desk.environment)
    assert none.status == 2
    assert "no deployment is on record" in none.err
    assert not (desk.folder / "backups").exists()
    first = release(tmp_path / "first", {})
    desk.succeeds(first, "deploy", "dev", "--verbosity", "0")
    back = desk.run(first, "rollback", "--yes")
    assert back.status == 2
    assert "before the last deployment there was no desk" in back.err


@pytest.mark.postgresql
def test_staging_is_deployed_by_the_migrator_alone(desk: Desk, tmp_path: Path) -> None:
    prefix = f"t{uuid.uuid4().hex[:10]}"
    code = release(tmp_path / "code", {})
    passwords = {f"EMO_DB_{name}_PASSWORD": f"pw-of-{name.lower()}" for name in ("MIGRATOR", "APP", "READONLY")}
    place = desk.url.rpartition("@")[2]
    staging = {
        "EMO_ENV": "staging",
        "SECRET_KEY": uuid.uuid4().hex * 2 + "-!Aa",
        "EMO_AUDIT_KEY": uuid.uuid4().hex,
        "ALLOWED_HOSTS": "desk.example.com",
        "EMO_METRICS_NETWORKS": "192.0.2.10",
    }
    try:
        made = desk.run(code, "create_roles", "--prefix", prefix, **passwords)
        assert made.status == 0, made.out + made.err
        superuser = desk.run(code, "deploy", "staging", **staging)
        assert superuser.status == 1
        assert "roles: default: postgres is no migrator; make the roles with manage.py create_roles" in superuser.err
        migrator = {"EMO_DB_URL": f"postgresql://{prefix}_migrator:pw-of-migrator@{place}"}
        done = desk.run(code, "deploy", "staging", "--verbosity", "0", **staging, **migrator)
        assert done.status == 0, done.out + done.err
        assert f"{prefix}_readonly as create_roles makes them" in done.out
        with psycopg.connect(desk.url, autocommit=True) as server:
            server.execute(f"ALTER ROLE {prefix}_app CREATEDB")  # type: ignore[call-overload]
        changed = desk.run(code, "deploy", "staging", **staging, **migrator)
        assert changed.status == 1
        assert f"roles: default: {prefix}_app has only createdb, pg_read_all_stats" in changed.err
    finally:
        with psycopg.connect(desk.url, autocommit=True) as server:
            for name in ("migrator", "app", "readonly"):
                server.execute(f"DROP OWNED BY {prefix}_{name} CASCADE")  # type: ignore[call-overload]
                server.execute(f"DROP ROLE {prefix}_{name}")  # type: ignore[call-overload]
