"""manage.py migrate_all: all databases, in order, by one host at a time, and never half of it without a word."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command

from emo_site.db import migration
from emo_site.db.migration_lock import KEY, MigrationLock
from tests.clusters import replicated
from tests.conftest import BACKEND
from tests.desk import Ran, empty_database, environment_of, manage
from tests.run import PROJECT


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with empty_database(tmp_path) as url:
        yield url


def succeeds(*arguments: str, environment: dict[str, str]) -> Ran:
    ran = manage(*arguments, environment=environment)
    assert ran.status == 0, ran.out + ran.err
    return ran


def begun(*arguments: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        env=environment_of(environment),
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def another_migrates(url: str) -> Iterator[str]:
    """The lock is held, by this process; yields how the holder is called."""
    if url.startswith("sqlite"):
        with Path(url.removeprefix("sqlite://") + ".migrating").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write("manage.py, pid 4711, since 10:00:00 UTC")
            file.flush()
            yield "manage.py, pid 4711, since 10:00:00 UTC"
        return
    with psycopg.connect(url, autocommit=True, application_name="another host") as server:
        server.execute("SELECT pg_advisory_lock(%s)", [KEY])
        yield f"another host of postgres, pid {server.info.backend_pid} from 127.0.0.1, since "


def test_plan_and_check_tell_what_is_unapplied_and_change_nothing(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    plan = succeeds("migrate_all", "--plan", environment=environment)
    assert plan.out.startswith("== default\n  contenttypes.0001_initial\n")
    assert "  orders.0002_order_events_append_only\n" in plan.out
    check = manage("migrate_all", "--check", environment=environment)
    assert (check.status, check.out) == (1, plan.out)
    assert f"{len(plan.out.splitlines()) - 1} not applied." in check.err
    if url.startswith("sqlite"):
        assert not Path(url.removeprefix("sqlite://")).exists()
    else:
        with psycopg.connect(url) as server:
            assert server.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)

    succeeds("migrate_all", "--verbosity", "0", environment=environment)
    check = succeeds("migrate_all", "--check", environment=environment)
    assert check.out == "== default\n  nothing to apply\n"
    succeeds("migrate", "reporting", "0001", "--verbosity", "0", environment=environment)
    check = manage("migrate_all", "--check", environment=environment)
    assert check.status == 1
    assert check.out.startswith("== default\n  reporting.0002_groups\n")


def test_two_hosts_that_deploy_at_once_migrate_once(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    hosts = [begun("migrate_all", environment=environment) for _ in range(2)]
    said = [host.communicate(timeout=120) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], said
    applied = sorted(out.count("Applying ") for out, _ in said)
    # One did all of it and the other nothing: it came in when there was nothing left to do.
    assert applied[0] == 0
    assert applied[1] > 20
    waited = next(err for out, err in said if "Applying " not in out)
    assert "default: being migrated by " in waited
    assert succeeds("migrate_all", "--check", environment=environment)


def test_second_waits_says_for_whom_and_goes_on(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    with another_migrates(url) as holder:
        host = begun("migrate_all", "--verbosity", "0", environment=environment)
        told = host.stderr.readline()
        assert told.startswith(f"default: being migrated by {holder}")
        assert told.endswith("; waiting up to 300 s\n")
        assert manage("migrate_all", "--check", environment=environment).status == 1
        assert host.poll() is None
    host.communicate(timeout=60)
    assert host.returncode == 0
    succeeds("migrate_all", "--check", environment=environment)


def test_patience_ends_and_nothing_was_touched(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    with another_migrates(url) as holder:
        ran = manage("migrate_all", "--wait", "0.5", environment=environment)
    assert ran.status == 2
    assert f"default: still being migrated by {holder}" in ran.err
    assert "after 0.5 s. Nothing was migrated." in ran.err
    assert manage("migrate_all", "--check", environment=environment).status == 1


def test_lock_ends_with_the_process_that_is_killed(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    with another_migrates(url):
        first = begun("migrate_all", environment=environment)
        first.stderr.readline()
    # It has the lock within a quarter of a second, and is in the middle of migrating.
    assert first.stdout.readline() == "== default\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    # Where the lock outlived its holder, it would say so and end with 2.
    succeeds("migrate_all", "--wait", "20", environment=environment)
    succeeds("migrate_all", "--check", environment=environment)


@pytest.mark.parametrize("seconds", ["-1", "x", "nan", "86401"])
def test_patience_that_is_no_number_of_seconds_is_refused(seconds: str, tmp_path: Path) -> None:
    ran = manage("migrate_all", "--wait", seconds, environment={"EMO_DB_URL": f"sqlite:///{tmp_path}/x.sqlite"})
    assert ran.status == 2
    assert "argument --wait: " in ran.err


def test_database_that_is_down_leaves_every_other_untouched(url: str) -> None:
    environment = {"EMO_DB_URL": url, "EMO_TIMESERIES_URL": "postgresql://emo:hush@127.0.0.1:1/emo"}
    ran = manage("migrate_all", environment=environment)
    assert ran.status == 2
    assert "timeseries: connection failed" in ran.err
    assert "Nothing was migrated." in ran.err
    assert "hush" not in ran.out + ran.err
    assert manage("migrate_all", "--check", environment={"EMO_DB_URL": url}).status == 1
    check = manage("migrate_all", "--check", environment=environment)
    assert check.status == 2
    assert "timeseries: can't be asked" in check.err


def test_failure_in_the_middle_names_what_is_done_and_what_is_not(url: str, tmp_path: Path) -> None:
    # The second database takes no new tables: the orders' tables are not what the migration expects to find.
    environment = {"EMO_DB_URL": f"sqlite:///{tmp_path}/orders.sqlite", "EMO_TIMESERIES_URL": url}
    _execute(url, "CREATE TABLE market_events (n int)")
    ran = manage("migrate_all", "--verbosity", "0", environment=environment)
    assert ran.status == 2
    assert "already exists. Migrated: default. timeseries is at its last migration that succeeded." in ran.err
    assert "Not begun: none." in ran.err
    first = f"sqlite:///{tmp_path}/first.sqlite"
    _execute(first, "CREATE TABLE staged_orders (n int)")
    ran = manage("migrate_all", environment={"EMO_DB_URL": first, "EMO_TIMESERIES_URL": url})
    assert ran.status == 2
    assert "Migrated: none. default is at its last migration that succeeded. Not begun: timeseries." in ran.err


def _execute(url: str, statement: str) -> None:
    if url.startswith("sqlite"):
        import sqlite3

        with sqlite3.connect(url.removeprefix("sqlite://")) as file:
            file.execute(statement)
        file.close()
        return
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(statement)  # type: ignore[call-overload]


def test_migrations_that_contradict_each_other_are_a_failure_and_not_something_unapplied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def conflict(*arguments: object, **options: object) -> None:
        raise CommandError("Conflicting migrations detected")

    monkeypatch.setattr(migration, "exclusive", lambda alias, **options: nullcontext(MigrationLock(None)))
    monkeypatch.setattr(migration, "_refuse_lost_tables", lambda alias: None)
    monkeypatch.setattr(migration, "_migrate_one", conflict)
    with pytest.raises(CommandError, match=r"^default: Conflicting migrations detected\. Migrated: none\.") as raised:
        call_command("migrate_all")
    assert raised.value.returncode == 2


def test_time_series_that_come_home_get_their_tables(url: str, tmp_path: Path) -> None:
    apart = {"EMO_DB_URL": url, "EMO_TIMESERIES_URL": f"sqlite:///{tmp_path}/series.sqlite"}
    home = {"EMO_DB_URL": url}
    succeeds("migrate_all", "--verbosity", "0", environment=apart)
    succeeds("load_demo", environment=apart)
    check = manage("migrate_all", "--check", environment=home)
    assert check.status == 1
    assert "monitoring is recorded as migrated, but " in check.out
    assert "market_events" in check.out

    ran = succeeds("migrate_all", "--verbosity", "0", environment=home)
    assert "making it (the time series lived elsewhere when they were migrated)" in ran.err
    succeeds("migrate_all", "--check", environment=home)
    health = manage("healthcheck", "--database", "default", environment=home)
    assert health.status == 0, health.out
    assert "Recorded" in health.out
    if BACKEND == "timescaledb":
        assert "market_events, system_health (TimescaleDB" in health.out
    # The orders and groups that were there are there, and the migrations that depend on the time series were not
    # run a second time.
    told = succeeds("shell", "-c", _COUNT, environment=home).out.strip().splitlines()[-1]
    assert told == "10 orders, 5 groups"
    assert succeeds("migrate_all", environment=apart)


_COUNT = """
from django.contrib.auth.models import Group
from orders.models import StagedOrder
print(f"{StagedOrder.objects.count()} orders, {Group.objects.count()} groups")
"""


@pytest.mark.parametrize("table", ["order_legs", "system_health"])
def test_table_that_was_lost_is_not_made_anew(url: str, table: str) -> None:
    environment = {"EMO_DB_URL": url}
    succeeds("migrate_all", "--verbosity", "0", environment=environment)
    cascade = "" if url.startswith("sqlite") else " CASCADE"
    _execute(url, f"DROP TABLE {table}{cascade}")
    app = "orders" if table == "order_legs" else "monitoring"
    told = f"{app} is recorded as migrated, but {table} is missing"
    check = manage("migrate_all", "--check", environment=environment)
    assert (check.status, check.out) == (
        1,
        f"== default\n  {told}: is refused: its rows are lost, restore a backup\n",
    )
    ran = manage("migrate_all", environment=environment)
    assert ran.status == 2
    assert f"default: {told}: its rows are lost. Restore a backup" in ran.err
    assert "Nothing was migrated." in ran.err


@pytest.mark.postgresql
def test_migration_lets_the_desk_pass_while_a_long_transaction_holds_a_table(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    succeeds("migrate_all", "--verbosity", "0", environment=environment)
    succeeds("migrate", "orders", "0002", "--verbosity", "0", environment=environment)
    longest = [0.0]
    with psycopg.connect(url, application_name="a long report") as report:
        report.execute("SELECT count(*) FROM order_events")
        host = begun("migrate_all", "--verbosity", "0", environment=environment)
        reading = threading.Event()
        reader = threading.Thread(target=_read_until, args=(url, reading, longest))
        reader.start()
        told = host.stderr.readline()
        assert told.startswith(f"default: a table is locked, pid {report.info.backend_pid} (a long report of postgres")
        assert "uses order_events; trying again in 3 s" in told
    _, err = host.communicate(timeout=60)
    reading.set()
    reader.join()
    assert host.returncode == 0, err
    # Readers queue up behind a migration that waits: as long as it waits, and not as long as the report takes.
    assert longest[0] < 3 + 3
    succeeds("migrate_all", "--check", environment=environment)


def _read_until(url: str, done: threading.Event, longest: list[float]) -> None:
    with psycopg.connect(url, autocommit=True) as desk:
        while not done.is_set():
            started = time.monotonic()
            desk.execute("SELECT count(*) FROM order_events")
            longest[0] = max(longest[0], time.monotonic() - started)
            time.sleep(0.05)


@pytest.mark.postgresql
def test_lock_that_went_with_its_session_ends_the_run(url: str) -> None:
    environment = {"EMO_DB_URL": url, "EMO_TIMESERIES_URL": url + "_series"}
    with psycopg.connect(url, autocommit=True) as server:
        name = url.rpartition("/")[2]
        server.execute(f'CREATE DATABASE "{name}_series"')  # type: ignore[call-overload]
        try:
            host = begun("migrate_all", environment=environment)
            assert host.stdout.readline() == "== default\n"
            # A failover ends every session; the one that holds the lock of the database that comes next is idle.
            server.execute(
                "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
                " WHERE l.locktype = 'advisory' AND d.datname = %s",
                [f"{name}_series"],
            )
            out, err = host.communicate(timeout=60)
            assert host.returncode == 2, out + err
            assert "timeseries: " in err
            assert "Migrated: default." in err
        finally:
            server.execute(f'DROP DATABASE "{name}_series" WITH (FORCE)')  # type: ignore[call-overload]


def test_lock_file_of_sqlite_needs_its_folder(tmp_path: Path) -> None:
    if os.geteuid() != 0 or BACKEND == "sqlite":
        ran = manage("migrate_all", environment={"EMO_DB_URL": f"sqlite:///{tmp_path}/none/x.sqlite"})
        assert ran.status == 2
        assert f"default: {tmp_path}/none/x.sqlite.migrating can't be opened: No such file or directory" in ran.err


@pytest.mark.cluster
def test_primary_of_yesterday_is_neither_asked_nor_migrated() -> None:
    with replicated(synchronous=False) as cluster:
        environment = {"EMO_DB_URL": cluster.url()}
        succeeds("migrate_all", "--verbosity", "0", environment=environment)
        old, new = cluster.primary, cluster.standbys[0]
        cluster.wait_until_replayed(new)
        # As after a partition without fencing: the old primary is the first host of the URL, and says "read-write".
        assert new.query("SELECT pg_promote(true, 30)") == (True,)
        forget = "DELETE FROM django_migrations WHERE app = 'monitoring'"
        old.execute(forget)
        checked = manage("migrate_all", "--check", environment=environment)
        assert (checked.status, "nothing to apply" in checked.out) == (0, True), checked.out
        new.execute(forget)
        assert manage("migrate_all", "--check", environment=environment).status == 1
