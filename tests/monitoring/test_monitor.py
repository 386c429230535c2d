"""manage.py monitor, as real processes on real servers that go away and come back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.desk import environment_of, manage, sqlite_desk
from tests.run import PROJECT
from tests.servers import Server, postgresql_server

INTERVAL = 0.5


@contextmanager
def monitor(environment: dict[str, str], spool: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(PROJECT / "manage.py"), "monitor", f"--interval={INTERVAL}", f"--spool={spool}"]
    log = spool.with_suffix(".log")
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=environment_of(environment), cwd=PROJECT, stdout=out, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def until(what: Callable[[], Any], *, seconds: float = 120) -> Any:
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(0.1)
    return found


def ask(server: Server, sql: str) -> list[Any]:
    with psycopg.connect(server.url, connect_timeout=5) as connection:
        return connection.execute(sql).fetchall()  # type: ignore[call-overload]


def said(spool: Path) -> str:
    return spool.with_suffix(".log").read_text()


ENDED = "SELECT 1 FROM incidents WHERE component_name = 'database:default' AND ended_at IS NOT NULL"
ROUNDS = "SELECT timestamp FROM system_health WHERE component_name = 'watch' ORDER BY timestamp"


@pytest.mark.postgresql
def test_two_workers_record_each_round_once_through_an_outage(tmp_path: Path) -> None:
    with postgresql_server() as server:
        environment = {"EMO_ENV": "dev", "EMO_DB_URL": server.url}
        assert manage("migrate", "--verbosity=0", environment=environment).status == 0
        one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
        with monitor(environment, one) as first:
            until(lambda: len(ask(server, ROUNDS)) >= 2)
            with monitor(environment, other) as second:
                until(lambda: "another worker watches" in said(other))
                server.stop()
                until(lambda: "database:default: healthy -> error" in said(one))
                assert one.exists()
                server.start()
                until(lambda: "health is stored again" in said(one) and not one.exists())
                until(lambda: ask(server, ENDED))
                # Whoever was quicker after the outage acts. It dies; its lock goes with its session.
                passed_on = said(one).count("another worker watches")
                acting = second if passed_on else first
                before = len(ask(server, ROUNDS))
                acting.kill()
                acting.wait()
                known = len(ask(server, ROUNDS))
                until(lambda: len(ask(server, ROUNDS)) > known)
        times = [row[0] for row in ask(server, ROUNDS)]
        gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
        # Nothing twice: the rounds of one worker are an interval apart, and only where another takes over, which keeps
        # a time of its own, may two be closer. No round of the outage is missing: a probe of a dead server answers.
        close = [gap <= INTERVAL / 2 for gap in gaps]
        assert sum(close[: before - 1]) <= passed_on
        assert sum(close[before - 1 :]) <= 1
        assert max(gaps[: known - 1]) < 15
        assert "health is spooled" not in said(other)
        begun = ask(server, "SELECT component_name, severity FROM incidents WHERE component_name = 'database:default'")
        assert begun == [("database:default", "error")]


@pytest.mark.once
def test_watch_ends_cleanly_when_asked_to(tmp_path: Path) -> None:
    environment = sqlite_desk(tmp_path)
    spool = tmp_path / "spool.jsonl"
    with monitor(environment, spool) as process:
        until(lambda: "this worker watches" in said(spool))
        process.terminate()
        assert process.wait(timeout=20) == 0


@pytest.mark.once
def test_second_one_on_the_same_machine_stands_by(tmp_path: Path) -> None:
    environment = sqlite_desk(tmp_path)
    spool = tmp_path / "spool.jsonl"
    with monitor(environment, spool):
        until(lambda: "this worker watches" in said(spool))
        ran = manage("monitor", "--once", f"--spool={spool}", environment=environment)
    assert (ran.status, ran.err) == (0, "")
    assert "another worker watches; this one stands by" in ran.out


@pytest.mark.once
def test_one_round_by_hand_says_how_it_is(tmp_path: Path) -> None:
    environment = sqlite_desk(tmp_path)
    ran = manage("monitor", "--once", f"--spool={tmp_path / 'spool.jsonl'}", environment=environment)
    assert (ran.status, ran.err) == (0, "")
    assert " score " in ran.out
    again = manage("healthcheck", "--json", "--no-record", environment=environment)
    assert '"name": "watch"' in again.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--interval=0.1"], "--interval=0.1: must be from 0.5 to 3600 seconds"),
        (["--interval=4000"], "--interval=4000: must be from 0.5 to 3600 seconds"),
        (["--spool=/dev/null/x"], "can't watch: [Errno 17] File exists: '/dev/null'"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    ran = manage("monitor", *arguments, environment={"EMO_DB_URL": f"sqlite:///{tmp_path}/none.sqlite"})
    assert (ran.status, ran.err.strip()) == (2, f"CommandError: {message}")
