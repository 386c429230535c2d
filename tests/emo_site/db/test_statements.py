"""Statements are counted per database, in every thread, and without any value."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, connections
from hypothesis import given
from hypothesis import strategies as st

from emo_site.db import statements
from emo_site.db.health import own_connection
from emo_site.db.statements import BOUNDS, DatabaseStatements, quantile_ms

SECRET = "Zq7Xk9Wv3"


@pytest.fixture(autouse=True)
def _from_zero() -> Iterator[None]:
    statements.start_over()
    yield
    statements.start_over()


def counted() -> DatabaseStatements:
    [found] = [each for each in statements.figures().databases if each.alias == "default"]
    return found


@pytest.mark.django_db
def test_every_statement_is_counted_once() -> None:
    connection.ensure_connection()
    before = counted().count
    with connection.cursor() as cursor:
        for _ in range(7):
            cursor.execute("SELECT 1")
        cursor.executemany("UPDATE auth_group SET name = %s WHERE id = %s", [("a", -1), ("b", -2)])
    assert counted().count - before == 8
    assert counted().errors == 0


@pytest.mark.django_db
def test_a_pooled_connection_that_comes_back_is_not_counted_twice() -> None:
    statements.count_on(connection=connection)
    statements.count_on(connection=connection)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert counted().count == 1


@pytest.mark.django_db
def test_connections_of_new_threads_and_outside_the_pool_are_counted() -> None:
    def ask() -> None:
        try:
            with connections["default"].cursor() as cursor:
                for _ in range(50):
                    cursor.execute("SELECT 1")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted().count == 200
    with own_connection("default") as own, own.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert counted().count == 201


@pytest.mark.django_db
def test_errors_are_counted_by_kind_and_go_on() -> None:
    with own_connection("default") as own, own.cursor() as cursor:
        for _ in range(3):
            with pytest.raises(DatabaseError):
                cursor.execute("SELECT * FROM no_such_table")
    postgresql = connection.vendor == "postgresql"
    assert counted().errors_by_kind == (("42P01 UndefinedTable" if postgresql else "SQLITE_ERROR", 3),)
    User.objects.create(username="same")
    with pytest.raises(IntegrityError):
        User.objects.create(username="same")
    kind = "23505 UniqueViolation" if postgresql else "SQLITE_CONSTRAINT_UNIQUE"
    assert (kind, 1) in counted().errors_by_kind
    assert counted().errors == 4


class Clock:
    """Stands for perf_counter in statements.py: time passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sent(self, text: str, seconds: float, error: Exception | None = None) -> Any:
        """What the wrapper gives back for a statement that takes so long."""

        def execute(*args: object) -> str:
            self.now += seconds
            if error is not None:
                raise error
            return "the cursor"

        return statements._tally("default").around(execute, text, None, False, {})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(statements, "perf_counter", clock)
    statements.start_over()
    return clock


def test_the_slowest_are_kept_by_shape_slowest_first(clock: Clock) -> None:
    assert clock.sent(f"SELECT a WHERE b = '{SECRET}'", 0.03) == "the cursor"
    clock.sent("SELECT a WHERE b = 'other'", 0.01)
    clock.sent("SELECT c", 0.02)
    assert [(each.text, each.slowest_ms) for each in counted().slowest] == [
        ("SELECT a WHERE b = ?", 30.0),
        ("SELECT c", 20.0),
    ]


def test_a_slow_statement_is_counted_as_slow(settings: Any, clock: Clock) -> None:
    statements._tallies.pop("default", None)
    settings.EMO_DB_SLOW_MS = 5
    clock.sent("SELECT a", 0.004)
    clock.sent("SELECT a", 0.006)
    assert (counted().slow, counted().count) == (1, 2)
    statements._tallies.pop("default", None)


def test_quick_statements_are_none_of_the_slowest(clock: Clock) -> None:
    clock.sent("SELECT a", 0.0009)
    clock.sent("SELECT b", 0.0011)
    assert [each.text for each in counted().slowest] == ["SELECT b"]
    assert counted().count == 2


def test_none_is_lost_while_many_wait_to_be_counted(clock: Clock) -> None:
    for number in range(3 * statements.MOST_FRESH + 5):
        clock.sent("SELECT a", 0.0001 if number % 2 else 0.0004)
    found = counted()
    assert (found.count, found.recent) == (3 * statements.MOST_FRESH + 5,) * 2
    assert found.p95_ms == pytest.approx(0.4, rel=0.09)
    assert len(statements._tally("default")._fresh) == 0


def test_no_more_than_ten_are_kept_and_quicker_ones_leave(clock: Clock) -> None:
    for number in range(12):
        clock.sent(f"SELECT a{'b' * number}", 0.002 + 0.001 * number)
    clock.sent("SELECT too_quick", 0.0035)
    assert [each.text for each in counted().slowest] == [f"SELECT a{'b' * number}" for number in range(11, 1, -1)]


def test_kinds_of_errors_are_bounded(clock: Clock) -> None:
    for number in range(statements.MOST_KINDS + 5):
        with pytest.raises(Exception, match="x"):
            clock.sent("SELECT a", 0, type(f"Error{number:03}", (Exception,), {})("x"))
    found = counted()
    assert len(found.errors_by_kind) == statements.MOST_KINDS + 1
    assert found.errors_by_kind[0] == ("other", 5)


def test_old_windows_and_old_slowest_are_left_behind(clock: Clock) -> None:
    clock.sent("SELECT slow", 0.5)
    clock.now += 301
    clock.sent("SELECT quick", 0.01)
    # The last window and the current one.
    assert (counted().recent, counted().p95_ms) == (2, pytest.approx(500, rel=0.09))
    clock.now += 301
    clock.sent("SELECT quick", 0.01)
    assert (counted().recent, counted().p95_ms) == (2, pytest.approx(10, rel=0.09))
    clock.now += 3000
    found = counted()
    assert (found.count, found.recent, found.p50_ms) == (3, 0, None)
    assert [each.text for each in found.slowest] == ["SELECT quick"]
    clock.now += 3600
    assert counted().slowest == ()


@given(st.lists(st.floats(1e-5, 100), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.95, 1.0]))
def test_quantiles_are_off_by_no_more_than_they_say(seconds: list[float], share: float) -> None:
    from bisect import bisect_right
    from math import ceil

    counts = [0] * (len(BOUNDS) + 1)
    for each in seconds:
        counts[bisect_right(BOUNDS, each)] += 1
    exact = sorted(seconds)[ceil(len(seconds) * share) - 1] * 1000
    assert quantile_ms(counts, share) == pytest.approx(exact, rel=statements.MAX_ERROR_PERCENT / 100 + 0.011)


def test_nothing_counted_has_no_quantile() -> None:
    assert quantile_ms([0] * (len(BOUNDS) + 1), 0.5) is None


@pytest.mark.parametrize(("seconds", "expected"), [(1e-6, 0.01), (1000.0, BOUNDS[-1] * 1000)])
def test_outside_the_buckets_their_end_is_told(seconds: float, expected: float) -> None:
    counts = [0] * (len(BOUNDS) + 1)
    counts[0 if seconds < BOUNDS[0] else -1] = 1
    assert quantile_ms(counts, 0.5) == pytest.approx(expected, rel=1e-3)


@pytest.mark.django_db
@given(value=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20))
def test_no_value_of_any_statement_or_error_is_kept(value: str) -> None:
    secret = f"{value}{SECRET}"
    kept = statements._tally("default")
    kept._floor = -1
    with own_connection("default") as own, closing(own.cursor()) as cursor:
        cursor.execute("SELECT %s", [secret])
        cursor.execute("SELECT '{}'".format(secret.replace("'", "''").replace("%", "")))
        with pytest.raises(DatabaseError):
            cursor.execute("SELECT CAST(%s AS integer) FROM no_such_table", [secret])
    kept._floor = -1
    told = repr(statements.figures())
    assert SECRET not in told
    assert "SELECT ?" in told


def test_a_forked_process_starts_at_zero_and_waits_for_no_lock() -> None:
    import os

    statements._tally("default").around(lambda *args: None, "SELECT a", None, False, {})
    tally = statements._tally("default")
    with tally._lock:
        child = os.fork()
        if not child:
            # Exit codes are all that comes back; os._exit keeps pytest from running twice.
            os._exit(0 if counted().count == 0 and statements.figures().process == os.getpid() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert counted().count == 1
