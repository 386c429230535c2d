"""Time-outs that the server keeps, for those who wait and for those who work."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, connections

from emo_site.db.health import own_connection
from emo_site.db.timeouts import ServerTimeouts, defaults


@pytest.mark.parametrize(
    ("environment", "serving", "expected"),
    [
        ("dev", True, ServerTimeouts(statement=30, lock=5, idle_in_transaction=300)),
        ("staging", True, ServerTimeouts(statement=8, lock=5, idle_in_transaction=60)),
        ("prod", True, ServerTimeouts(statement=8, lock=5, idle_in_transaction=60)),
        ("dev", False, ServerTimeouts(statement=0, lock=5, idle_in_transaction=600)),
        ("staging", False, ServerTimeouts(statement=0, lock=5, idle_in_transaction=600)),
        ("prod", False, ServerTimeouts(statement=0, lock=5, idle_in_transaction=600)),
    ],
)
def test_defaults(environment: str, serving: bool, expected: ServerTimeouts) -> None:
    assert defaults(environment, serving=serving) == expected


def test_none_is_not_sent() -> None:
    assert ServerTimeouts().as_options() == ""
    assert ServerTimeouts(lock=3).as_options() == "-c lock_timeout=3000"


def _with_options(monkeypatch: pytest.MonkeyPatch, timeouts: ServerTimeouts) -> None:
    options = {**connections["default"].settings_dict["OPTIONS"], "options": timeouts.as_options()}
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", options)


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_server_ends_a_statement_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_options(monkeypatch, ServerTimeouts(statement=1))
    with own_connection("default") as own, own.cursor() as cursor:
        with pytest.raises(OperationalError, match="canceling statement due to statement timeout"):
            cursor.execute("SELECT pg_sleep(20)")
        cursor.execute("SELECT 1")


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_server_ends_a_wait_for_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_options(monkeypatch, ServerTimeouts(lock=1))
    with connection.cursor() as holder, own_connection("default") as own, own.cursor() as cursor:
        holder.execute("SELECT pg_advisory_lock(4711)")
        try:
            with pytest.raises(OperationalError, match="canceling statement due to lock timeout"):
                cursor.execute("SELECT pg_advisory_lock(4711)")
        finally:
            holder.execute("SELECT pg_advisory_unlock(4711)")


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_server_ends_a_transaction_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_options(monkeypatch, ServerTimeouts(idle_in_transaction=1))
    with own_connection("default") as own, own.cursor() as cursor, connection.cursor() as waiting:
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_backend_pid()")
        waiting.execute("SELECT pg_sleep(2.5)")
        with pytest.raises(DatabaseError, match="terminating connection due to idle-in-transaction timeout"):
            cursor.execute("SELECT 1")


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_server_shows_who_we_are(settings: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW application_name")
        assert cursor.fetchone() == (f"emo-{os.environ['EMO_ENV']}-{settings.EMO_PROCESS.kind}-{settings.EMO_VERSION}",)
