"""The last word of each component outside of the desk: the broker's gateway, the bot itself, a feed handler. The only
writer of ComponentState.
"""

from __future__ import annotations

from datetime import datetime

from emo_site.db.aliases import database_of
from emo_site.db.fields import current_environment
from monitoring.choices import HealthStatus
from monitoring.component_state import ComponentReport, InvalidReport, Standing, require_name, standing
from monitoring.models import ComponentState

# A name that is made anew with every report would fill the table and every health report.
MOST = 100

_SAID = ("status", "message", "latency_ms", "next_within_seconds", "metrics", "reported_at", "reported_by")


def report(said: ComponentReport, *, by: str, now: datetime) -> None:
    """Takes the place of the component's report before. `by`: whose token, or which user. Raises InvalidReport."""
    states = ComponentState.objects.using(database_of("monitoring"))
    others = states.filter(environment=current_environment()).exclude(name=said.name)
    if others.count() >= MOST:
        raise InvalidReport("name", said.name, f"{MOST} components report already; forget those that are gone")
    row = ComponentState(
        name=said.name,
        status=said.status,
        message=said.message,
        latency_ms=said.latency_ms,
        next_within_seconds=said.next_within_seconds,
        metrics=said.metrics,
        reported_at=now,
        reported_by=by,
    )
    states.bulk_create([row], update_conflicts=True, unique_fields=["environment", "name"], update_fields=_SAID)


def forget(name: str) -> bool:
    """Of a component that is gone for good; whether there was a report of it. Raises InvalidReport."""
    states = ComponentState.objects.using(database_of("monitoring"))
    deleted, _ = states.filter(environment=current_environment(), name=require_name(name)).delete()
    return deleted > 0


def reported() -> list[ComponentState]:
    """All there are, by name."""
    states = ComponentState.objects.using(database_of("monitoring"))
    return list(states.filter(environment=current_environment()).order_by("name"))


def standings(rows: list[ComponentState], *, now: datetime) -> list[Standing]:
    """What each of the reports is worth now."""
    return [standing(_said(row), reported_at=row.reported_at, now=now) for row in rows]


def _said(row: ComponentState) -> ComponentReport:
    return ComponentReport(
        name=row.name,
        status=HealthStatus(row.status),
        message=row.message,
        latency_ms=row.latency_ms,
        next_within_seconds=row.next_within_seconds,
        metrics=row.metrics,
    )
