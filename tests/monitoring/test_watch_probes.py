"""The watch is watched by whoever else looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitoring import health
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.watch_probes import WatchProbe

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("age", "status", "message"),
    [
        (None, "unknown", "No health was ever recorded."),
        (20, "healthy", "the last round was recorded 20 s ago"),
        (110, "healthy", "the last round was recorded 110 s ago"),
        (130, "warning", "The last round was recorded 2 min ago, one is due every 30 s."),
    ],
)
def test_silence_of_the_watch_is_told(settings: Any, age: int | None, status: str, message: str) -> None:
    settings.EMO_MONITOR_SECONDS = 30
    if age is not None:
        found = ProbeResult(
            name="watch",
            critical=False,
            finding=Finding(status=HealthStatus.HEALTHY, message="x"),
            at=datetime.now(UTC) - timedelta(seconds=age),
            response_ms=1,
        )
        health.record([found])
    finding = WatchProbe().run()
    assert (finding.status, finding.message) == (status, message)
    assert bool(finding.remedy) == (status != "healthy")
