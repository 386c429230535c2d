"""The incidents of the last thirty days as they stood at a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from emo_site import display
from monitoring.choices import HealthStatus
from monitoring.models import Incident
from reporting.components import TONES

RECENT = timedelta(days=30)
SHOWN = 20
_SHORT = 300


@dataclass(frozen=True, kw_only=True)
class IncidentRow:
    """`duration_seconds` until the end, or until the moment where it had not ended."""

    component: str
    severity: str
    tone: str
    critical: bool
    message: str
    began_at: datetime
    ended_at: datetime | None
    duration_seconds: float
    acknowledged_at: datetime | None
    acknowledged_by: str
    note: str
    message_text: str
    began_text: str
    duration_text: str
    acknowledged_text: str


def incident_list(*, now: datetime) -> tuple[IncidentRow, ...]:
    """Newest first, 20 at most: one query. Raises DatabaseError."""
    found = Incident.objects.filter(environment=settings.EMO_ENV, began_at__lte=now, began_at__gte=now - RECENT)
    return tuple(_row(incident, now) for incident in found.order_by("-began_at", "-id")[:SHOWN])


def _row(incident: Incident, now: datetime) -> IncidentRow:
    ended = incident.ended_at if incident.ended_at and incident.ended_at <= now else None
    known = incident.acknowledged_at is not None and incident.acknowledged_at <= now
    lasted = (ended or now) - incident.began_at
    severity = HealthStatus(incident.severity)
    return IncidentRow(
        component=incident.component_name,
        severity=severity.label,
        tone=TONES[severity],
        critical=incident.critical,
        message=incident.message,
        began_at=incident.began_at,
        ended_at=ended,
        duration_seconds=lasted.total_seconds(),
        acknowledged_at=incident.acknowledged_at if known else None,
        acknowledged_by=incident.acknowledged_by if known else "",
        note=incident.note if known else "",
        message_text=incident.message if len(incident.message) <= _SHORT else f"{incident.message[:_SHORT]} …",
        began_text=display.moment(incident.began_at),
        duration_text=display.age(lasted) if ended else f"{display.age(lasted)}, not over",
        acknowledged_text=f"{incident.acknowledged_by}, {display.moment(incident.acknowledged_at)}"
        if known and incident.acknowledged_at
        else "nobody",
    )
