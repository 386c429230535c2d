"""Components outside of the desk report of themselves, and the health report has what they said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError

from monitoring import component_probes, component_reports
from monitoring.choices import HealthStatus
from monitoring.component_probes import ComponentsProbe
from monitoring.component_state import ComponentReport, InvalidReport
from monitoring.health import Finding, ProbeResult
from monitoring.models import ComponentState
from reporting import health_report, rendering

pytestmark = pytest.mark.django_db


def say(name: str, status: str = "healthy", *, ago: float = 1, **changes: Any) -> None:
    said = ComponentReport(
        **{"name": name, "status": HealthStatus(status), "next_within_seconds": 60, "message": "", **changes}
    )
    component_reports.report(said, by="bot", now=datetime.now(UTC) - timedelta(seconds=ago))


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


def test_last_report_takes_the_place_of_the_one_before() -> None:
    say("gateway", "error", message="no session", metrics={"queue": 3})
    say("gateway", latency_ms=40)
    [row] = component_reports.reported()
    assert (row.name, row.status, row.message, row.latency_ms, row.metrics) == ("gateway", "healthy", "", 40, {})
    assert row.reported_by == "bot"


def test_reports_of_another_environment_stand_apart(settings: Any) -> None:
    say("gateway", "error")
    settings.EMO_ENV = "staging"
    say("gateway")
    assert [row.status for row in component_reports.reported()] == ["healthy"]
    assert ComponentState.objects.count() == 2
    assert component_reports.forget("gateway")
    assert ComponentState.objects.get().environment == "dev"


def test_component_that_is_gone_is_forgotten() -> None:
    say("gateway")
    assert component_reports.forget("gateway")
    assert not component_reports.forget("gateway")
    assert component_reports.reported() == []
    with pytest.raises(InvalidReport, match=r"^name="):
        component_reports.forget("")


def test_names_that_are_made_up_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component_reports, "MOST", 2)
    say("a")
    say("b")
    with pytest.raises(InvalidReport, match=r"^name='c': 2 components report already"):
        say("c")
    say("b", "error")
    assert [(row.name, row.status) for row in component_reports.reported()] == [("a", "healthy"), ("b", "error")]


def test_desk_without_components_lacks_nothing() -> None:
    assert said(ComponentsProbe().run()) == ("healthy", "no component reports")


def test_components_that_are_well_are_told_with_their_figures() -> None:
    say("gateway", latency_ms=40, message="up")
    say("bot")
    finding = ComponentsProbe().run()
    assert said(finding) == ("healthy", "bot: healthy; gateway: healthy, 40 ms: up")
    assert finding.remedy == ""
    assert finding.metrics["components"]["gateway"]["latency_ms"] == 40
    assert finding.metrics["components"]["gateway"]["age_seconds"] == pytest.approx(1, abs=0.9)


@pytest.mark.parametrize(
    ("states", "status", "first"),
    [
        ([("a", "healthy", 1), ("b", "warning", 1)], "warning", "b: warning"),
        ([("a", "warning", 1), ("b", "error", 1)], "error", "b: error"),
        ([("a", "healthy", 1), ("b", "healthy", 61)], "unknown", "b: not heard of for 61 s"),
        ([("a", "warning", 1), ("b", "healthy", 61)], "warning", "a: warning"),
        ([("a", "error", 61), ("b", "healthy", 1)], "unknown", "a: not heard of for 61 s"),
        ([("a", "unknown", 1), ("b", "healthy", 1)], "unknown", "a: unknown"),
    ],
)
def test_worst_component_speaks_for_all_and_a_silent_one_is_unknown(
    states: list[tuple[str, str, float]], status: str, first: str
) -> None:
    for name, word, ago in states:
        say(name, word, ago=ago)
    finding = ComponentsProbe().run()
    assert finding.status == status
    assert finding.message.startswith(first)
    assert finding.remedy


def test_of_many_components_the_worst_are_named() -> None:
    for number in range(12):
        say(f"c{number:02}", "error" if number == 11 else "healthy")
    message = ComponentsProbe().run().message
    assert message.startswith("c11: error; c00: healthy; ")
    assert message.endswith("; and 4 more")


def test_database_that_is_down_is_not_the_word_of_this_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> list[ComponentState]:
        raise DatabaseError("no route")

    monkeypatch.setattr(component_probes.component_reports, "reported", down)
    assert said(ComponentsProbe().run()) == ("unknown", "Can't be asked: no route")


@pytest.mark.usefixtures("emptied_afterwards")
def test_healthcheck_has_what_was_reported(settings: Any) -> None:
    settings.PROBES = [("monitoring.component_probes.ComponentsProbe", {})]
    say("gateway", "error", message="no session")
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("healthcheck", "--json", "--no-record", stdout=out)
    assert ended.value.code == 1
    [component] = json.loads(out.getvalue())["components"]
    assert (component["name"], component["message"]) == ("reported components", "gateway: error: no session")


def test_institutional_report_has_what_was_reported() -> None:
    say("gateway", "warning", message="slow", latency_ms=900)
    now, probe = datetime.now(UTC), ComponentsProbe()
    result = ProbeResult(name=probe.name, critical=probe.critical, finding=probe.run(), at=now, response_ms=1)
    report = health_report.build(now=now, results=[result])
    found = {each.name: each.message for each in report.components}
    assert found == {"reported components": "gateway: warning, 900 ms: slow"}
    assert "gateway: warning, 900 ms: slow" in rendering.body_html(report)
