"""Who holds up whom is told by name, without what their statements are about."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection

from emo_site.db.activity import Open, Session, Wait
from monitoring import lock_probes
from monitoring.health import Finding
from monitoring.lock_probes import LocksProbe, TransactionsProbe

LOST = OperationalError("connection to server at 127.0.0.1, port 5 failed: refused\nIs the server running?")
HOLDER = Session(
    pid=7,
    application="psql",
    user="ann",
    state="idle in transaction",
    statement="UPDATE t SET a = ?",
    open_seconds=50.0,
    state_seconds=40.0,
)
WAITER = Session(
    pid=8,
    application="emo-prod-gunicorn",
    user="emo_app",
    state="active",
    statement="SELECT ? FROM t FOR UPDATE",
    open_seconds=20.0,
    state_seconds=20.0,
)
WAIT = Wait(session=WAITER, seconds=20.0, table="t", blockers=(HOLDER,))


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


def finds(monkeypatch: pytest.MonkeyPatch, name: str, answer: Any) -> None:
    @contextmanager
    def nothing(alias: str, seconds: float) -> Iterator[SimpleNamespace]:
        if isinstance(answer, Exception):
            raise answer
        yield SimpleNamespace(alias=alias)

    monkeypatch.setattr(lock_probes, "asked_within", nothing)
    monkeypatch.setattr(lock_probes.activity, name, lambda connection: answer)


TOLD = (
    "emo-prod-gunicorn (pid 8, active: SELECT ? FROM t FOR UPDATE) for 20 s on t,"
    " held up by psql (pid 7, idle in transaction: UPDATE t SET a = ?)"
)


@pytest.mark.parametrize(
    ("waits", "expected"),
    [
        ((), ("healthy", "nobody waits for a lock")),
        ((replace(WAIT, seconds=5.0),), ("healthy", "1 waiting for a lock, the longest for 5.0 s")),
        ((WAIT,), ("warning", f"1 waiting for a lock for more than 5 s: {TOLD}")),
        (
            (replace(WAIT, seconds=31.0),),
            ("error", f"1 waiting for a lock for more than 5 s: {TOLD.replace('20 s', '31 s')}"),
        ),
        (
            (replace(WAIT, table="", blockers=()),),
            (
                "warning",
                "1 waiting for a lock for more than 5 s: emo-prod-gunicorn (pid 8, active: SELECT ? FROM t FOR UPDATE)"
                " for 20 s, held up by a prepared transaction",
            ),
        ),
        (LOST, ("unknown", "Can't be asked: connection to server at 127.0.0.1, port 5 failed: refused")),
    ],
)
def test_locks(monkeypatch: pytest.MonkeyPatch, waits: Any, expected: tuple[str, str]) -> None:
    finds(monkeypatch, "waits", waits)
    finding = LocksProbe(alias="default").run()
    assert said(finding) == expected
    assert bool(finding.remedy) == (finding.status != "healthy")


def test_of_a_chain_only_its_beginning_is_to_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    third = replace(WAITER, pid=9)
    finds(monkeypatch, "waits", (WAIT, Wait(session=third, seconds=15.0, table="t", blockers=(WAITER,))))
    remedy = LocksProbe(alias="default").run().remedy
    assert remedy == "Let it end, or end it as a superuser: SELECT pg_terminate_backend(7)."


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Open(sessions=(), hidden=0), ("healthy", "none open")),
        (Open(sessions=(WAITER,), hidden=0), ("healthy", "1 open, the oldest for 20.0 s")),
        (
            Open(sessions=(WAITER,), hidden=3),
            ("healthy", "1 open, the oldest for 20.0 s (3 sessions not shown: grant pg_read_all_stats)"),
        ),
        (
            Open(sessions=(replace(HOLDER, state_seconds=61.0),), hidden=0),
            ("warning", "psql (pid 7, idle in transaction: UPDATE t SET a = ?) idle for 61 s"),
        ),
        (
            Open(sessions=(replace(HOLDER, state_seconds=601.0),), hidden=0),
            ("error", "psql (pid 7, idle in transaction: UPDATE t SET a = ?) idle for 10 min"),
        ),
        (
            Open(sessions=(replace(WAITER, open_seconds=901.0, statement=""),), hidden=0),
            ("warning", "emo-prod-gunicorn (pid 8, active) open for 15 min"),
        ),
        (
            Open(sessions=(replace(WAITER, open_seconds=7201.0, statement=""),), hidden=0),
            ("error", "emo-prod-gunicorn (pid 8, active) open for 2 h"),
        ),
        (LOST, ("unknown", "Can't be asked: connection to server at 127.0.0.1, port 5 failed: refused")),
    ],
)
def test_transactions(monkeypatch: pytest.MonkeyPatch, found: Any, expected: tuple[str, str]) -> None:
    finds(monkeypatch, "open_transactions", found)
    finding = TransactionsProbe(alias="default").run()
    assert said(finding) == expected
    assert bool(finding.remedy) == (finding.status != "healthy")


@contextmanager
def session(name: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of somebody else in the database of the tests."""
    given = {
        key: value
        for key, value in connection.get_connection_params().items()
        if key not in ("cursor_factory", "context", "pool", "prepare_threshold")
    }
    with psycopg.connect(**{**given, "application_name": name}) as other:
        yield other
        other.rollback()


def until(condition: Any) -> None:
    give_up_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up_at, "it never came to that"
        time.sleep(0.05)


@contextmanager
def waiting(name: str, statement: str) -> Iterator[int]:
    """A session that waits for a lock with the statement; its pid."""
    with session(name) as other:

        def wait() -> None:
            with suppress(psycopg.Error):
                other.execute(statement)

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield other.info.backend_pid
        finally:
            other.cancel()
            thread.join(10)


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_real_wait_names_waiter_holder_table_and_age() -> None:
    probe = LocksProbe(alias="default", warn_wait_seconds=0.3, error_wait_seconds=0.9)
    assert said(probe.run()) == ("healthy", "nobody waits for a lock")
    with session("holder") as holder:
        holder.execute("LOCK TABLE auth_group IN ACCESS EXCLUSIVE MODE")
        with waiting("waiter", "SELECT count(*) FROM auth_group WHERE name = 'hush-hush'") as pid:
            until(lambda: probe.run().status != "healthy")
            finding = probe.run()
            assert f"waiter (pid {pid}, active: SELECT count(*) FROM auth_group WHERE name = ?)" in finding.message
            assert (
                f" on auth_group, held up by holder (pid {holder.info.backend_pid}, idle in transac" in finding.message
            )
            assert "hush-hush" not in str(finding)
            assert finding.remedy.endswith(f"pg_terminate_backend({holder.info.backend_pid}).")
            [wait] = finding.metrics["waits"]
            assert (wait["table"], wait["session"]["pid"]) == ("auth_group", pid)
            assert 0.3 < wait["seconds"] < 30
            until(lambda: probe.run().status == "error")
    until(lambda: probe.run().status == "healthy")


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_real_transaction_that_is_idle_is_named_with_its_age() -> None:
    probe = TransactionsProbe(alias="default", warn_idle_seconds=0.2)
    with session("forgetful") as other:
        other.execute("SELECT 'hush-hush'")
        pid = other.info.backend_pid
        named = re.compile(rf"forgetful \(pid {pid}, idle in transaction: SELECT \?\) idle for \d+ s")
        until(lambda: named.search(probe.run().message))
        finding = probe.run()
        assert str(finding.status) == "warning"
        assert f"pg_terminate_backend({pid})" in finding.remedy
        assert str(TransactionsProbe(alias="default").run().status) == "healthy"
        assert "hush-hush" not in str(finding)


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_real_transaction_that_is_long_is_named() -> None:
    probe = TransactionsProbe(alias="default", warn_open_seconds=0.2, error_open_seconds=0.2)
    with waiting("long", "SELECT pg_sleep(20)") as pid:
        until(lambda: f"long (pid {pid}, active: SELECT pg_sleep(?)) open for" in probe.run().message)
        assert str(probe.run().status) == "error"
