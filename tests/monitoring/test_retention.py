"""Retention: what is too old goes, by the way the server has, is recorded, and nothing else is touched."""

from __future__ import annotations

import fcntl
import hashlib
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, IntegrityError, connection, transaction

from emo_site.db.one_runner import AlreadyRunning, only_one
from emo_site.db.timescale import chunks
from monitoring import clock, events, retention
from monitoring.choices import EventType, RetentionWay
from monitoring.events import Event
from monitoring.models import MarketEvent, RetentionRun, SystemHealth
from orders.models import ExecutedOrder, OrderEvent, OrderLeg, StagedOrder
from tests.conftest import BACKEND
from tests.desk import empty_database, manage
from tests.factories import equity, person, staged

NOW = datetime.now(UTC).replace(microsecond=0)
WAY = {
    "sqlite": RetentionWay.BATCHES,
    "postgresql": RetentionWay.BATCHES,
    "timescaledb": RetentionWay.CHUNKS,
}[BACKEND]
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that differs from the server's by five minutes is doubted, and the whole suite takes longer.
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC).replace(microsecond=0))


def event_at(age: timedelta, *, symbol: str = "SPY") -> None:
    events.record([Event(symbol=symbol, event_type=EventType.TRADE, timestamp=NOW - age, source=f"test {age}")])


def health_at(age: timedelta) -> None:
    SystemHealth.objects.create(
        component_name="disk", health_score=100, status="healthy", timestamp=NOW - age, environment="dev"
    )


def ages(model: Any) -> list[timedelta]:
    return sorted(NOW - each for each in model.objects.values_list("timestamp", flat=True))


@pytest.fixture
def months(db: None) -> None:
    """A row a day for 90 days in each table, and one on each side of both limits."""
    events.record(
        Event(symbol="SPY", event_type=EventType.TRADE, timestamp=NOW - age, source=str(age))
        for number in range(90)
        for age in [number * DAY]
    )
    event_at(30 * DAY + timedelta(microseconds=1))
    SystemHealth.objects.bulk_create(
        SystemHealth(component_name="disk", health_score=100, status="healthy", timestamp=NOW - number * DAY)
        for number in range(90)
    )


def applied(table: str, *, confirmed: bool = False) -> RetentionRun | None:
    return retention.apply(retention.plan(table, now=NOW), confirmed=confirmed)


def test_rows_that_are_too_old_go_to_the_microsecond_and_the_run_is_recorded(
    months: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 7)
    planned = retention.plan("market_events", now=NOW)
    assert (planned.way, planned.rows, planned.refusal) == (WAY, 60, "")
    run = retention.apply(planned, confirmed=False)
    assert run is not None
    assert ages(MarketEvent) == [number * DAY for number in range(31)]
    assert len(ages(SystemHealth)) == 90
    assert (run.table_name, run.way, run.rows, run.failure) == ("market_events", WAY, 60, "")
    assert run.cutoff == NOW - 30 * DAY
    assert run.finished_at is not None
    assert run.chunks == planned.chunks
    assert (run.chunks > 5) == (BACKEND == "timescaledb")
    again = applied("market_events")
    assert again is not None
    assert (again.rows, again.chunks) == (0, 0)


def test_each_table_has_its_own_period_and_off_keeps_for_ever(months: None, settings: Any) -> None:
    settings.EMO_RETAIN_MARKET_EVENTS_DAYS = None
    assert applied("market_events") is None
    run = applied("system_health")
    assert run is not None
    assert run.rows == 82
    assert len(ages(MarketEvent)) == 91
    assert ages(SystemHealth) == [number * DAY for number in range(8)]
    assert retention.plan("market_events", now=NOW).rows == 0


@pytest.mark.parametrize(
    "table", ["staged_orders", "order_events", "executed_orders", "auth_user", "retention_runs", ""]
)
def test_no_other_table_is_let_go_by_age(db: None, table: str) -> None:
    with pytest.raises(retention.NotATimeSeries, match="only market_events and system_health are let go by age"):
        retention.plan(table, now=NOW)
    with pytest.raises(IntegrityError, match="retention_runs_time_series_only"), transaction.atomic():
        RetentionRun.objects.create(table_name=table, way=WAY, cutoff=NOW, started_at=NOW)


def test_orders_and_their_audit_stay_however_late_it_is(db: None) -> None:
    equity()
    staged(person("trader", "trader"))
    counted = [model.objects.count() for model in (StagedOrder, OrderEvent, OrderLeg, ExecutedOrder)]
    assert counted[:2] == [1, 1]
    late = NOW + 3650 * DAY
    for table in retention.TABLES:
        retention.apply(retention.plan(table, now=late), confirmed=True)
    assert MarketEvent.objects.count() == 0
    assert [model.objects.count() for model in (StagedOrder, OrderEvent, OrderLeg, ExecutedOrder)] == counted


# ---- when the clock is not to be believed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skew", "newest_age", "words"),
    [
        (timedelta(), DAY, ""),
        (timedelta(minutes=5), DAY, ""),
        (timedelta(minutes=6), DAY, "this machine's clock is 6 min ahead of the database server's"),
        (-timedelta(hours=3), DAY, "this machine's clock is 3 h behind the database server's"),
        (timedelta(), 15 * DAY, ""),
        (
            timedelta(),
            16 * DAY,
            "the newest row is 16 d old, more than half of the 30 d that are kept: either the clock",
        ),
        (timedelta(), None, ""),
    ],
)
def test_a_clock_that_rows_or_server_contradict_is_doubted(
    skew: timedelta, newest_age: timedelta | None, words: str
) -> None:
    newest = None if newest_age is None else NOW - newest_age
    found = clock.doubt(now=NOW, server_now=NOW - skew, newest=newest, keep=30 * DAY)
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_a_clock_far_ahead_lets_nothing_go_unless_confirmed(months: None) -> None:
    # A row from the future must not hide it.
    event_at(-400 * DAY)
    planned = retention.plan("market_events", now=NOW + 200 * DAY)
    assert planned.rows == 91
    assert planned.notes == (
        f"market_events: there are rows from the future, up to {NOW + 400 * DAY:%Y-%m-%d %H:%M} UTC",
    )
    assert retention.apply(planned, confirmed=False) is None
    assert MarketEvent.objects.count() == 92
    assert RetentionRun.objects.count() == 0
    assert retention.apply(planned, confirmed=True) is not None
    assert ages(MarketEvent) == [-400 * DAY]


def test_a_clock_is_not_doubted_where_nothing_would_go(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    # A feed that stopped is said where its last rows would go, not every night from the middle of the period on.
    event_at(20 * DAY)
    assert retention.plan("market_events", now=NOW).refusal == ""
    assert run_command(capsys)[0] == 0
    event_at(31 * DAY)
    assert run_command(capsys)[0] == 1


# ---- one at a time -----------------------------------------------------------------------------------------------


def test_a_second_runner_is_refused(db: None, tmp_path: Path) -> None:
    with empty_database(tmp_path) as url:
        environment = {"EMO_DB_URL": url}
        assert manage("migrate", "--verbosity", "0", environment=environment).status == 0
        with _held(url):
            ran = manage("apply_retention", environment=environment)
            assert ran.status == 2
            assert "apply_retention is running on database 'default' already; wait until it has ended" in ran.err
            assert manage("apply_retention", "--dry-run", environment=environment).status == 0
        assert manage("apply_retention", environment=environment).status == 0


class _Held:
    """The lock as another process holds it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        if self.url.startswith("sqlite"):
            self.file = open(self.url.removeprefix("sqlite:///") + ".apply_retention.lock", "a")
            fcntl.flock(self.file, fcntl.LOCK_EX)
            return
        self.server = psycopg.connect(self.url, autocommit=True)
        self.server.execute("SELECT pg_advisory_lock(%s)", [_key("apply_retention")])

    def __exit__(self, *error: object) -> None:
        (self.file if self.url.startswith("sqlite") else self.server).close()


def _held(url: str) -> _Held:
    return _Held(url)


@pytest.mark.postgresql
def test_the_lock_ends_with_its_block_and_with_a_session_that_broke(transactional_db: None) -> None:
    with only_one("default", "test"):
        pass
    with _other_session() as other:
        assert other.execute("SELECT pg_try_advisory_lock(%s)", [_key("test")]).fetchone() == (True,)
        with pytest.raises(AlreadyRunning), only_one("default", "test"):
            pass
        other.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(DatabaseError):
            _broken_off(other)
        with only_one("default", "test"):
            pass


def _broken_off(other: psycopg.Connection[Any]) -> None:
    with only_one("default", "test"), connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        other.execute("SELECT pg_terminate_backend(%s, 5000)", cursor.fetchone())
        cursor.execute("SELECT 1")


def _key(task: str) -> int:
    return int.from_bytes(hashlib.sha256(task.encode()).digest()[:8], "big", signed=True)


def _other_session() -> psycopg.Connection[Any]:
    place = connection.settings_dict
    return psycopg.connect(
        host=place["HOST"],
        port=place["PORT"],
        user=place["USER"],
        dbname=place["NAME"],
        password=place["PASSWORD"],
        autocommit=True,
    )


# ---- the command -------------------------------------------------------------------------------------------------


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        call_command("apply_retention", *arguments)
        status = 0
    except SystemExit as error:
        status = int(str(error.code))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_dry_run_says_what_would_go_and_changes_nothing(
    months: None, capsys: pytest.CaptureFixture[str], settings: Any
) -> None:
    settings.EMO_CHUNK_DAYS = 3
    status, out, err = run_command(capsys, "--dry-run")
    assert (status, err) == (0, "")
    # A little later than the rows were made: what was on the edge is over it.
    assert "market_events: 61 rows" in out
    assert "would go, kept is 30 days back to" in out
    assert ("chunk interval: 7 days -> 3 days, for new chunks (would change)" in out) == (BACKEND == "timescaledb")
    assert MarketEvent.objects.count() == 91
    assert RetentionRun.objects.count() == 0
    status, text, _ = run_command(capsys, "--json")
    found = {each["table"]: each for each in json.loads(text)["tables"]}
    assert found["market_events"]["rows"] == 61
    assert found["system_health"]["rows"] == 83
    assert found["market_events"]["way"] == WAY
    assert found["market_events"]["run"] == RetentionRun.objects.get(table_name="market_events").pk


def test_a_refusal_is_said_and_is_exit_status_1(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    event_at(100 * DAY)
    status, _, err = run_command(capsys)
    assert status == 1
    assert "market_events: refused: the newest row is 100 d old" in err
    assert "If that is right, run again with --yes: 1 rows would go." in err
    assert MarketEvent.objects.count() == 1
    assert run_command(capsys, "--yes")[0] == 0
    assert MarketEvent.objects.count() == 0


def test_compression_that_can_not_be_had_is_said(db: None, capsys: pytest.CaptureFixture[str], settings: Any) -> None:
    settings.EMO_COMPRESS_AFTER_DAYS = 14
    status, _, err = run_command(capsys)
    assert status == 1
    assert "market_events: EMO_COMPRESS_AFTER_DAYS=14 is not in effect: " in err
    why = "TimescaleDB's licence here is 'apache'" if BACKEND == "timescaledb" else "there is no TimescaleDB here"
    assert f"{why}, and compression needs its Community licence" in err


def test_a_database_that_fails_is_exit_status_2_and_on_record(months: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> None:
        raise DatabaseError("must be owner of hypertable")

    monkeypatch.setitem(retention._STEPS, WAY, refused)
    with pytest.raises(CommandError) as error:
        call_command("apply_retention")
    assert error.value.returncode == 2
    assert str(error.value).endswith("Run it as the role that owns the tables (the one that migrates).")
    run = RetentionRun.objects.get()
    assert run.failure == "must be owner of hypertable"
    assert run.finished_at is not None


# ---- each step commits -------------------------------------------------------------------------------------------


@pytest.fixture
def two_batches(emptied_afterwards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):
        # In one chunk, the one that the cutoff lies in, so that they go row by row.
        event_at(30 * DAY + timedelta(seconds=number + 1))
    event_at(timedelta())


def test_a_run_that_is_cut_off_keeps_what_it_did_on_record(two_batches: None, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = retention._count

    def cut_off(run: RetentionRun, **numbers: int) -> None:
        if MarketEvent.objects.count() <= 2:
            raise KeyboardInterrupt
        counted(run, **numbers)

    monkeypatch.setattr(retention, "_count", cut_off)
    with pytest.raises(KeyboardInterrupt):
        applied("market_events")
    run = RetentionRun.objects.get()
    # The second batch and its count went back together.
    assert MarketEvent.objects.count() == 4
    assert (run.rows, run.finished_at) == (2, None)


@pytest.mark.postgresql
def test_rows_that_somebody_locks_are_left_and_said(two_batches: None) -> None:
    locked = f"test {30 * DAY + timedelta(seconds=1)}"
    with _other_session() as other, other.transaction():
        other.execute("SELECT 1 FROM market_events WHERE source = %s FOR UPDATE", [locked])
        with pytest.raises(DatabaseError, match="market_events: some old rows are locked by another transaction"):
            applied("market_events")
    assert MarketEvent.objects.count() == 2
    assert RetentionRun.objects.get().rows == 4


# ---- hypertables -------------------------------------------------------------------------------------------------


@pytest.mark.timescaledb
def test_the_chunk_interval_follows_its_setting(db: None, settings: Any) -> None:
    event_at(timedelta())
    settings.EMO_CHUNK_DAYS = 2
    applied("market_events")
    assert chunks.chunk_interval(connection, "market_events") == 2 * DAY
    assert retention.plan("market_events", now=NOW).changes == ()
    settings.EMO_CHUNK_DAYS = 7
    assert [each.text for each in retention.plan("market_events", now=NOW).changes] == [
        "chunk interval: 2 days -> 7 days, for new chunks"
    ]


@pytest.mark.sqlite
def test_the_file_s_lock_leaves_the_database_usable(tmp_path: Path) -> None:
    path = tmp_path / "desk.sqlite"
    environment = {"EMO_DB_URL": f"sqlite:///{path}"}
    assert manage("migrate", "--verbosity", "0", environment=environment).status == 0
    assert manage("apply_retention", environment=environment).status == 0
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM retention_runs").fetchone() == (2,)
