"""What an alert is about: plain values, so that it can be told while no database answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from monitoring.choices import HealthStatus


@dataclass(frozen=True, kw_only=True)
class OpenIncident:
    """A component that is not well, as long as that lasts. `severity` is the worst it came to."""

    id: UUID
    component: str
    severity: HealthStatus
    critical: bool
    message: str
    remedy: str
    began_at: datetime
    acknowledged: bool
    environment: str


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """The same, once it is over."""

    id: UUID
    component: str
    severity: HealthStatus
    critical: bool
    message: str
    remedy: str
    began_at: datetime
    acknowledged: bool
    environment: str
    ended_at: datetime
