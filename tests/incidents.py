"""Incidents as the worker tells them to the teller."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from monitoring.alert_values import OpenIncident, Recovered
from monitoring.choices import HealthStatus

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def incident(number: int = 1, **changes: Any) -> OpenIncident:
    values: dict[str, Any] = {
        "id": UUID(int=100 + number),
        "component": f"component {number}",
        "severity": HealthStatus.ERROR,
        "critical": False,
        "message": "It is down.",
        "remedy": "Start it.",
        "began_at": NOW - 5 * MINUTE,
        "acknowledged": False,
        "environment": "dev",
    }
    return OpenIncident(**{**values, **changes})


def over(of: OpenIncident, *, at: datetime = NOW) -> Recovered:
    return Recovered(**vars(of), ended_at=at)
