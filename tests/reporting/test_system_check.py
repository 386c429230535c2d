"""manage.py system_check as an operator sees it, whole and with each part broken."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.db.utils import ConnectionRouter

from emo_site.db.routers import AppRouter
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from orders import audit_keys
from reporting import rendering, system_check
from reporting.system_check import Verdict
from tests.desk import Ran, empty_database, manage
from tests.factories import NOW
from tests.servers import black_hole, postgresql_server

PARTS = {
    "router",
    "migrations default",
    "report institutional",
    "report orders",
    "review round trip",
    "audit of the round trip",
}
# How busy and how full this machine is, is its own affair; and nobody delivers data here.
OF_THE_MACHINE = {
    f"probe {name}" for name in ("cpu", "memory", "disk", "files", "market data", "market data by symbol", "cache")
} | {"probe storage:default", "probe connections:default", "probe access:default"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a fresh, migrated desk on the engine that this run is about."""
    with empty_database(tmp_path) as url:
        environment = {"EMO_ENV": "dev", "EMO_DB_URL": url, "EMO_BACKUP_DIR": str(tmp_path / "backups")}
        ran = manage("migrate", "--verbosity", "0", environment=environment)
        assert ran.status == 0, ran.err
        yield environment


def parts(ran: Ran) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(ran.out)["parts"]}


def asked(url: str, sql: str) -> list[tuple[Any, ...]]:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            return file.execute(sql).fetchall()
    with psycopg.connect(url) as connection:
        cursor = connection.execute(sql)  # type: ignore[call-overload]  # a test's own text
        return cursor.fetchall() if cursor.description else []


def test_a_whole_desk_passes_in_every_part_and_is_left_as_it_was(desk: dict[str, str]) -> None:
    ran = manage("system_check", "--json", environment=desk)
    found = parts(ran)
    assert found.keys() >= PARTS, ran.err
    assert {name for name in found if name not in PARTS} == {
        f"probe {name}" for name in _probe_names("postgresql" in desk["EMO_DB_URL"])
    }
    not_passed = {name: each for name, each in found.items() if each["verdict"] != "PASS"}
    # Nobody watches and works for a desk of a test.
    assert not_passed.keys() <= OF_THE_MACHINE | {"probe watch", "probe task worker"}, not_passed
    assert all(each["took_ms"] is not None for each in found.values())
    assert found["review round trip"]["message"] == (
        "staged, approved by a second person, submitted, filled; rolled back"
    )
    assert found["audit of the round trip"]["message"] == "4 events, all as written"
    for table in ("staged_orders", "order_events", "executed_orders", "positions", "staged_risk", "auth_user"):
        assert asked(desk["EMO_DB_URL"], f"SELECT count(*) FROM {table}") == [(0,)], table
    for table in ("market_events", "system_health", "equity_highs"):
        assert asked(desk["EMO_DB_URL"], f"SELECT count(*) FROM {table}") == [(0,)], table
    assert ran.status == {"PASS": 0, "WARN": 1, "FAIL": 2}[json.loads(ran.out)["verdict"]]


def _probe_names(server: bool) -> set[str]:
    of_database = ["database", "migrations", "hypertables"]
    of_server = ["connections", "clock", "access", "expiry", "transactions", "locks", "vacuum", "storage", "chunks"]
    return {f"{name}:default" for name in of_database + (of_server if server else ["sqlite"])} | {
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
        "overdue orders",
        "unmatched fills",
        "approval to fill",
        "trading state",
        "audit trail",
        "reported components",
        "log errors",
        "web errors",
        "task worker",
        "watch",
    }


def test_the_table_names_verdict_time_message_and_remedy(desk: dict[str, str]) -> None:
    ran = manage("system_check", environment=desk)
    [line] = [line for line in ran.out.splitlines() if line.startswith("review round trip")]
    found = re.fullmatch(r"review round trip +PASS +\d+ ms  staged, approved by .*; rolled back", line)
    assert found is not None, line
    assert "probe market data " in ran.out
    assert "→ Import or ingest market data: rules that need a price block until then." in ran.out
    assert " passed, " in ran.out.splitlines()[-1]


def test_two_databases_are_both_left_as_they_were(desk: dict[str, str], tmp_path: Path) -> None:
    environment = {**desk, "EMO_TIMESERIES_URL": f"sqlite:///{tmp_path}/series.sqlite"}
    assert manage("migrate_all", "--verbosity", "0", environment=environment).status == 0
    found = parts(manage("system_check", "--json", environment=environment))
    assert found["review round trip"]["verdict"] == "PASS", found["review round trip"]
    assert found["router"]["verdict"] == "PASS", found["router"]
    assert found["migrations timeseries"]["verdict"] == "PASS"
    assert asked(environment["EMO_TIMESERIES_URL"], "SELECT count(*) FROM market_events") == [(0,)]
    assert asked(desk["EMO_DB_URL"], "SELECT count(*) FROM staged_orders") == [(0,)]


def test_a_table_that_is_gone_fails_the_router(desk: dict[str, str]) -> None:
    asked(desk["EMO_DB_URL"], "DROP TABLE incidents")
    ran = manage("system_check", "--json", environment=desk)
    assert ran.status == 2
    assert parts(ran)["router"]["message"] == "default has no table incidents"
    assert parts(ran)["review round trip"]["verdict"] == "PASS"


def test_a_migration_that_is_not_applied_fails(desk: dict[str, str]) -> None:
    asked(desk["EMO_DB_URL"], "DELETE FROM django_migrations WHERE app = 'reporting' AND name LIKE '0004%'")
    ran = manage("system_check", "--json", environment=desk)
    assert ran.status == 2
    found = parts(ran)["migrations default"]
    assert (found["verdict"], found["remedy"]) == ("FAIL", "Run manage.py migrate_all.")
    assert found["message"].startswith("1 not applied: reporting.0004_")


def test_halted_trading_is_a_warning_and_says_by_which_rule(desk: dict[str, str]) -> None:
    halt = (
        "from datetime import UTC, datetime; from django.contrib.auth.models import User;"
        "from orders import trading_state; from orders.choices import TradingState;"
        "user = User.objects.create_superuser('ann');"
        "trading_state.change(TradingState.HALTED, actor=user, now=datetime.now(UTC), reason='a test')"
    )
    assert manage("shell", "-c", halt, environment=desk).status == 0
    ran = manage("system_check", "--json", environment=desk)
    # More than that only where this machine is busy.
    assert ran.status in (1, 2), ran.out
    assert {parts(ran)[name]["verdict"] for name in ("review round trip", "audit of the round trip")} == {"WARN"}
    assert parts(ran)["review round trip"]["message"] == (
        "staged, and blocked by KILL_SWITCH: nothing can be approved now"
    )
    assert parts(ran)["audit of the round trip"]["message"] == (
        "not reached: the review round trip did not come to its end"
    )
    assert asked(desk["EMO_DB_URL"], "SELECT count(*) FROM staged_orders") == [(0,)]


@pytest.mark.cluster
def test_a_stopped_server_fails_each_part_that_needs_it_and_the_report_is_made_all_the_same() -> None:
    with postgresql_server() as server:
        environment = {"EMO_DB_URL": server.url}
        assert manage("migrate", "--verbosity", "0", environment=environment).status == 0
        server.stop()
        ran = manage("system_check", "--json", "--timeout", "10", environment=environment)
    found = parts(ran)
    assert ran.status == 2
    assert json.loads(ran.out)["took_ms"] < 10_000 + 1_500
    for name in ("probe database:default", *(PARTS - {"report institutional", "audit of the round trip"})):
        assert found[name]["verdict"] == "FAIL", found[name]
        assert "Can't be used: " in found[name]["message"]
    assert found["report institutional"]["verdict"] == "WARN"
    assert "without: " in found["report institutional"]["message"]
    assert found["audit of the round trip"]["verdict"] == "WARN"
    # That it is down is said once by its probe, and the others don't know.
    assert found["probe locks:default"]["verdict"] == "WARN"
    assert found["probe locks:default"]["remedy"] == "See the probe database:default."


def test_a_black_hole_does_not_hold_up_the_verdict() -> None:
    with black_hole() as (host, port):
        environment = {"EMO_DB_URL": f"postgresql://emo:hush@{host}:{port}/emo"}
        ran = manage("system_check", "--json", "--timeout", "4", environment=environment)
    assert ran.status == 2
    # Four seconds, and what it takes to make threads and texts.
    assert json.loads(ran.out)["took_ms"] < 4_000 + 1_500
    assert parts(ran).keys() >= PARTS
    assert "hush" not in ran.out + ran.err


@pytest.mark.parametrize("timeout", ["0", "nan", "601"])
def test_what_cannot_be_checked_exits_2(timeout: str) -> None:
    ran = manage("system_check", "--timeout", timeout, environment={"EMO_ENV": "dev"})
    assert ran.status == 2
    assert f"--timeout={timeout}: must be from 0.1 to 600 seconds" in ran.err


# ---- parts that are broken in this process ---------------------------------------------------------------------------


@pytest.fixture
def _kept_connections(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    """A part closes what it opened in its thread; here the thread is the test's own."""
    monkeypatch.setattr(connections, "close_all", lambda: None)


def done(work: Any, *names: str) -> list[tuple[str, str, str]]:
    slot: list[system_check.Part] = []
    system_check._do(names, work, 10, slot)
    assert all(each.took_ms is not None for each in slot)
    return [(each.name, str(each.verdict), each.message) for each in slot]


class Astray(AppRouter):
    """Reads of one app go where it does not live."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "elsewhere" if model._meta.label == "orders.OrderLeg" else super().db_for_read(model, **hints)


class Careless(AppRouter):
    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool:
        return app_label != "monitoring" and super().allow_migrate(db, app_label, model_name, **hints)


@pytest.mark.parametrize(
    ("router", "expected"),
    [
        (
            Astray,
            "orders.OrderLeg is read from elsewhere instead of default;"
            " orders.OrderLeg is read from elsewhere while pages are read from a replica",
        ),
        (Careless, "the table of monitoring."),
    ],
)
@pytest.mark.usefixtures("_kept_connections")
def test_a_router_that_leads_astray_fails(monkeypatch: pytest.MonkeyPatch, router: Any, expected: str) -> None:
    monkeypatch.setattr(system_check, "router", ConnectionRouter([router()]))
    found = system_check.routing(10)
    assert found.verdict == Verdict.FAIL
    assert found.message.startswith(expected)
    assert "DATABASE_ROUTERS" in found.remedy


@pytest.mark.usefixtures("_kept_connections")
def test_a_report_that_cannot_be_rendered_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(report: object) -> str:
        raise KeyError("headline")

    monkeypatch.setattr(rendering, "html_file", broken)
    for name, work in {
        "report orders": lambda seconds: [system_check.order_report(NOW, seconds)],
        "report institutional": lambda seconds: [system_check.institutional_report([], NOW)],
    }.items():
        assert done(work, name) == [(name, "FAIL", "KeyError: 'headline'")]


@pytest.mark.usefixtures("_kept_connections")
def test_a_trail_that_does_not_verify_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_keys, "every", lambda: (b"another key",))
    [trip, audit] = done(lambda seconds: system_check.round_trip(NOW, seconds), *system_check.ROUND_TRIP)
    assert trip[:2] == ("review round trip", "PASS")
    assert audit == (
        "audit of the round trip",
        "FAIL",
        "the trail of 4 steps is not as it was written: its seal does not follow from what it says and the event"
        " before it",
    )


@pytest.mark.usefixtures("_kept_connections")
def test_a_step_that_is_refused_fails_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_check.rehearsal, "_PERMISSIONS", ("add", "review", "submit"))
    [trip, audit] = done(lambda seconds: system_check.round_trip(NOW, seconds), *system_check.ROUND_TRIP)
    assert trip[:2] == ("review round trip", "FAIL")
    assert trip[2].startswith("NOT_PERMITTED: ")
    assert audit[1] == "WARN"


def test_a_part_that_hangs_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = system_check.Part(name="quick", verdict=Verdict.PASS, message="done")
    started = time.monotonic()
    found = system_check.within({("slow", "after"): lambda _: time.sleep(20) or [], ("quick",): lambda _: [quick]}, 0.5)
    assert time.monotonic() - started < 5
    assert [(each.name, str(each.verdict), each.message) for each in found] == [
        ("slow", "FAIL", "No answer within 0.5 s."),
        ("after", "WARN", "not reached: the slow did not come to its end"),
        ("quick", "PASS", "done"),
    ]


@pytest.mark.parametrize(
    ("status", "verdict"), [("healthy", "PASS"), ("warning", "WARN"), ("unknown", "WARN"), ("error", "FAIL")]
)
def test_what_a_probe_finds_is_a_part(monkeypatch: pytest.MonkeyPatch, status: str, verdict: str) -> None:
    class Probe:
        name, critical = "mine", False

        def run(self) -> Finding:
            return Finding(status=HealthStatus(status), message="found", remedy="do")

    monkeypatch.setattr(system_check, "_works", lambda results, now: {})
    found = system_check.run([Probe()], timeout=5, now=NOW)
    [part] = found.parts
    assert (part.name, str(part.verdict), part.message, part.remedy) == ("probe mine", verdict, "found", "do")
    assert found.verdict == verdict


def test_a_probe_that_crashes_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Probe:
        name, critical = "mine", False

        def run(self) -> Finding:
            raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(system_check, "_works", lambda results, now: {})
    [part] = system_check.run([Probe()], timeout=5, now=NOW).parts
    assert (str(part.verdict), part.message) == (
        "FAIL",
        "The probe itself failed: ZeroDivisionError: division by zero",
    )
