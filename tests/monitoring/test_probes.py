"""What each probe says of what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from django.db import OperationalError, connection
from freezegun import freeze_time

from emo_site.db.health import ServerFacts
from emo_site.db.timescale.capabilities import Capabilities
from monitoring import events, probes
from monitoring.choices import EventType, HealthStatus
from monitoring.health import Finding
from orders import workflow
from orders.probes import ReviewBacklogProbe
from tests.conftest import BACKEND
from tests.factories import NOW, equity, person, staged

FACTS = ServerFacts(
    alias="default", engine="postgresql", version="18", role="primary", latency_ms=1.0, connect_ms=2.0, lag_seconds=None
)
LOST = OperationalError("connection to server at 127.0.0.1, port 5 failed: refused\nIs the server running?")


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


def finds(monkeypatch: pytest.MonkeyPatch, name: str, answer: Any) -> None:
    """The server is not asked: the probe gets this answer, or this error."""

    @contextmanager
    def nothing(alias: str) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(alias=alias)

    def look(*args: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(probes, "own_connection", nothing)
    monkeypatch.setattr(probes, name, look)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FACTS, ("healthy", "postgresql 18, primary, SELECT 1 in 1.0 ms")),
        (replace(FACTS, latency_ms=250.0), ("healthy", "postgresql 18, primary, SELECT 1 in 250.0 ms")),
        (replace(FACTS, latency_ms=251.0), ("warning", "SELECT 1 took 251 ms (limit 250 ms).")),
        (replace(FACTS, role="standby", lag_seconds=0.0), ("error", "The server is a standby: it takes no writes.")),
        (LOST, ("error", "Can't be used: connection to server at 127.0.0.1, port 5 failed: refused")),
        (OperationalError(""), ("error", "Can't be used: no reason given")),
    ],
)
def test_database(monkeypatch: pytest.MonkeyPatch, facts: Any, expected: tuple[str, str]) -> None:
    finds(monkeypatch, "look_at", facts)
    assert said(probes.DatabaseProbe(alias="default").run()) == expected


@pytest.mark.parametrize(
    ("lag", "expected"),
    [
        (10.0, ("healthy", "postgresql 18, standby, SELECT 1 in 1.0 ms")),
        (11.0, ("warning", "Replication lag is 11 s (limit 10 s).")),
        (None, ("healthy", "postgresql 18, standby, SELECT 1 in 1.0 ms")),
    ],
)
def test_replica(monkeypatch: pytest.MonkeyPatch, lag: float | None, expected: tuple[str, str]) -> None:
    finds(monkeypatch, "look_at", replace(FACTS, role="standby", lag_seconds=lag))
    probe = probes.DatabaseProbe(alias="replica1")
    assert not probe.critical
    assert said(probe.run()) == expected


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([], ("healthy", "up to date")),
        (["orders.0002_x"], ("error", "1 not applied: orders.0002_x")),
        (list("abcdef"), ("error", "6 not applied: a, b, c, d, e …")),
        (LOST, ("error", "Can't be used: connection to server at 127.0.0.1, port 5 failed: refused")),
    ],
)
def test_migrations(monkeypatch: pytest.MonkeyPatch, missing: Any, expected: tuple[str, str]) -> None:
    finds(monkeypatch, "unapplied_migrations", missing)
    assert said(probes.MigrationsProbe(alias="default").run()) == expected


def test_replica_that_is_down_does_not_make_the_desk_fail() -> None:
    assert probes.MigrationsProbe(alias="default").critical
    assert not probes.MigrationsProbe(alias="replica1").critical


NONE = Capabilities(available=None, installed=None, preloaded=False, licence=None)
ENABLED = Capabilities(available="2.19", installed="2.19", preloaded=True, licence="apache")
ON_DISK = Capabilities(available="2.19", installed=None, preloaded=False, licence=None)
BOTH = {"market_events", "system_health"}
ORDINARY = "Ordinary tables on a server with TimescaleDB: "


@pytest.mark.parametrize(
    ("capabilities", "found", "switch", "expected"),
    [
        (NONE, set(), "auto", ("healthy", "ordinary tables: the server has no TimescaleDB")),
        (ENABLED, BOTH, "auto", ("healthy", "market_events, system_health (TimescaleDB 2.19, apache)")),
        (ENABLED, {"market_events"}, "auto", ("warning", ORDINARY + "system_health")),
        (ON_DISK, set(), "auto", ("warning", ORDINARY + "market_events, system_health")),
        (ENABLED, set(), "off", ("healthy", "ordinary tables: EMO_TIMESCALE is off")),
        (ENABLED, BOTH, "off", ("healthy", "market_events, system_health (TimescaleDB 2.19, apache)")),
        (LOST, set(), "auto", ("error", "Can't be used: connection to server at 127.0.0.1, port 5 failed: refused")),
    ],
)
def test_hypertables(
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    capabilities: Any,
    found: set[str],
    switch: str,
    expected: tuple[str, str],
) -> None:
    settings.EMO_TIMESCALE = switch
    finds(monkeypatch, "look_up", capabilities)
    monkeypatch.setattr(probes, "existing", lambda connection: found)
    assert said(probes.HypertablesProbe(alias="default").run()) == expected


@pytest.mark.django_db
def test_real_server_is_healthy() -> None:
    database, migrations, hypertables = (
        probe(alias="default").run()
        for probe in (probes.DatabaseProbe, probes.MigrationsProbe, probes.HypertablesProbe)
    )
    assert database.status == HealthStatus.HEALTHY, database.message
    assert (database.metrics["engine"], database.metrics["role"]) == (BACKEND, "primary")
    assert said(migrations) == ("healthy", "up to date")
    assert hypertables.status == HealthStatus.HEALTHY
    assert set(hypertables.metrics["hypertables"]) == (BOTH if BACKEND == "timescaledb" else set())


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (100, ("healthy", "100.0 % free (100.0 GiB)")),
        (15, ("healthy", "15.0 % free (15.0 GiB)")),
        (14, ("warning", "14.0 % free (14.0 GiB)")),
        (5, ("warning", "5.0 % free (5.0 GiB)")),
        (4, ("error", "4.0 % free (4.0 GiB)")),
        (0, ("error", "0.0 % free (0.0 GiB)")),
    ],
)
def test_disk(monkeypatch: pytest.MonkeyPatch, free: int, expected: tuple[str, str]) -> None:
    usage = SimpleNamespace(free=free * 2**30, total=100 * 2**30)
    monkeypatch.setattr(psutil, "disk_usage", lambda path: usage)
    assert said(probes.DiskProbe(path="/").run()) == expected


def test_disk_of_a_folder_that_is_not_made_yet_is_its_parents(tmp_path: Path) -> None:
    finding = probes.DiskProbe(path=str(tmp_path / "a" / "b"), warn_free_percent=101, error_free_percent=0).run()
    assert finding.remedy == f"Free space below {tmp_path}, or move the desk's data folder."


def quoted(hours: float) -> None:
    at = NOW - timedelta(hours=hours)
    events.record([events.Event(symbol="SPY", event_type=EventType.QUOTE, timestamp=at, source="test")])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([], ("unknown", "no market event on record")),
        ([1.5], ("healthy", "the newest event is 1.5 h old")),
        ([200, 96], ("healthy", "the newest event is 96.0 h old")),
        ([97], ("warning", "the newest event is 97.0 h old (limit 96 h)")),
        ([97, -0.05], ("healthy", "the newest event is -0.1 h old")),
        # One event with a wrong clock must not keep the probe content for months.
        ([97, -3], ("warning", "the newest event is dated 3.0 h in the future")),
    ],
)
def test_market_data(hours: list[float], expected: tuple[str, str]) -> None:
    for number in hours:
        quoted(number)
    with freeze_time(NOW):
        assert said(probes.MarketDataProbe().run()) == expected


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (ReviewBacklogProbe(), ("healthy", "2 waiting, the oldest for 3.0 h")),
        (ReviewBacklogProbe(warn_count=2, warn_age_hours=3), ("healthy", "2 waiting, the oldest for 3.0 h")),
        (ReviewBacklogProbe(warn_count=1), ("warning", "2 waiting, the oldest for 3.0 h")),
        (ReviewBacklogProbe(warn_age_hours=2.9), ("warning", "2 waiting, the oldest for 3.0 h")),
    ],
)
def test_review_backlog(probe: ReviewBacklogProbe, expected: tuple[str, str]) -> None:
    equity()
    trader = person("trader", "trader")
    staged(trader)
    staged(trader, now=NOW + timedelta(hours=1))
    workflow.cancel(staged(trader).pk, actor=trader, now=NOW)
    with freeze_time(NOW + timedelta(hours=3)):
        assert said(probe.run()) == expected


@pytest.mark.django_db
def test_empty_backlog_is_healthy() -> None:
    assert said(ReviewBacklogProbe().run()) == ("healthy", "nothing waits")


@pytest.mark.django_db
def test_database_that_is_down_leaves_the_counting_probes_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: object, **kwargs: object) -> None:
        raise LOST

    monkeypatch.setattr(connection, "cursor", lost)
    assert said(ReviewBacklogProbe().run()) == (
        "unknown",
        "Can't be counted: connection to server at 127.0.0.1, port 5 failed: refused",
    )
    assert probes.MarketDataProbe().run().status == HealthStatus.ERROR
