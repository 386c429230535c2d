"""The watch: one worker acts, keeps what it can't store, and tells whatever is down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from monitoring import health, health_hours
from monitoring.alert_values import OpenIncident, Recovered
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.models import HealthHour, Incident, SystemHealth
from monitoring.spool import Spool
from monitoring.watch import ACTS, DEPUTISES, DEPUTISES_AFTER, WAITS, Seen, Watch

pytestmark = pytest.mark.django_db
NOW = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)
STEP = timedelta(seconds=30)


@dataclass
class Probe:
    name: str = "thing"
    critical: bool = False
    status: HealthStatus = HealthStatus.HEALTHY

    def run(self) -> Finding:
        return Finding(status=self.status, message=f"it is {self.status}")


@dataclass
class Lease:
    held: bool | None = True

    def hold(self) -> bool | None:
        return self.held

    def let_go(self) -> None:
        self.held = False


@dataclass
class Heard:
    fails: bool = False
    opened: list[str] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)

    def round(self, *, open: Sequence[OpenIncident], recovered: Sequence[Recovered], now: datetime) -> None:
        if self.fails:
            raise RuntimeError("no voice")
        self.opened = [each.component for each in open]
        self.recovered += [each.component for each in recovered]

    def settle(self, *, timeout: float) -> None:
        if self.fails:
            raise RuntimeError("no voice")
        # How many incidents were written down when it was asked to write down what it told.
        self.settled.append(Incident.objects.count())


class Worker:
    def __init__(self, folder: Path, *, held: bool | None = True) -> None:
        folder.mkdir(exist_ok=True)
        self.probe, self.lease, self.heard, self.now = Probe(), Lease(held), Heard(), NOW
        self.spool = Spool(folder / "spool.jsonl")
        self.watch = Watch(probes=[self.probe], lease=self.lease, spool=self.spool, teller=self.heard)

    def round(self, status: HealthStatus | None = None, *, step: timedelta = STEP) -> Seen:
        self.probe.status = status or self.probe.status
        seen = self.watch.round(timeout=5, now=self.now)
        self.now += step
        return seen


class Outage:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on, self._store = False, health.store
        monkeypatch.setattr(health, "store", self.store)

    def store(self, rows: Any) -> int:
        if self.on:
            raise OperationalError("the server is gone")
        return self._store(rows)


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    return Outage(monkeypatch)


@pytest.fixture(autouse=True)
def _connections_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own transaction lives in the connection that a worker would give back after each round."""
    monkeypatch.setattr("monitoring.watch.connections.close_all", lambda: None)


def test_who_holds_the_lease_records_and_who_does_not_is_silent(tmp_path: Path) -> None:
    one, other = Worker(tmp_path / "a"), Worker(tmp_path / "b", held=False)
    assert (one.round().role, other.round().role) == (ACTS, WAITS)
    assert SystemHealth.objects.count() == 1
    one.lease.held, other.lease.held = False, True
    assert (one.round().role, other.round().role) == (WAITS, ACTS)
    assert SystemHealth.objects.count() == 2


def test_what_an_outage_kept_back_is_stored_after_it_in_order_and_once(tmp_path: Path, outage: Outage) -> None:
    worker = Worker(tmp_path)
    worker.round()
    outage.on = True
    for _ in range(3):
        seen = worker.round(HealthStatus.ERROR)
        assert (seen.stored, seen.spooled) == (0, 1)
    assert worker.heard.opened == ["thing"]
    assert SystemHealth.objects.count() == 1
    outage.on = False
    seen = worker.round()
    assert (seen.stored, seen.spooled) == (4, 0)
    times = list(SystemHealth.objects.order_by("timestamp").values_list("timestamp", flat=True))
    assert times == [NOW + number * STEP for number in range(5)]
    assert Incident.objects.get().began_at == NOW + STEP
    assert not worker.spool


def test_lease_that_can_not_be_told_stays_with_who_had_it(tmp_path: Path, outage: Outage) -> None:
    one, other = Worker(tmp_path / "a"), Worker(tmp_path / "b", held=False)
    one.round(), other.round()
    one.lease.held = other.lease.held = None
    outage.on = True
    assert (one.round(HealthStatus.ERROR).role, other.round(HealthStatus.ERROR).role) == (ACTS, WAITS)
    one.round()
    assert (one.heard.opened, other.heard.opened) == (["thing"], [])


def test_after_a_long_silence_another_one_tells_and_leaves_no_record_twice(tmp_path: Path, outage: Outage) -> None:
    one, other = Worker(tmp_path / "a"), Worker(tmp_path / "b", held=False)
    one.round(), other.round()
    one.lease.held = other.lease.held = None
    outage.on = True
    while other.now - NOW <= DEPUTISES_AFTER + 3 * STEP:
        one.round(HealthStatus.ERROR)
        role = other.round(HealthStatus.ERROR).role
    assert role == DEPUTISES
    assert other.heard.opened == ["thing"]
    outage.on = False
    one.lease.held, other.lease.held = True, False
    one.round(), other.round()
    times = list(SystemHealth.objects.values_list("timestamp", flat=True))
    assert len(times) == len(set(times))
    assert Incident.objects.count() == 1


def test_who_loses_the_lease_in_an_outage_still_stores_what_only_it_knows(tmp_path: Path, outage: Outage) -> None:
    worker = Worker(tmp_path)
    worker.round()
    outage.on = True
    worker.round(), worker.round()
    outage.on, worker.lease.held = False, False
    assert worker.round().role == WAITS
    assert SystemHealth.objects.count() == 3


def test_incident_of_an_outage_goes_over_to_who_acts_afterwards(tmp_path: Path, outage: Outage) -> None:
    one, other = Worker(tmp_path / "a"), Worker(tmp_path / "b", held=False)
    one.round()
    outage.on = True
    for _ in range(3):
        one.round(HealthStatus.ERROR)
    assert one.heard.opened == ["thing"]
    # The database is back, and the other one was quicker: it finds all well, and nothing on record.
    outage.on, one.lease.held, other.lease.held = False, False, True
    other.round(HealthStatus.HEALTHY)
    assert one.round().role == WAITS
    assert Incident.objects.get().ended_at is None
    assert one.heard.settled == [0]
    for _ in range(5):
        other.round()
    assert other.heard.recovered == ["thing"]
    assert Incident.objects.get().ended_at is not None
    # What it has handed over is no longer its own.
    one.round()
    one.lease.held, other.lease.held = True, False
    for _ in range(3):
        one.round(HealthStatus.HEALTHY)
    assert one.heard.recovered == []


def test_what_can_not_be_handed_over_yet_is_kept(tmp_path: Path, outage: Outage) -> None:
    worker = Worker(tmp_path)
    worker.round()
    outage.on = True
    for _ in range(3):
        worker.round(HealthStatus.ERROR)
    worker.lease.held = False
    worker.round()
    assert not Incident.objects.exists()
    outage.on = False
    worker.round()
    assert Incident.objects.get().component_name == "thing"
    assert SystemHealth.objects.count() == 4


def test_watch_goes_on_without_its_voice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(tmp_path)
    worker.heard.fails = True
    assert worker.round().stored == 1
    assert "alerts failed" in caplog.text
    worker.lease.held = False
    assert worker.round().role == WAITS


def test_full_disk_loses_records_and_not_the_watch(
    tmp_path: Path, outage: Outage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(tmp_path)
    outage.on = True

    def full(rows: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker.spool, "add", full)
    seen = worker.round()
    assert (seen.role, seen.stored, seen.spooled) == (ACTS, 0, 0)
    assert "1 health records are lost" in caplog.text


def test_hours_that_were_summed_up_in_an_outage_are_summed_up_again(tmp_path: Path, outage: Outage) -> None:
    worker = Worker(tmp_path)
    worker.round(step=timedelta(hours=1))
    outage.on = True
    worker.round(HealthStatus.ERROR, step=timedelta(hours=1))
    health_hours.roll_up(now=worker.now)
    outage.on = False
    worker.now += timedelta(minutes=10)
    worker.round()
    late = HealthHour.objects.get(component_name="thing", hour=NOW + timedelta(hours=1))
    assert (late.records, late.error > 0) == (1, True)
