"""manage.py healthcheck as an operator sees it: text, JSON, exit status, time, and what is recorded."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import psycopg
import pytest

from tests.desk import manage, sqlite_desk
from tests.servers import black_hole, postgresql_server, silent_server

pytestmark = pytest.mark.once


@pytest.fixture
def desk(tmp_path: Path) -> dict[str, str]:
    return sqlite_desk(tmp_path)


def _recorded(folder: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(folder / "desk.sqlite") as connection:
        return connection.execute("SELECT component_name, status FROM system_health ORDER BY rowid").fetchall()


def test_a_healthy_desk_exits_0_and_records_each_component(desk: dict[str, str], tmp_path: Path) -> None:
    # Not the whole desk: how full the disk is, is this machine's affair.
    ran = manage("healthcheck", "--database", "default", environment=desk)
    assert ran.status == 0, ran.out + ran.err
    assert re.search(r"^database:default +healthy ", ran.out, re.MULTILINE)
    assert "System health: healthy, score 100.00 of 100, 4 probes\nRecorded 4 results." in ran.out
    assert _recorded(tmp_path) == [
        (f"{name}:default", "healthy") for name in ("database", "migrations", "hypertables", "sqlite")
    ]


def test_no_record_leaves_the_table_alone(desk: dict[str, str], tmp_path: Path) -> None:
    ran = manage("healthcheck", "--database", "default", "--no-record", environment=desk)
    assert ran.status == 0
    assert "Not recorded: not asked for" in ran.out
    assert _recorded(tmp_path) == []


def test_json_names_every_component_and_nothing_else_is_printed(desk: dict[str, str]) -> None:
    document = json.loads(manage("healthcheck", "--json", environment=desk).out)
    assert document["environment"] == "dev"
    assert document["system_health_score"] >= 80
    assert {item["name"] for item in document["components"]} == {
        "database:default",
        "migrations:default",
        "hypertables:default",
        "sqlite:default",
        "files",
        "backups",
        "disk",
        "memory",
        "cpu",
        "cache",
        "market data",
        "market data by symbol",
        "retention",
        "review backlog",
        "reported components",
        "log errors",
        "web errors",
        "task worker",
        "watch",
        "overdue orders",
        "unmatched fills",
        "approval to fill",
        "trading state",
        "audit trail",
    }


def test_json_tells_pools_and_statements_of_its_own_process(desk: dict[str, str]) -> None:
    document = json.loads(manage("healthcheck", "--json", environment=desk).out)
    [pool] = document["pools"]
    assert (pool["database"], pool["server"]) == ("default", None)
    assert pool["process"]["reason"] == "SQLite is a file: each thread opens it by itself"
    assert pool["process"]["pid"] == document["statements"]["pid"]
    [counted] = document["statements"]["databases"]
    assert counted["database"] == "default"
    assert counted["count"] > 0
    assert counted["recent"] == counted["count"]
    assert 0 < counted["p50_ms"] <= counted["p95_ms"]


def test_only_the_probes_of_one_database(desk: dict[str, str]) -> None:
    document = json.loads(manage("healthcheck", "--json", "--database", "default", environment=desk).out)
    assert [item["name"] for item in document["components"]] == [
        "database:default",
        "migrations:default",
        "hypertables:default",
        "sqlite:default",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--database", "nowhere"], "--database=nowhere: known are default"),
        (["--timeout", "0"], "--timeout=0: must be from 0.1 to 600 seconds"),
        (["--timeout", "nan"], "--timeout=nan: must be from 0.1 to 600 seconds"),
    ],
)
def test_what_cannot_be_checked_exits_2(desk: dict[str, str], arguments: list[str], message: str) -> None:
    ran = manage("healthcheck", *arguments, environment=desk)
    assert ran.status == 2
    assert message in ran.err


def test_a_database_that_was_never_migrated_exits_1_and_says_what_to_run(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.sqlite").execute("VACUUM").connection.close()
    ran = manage("healthcheck", environment={"EMO_DB_URL": f"sqlite:///{tmp_path}/empty.sqlite"})
    assert ran.status == 1
    assert "Run manage.py migrate_all." in ran.out
    assert "Not recorded: " in ran.out


def test_a_missing_sqlite_folder_exits_1(tmp_path: Path) -> None:
    ran = manage("healthcheck", environment={"EMO_DB_URL": f"sqlite:///{tmp_path}/no/such/folder.sqlite"})
    assert ran.status == 1
    folder = tmp_path / "no/such"
    assert f"Can't be used: there is no file {folder}/folder.sqlite; manage.py migrate makes it" in ran.out


def test_a_missing_sqlite_file_is_not_made_and_called_healthy(tmp_path: Path) -> None:
    ran = manage("healthcheck", environment={"EMO_DB_URL": f"sqlite:///{tmp_path}/none.sqlite"})
    assert ran.status == 1
    assert not (tmp_path / "none.sqlite").exists()


def test_a_wrong_setting_is_said_in_one_line_and_exits_2() -> None:
    ran = manage("healthcheck", "--json", environment={"EMO_DB_POOL_SIZE": "x"})
    assert ran.status == 2
    assert ran.out == ""
    assert ran.err == "EMO_DB_POOL_SIZE='x' is refused: a whole number from 1 to 200 is needed\n"


def test_a_stopped_server_exits_1_within_the_timeout_and_its_return_is_seen() -> None:
    with postgresql_server() as server:
        environment = {"EMO_DB_URL": server.url}
        assert manage("migrate", "--verbosity", "0", environment=environment).status == 0
        assert manage("healthcheck", "--database", "default", environment=environment).status == 0
        server.stop()
        down = manage("healthcheck", "--timeout", "5", environment=environment)
        assert down.status == 1, down.out
        assert down.seconds < 5 + 3
        assert re.search(r"^database:default +error ", down.out, re.MULTILINE)
        assert "Not recorded: database:default can't be used" in down.out
        server.start()
        assert manage("healthcheck", "--database", "default", environment=environment).status == 0
        with psycopg.connect(server.url) as connection:
            recorded = dict(
                connection.execute("SELECT component_name, count(*) FROM system_health GROUP BY 1").fetchall()
            )
            assert set(recorded.values()) == {2}
            assert recorded.keys() >= {
                f"{name}:default"
                for name in ("database", "migrations", "connections", "clock", "locks", "vacuum", "storage", "chunks")
            }


@pytest.mark.parametrize("hole", [black_hole, silent_server])
def test_a_database_that_never_answers_does_not_hold_up_the_verdict(hole: object) -> None:
    with hole() as (host, port):  # type: ignore[operator]
        environment = {"EMO_DB_URL": f"postgresql://emo:hush@{host}:{port}/emo"}
        # Refused at once: it takes as long as Python and Django need to start, on this machine and now.
        start = manage("healthcheck", "--timeout", "0", environment=environment)
        assert start.status == 2
        ran = manage("healthcheck", "--timeout", "3", environment=environment)
        assert ran.status == 1, ran.out + ran.err
        # Three seconds for the probes.
        assert ran.seconds < 3 + max(3, 2 * start.seconds)
        assert "hush" not in ran.out + ran.err


def test_a_black_holed_time_series_database_leaves_the_others_right(tmp_path: Path) -> None:
    desk = sqlite_desk(tmp_path)
    with black_hole() as (host, port):
        environment = {**desk, "EMO_TIMESERIES_URL": f"postgresql://emo:hush@{host}:{port}/emo"}
        ran = manage("healthcheck", "--json", "--timeout", "3", environment=environment)
    found = {item["name"]: item["status"] for item in json.loads(ran.out)["components"]}
    assert ran.status == 1
    assert found["database:default"] == "healthy"
    assert found["database:timeseries"] == "error"
    assert json.loads(ran.out)["recorded"] is False


def test_a_wrong_password_is_said_and_not_echoed() -> None:
    with postgresql_server() as server:
        host, port = server.address
        ran = manage("healthcheck", environment={"EMO_DB_URL": f"postgresql://postgres:wr0ng-secret@{host}:{port}/emo"})
    assert ran.status == 1
    assert "password authentication failed" in ran.out
    assert "wr0ng-secret" not in ran.out + ran.err
