"""What the health page says of the two time series."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.template.loader import render_to_string

from monitoring import retention, time_series
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.models import MarketEvent, RetentionRun
from reporting import health_report, rendering
from tests.conftest import BACKEND

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that differs from the server's by five minutes is doubted, and the whole suite takes longer.
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC).replace(microsecond=0))


def looked() -> dict[str, time_series.TimeSeries]:
    return {each.table: each for each in time_series.look(now=NOW)}


@pytest.fixture
def rows() -> None:
    MarketEvent.objects.bulk_create(
        MarketEvent(event_type="trade", timestamp=NOW - timedelta(days=10 * number)) for number in range(5)
    )
    if BACKEND != "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE market_events")


def test_size_age_and_chunks_are_there_or_why_not(rows: None) -> None:
    events = looked()["market_events"]
    assert (events.rows_about, events.rows_text) == (5, "about 5")
    assert (events.oldest, events.newest) == (NOW - timedelta(days=40), NOW)
    if BACKEND == "timescaledb":
        assert events.kind == "hypertable (apache licence)"
        assert (events.chunks, events.chunks_text) == (5, "5 of 7 days")
        assert events.compression == "n/a: not in the apache licence"
    else:
        assert (events.kind, events.chunks) == ("ordinary table", None)
        assert events.chunks_text == events.compression == "n/a: an ordinary table"
    if BACKEND == "sqlite":
        assert (events.size_bytes, events.size_text) == (None, "n/a: SQLite keeps all tables in one file")
    else:
        assert events.size_bytes is not None
        assert events.size_bytes > 8192
    assert looked()["system_health"].span_text == "empty"


def test_the_policy_in_force_and_the_last_run_are_said(rows: None, settings: Any) -> None:
    assert looked()["market_events"].policy == "kept 30 days, by manage.py apply_retention"
    assert (looked()["market_events"].last_run, looked()["market_events"].last_run_tone) == ("none yet", "warn")
    retention.apply(retention.plan("market_events", now=NOW), confirmed=False)
    run = RetentionRun.objects.get()
    RetentionRun.objects.update(started_at=NOW - timedelta(hours=5))
    events = looked()["market_events"]
    chunks = ", 1 chunks" if BACKEND == "timescaledb" else ""
    assert events.last_run == f"5 h ago: 1 rows{chunks}"
    assert (events.last_run_rows, events.last_run_tone) == (1, "good")
    RetentionRun.objects.update(started_at=NOW - timedelta(days=3))
    assert looked()["market_events"].last_run.startswith("3 d ago: 1 rows")
    assert looked()["market_events"].last_run.endswith("; overdue")
    assert looked()["market_events"].last_run_tone == "warn"
    RetentionRun.objects.update(finished_at=None)
    assert (looked()["market_events"].last_run_tone, run.rows) == ("warn", 1)
    RetentionRun.objects.update(failure="disk full")
    assert looked()["market_events"].last_run.endswith("; failed: disk full")
    settings.EMO_RETAIN_MARKET_EVENTS_DAYS = None
    assert looked()["market_events"].policy == "kept for ever"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (8192, "8.19 kB"), (2_345_678_901, "2.35 GB"), (10**16, "10,000 TB")],
)
def test_sizes_are_read_at_a_glance(size: int, text: str) -> None:
    assert time_series.size_text(size) == text


def _database(status: HealthStatus) -> ProbeResult:
    finding = Finding(status=status, message="x", remedy="", metrics={})
    return ProbeResult(name="database:default", critical=True, finding=finding, at=NOW, response_ms=1.0)


def test_the_health_page_and_its_json_carry_them(rows: None) -> None:
    report = health_report.build(now=NOW, results=[_database(HealthStatus.HEALTHY)])
    assert [each.table for each in report.time_series] == ["market_events", "system_health"]
    page = render_to_string("reports/institutional.html", {"report": report, "standalone": True})
    assert '<h2 id="time-series">Time series</h2>' in page
    assert "kept 30 days, by manage.py apply_retention" in page
    found = json.loads(rendering.json_text(report))["time_series"][0]
    assert found["oldest"] == (NOW - timedelta(days=40)).isoformat()
    assert found["keep_days"] == 30
    assert "last_run_tone" not in found
    assert "span_text" not in found


def test_the_page_comes_out_while_their_database_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    report = health_report.build(now=NOW, results=[_database(HealthStatus.ERROR)])
    assert report.time_series == ()

    def refused(**arguments: object) -> None:
        raise DatabaseError("no such server\nsecond line")

    monkeypatch.setattr(time_series, "look", refused)
    report = health_report.build(now=NOW, results=[_database(HealthStatus.HEALTHY)])
    assert "Time series: no such server" in report.missing
    page = render_to_string("reports/institutional.html", {"report": report, "standalone": True})
    assert "n/a: the database of the time series can't be used." in page
