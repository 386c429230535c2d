"""Runs of ingest_events in processes of their own: killed, at the same time, and with a database that stops."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.conftest import BACKEND
from tests.monitoring.test_ingest import line
from tests.run import PROJECT, environment
from tests.servers import Server, postgresql_server


class Desk:
    """The desk's commands in processes of their own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.env = environment(os.environ, BACKEND, {"EMO_DB_URL": url})
        self.quarantine = folder / "quarantine.jsonl"
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=PROJECT, env=self.env, check=True)

    def ingest(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "manage.py", "ingest_events", *map(str, arguments), "--json"]
        command += ["--quarantine", str(self.quarantine)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=PROJECT, env=self.env, stdout=pipe, stderr=pipe, text=True)

    def ask(self, sql: str) -> Any:
        if self.url.startswith("sqlite"):
            with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=10)) as connection:
                return connection.execute(sql).fetchone()[0]
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql).fetchone()[0]

    def count(self) -> int:
        return int(self.ask("SELECT count(*) FROM market_events"))

    def wait_for_rows(self, process: subprocess.Popen[str], count: int) -> None:
        give_up_at = time.monotonic() + 60
        while self.count() < count:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < give_up_at
            time.sleep(0.01)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    if BACKEND == "sqlite":
        yield Desk(f"sqlite:///{tmp_path}/desk.sqlite", tmp_path)
        return
    url, name = os.environ["EMO_DB_URL"], f"ingest_{secrets.token_hex(4)}"
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield Desk(f"{url.rpartition('/')[0]}/{name}", tmp_path)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


# Many batches: enough to be killed in the middle.
ROWS = 60_000


@pytest.fixture
def long_feed(tmp_path: Path) -> Path:
    """Every thousandth row is bad."""
    path = tmp_path / "long.jsonl"
    path.write_text("".join(line(number, **({"level": "?"} if number % 1000 == 7 else {})) for number in range(ROWS)))
    return path


GOOD = ROWS - ROWS // 1000


def assert_whole(desk: Desk) -> None:
    assert desk.count() == GOOD
    assert desk.ask("SELECT count(DISTINCT id) FROM market_events") == GOOD
    noted = [json.loads(text)["line"] for text in desk.quarantine.read_text().splitlines()]
    assert noted == list(range(8, ROWS, 1000))


def test_run_that_is_killed_goes_on_without_loss_or_duplicates(desk: Desk, long_feed: Path) -> None:
    # As an error: a row that had gone in without its checkpoint would be found.
    words = (long_feed, "--batch-size", 200, "--on-conflict", "error", "--resume")
    for part in (1, 4, 7):
        process = desk.ingest(*words)
        desk.wait_for_rows(process, ROWS * part // 12)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert ROWS * part // 12 <= desk.count() < GOOD
    process = desk.ingest(*words)
    out, errors = process.communicate(timeout=120)
    assert process.returncode in (0, 1), errors
    [summary] = json.loads(out)["files"]
    assert summary["finished"]
    assert 0 < summary["resumed_after"] < ROWS
    assert_whole(desk)


def test_two_runs_of_one_file_at_once_write_each_row_once(desk: Desk, long_feed: Path) -> None:
    runs = [desk.ingest(long_feed, "--batch-size", 500) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in runs]
    assert [process.returncode for process in runs] == [1, 1], outputs
    summaries = [json.loads(out)["files"][0] for out, _ in outputs]
    assert [summary["rows"] for summary in summaries] == [GOOD, GOOD]
    assert sum(summary["new"] for summary in summaries) == GOOD
    assert desk.count() == desk.ask("SELECT count(DISTINCT id) FROM market_events") == GOOD
    assert desk.ask("SELECT lines FROM ingest_checkpoints") == ROWS


@pytest.fixture
def server() -> Iterator[Server]:
    with postgresql_server() as started:
        yield started


@pytest.mark.postgresql
def test_database_that_stops_ends_the_run_with_words_and_nothing_is_lost(
    server: Server, long_feed: Path, tmp_path: Path
) -> None:
    desk = Desk(server.url, tmp_path)
    process = desk.ingest(long_feed, "--batch-size", 200, "--on-conflict", "error")
    desk.wait_for_rows(process, ROWS // 10)
    server.stop()
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    [summary] = json.loads(out)["files"]
    assert "CommandError: The database can't be used (" in errors
    assert f"{summary['rows']:,} rows of {long_feed} went in, up to line {summary['lines']:,}; the same" in errors
    assert "with --resume" in errors
    server.start()
    assert desk.count() >= summary["rows"]
    process = desk.ingest(long_feed, "--batch-size", 200, "--on-conflict", "error", "--resume")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert_whole(desk)


@pytest.mark.postgresql
def test_database_that_is_not_there_is_said_so(long_feed: Path, tmp_path: Path) -> None:
    with postgresql_server() as server:
        desk = Desk(server.url, tmp_path)
        server.stop()
        process = desk.ingest(long_feed)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "The database can't be used (" in errors
    assert f"Nothing of {long_feed} is on record from this run." in errors
    assert "Traceback" not in errors
