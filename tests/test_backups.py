"""Backups as an operator makes, proves and restores them, on the engine this run is about."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from emo_site.db.backup import keys
from tests.conftest import BACKEND
from tests.desk import Ran, empty_database, manage, postgresql_programs, sqlite_desk
from tests.run import PROJECT

SERVER = BACKEND != "sqlite"
# Ten weeks, so that hypertables have several chunks.
EVENTS = """
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from monitoring import events
start = datetime(2025, 1, 1, tzinfo=UTC)
events.record([events.Event(symbol="SPY", event_type="trade", timestamp=start + timedelta(days=number),
               price=Decimal(400 + number), source="test") for number in range(70)])
"""
# In one process: each start of Django takes a second.
MADE = f"""
from django.core.management import call_command
call_command("migrate_all", verbosity=0)
call_command("load_demo")
{EVENTS}
call_command("backup")
"""


@dataclass(frozen=True)
class Desk:
    """A desk with rows in it, its environment, and one backup."""

    environment: dict[str, str]
    folder: Path
    url: str

    @property
    def archives(self) -> list[Path]:
        return sorted((self.folder / "backups").glob("emo-dev-*"))

    def run(self, *arguments: str, **changes: str) -> Ran:
        return manage(*arguments, environment={**self.environment, **changes})

    def succeeds(self, *arguments: str, **changes: str) -> str:
        ran = self.run(*arguments, **changes)
        assert ran.status == 0, ran.out + ran.err
        return ran.out

    def asked(self, sql: str, name: str | None = None) -> list[tuple[Any, ...]]:
        """Rows, or what RETURNING gives; committed."""
        if not SERVER:
            with contextlib.closing(sqlite3.connect(name or self.url.removeprefix("sqlite:///"))) as file, file:
                return file.execute(sql).fetchall()
        url = self.url if name is None else f"{self.url.rpartition('/')[0]}/{name}"
        with psycopg.connect(url) as connection:
            cursor = connection.execute(sql)  # type: ignore[call-overload]  # a test's own text
            return cursor.fetchall() if cursor.description else []

    def databases(self) -> set[str]:
        if not SERVER:
            return {path.name for path in self.folder.iterdir() if "sqlite" in path.name}
        # Those of this desk, its scratch databases and what a restore kept: tests beside this one have others.
        own = self.url.rpartition("/")[2]
        return {row[0] for row in self.asked(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{own}')")}


@contextlib.contextmanager
def made_desk(folder: Path) -> Iterator[Desk]:
    with empty_database(folder) as url:
        environment = {
            "EMO_ENV": "dev",
            "EMO_DB_URL": url,
            "EMO_BACKUP_DIR": str(folder / "backups"),
            "EMO_BACKUP_KEY_FILE": str(folder / "key"),
            "EMO_PG_BIN": str(postgresql_programs()),
        }
        desk = Desk(environment, folder, url)
        keys.make(folder / "key", now=datetime.now(UTC))
        desk.succeeds("shell", "-c", MADE)
        before = desk.databases()
        try:
            yield desk
        finally:
            if SERVER:
                for name in desk.databases() - before:
                    with psycopg.connect(f"{url.rpartition('/')[0]}/postgres", autocommit=True) as server:
                        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Read only: tests that change it make their own."""
    with made_desk(tmp_path_factory.mktemp("desk")) as made:
        yield made


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Desk]:
    with made_desk(tmp_path) as made:
        yield made


def failed(ran: Ran, status: int, *said: str) -> None:
    assert ran.status == status, ran.out + ran.err
    for words in said:
        assert words in ran.out + ran.err
    assert "Traceback" not in ran.err


# ---- the way there and back -----------------------------------------------------------------------------------------


def test_backup_is_proven_table_by_table_and_the_scratch_is_gone(desk: Desk) -> None:
    before = desk.databases()
    found = json.loads(desk.succeeds("verify_backup", "--json"))
    assert (found["proven"], found["problems"], found["environment"]) == (True, [], "dev")
    database = found["databases"]["default"]
    assert database["engine"] == BACKEND
    for table, counts in database["tables"].items():
        [(rows,)] = desk.asked(f"SELECT count(*) FROM {table}")
        assert counts == {"expected": rows, "found": rows}, table
    assert database["tables"]["market_events"]["found"] == 75
    [(rows,)] = desk.asked("SELECT count(*) FROM order_events")
    audit = database["audit"]["orders.OrderEvent"]
    assert (audit["rows"], len(audit["sha256"])) == (rows, 64)
    assert rows > 10
    assert desk.databases() == before


def test_proof_is_shown_as_a_table(desk: Desk) -> None:
    shown = desk.succeeds("verify_backup", str(desk.archives[0]))
    assert f"{'market_events':<40}{75:>12}{75:>12}\n" in shown
    assert f"PROVEN: {desk.archives[0]}, of dev, made 20" in shown
    if BACKEND == "timescaledb":
        [(chunks,)] = desk.asked("SELECT count(*) FROM show_chunks('market_events')")
        assert chunks > 9
        assert f"{'market_events (chunks)':<40}{chunks:>12}{chunks:>12}\n" in shown


def test_archive_is_one_file_for_its_owner_only(desk: Desk) -> None:
    [archive] = desk.archives
    assert archive.stat().st_mode & 0o777 == 0o600
    assert archive.parent.stat().st_mode & 0o777 == 0o700
    beside = {path.name for path in archive.parent.iterdir()} - {".emo-dev-verdicts.json"}
    assert beside == {archive.name, ".lock"}
    assert b"order_events" not in archive.read_bytes()


def test_backups_are_listed(desk: Desk) -> None:
    [listed] = json.loads(desk.succeeds("backup", "--list", "--json"))["backups"]
    assert (listed["path"], listed["kept"]) == (str(desk.archives[0]), True)
    assert f"kept             {desk.archives[0]}\n1 backups of dev in" in desk.succeeds("backup", "--list")


def destroy(desk: Desk) -> None:
    if not SERVER:
        desk.asked("DROP TRIGGER order_events_no_delete")
    # Not TRUNCATE: that would go on to the orders.
    desk.asked("ALTER TABLE order_events DISABLE TRIGGER USER") if SERVER else None
    desk.asked("DELETE FROM order_events")
    desk.asked("UPDATE market_events SET price = 1")


def test_restore_brings_back_what_was_destroyed_and_keeps_the_rest(own_desk: Desk) -> None:
    desk, [archive] = own_desk, own_desk.archives
    trail = desk.asked("SELECT id, reason FROM order_events ORDER BY id")
    destroy(desk)
    shown = desk.succeeds("restore", str(archive))
    assert "Nothing was changed. Run again with --yes." in shown
    assert desk.asked("SELECT count(*) FROM order_events") == [(0,)]
    before = desk.databases()

    done = json.loads(desk.succeeds("restore", str(archive), "--yes", "--json"))
    assert (done["done"], done["notes"]) == (True, [])
    kept = done["databases"]["default"]["kept_as"]
    assert desk.databases() - before == {Path(kept).name}
    assert desk.asked("SELECT id, reason FROM order_events ORDER BY id") == trail
    assert desk.asked("SELECT count(*) FROM market_events WHERE symbol = 'SPY' AND price = 1") == [(0,)]
    assert desk.asked("SELECT count(*) FROM order_events", kept) == [(0,)]
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match="append-only"):
        desk.asked("UPDATE order_events SET reason = 'better'")
    # A desk that works: its writers, its sequences, and its backup.
    desk.succeeds("create_admin")
    desk.succeeds("shell", "-c", EVENTS)
    time.sleep(1.1)
    desk.succeeds("backup")
    desk.succeeds("verify_backup")


@pytest.mark.timescaledb
def test_hypertables_come_back_as_hypertables(own_desk: Desk) -> None:
    chunks = "SELECT hypertable_name, num_chunks FROM timescaledb_information.hypertables ORDER BY 1"
    before = own_desk.asked(chunks)
    own_desk.asked("DELETE FROM market_events")
    own_desk.succeeds("restore", str(own_desk.archives[0]), "--yes")
    assert own_desk.asked(chunks) == before
    own_desk.asked("INSERT INTO market_events SELECT * FROM market_events WHERE false")
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE '%Scheduler'"
    )
    deadline = time.monotonic() + 20
    while own_desk.asked(running) == [(0,)] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert own_desk.asked(running) == [(1,)]


def test_time_series_of_their_own_are_in_the_same_archive(own_desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    split = {
        **sqlite_desk(tmp_path / "orders"),
        **{name: value for name, value in own_desk.environment.items() if name != "EMO_DB_URL"},
        "EMO_TIMESERIES_URL": own_desk.url,
        "EMO_BACKUP_DIR": str(tmp_path / "split"),
    }
    desk = replace(own_desk, environment=split)
    desk.succeeds("migrate_all", "--verbosity", "0")
    desk.succeeds("backup")
    [archive] = (tmp_path / "split").glob("emo-dev-*")
    scratch = {"EMO_BACKUP_SCRATCH_URL": own_desk.url} if SERVER else {}
    found = json.loads(desk.succeeds("verify_backup", "--json", **scratch))
    assert [each["engine"] for each in found["databases"].values()] == ["sqlite", BACKEND]
    if SERVER:
        failed(desk.run("verify_backup"), 2, "there is no server to try it on: set EMO_BACKUP_SCRATCH_URL")
    desk.asked("UPDATE market_events SET price = 1")
    done = json.loads(desk.succeeds("restore", str(archive), "--yes", "--database", "timeseries", "--json"))
    assert list(done["databases"]) == ["timeseries"]
    assert desk.asked("SELECT count(*) FROM market_events WHERE symbol = 'SPY' AND price = 1") == [(0,)]
    failed(own_desk.run("restore", str(archive)), 2, "the archive holds default, timeseries; this desk has default")


def test_old_backups_are_pruned_after_a_new_one(own_desk: Desk) -> None:
    folder = own_desk.folder / "backups"
    for day in range(1, 9):
        (folder / f"emo-dev-2020010{day}T020000Z.tar.age").write_text("old")
    (folder / "emo-prod-20200101T020000Z.tar.age").write_text("another's")
    time.sleep(1.1)
    own_desk.succeeds("backup", "--prune", EMO_BACKUP_KEEP="3,0,0")
    *old, newest = [path.name for path in own_desk.archives]
    # Of today the newer one, and the two days before that have one. (At midnight UTC both are kept, of two days.)
    assert newest > "emo-dev-2025"
    assert old[-1] in ("emo-dev-20200108T020000Z.tar.age", max(old))
    assert len(old) == 2
    assert (folder / "emo-prod-20200101T020000Z.tar.age").exists()


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_missing_and_malformed_keys_are_refused(desk: Desk, tmp_path: Path) -> None:
    failed(desk.run("backup", EMO_BACKUP_KEY_FILE=""), 2, "EMO_BACKUP_KEY is not set", "--make-key")
    failed(desk.run("verify_backup", EMO_BACKUP_KEY_FILE=""), 2, "EMO_BACKUP_KEY is not set")
    (tmp_path / "bad").write_text("AGE-SECRET-KEY-1HUNTER2")
    ran = desk.run("backup", EMO_BACKUP_KEY_FILE=str(tmp_path / "bad"))
    failed(ran, 2, "EMO_BACKUP_KEY: line 1 holds something that is no key of age")
    assert "HUNTER2" not in ran.out + ran.err


def test_wrong_key_proves_nothing_and_restores_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.succeeds("backup", "--make-key", str(tmp_path / "other"))
    other = {"EMO_BACKUP_KEY_FILE": str(tmp_path / "other")}
    ran = desk.run("verify_backup", "--json", **other)
    failed(ran, 1, "it was made for another key")
    assert json.loads(ran.out)["proven"] is False
    failed(desk.run("restore", str(desk.archives[0]), "--yes", **other), 1, "nothing was changed")


@pytest.mark.parametrize("damage", ["empty", "text", "half", "flipped"])
def test_damaged_archive_proves_nothing_and_changes_nothing(desk: Desk, tmp_path: Path, damage: str) -> None:
    whole = desk.archives[0].read_bytes()
    middle = len(whole) // 2
    content = {
        "empty": b"",
        "text": b"Dear operator, ...",
        "half": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :],
    }[damage]
    path = tmp_path / "emo-dev-20251103T150000Z.tar.age"
    path.write_bytes(content)
    before, rows = desk.databases(), desk.asked("SELECT count(*) FROM order_events")
    failed(desk.run("verify_backup", str(path)), 1, "NOT PROVEN")
    failed(desk.run("restore", str(path), "--yes"), 1, "The backup is not proven; nothing was changed.")
    assert (desk.databases(), desk.asked("SELECT count(*) FROM order_events")) == (before, rows)


def test_older_backup_under_a_newer_name_is_not_proven(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "emo-dev-20251103T150000Z.tar.age").write_bytes(desk.archives[0].read_bytes())
    failed(desk.run("verify_backup", EMO_BACKUP_DIR=str(tmp_path)), 1, "not what its name says", "NOT PROVEN")


@pytest.mark.sqlite
def test_restore_takes_the_place_of_a_file_that_is_damaged(own_desk: Desk) -> None:
    live = Path(own_desk.url.removeprefix("sqlite:///"))
    [(rows,)] = own_desk.asked("SELECT count(*) FROM order_events")
    live.write_bytes(b"overwritten" * 9000)
    own_desk.succeeds("restore", str(own_desk.archives[0]), "--yes")
    assert own_desk.asked("SELECT count(*) FROM order_events") == [(rows,)]


@pytest.mark.sqlite
def test_restored_file_has_the_place_owner_and_mode_of_the_one_before(own_desk: Desk, tmp_path: Path) -> None:
    live, disk = Path(own_desk.url.removeprefix("sqlite:///")), tmp_path / "disk"
    disk.mkdir()
    live.rename(disk / "real.sqlite")
    live.symlink_to(disk / "real.sqlite")
    live.chmod(0o660)
    if os.geteuid() == 0:
        os.chown(live, 65534, 65534)
    before = live.stat()
    done = json.loads(own_desk.succeeds("restore", str(own_desk.archives[0]), "--yes", "--json"))
    assert (live.is_symlink(), live.resolve()) == (True, disk / "real.sqlite")
    assert Path(done["databases"]["default"]["kept_as"]).parent == disk
    after = live.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


def test_backup_from_a_newer_schema_is_refused_by_name(own_desk: Desk) -> None:
    own_desk.asked("INSERT INTO django_migrations (app, name, applied) VALUES ('orders', '9999_later', '2025-01-01')")
    time.sleep(1.1)
    own_desk.succeeds("backup")
    newest = own_desk.archives[-1]
    failed(own_desk.run("restore", str(newest), "--yes"), 2, "from a newer desk", "orders.9999_later")
    own_desk.succeeds("verify_backup", str(newest))
    assert "Nothing was changed" in own_desk.succeeds("restore", str(newest), "--allow-newer-schema")


def test_backup_of_another_environment_is_refused_by_name(desk: Desk) -> None:
    staging = {"EMO_ENV": "staging", "SECRET_KEY": "k" * 50, "EMO_AUDIT_KEY": "a" * 32}
    failed(desk.run("restore", str(desk.archives[0]), **staging), 2, "the backup is of dev, this desk is staging")
    allowed = desk.succeeds("restore", str(desk.archives[0]), "--allow-environment", "dev", **staging)
    assert "Nothing was changed" in allowed


def test_production_wants_its_name_typed(desk: Desk) -> None:
    prod = {"EMO_ENV": "prod", "SECRET_KEY": "k" * 50, "EMO_AUDIT_KEY": "a" * 32, "ALLOWED_HOSTS": "desk.example"}
    ran = desk.run("restore", str(desk.archives[0]), "--allow-environment", "dev", "--yes", **prod)
    failed(ran, 2, "this desk is prod: --yes needs --confirm prod with it; nothing was changed")


@pytest.mark.sqlite
def test_restore_waits_for_nobody_who_has_the_file_open(own_desk: Desk) -> None:
    with contextlib.closing(sqlite3.connect(own_desk.url.removeprefix("sqlite:///"))) as user:
        user.execute("SELECT count(*) FROM order_events").fetchall()
        ran = own_desk.run("restore", str(own_desk.archives[0]), "--yes")
    failed(ran, 2, "is in use", "stop the desk")
    assert not [name for name in own_desk.databases() if "restore" in name or "before" in name]


# ---- faults ---------------------------------------------------------------------------------------------------------


def test_server_that_is_down_is_said_without_its_password(desk: Desk, tmp_path: Path) -> None:
    down = "postgresql://emo:hunter2@127.0.0.1:1/emo"
    ran = desk.run("backup", EMO_DB_URL=down, EMO_BACKUP_DIR=str(tmp_path / "b"))
    failed(ran, 2, "default: the database can't be reached")
    assert "hunter2" not in ran.out + ran.err
    assert [path.name for path in (tmp_path / "b").iterdir()] == [".lock"]


@pytest.mark.sqlite
def test_missing_file_is_said_and_not_made(desk: Desk, tmp_path: Path) -> None:
    ran = desk.run("backup", EMO_DB_URL=f"sqlite:///{tmp_path}/none.sqlite", EMO_BACKUP_DIR=str(tmp_path / "b"))
    failed(ran, 2, f"default: there is no file {tmp_path}/none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


@pytest.mark.postgresql
def test_missing_pg_dump_is_said(desk: Desk, tmp_path: Path) -> None:
    ran = desk.run("backup", EMO_PG_BIN=str(tmp_path), EMO_BACKUP_DIR=str(tmp_path / "b"))
    failed(ran, 2, f"no pg_dump found in EMO_PG_BIN={tmp_path}; name the folder of the right one in EMO_PG_BIN")
    ran = desk.run("verify_backup", str(desk.archives[0]), EMO_PG_BIN=str(tmp_path))
    failed(ran, 2, "no pg_restore found")


def test_folder_that_cannot_be_written_is_said(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    failed(desk.run("backup", EMO_BACKUP_DIR=f"{tmp_path}/file"), 2, "file: can't be written (File exists)")
    # Not even root may write there.
    failed(desk.run("backup", EMO_BACKUP_DIR="/sys/kernel"), 2, "/sys/kernel: can't be written (")


def test_full_disk_leaves_nothing_behind(desk: Desk, tmp_path: Path) -> None:
    # A limit on the size of files stands for the disk's: 20 KiB.
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 20; exec '{sys.executable}' manage.py backup"],
        cwd=PROJECT,
        # The limit would cut Python's own cache of the modules, too.
        env={
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            **desk.environment,
            "EMO_BACKUP_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert "can't be written (File too large)" in done.stderr or "can't be copied" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


FAILING = """#!/bin/sh
[ "$1" = --version ] && exec '{real}' --version
cat > /dev/null
echo 'pg_restore: error: {words}' >&2
exit 1
"""


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("words", "status"),
    [("server closed the connection unexpectedly", 2), ("No space left on device", 2), ("out of order", 1)],
)
def test_server_that_is_full_or_gone_is_no_verdict_on_the_backup(
    words: str, status: int, desk: Desk, tmp_path: Path
) -> None:
    program = tmp_path / "pg_restore"
    program.write_text(FAILING.format(real=postgresql_programs() / "pg_restore", words=words))
    program.chmod(0o755)
    before = desk.databases()
    failed(desk.run("verify_backup", EMO_PG_BIN=str(tmp_path)), status, words)
    assert desk.databases() == before


NO_TEMPORARY_FOLDER = """
import runpy, tempfile
tempfile._candidate_tempdir_list = lambda: []
runpy.run_path("manage.py", run_name="__main__")
"""


# Of SQLite, restore needs no temporary file.
@pytest.mark.parametrize("command", ["verify_backup", *(["restore --yes"] if SERVER else [])])
def test_missing_folder_for_temporary_files_is_no_verdict_on_the_backup(command: str, desk: Desk) -> None:
    """1 would say: not proven."""
    name, *options = command.split()
    ran = subprocess.run(
        [sys.executable, "-c", NO_TEMPORARY_FOLDER, name, str(desk.archives[0]), *options],
        check=False,
        env={**os.environ, **desk.environment},
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "No usable temporary directory found" in ran.stderr


def test_second_backup_is_refused_while_one_runs(desk: Desk) -> None:
    with (desk.folder / "backups/.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        failed(desk.run("backup"), 2, "another backup or restore is running")
        failed(desk.run("restore", str(desk.archives[0]), "--yes"), 2, "another backup or restore is running")
    assert len(desk.archives) == 1


SLOW = """#!/bin/sh
if [ "$1" = --version ]; then exec {real}/pg_dump --version; fi
echo "$$ $*" > {said}
env > {said}.unfinished
mv {said}.unfinished {said}.env
exec sleep 60
"""


@contextlib.contextmanager
def started(desk: Desk, *command: str, said: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that has come as far as its program, which has told its arguments and its environment."""
    programs = said.parent / "programs"
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], **desk.environment, "EMO_PG_BIN": str(programs)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            deadline = time.monotonic() + 120
            while not Path(f"{said}.env").exists():
                assert running.poll() is None, running.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield running
        finally:
            running.kill()


@pytest.mark.postgresql
def test_killed_backup_leaves_no_archive_and_shows_no_password(own_desk: Desk) -> None:
    said, programs = own_desk.folder / "said", own_desk.folder / "programs"
    programs.mkdir()
    (programs / "pg_dump").write_text(SLOW.format(real=postgresql_programs(), said=said))
    (programs / "pg_dump").chmod(0o755)
    before = own_desk.archives
    # Archives are named by the second.
    time.sleep(1.1)
    with started(own_desk, sys.executable, "manage.py", "backup", said=said):
        pass
    pid, _, arguments = said.read_text().partition(" ")
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(pid), signal.SIGKILL)
    password = own_desk.url.split(":")[2].partition("@")[0]
    assert password not in arguments
    assert "--snapshot=" in arguments
    assert f"PGPASSWORD={password}" in Path(f"{said}.env").read_text()
    assert own_desk.archives == before
    left = [path.name for path in (own_desk.folder / "backups").iterdir() if path.name.endswith(".partial")]
    assert len(left) == 1
    assert f"{left[0]}: left by a backup that was killed; removed" in own_desk.succeeds("backup")
    assert len(own_desk.archives) == len(before) + 1


@pytest.mark.postgresql
@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGHUP])
def test_terminated_proof_removes_its_scratch_database(own_desk: Desk, ended_by: signal.Signals) -> None:
    programs, said = own_desk.folder / "programs", own_desk.folder / "said"
    programs.mkdir()
    (programs / "pg_restore").write_text(SLOW.format(real=postgresql_programs(), said=said))
    (programs / "pg_restore").chmod(0o755)
    before = own_desk.databases()
    # Whoever runs the tests may have ignored the end of a terminal, and that is inherited.
    command = ("env", "--default-signal=HUP", sys.executable, "manage.py", "verify_backup")
    with started(own_desk, *command, said=said) as running:
        assert len(own_desk.databases() - before) == 1
        running.send_signal(ended_by)
        assert running.wait(60) == 128 + ended_by
    assert own_desk.databases() == before


@pytest.mark.postgresql
def test_role_that_is_not_there_is_said_and_nothing_is_changed(own_desk: Desk) -> None:
    role = f"gone_{os.getpid()}"
    own_desk.asked(f"CREATE ROLE {role}")
    own_desk.asked(f"GRANT SELECT ON market_events TO {role}")
    time.sleep(1.1)
    own_desk.succeeds("backup")
    own_desk.asked(f"REVOKE ALL ON market_events FROM {role}")
    own_desk.asked(f"DROP ROLE {role}")
    before = own_desk.databases()
    newest = str(own_desk.archives[-1])
    failed(own_desk.run("restore", newest, "--yes"), 1, f'role "{role}" does not exist')
    assert own_desk.databases() == before
    own_desk.succeeds("verify_backup", newest)
    own_desk.succeeds("restore", newest, "--yes", "--no-owner")


@pytest.mark.postgresql
def test_grants_of_the_desks_roles_come_back(own_desk: Desk) -> None:
    role = f"reader_{os.getpid()}"
    own_desk.asked(f"CREATE ROLE {role}")
    try:
        own_desk.asked(f"GRANT SELECT ON market_events TO {role}")
        time.sleep(1.1)
        own_desk.succeeds("backup")
        done = own_desk.succeeds("restore", str(own_desk.archives[-1]), "--yes", "--json")
        kept = json.loads(done)["databases"]["default"]["kept_as"]
        question = f"SELECT has_table_privilege('{role}', 'market_events', 'SELECT')"
        assert own_desk.asked(question) == [(True,)]
    finally:
        for name in (None, kept):
            own_desk.asked(f"DROP OWNED BY {role}", name)
        own_desk.asked(f"DROP ROLE {role}")


@pytest.mark.postgresql
def test_role_that_may_read_everything_makes_a_backup(own_desk: Desk) -> None:
    role = f"keeper_{os.getpid()}"
    own_desk.asked(f"CREATE ROLE {role} LOGIN PASSWORD 'keeper' IN ROLE pg_read_all_data")
    try:
        place = own_desk.url.rpartition("@")[2]
        time.sleep(1.1)
        own_desk.succeeds("backup", EMO_DB_URL=f"postgresql://{role}:keeper@{place}")
        own_desk.succeeds("verify_backup")
    finally:
        own_desk.asked(f"DROP ROLE {role}")


@pytest.mark.postgresql
def test_role_that_may_make_databases_proves_a_backup(own_desk: Desk) -> None:
    role = f"prover_{os.getpid()}"
    own_desk.asked(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'prover'")
    try:
        place = own_desk.url.rpartition("@")[2].rpartition("/")[0]
        scratch = {"EMO_BACKUP_SCRATCH_URL": f"postgresql://{role}:prover@{place}/{own_desk.url.rpartition('/')[2]}"}
        if BACKEND == "timescaledb":
            before = own_desk.databases()
            failed(own_desk.run("verify_backup", **scratch), 2, "TimescaleDB lets only a superuser restore")
            assert own_desk.databases() == before
        else:
            own_desk.succeeds("verify_backup", **scratch)
    finally:
        own_desk.asked(f"DROP ROLE {role}")


def _component(desk: Desk, folder: Path, name: str) -> dict[str, Any]:
    ran = desk.run("healthcheck", "--json", "--no-record", EMO_BACKUP_DIR=str(folder))
    [found] = [each for each in json.loads(ran.out)["components"] if each["name"] == name]
    return found


def test_the_probe_hears_of_each_verdict(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    shutil.copytree(desk.folder / "backups", folder)
    for path in folder.glob(".emo-dev-verdicts.json"):
        path.unlink()
    assert _component(desk, folder, "backups")["message"].endswith("none was ever proven")
    desk.succeeds("verify_backup", EMO_BACKUP_DIR=str(folder))
    found = _component(desk, folder, "backups")
    assert (found["status"], found["metrics"]["last_verdict"]) == ("healthy", "proven"), found
    newest = max(folder.glob("emo-dev-*"))
    damaged = bytearray(newest.read_bytes())
    damaged[-100] ^= 1
    newest.write_bytes(damaged)
    assert desk.run("verify_backup", EMO_BACKUP_DIR=str(folder)).status == 1
    found = _component(desk, folder, "backups")
    assert found["status"] == "error"
    assert found["message"].startswith(f"{newest.name} was not proven 0.0 h ago: ")


def test_a_backup_that_lies_elsewhere_leaves_no_verdict(desk: Desk, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "backups", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    copy = shutil.copy(desk.archives[0], elsewhere)
    desk.succeeds("verify_backup", str(copy), EMO_BACKUP_DIR=str(folder))
    assert list(folder.iterdir()) == []
    assert len(list(elsewhere.iterdir())) == 1
