"""What a process counts elsewhere is brought into the metrics once, and exactly."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DatabaseError, connection

from emo_site.db import pools, statements
from emo_site.db.pools import PoolFigures
from emo_site.db.statements import BOUNDS, DatabaseStatements
from emo_site.db.waits import WaitFigures
from emo_site.metrics import instruments, publishing
from emo_site.tallies import Tallies

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _from_zero(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    statements.start_over()
    monkeypatch.setattr("emo_site.tallies.of_process", Tallies())
    publishing._start_over()
    yield
    publishing._start_over()


def value(name: str, **labels: str) -> float:
    return instruments.PROCESS.get_sample_value(name, labels) or 0.0


def bucket(bound: float) -> float:
    return value("emo_db_statement_duration_seconds_bucket", database="default", le=str(bound))


@pytest.mark.django_db
def test_statements_are_brought_once() -> None:
    publishing.publish()
    before = value("emo_db_statement_duration_seconds_count", database="default")
    with connection.cursor() as cursor:
        for _ in range(5):
            cursor.execute("SELECT 1")
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")
    publishing.publish()
    publishing.publish()
    assert value("emo_db_statement_duration_seconds_count", database="default") == before + 6
    [metric] = instruments.STATEMENT_ERRORS.collect()
    assert [each for each in metric.samples if each.labels["database"] == "default" and each.value >= 1]


def figures(**counts: int) -> DatabaseStatements:
    """Statements in the statements' own buckets: place -> how many."""
    histogram = [0] * (len(BOUNDS) + 1)
    for place, count in counts.items():
        histogram[int(place[1:])] = count
    return DatabaseStatements(
        alias="default",
        count=sum(histogram),
        errors=0,
        errors_by_kind=(),
        slow=0,
        total_ms=1500.0,
        recent=0,
        p50_ms=None,
        p95_ms=None,
        slowest=(),
        histogram=tuple(histogram),
    )


def test_every_bucket_goes_where_its_bounds_lie() -> None:
    bounds = instruments.STATEMENT_BOUNDS
    before = {bound: bucket(bound) for bound in bounds}
    total = value("emo_db_statement_duration_seconds_sum", database="default")
    # Place n holds what is from BOUNDS[n - 1] to BOUNDS[n].
    publishing._bring_statements(figures(p0=1, p1=10, p8=100, p9=1000, p97=10_000))
    assert bucket(bounds[0]) - before[bounds[0]] == 1
    assert bucket(bounds[1]) - before[bounds[1]] == 111
    assert bucket(bounds[2]) - before[bounds[2]] == 1111
    assert bucket(bounds[-1]) - before[bounds[-1]] == 1111
    assert value("emo_db_statement_duration_seconds_sum", database="default") - total == pytest.approx(1.5)


def test_counts_that_began_anew_are_added_whole() -> None:
    publishing._bring_statements(figures(p9=50))
    before = value("emo_db_statement_duration_seconds_count", database="default")
    publishing._bring_statements(figures(p9=3))
    assert value("emo_db_statement_duration_seconds_count", database="default") == before + 3


def test_slow_statements_are_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    found = replace(figures(p90=2), slow=2)
    with caplog.at_level(logging.WARNING):
        publishing._bring_statements(found)
        publishing._bring_statements(found)
    assert [record.getMessage()[:44] for record in caplog.records] == ["2 statements to database default took longer"]


def test_pools_are_told_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = WaitFigures(requests=7, failed=2, waiting=3, total_ms=250.0)
    pool = PoolFigures(
        alias="pooled", min_size=1, max_size=5, size=4, in_use=3, available=1, waits=waits, connections_lost=1
    )
    monkeypatch.setattr(pools, "figures", lambda: (pool, PoolFigures(alias="none", reason="SQLite")))
    publishing.publish()
    publishing.publish()
    told = {
        "emo_db_pool_max_connections": 5,
        "emo_db_pool_waiting": 3,
        "emo_db_pool_requests_total": 7,
        "emo_db_pool_timeouts_total": 2,
        "emo_db_pool_wait_seconds_total": 0.25,
        "emo_db_pool_connections_lost_total": 1,
    }
    assert {name: value(name, database="pooled") for name in told} == told
    assert value("emo_db_pool_connections", database="pooled", state="in_use") == 3
    assert value("emo_db_pool_connections", database="pooled", state="available") == 1
    assert instruments.PROCESS.get_sample_value("emo_db_pool_waiting", {"database": "none"}) is None


def test_a_writer_that_fails_does_not_keep_others_from_writing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written: list[datetime] = []

    def failing(now: datetime) -> Any:
        raise DatabaseError("full")

    monkeypatch.setattr(publishing, "_writers", [failing, written.append])
    publishing.write(NOW)
    assert written == [NOW]
    assert "failing could not write" in caplog.text


def test_a_signal_that_comes_while_the_last_figures_are_written_is_one_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gunicorn's handler ends the process once more, within the call that is to leave it out."""
    came, ignored = iter([SystemExit(0), None, KeyboardInterrupt()]), []

    def set_to(number: signal.Signals, handler: signal.Handlers) -> None:
        if (raised := next(came, None)) is not None:
            raise raised
        ignored.append((number, handler))

    monkeypatch.setattr(signal, "signal", set_to)
    publishing._ignore_signals()
    assert ignored[-3:] == [(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)]
