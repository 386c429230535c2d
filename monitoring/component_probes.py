"""The probe of what is outside of the desk and reports of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError

from emo_site.db.aliases import database_of
from emo_site.db.health import models_asked_within
from monitoring import component_reports
from monitoring.choices import BY_SEVERITY, HealthStatus
from monitoring.component_state import Standing
from monitoring.health import Finding
from monitoring.probes import not_asked

_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class ComponentsProbe:
    """What do the components outside of the desk say of themselves, and which of them are silent?"""

    answer_seconds: float = 5
    name = "reported components"
    critical = False

    def run(self) -> Finding:
        now, alias = datetime.now(UTC), database_of("monitoring")
        try:
            with models_asked_within(alias, self.answer_seconds):
                rows = component_reports.reported()
        except DatabaseError as error:
            return not_asked(alias, error)
        found = component_reports.standings(rows, now=now)
        metrics: dict[str, Any] = {
            "components": {
                each.name: {
                    "status": str(each.status),
                    "latency_ms": row.latency_ms,
                    "age_seconds": round((now - row.reported_at).total_seconds(), 3),
                    **({"metrics": row.metrics} if row.metrics else {}),
                }
                for each, row in zip(found, rows, strict=True)
            }
        }
        return judged(found, metrics)


def judged(found: Sequence[Standing], metrics: dict[str, Any]) -> Finding:
    """The worst of them is the whole's; those that are not well are named first."""
    if not found:
        return Finding(status=HealthStatus.HEALTHY, message="no component reports", metrics=metrics)
    worst_first = sorted(found, key=lambda each: (-BY_SEVERITY.index(each.status), each.name))
    named = "; ".join(f"{each.name}: {each.message}" for each in worst_first[:_NAMED])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    status = worst_first[0].status
    return Finding(
        status=status,
        message=f"{named}{more}",
        remedy=""
        if status == HealthStatus.HEALTHY
        else "Look at that component and at the bot; one that is gone for good is forgotten through the API.",
        metrics=metrics,
    )
