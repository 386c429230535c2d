"""manage.py validate as an operator or a pipeline sees it: whole, and with each of its checks broken."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db.utils import ConnectionRouter

from emo_site import validation
from emo_site.db import alchemy, migration_files
from emo_site.db.routers import AppRouter
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from reporting import rendering
from reporting.system_check import Part, Verdict
from tests.desk import Ran, empty_database, environment_of, manage
from tests.factories import NOW
from tests.run import PROJECT
from tests.servers import black_hole

CHECKS = ["router", "legacy doors", "order review", "integration health", "migrations"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a fresh, migrated desk on the engine that this run is about; nobody changes it."""
    with empty_database(tmp_path_factory.mktemp("desk")) as url:
        environment = {"EMO_ENV": "dev", "EMO_DB_URL": url}
        ran = manage("migrate_all", "--verbosity", "0", environment=environment)
        assert ran.status == 0, ran.err
        yield environment


def content(url: str) -> str:
    """A digest of every row of every table."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            return hashlib.sha256("\n".join(file.iterdump()).encode()).hexdigest()
    with psycopg.connect(url) as server:
        tables = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        rows = [
            server.execute(f'SELECT * FROM "{table}" AS t ORDER BY t::text').fetchall()  # type: ignore[call-overload]
            for (table,) in tables
        ]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def checks(ran: Ran) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(ran.out)["checks"]}


def failed(ran: Ran) -> dict[str, str]:
    return {name: each["message"] for name, each in checks(ran).items() if each["verdict"] == "FAIL"}


def test_a_whole_desk_passes_one_line_each_and_is_left_as_it_was(desk: dict[str, str]) -> None:
    before = content(desk["EMO_DB_URL"])
    ran = manage("validate", environment=desk)
    assert ran.status == 0, ran.out + ran.err
    lines = ran.out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"PASS {name}" for name in CHECKS]
    assert "SQLAlchemy too" in lines[1]
    assert "DeprecationWarning" not in ran.err
    assert content(desk["EMO_DB_URL"]) == before


def test_a_program_reads_the_same_as_json(desk: dict[str, str]) -> None:
    ran = manage("validate", "--json", environment=desk)
    document = json.loads(ran.out)
    assert (ran.status, document["verdict"], document["environment"]) == (0, "PASS", "dev")
    assert [each["name"] for each in document["checks"]] == CHECKS
    assert all(each["verdict"] == "PASS" and each["took_ms"] > 0 for each in document["checks"])


def test_an_empty_database_fails_and_is_not_migrated_by_the_way(tmp_path: Path) -> None:
    with empty_database(tmp_path) as url:
        ran = manage("validate", "--json", environment={"EMO_ENV": "dev", "EMO_DB_URL": url})
        assert ran.status == 1
        assert "default: not applied: contenttypes.0001_initial" in failed(ran)["migrations"]
        assert checks(ran)["migrations"]["remedy"] == "Run manage.py migrate_all."
        assert {"router", "order review"} <= failed(ran).keys()
        if url.startswith("sqlite"):
            assert list(tmp_path.glob("*.sqlite")) == []


def test_a_database_that_is_down_fails_in_time_with_the_drivers_word() -> None:
    with black_hole() as (host, port):
        started = time.monotonic()
        url = f"postgresql://emo:verysecret@{host}:{port}/desk"
        ran = manage("validate", "--json", "--timeout", "20", environment={"EMO_ENV": "dev", "EMO_DB_URL": url})
    assert ran.status == 1
    assert failed(ran).keys() == set(CHECKS)
    assert "timeout" in failed(ran)["legacy doors"]
    assert "verysecret" not in ran.out + ran.err
    assert time.monotonic() - started < 30


@pytest.mark.postgresql
def test_a_role_that_may_not_read_fails_and_says_so(desk: dict[str, str]) -> None:
    role = f"nobody_{os.getpid()}"
    with psycopg.connect(desk["EMO_DB_URL"], autocommit=True) as server:
        server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")  # type: ignore[call-overload]
        try:
            url = f"postgresql://{role}:pw@{desk['EMO_DB_URL'].rpartition('@')[2]}"
            ran = manage("validate", "--json", environment=desk | {"EMO_DB_URL": url})
        finally:
            server.execute(f"DROP ROLE {role}")  # type: ignore[call-overload]
    assert ran.status == 1
    assert "permission denied" in failed(ran)["order review"]
    assert "permission denied" in failed(ran)["migrations"]


@pytest.mark.sqlite
def test_a_file_that_can_not_be_written_or_is_none_fails(tmp_path: Path) -> None:
    (tmp_path / "junk.sqlite").write_bytes(b"not a database at all" * 100)
    ran = manage(
        "validate", "--json", environment={"EMO_ENV": "dev", "EMO_DB_URL": f"sqlite:///{tmp_path}/junk.sqlite"}
    )
    assert ran.status == 1
    assert "file is not a database" in failed(ran)["legacy doors"]


@pytest.mark.parametrize("seconds", ["0", "nan", "-1", "601", "x"])
def test_a_timeout_that_is_none_is_refused(seconds: str) -> None:
    with pytest.raises(CommandError, match="--timeout") as refused:
        call_command("validate", f"--timeout={seconds}")
    assert refused.value.returncode == (1 if seconds == "x" else 2)


def test_without_sqlalchemy_the_doors_are_said_to_be_closed_and_nothing_fails(
    desk: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sqlalchemy.py").write_text("raise ModuleNotFoundError('No module', name='sqlalchemy')\n")
    ran = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "validate"],
        check=False,
        env=environment_of(desk | {"PYTHONPATH": str(tmp_path)}),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout
    assert "doors that need it are closed: sqlalchemy is not installed" in ran.stdout.splitlines()[1]


def test_a_migration_of_another_version_is_named(desk: dict[str, str], tmp_path: Path) -> None:
    with empty_database(tmp_path) as url:
        environment = desk | {"EMO_DB_URL": url}
        assert manage("migrate_all", "--verbosity", "0", environment=environment).status == 0
        insert = "INSERT INTO django_migrations (app, name, applied) VALUES ('orders', '9999_later', '2026-11-25')"
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
                file.execute(insert)
        else:
            with psycopg.connect(url) as server:
                server.execute(insert)
        ran = manage("validate", "--json", environment=environment)
        assert ran.status == 1
        assert failed(ran) == {"migrations": "default: applied, but not in this version: orders.9999_later"}
        back = manage("migrate", "reporting", "0001", "--verbosity", "0", environment=environment)
        assert back.status == 0, back.err
        ran = manage("validate", "--json", environment=environment)
        assert "default: not applied: reporting.0002_groups" in failed(ran)["migrations"]


def test_a_model_without_its_migration_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert migration_files.unmade() == []
    from orders.models import StagedOrder

    field = StagedOrder._meta.get_field("symbol")
    monkeypatch.setattr(field, "max_length", 4711)
    assert migration_files.unmade() == ["orders: Alter field symbol on stagedorder"]
    with pytest.raises(validation.Failed, match="not made: orders: Alter field symbol on stagedorder"):
        validation.migrations()


def run() -> dict[str, Part]:
    return {part.name: part for part in validation.run(timeout=30, now=NOW)}


@pytest.mark.django_db(transaction=True)
def test_each_check_fails_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken part does not hide in the others, and does not break them."""

    class Broken:
        name, critical = "flux capacitor", True

        def run(self) -> Finding:
            return Finding(status=HealthStatus.ERROR, message="out of plutonium", remedy="Buy some.")

    whole = run()
    assert [part.verdict for part in whole.values()] == [Verdict.PASS] * 5, whole

    with monkeypatch.context() as patch:
        patch.setattr(AppRouter, "db_for_write", lambda *_, **__: "elsewhere")
        found = run()["router"]
        assert found.verdict == Verdict.FAIL
        assert "is written to elsewhere instead of default" in found.message
    assert isinstance(ConnectionRouter().routers[0], AppRouter)

    with monkeypatch.context() as patch:
        patch.setattr(rendering, "json_text", lambda *_: 1 / 0)
        found = run()["order review"]
        assert (found.verdict, found.message) == (Verdict.FAIL, "ZeroDivisionError: division by zero")

    with monkeypatch.context() as patch:
        patch.setattr("monitoring.health.configured", lambda: [Broken()])
        found = run()["integration health"]
        assert (found.verdict, found.message) == (Verdict.FAIL, "flux capacitor: out of plutonium")
        assert found.remedy == "Buy some."

    with monkeypatch.context() as patch:
        patch.setattr(alchemy, "engine", lambda alias: 1 / 0)
        assert run()["legacy doors"].verdict == Verdict.FAIL

    with monkeypatch.context() as patch:
        patch.setattr("reporting.order_dictionaries.REQUIRED", ("symbol", "moon_phase"))
        found = run()["legacy doors"]
        assert found.verdict == Verdict.FAIL
        assert "moon_phase=None: is missing" in found.message


def test_reports_are_not_left_behind(desk: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    places = {"TMPDIR": str(tmp_path / "temporary"), "EMO_DATA_DIR": str(tmp_path / "data")}
    ran = manage("validate", environment=desk | places)
    assert ran.status == 0, ran.out
    assert list((tmp_path / "temporary").iterdir()) == []
    assert list((tmp_path / "data").rglob("*.html")) == []
