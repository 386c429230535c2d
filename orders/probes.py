"""The probe of the review queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import DatabaseError
from django.db.models import Count, Min

from emo_site.db.aliases import database_of
from emo_site.db.health import require_answer
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from orders.models import StagedOrder


@dataclass(frozen=True, kw_only=True)
class ReviewBacklogProbe:
    """How many orders wait for a person, and since when."""

    warn_count: int = 50
    warn_age_hours: float = 24
    name = "review backlog"
    critical = False

    def run(self) -> Finding:
        waiting = StagedOrder.objects.waiting_for_review().order_by()
        try:
            require_answer(database_of("orders"))
            figures = waiting.aggregate(n=Count("pk"), oldest=Min("created_at"))
        except DatabaseError as error:
            return Finding(
                status=HealthStatus.UNKNOWN,
                message=f"Can't be counted: {str(error).strip().splitlines()[0]}",
                remedy="See the probe of the database.",
            )
        count, oldest = figures["n"], figures["oldest"]
        if not count:
            return Finding(status=HealthStatus.HEALTHY, message="nothing waits", metrics={"waiting": 0})
        hours = (datetime.now(UTC) - oldest).total_seconds() / 3600
        message = f"{count} waiting, the oldest for {hours:.1f} h"
        metrics = {"waiting": count, "oldest_hours": round(hours, 3)}
        if count > self.warn_count or hours > self.warn_age_hours:
            return Finding(
                status=HealthStatus.WARNING, message=message, remedy="Review the queue, oldest first.", metrics=metrics
            )
        return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
