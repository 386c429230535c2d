"""Chunks, the server's own jobs, and rows that should be gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection

from emo_site.db.timescale import jobs
from emo_site.db.timescale.capabilities import Capabilities
from emo_site.db.timescale.jobs import Job
from monitoring import events, time_series_probes
from monitoring.choices import EventType, RetentionWay
from monitoring.health import Finding
from monitoring.models import RetentionRun
from monitoring.time_series_probes import ChunksProbe, RetentionProbe
from tests.conftest import BACKEND

ENABLED = Capabilities(available="2.19", installed="2.19", preloaded=True, licence="timescale")
APACHE = replace(ENABLED, licence="apache")
NONE = Capabilities(available=None, installed=None, preloaded=False, licence=None)
LOST = OperationalError("connection to server at 127.0.0.1, port 5 failed: refused\nIs the server running?")
GONE = ("unknown", "Can't be asked: connection to server at 127.0.0.1, port 5 failed: refused")
JOB = Job(
    number=1000,
    procedure="policy_retention",
    table="market_events",
    failed=False,
    failures=0,
    last_run_at=datetime(2025, 11, 3, 2, 0, tzinfo=UTC),
)
FAILED = replace(JOB, failed=True, failures=3, error="permission denied")


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


@pytest.mark.parametrize(
    ("capabilities", "count", "found", "expected"),
    [
        (NONE, 0, (), ("healthy", "the database has no TimescaleDB")),
        (ENABLED, 12, (JOB,), ("healthy", "chunks: market_events 12; 1 jobs, none failed")),
        (ENABLED, 1001, (JOB,), ("warning", "chunks: market_events 1,001 (limit 1,000)")),
        (
            ENABLED,
            12,
            (JOB, FAILED),
            (
                "warning",
                "1 of 2 jobs failed: policy_retention of market_events at 2025-11-03 02:00 UTC: permission denied",
            ),
        ),
        (
            ENABLED,
            12,
            (replace(FAILED, table="", error="", last_run_at=None),),
            ("warning", "1 of 1 jobs failed: policy_retention"),
        ),
        # What it can't do for its licence is no fault of it.
        (APACHE, 12, (FAILED,), ("healthy", "chunks: market_events 12; the server does nothing by itself")),
        (APACHE, 1001, (), ("warning", "chunks: market_events 1,001 (limit 1,000)")),
        (LOST, 0, (), GONE),
    ],
)
def test_chunks(
    monkeypatch: pytest.MonkeyPatch, capabilities: Any, count: int, found: Any, expected: tuple[str, str]
) -> None:
    @contextmanager
    def nothing(alias: str, seconds: float) -> Iterator[SimpleNamespace]:
        if isinstance(capabilities, Exception):
            raise capabilities
        yield SimpleNamespace(alias=alias)

    monkeypatch.setattr(time_series_probes, "asked_within", nothing)
    monkeypatch.setattr(time_series_probes, "look_up", lambda connection: capabilities)
    monkeypatch.setattr(time_series_probes, "existing", lambda connection: {"market_events"})
    monkeypatch.setattr(time_series_probes.chunks, "count_chunks", lambda connection, table: count)
    monkeypatch.setattr(time_series_probes.jobs, "look_at", lambda connection: found)
    finding = ChunksProbe(alias="default").run()
    assert said(finding) == expected
    assert bool(finding.remedy) == (finding.status != "healthy")


def quoted(days: float) -> None:
    at = datetime.now(UTC) - timedelta(days=days)
    events.record([events.Event(symbol="SPY", event_type=EventType.QUOTE, timestamp=at, source="test")])


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_chunks_of_a_real_server() -> None:
    quoted(1)
    finding = ChunksProbe(alias="default").run()
    assert str(finding.status) == "healthy", finding.message
    if BACKEND == "timescaledb":
        assert finding.metrics["chunks"] == {"market_events": 1, "system_health": 0}


@pytest.mark.timescaledb
@pytest.mark.django_db
def test_jobs_of_a_real_server() -> None:
    found = {each.procedure: each for each in jobs.look_at(connection)}
    own = found["policy_job_stat_history_retention"]
    assert own.table == ""
    # Whether it has run yet, in this database, is the server's affair; that it is refused then is the licence's.
    assert own.failed == (own.last_run_at is not None)
    assert ("license" in own.error) == own.failed


def ran(**changes: Any) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    values = {
        "table_name": "market_events",
        "way": RetentionWay.BATCHES,
        "cutoff": at,
        "started_at": at,
        "finished_at": at,
    }
    RetentionRun.objects.create(**{**values, **changes})


@pytest.mark.django_db
def test_a_desk_without_data_has_nothing_to_let_go() -> None:
    assert said(RetentionProbe().run()) == ("healthy", "kept as wanted: market_events 30 d, system_health 7 d")


@pytest.mark.django_db
def test_old_rows_that_stay_are_a_warning_and_say_since_when(settings: Any) -> None:
    settings.EMO_RETAIN_MARKET_EVENTS_DAYS = 30
    # On TimescaleDB a whole chunk may still hold younger rows.
    quoted(45)
    finding = RetentionProbe().run()
    assert said(finding) == (
        "warning",
        "market_events: rows of 45 d ago are kept, 30 d are wanted; last run none yet",
    )
    assert finding.remedy == "Run manage.py apply_retention, and let it run every day."


@pytest.mark.django_db
def test_rows_that_are_hardly_too_old_are_not_told(settings: Any) -> None:
    settings.EMO_RETAIN_MARKET_EVENTS_DAYS = 30
    quoted(31)
    assert str(RetentionProbe().run().status) == "healthy"


@pytest.mark.django_db
def test_what_is_kept_for_ever_may_be_old(settings: Any) -> None:
    settings.EMO_RETAIN_MARKET_EVENTS_DAYS = None
    quoted(400)
    assert said(RetentionProbe().run()) == (
        "healthy",
        "kept as wanted: market_events for ever, system_health 7 d",
    )


@pytest.mark.django_db
def test_a_run_that_failed_is_an_error_with_its_reason() -> None:
    ran(failure="permission denied for table market_events")
    finding = RetentionProbe().run()
    assert str(finding.status) == "error"
    assert "market_events: 60 min ago: 0 rows; failed: permission denied for table market_events" in finding.message
    ran(started_at=datetime.now(UTC))
    assert str(RetentionProbe().run().status) == "healthy"


@pytest.mark.django_db
def test_a_database_that_is_down_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: object) -> None:
        raise LOST

    monkeypatch.setattr(time_series_probes, "models_asked_within", lost)
    assert said(RetentionProbe().run()) == GONE
