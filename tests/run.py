"""The whole test suite once per database: `python -m tests.run [--backend NAME]... [pytest arguments]`."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

import psycopg

from tests import servers

BACKENDS = ("sqlite", "postgresql", "timescaledb")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What reads the example configurations in deploy/, or runs beside the desk.
TOOLS = ("nginx", "caddy", "promtool", "systemd-analyze", "pgbouncer", "rabbitmq-server")
FOREIGN_VARIABLES = ("EMO_", "DATABASE", "POSTGRES", "PG")
PROJECT = Path(__file__).resolve().parent.parent
NO_TESTS = 5


@dataclass(frozen=True)
class Counts:
    """What a JUnit file says; errors count as failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Outcome:
    """One backend's pass, or why there was none."""

    backend: str
    server: str = "-"
    status: int | None = None
    counts: Counts = Counts()
    seconds: float = 0.0
    missing: str = ""

    @property
    def passed(self) -> bool:
        return self.status == 0 and self.counts.passed > 0 and self.counts.failed == 0

    @property
    def result(self) -> str:
        if self.status is None:
            return f"not run: {self.missing}"
        if self.passed:
            return "passed"
        if self.status in (0, NO_TESTS):
            return "failed: no test ran"
        return f"failed: pytest exit status {self.status}"


def verdict(outcomes: Sequence[Outcome], *, browser: str | None, ci: bool) -> int:
    """The exit status. What cannot be had is forgiven on a developer's machine, never in CI."""
    ran = [outcome for outcome in outcomes if outcome.status is not None]
    if not ran or not all(outcome.passed for outcome in ran):
        return 1
    if ci and (len(ran) < len(outcomes) or browser is None):
        return 1
    return 0


def summary(outcomes: Sequence[Outcome], *, browser: str | None) -> str:
    """A plain table, a line about the browser, and the totals."""
    rows = [("backend", "server", "passed", "failed", "skipped", "seconds", "result")]
    for outcome in outcomes:
        counts = outcome.counts
        numbers = (str(counts.passed), str(counts.failed), str(counts.skipped), f"{outcome.seconds:.1f}")
        rows.append((outcome.backend, outcome.server, *numbers, outcome.result))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = ["  ".join([*map(str.ljust, row[:6], widths), row[6]]) for row in rows]
    lines.append(f"browser: {browser}" if browser else "browser: not found - browser tests did not run")
    passed, failed, skipped = (
        sum(getattr(outcome.counts, name) for outcome in outcomes) for name in ("passed", "failed", "skipped")
    )
    lines.append(f"total: {passed} passed, {failed} failed, {skipped} skipped")
    return "\n".join(lines)


def read_counts(junit: Path) -> Counts:
    """Zeros if pytest did not live to write the file."""
    if not junit.exists():
        return Counts()
    suites = list(ElementTree.parse(junit).getroot().iter("testsuite"))
    tests, failures, errors, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return Counts(passed=tests - failures - errors - skipped, failed=failures + errors, skipped=skipped)


def environment(caller: Mapping[str, str], backend: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without settings that would lead the tests to another database."""
    kept = {
        name: value
        for name, value in caller.items()
        if name.startswith("EMO_TEST_") or not name.startswith(FOREIGN_VARIABLES)
    }
    return {**kept, "EMO_ENV": "dev", "EMO_TEST_BACKEND": backend, **settings}


def browser_path() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def etcd_path() -> str | None:
    return shutil.which("etcd")


def has_node() -> bool:
    """With npm, which brings the TimescaleDB that has the Community licence."""
    return all(map(shutil.which, ("node", "npm")))


def has_tool(name: str) -> bool:
    return shutil.which(name) is not None


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("true", "1")


@contextlib.contextmanager
def _backend(name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """What the server calls itself, and the settings that lead to it."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory(prefix="emo-sqlite-") as folder:
            yield f"SQLite {sqlite3.sqlite_version}", {"EMO_SQLITE_PATH": str(Path(folder) / "emo.sqlite3")}
        return
    start = servers.postgresql if name == "postgresql" else servers.timescaledb
    with start() as url:
        yield _server_version(url, timescale=name == "timescaledb"), {"EMO_DB_URL": url}


def _server_version(url: str, *, timescale: bool) -> str:
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            version = f"PostgreSQL {_shown(connection, 'server_version').split()[0]}"
            if timescale:
                version += f", TimescaleDB {_timescale_version(connection)}"
            return version
    except psycopg.Error as error:
        raise servers.Unavailable(f"{type(error).__name__}: {str(error).strip()}") from error


def _timescale_version(connection: psycopg.Connection[tuple[str]]) -> str:
    # Both are known only where the extension exists; the roll-back leaves the database as it was.
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
        assert row is not None
        return f"{row[0]} ({_shown(connection, 'timescaledb.license')} licence)"


def _shown(connection: psycopg.Connection[tuple[str]], setting: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [setting]).fetchone()
    assert row is not None
    return row[0]


def run_backend(name: str, pytest_arguments: Sequence[str]) -> Outcome:
    print(f"== {name}", flush=True)
    started_at = time.monotonic()
    try:
        with _backend(name) as (server, settings), tempfile.TemporaryDirectory(prefix="emo-junit-") as folder:
            print(f"== {server}", flush=True)
            junit = Path(folder) / "junit.xml"
            command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-n", "2", *pytest_arguments]
            status = _run_pytest([*command, f"--junitxml={junit}"], environment(os.environ, name, settings))
            return Outcome(name, server, status, read_counts(junit), time.monotonic() - started_at)
    except servers.Unavailable as error:
        return Outcome(name, missing=" ".join(str(error).split()))


def _run_pytest(command: Sequence[str], env: Mapping[str, str]) -> int:
    pytest = subprocess.Popen(command, env=env, cwd=PROJECT, stdin=subprocess.DEVNULL)
    try:
        return pytest.wait()
    except BaseException as error:
        # The terminal sends Ctrl-C to pytest too; a second one would cut short what it tidies up.
        if not isinstance(error, KeyboardInterrupt):
            pytest.send_signal(signal.SIGINT)
        pytest.wait()
        raise


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _arguments(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__, allow_abbrev=False)
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="only this one; may be repeated")
    known, pytest_arguments = parser.parse_known_args(argv)
    return known.backend or list(BACKENDS), pytest_arguments


def main(argv: Sequence[str]) -> int:
    backends, pytest_arguments = _arguments(argv)
    # Servers are stopped on the way out, which the default action would skip.
    signal.signal(signal.SIGTERM, _end)
    outcomes = [run_backend(backend, pytest_arguments) for backend in backends]
    browser = browser_path()
    print("\n" + summary(outcomes, browser=browser), flush=True)
    if etcd_path() is None:
        print("etcd: not found - high-availability tests did not run", flush=True)
    if not has_node():
        print("node and npm: not found - tests of TimescaleDB's Community licence did not run", flush=True)
    if missing := [name for name in TOOLS if not has_tool(name)]:
        print(f"{', '.join(missing)}: not found - tests of what they run or read did not run", flush=True)
    return verdict(outcomes, browser=browser, ci=in_ci())


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
