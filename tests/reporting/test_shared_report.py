"""One report for all viewers: built once for each version of its data, and not at all for who has it already."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from monitoring import health
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.models import Incident
from reporting import health_report, shared_report
from reporting.shared_report import SharedReport
from tests.factories import equity, person, staged

pytestmark = pytest.mark.django_db
PAGE = "/reports/institutional/"


class Counted:
    """Stands in for the runs of the probes: theirs are threads, which can't see a test's transaction."""

    def __init__(self) -> None:
        self.runs = 0

    def results(self, probes: object, *, timeout: float) -> list[ProbeResult]:
        self.runs += 1
        return [said("database:default", at=datetime.now(UTC))]


def said(name: str, *, at: datetime, status: HealthStatus = HealthStatus.HEALTHY) -> ProbeResult:
    finding = Finding(status=status, message=f"{name} is {status}")
    return ProbeResult(name=name, critical=name.startswith("database"), finding=finding, at=at, response_ms=1.0)


def a_round(*, ago: float = 1, status: HealthStatus = HealthStatus.HEALTHY) -> None:
    """As the monitor records it: every configured probe."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    health.record([said(probe.name, at=at, status=status) for probe in health.configured()])


@pytest.fixture
def probes() -> Counted:
    return Counted()


@pytest.fixture
def shared(probes: Counted, monkeypatch: pytest.MonkeyPatch) -> SharedReport:
    found = SharedReport(probes, look_seconds=0)  # type: ignore[arg-type]
    monkeypatch.setattr("reporting.views._shared", found)
    return found


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(User.objects.create_user("viewer"))
    return client


def test_where_the_monitor_records_nobody_is_probed(shared: SharedReport, probes: Counted) -> None:
    a_round()
    current = shared.current()
    assert probes.runs == 0
    assert len(current.report.components) == len(health.configured())
    assert shared.current() is current


@pytest.mark.parametrize("ago", [121, 3600])
def test_an_old_round_is_not_the_state_of_now(shared: SharedReport, probes: Counted, ago: float) -> None:
    a_round(ago=ago)
    shared.current()
    assert probes.runs == 1


def test_a_round_that_lacks_a_probe_is_not_the_state_of_now(shared: SharedReport, probes: Counted) -> None:
    health.record([said("disk", at=datetime.now(UTC))])
    shared.current()
    assert probes.runs == 1


def test_a_new_round_an_order_and_an_incident_are_new_versions(shared: SharedReport) -> None:
    a_round()
    equity(at=datetime(2025, 1, 1, tzinfo=UTC))
    tags = [shared.current().tag]
    staged(person("trader", "trader"))
    tags.append(shared.current().tag)
    now = datetime.now(UTC)
    incident = Incident.objects.create(
        component_name="disk", severity="error", message="full", began_at=now, last_seen_at=now
    )
    tags.append(shared.current().tag)
    incident.acknowledged_at, incident.acknowledged_by = now, "olga"
    incident.save()
    tags.append(shared.current().tag)
    a_round(ago=0)
    tags.append(shared.current().tag)
    assert len(set(tags)) == 5
    assert shared.current().tag == tags[-1]


def test_fifty_at_once_get_one_rendering(shared: SharedReport, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[datetime] = []
    start = threading.Barrier(50)

    def build(*, now: datetime, results: object) -> object:
        built.append(now)
        return None

    monkeypatch.setattr(health_report, "build", build)
    monkeypatch.setattr(shared_report.rendering, "body_html", lambda report: "body")
    monkeypatch.setattr(shared_report, "_version", lambda now: "one")
    monkeypatch.setattr(shared_report, "_last_round", lambda now: [said("disk", at=now)])

    def view() -> None:
        start.wait()
        shared.current()

    threads = [threading.Thread(target=view) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_nobody_waits_while_the_next_version_is_made(shared: SharedReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_report, "build", lambda *, now, results: None)
    monkeypatch.setattr(shared_report.rendering, "body_html", lambda report: "body")
    monkeypatch.setattr(shared_report, "_version", lambda now: "one")
    monkeypatch.setattr(shared_report, "_last_round", lambda now: [said("disk", at=now)])
    first = shared.current()
    making, made = threading.Event(), threading.Event()

    def slow(now: datetime) -> str:
        making.set()
        assert made.wait(10)
        return "two"

    monkeypatch.setattr(shared_report, "_version", slow)
    maker = threading.Thread(target=shared.current)
    maker.start()
    assert making.wait(10)
    assert shared.current() is first
    made.set()
    maker.join()
    monkeypatch.setattr(shared_report, "_version", lambda now: "two")
    assert shared.current().tag == "two"


def test_who_has_this_version_is_answered_with_nothing(
    viewer: Client,
    shared: SharedReport,
    django_assert_max_num_queries: Callable[[int], AbstractContextManager[None]],
) -> None:
    a_round()
    page = viewer.get(PAGE)
    tag = page["ETag"]
    # Who they are (2), and which version there is (3).
    with django_assert_max_num_queries(5):
        answer = viewer.get(PAGE, headers={"if-none-match": tag})
    assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", tag)
    a_round(ago=0)
    fresh = viewer.get(PAGE, headers={"if-none-match": tag})
    assert fresh.status_code == 200
    assert fresh["ETag"] != tag


def test_a_stranger_gets_no_304(client: Client, shared: SharedReport) -> None:
    a_round()
    answer = client.get(PAGE, headers={"if-none-match": shared.current().tag})
    assert answer.status_code == 302


def test_json_is_never_answered_with_nothing(viewer: Client, shared: SharedReport) -> None:
    """Taking it out is recorded, so it is given."""
    a_round()
    answer = viewer.get(PAGE, {"format": "json"}, headers={"if-none-match": shared.current().tag})
    assert answer.status_code == 200


def test_a_past_moment_is_shown_and_said_to_be_one(viewer: Client, shared: SharedReport) -> None:
    a_round(ago=600, status=HealthStatus.WARNING)
    at = (datetime.now(UTC) - timedelta(seconds=500)).strftime("%Y-%m-%dT%H:%M:%S")
    page = viewer.get(PAGE, {"at": at}).content.decode()
    assert "A moment of the past." in page
    assert "disk is warning" in page
    assert "data-refresh" not in page
    assert "Back to now" in page
    assert viewer.get(PAGE, {"at": at, "format": "json"}).json()["past"] is True


@pytest.mark.parametrize(
    ("at", "error"),
    [
        ("yesterday", "at=yesterday: must be a time in ISO 8601, such as 2025-11-03T15:00:00Z"),
        ("", "at=: must be a time in ISO 8601, such as 2025-11-03T15:00:00Z"),
        ("2999-01-01", "at=2999-01-01: must not be in the future"),
    ],
)
def test_a_moment_that_is_none_is_refused(viewer: Client, at: str, error: str) -> None:
    answer = viewer.get(PAGE, {"at": at, "format": "json"})
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_the_page_names_its_version_for_its_script(viewer: Client, shared: SharedReport) -> None:
    a_round()
    page = viewer.get(PAGE)
    assert f'data-version="{page["ETag"].replace(chr(34), "&quot;")}"' in page.content.decode()
