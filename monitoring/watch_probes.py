"""The probe of the watch itself: does any worker record health?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db import DatabaseError

from emo_site import display
from emo_site.db.aliases import database_of
from emo_site.db.health import require_answer
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.models import SystemHealth


@dataclass(frozen=True, kw_only=True)
class WatchProbe:
    """The age of the newest record of this probe, which only `manage.py monitor` and `healthcheck` write.

    Asked by the watch itself it is well; it speaks to whoever runs `healthcheck`, opens a page, or reads the metrics
    while no watch runs any more.
    """

    warn_rounds: float = 4
    name = "watch"
    critical = False

    def run(self) -> Finding:
        now = datetime.now(UTC)
        rows = SystemHealth.objects.filter(component_name=self.name, timestamp__lte=now).order_by("-timestamp")
        try:
            require_answer(database_of("monitoring"))
            newest = rows.values_list("timestamp", flat=True).first()
        except DatabaseError as error:
            return Finding(
                status=HealthStatus.UNKNOWN,
                message=f"Can't be looked up: {str(error).strip().splitlines()[0]}",
                remedy="See the probe of the database.",
            )
        if newest is None:
            return Finding(
                status=HealthStatus.UNKNOWN,
                message="No health was ever recorded.",
                remedy="Let manage.py monitor run as a service.",
            )
        seconds = (now - newest).total_seconds()
        message = f"the last round was recorded {display.age(now - newest)} ago"
        metrics = {"age_seconds": round(seconds, 3), "interval_seconds": settings.EMO_MONITOR_SECONDS}
        if seconds > self.warn_rounds * settings.EMO_MONITOR_SECONDS:
            return Finding(
                status=HealthStatus.WARNING,
                message=f"{message[0].upper()}{message[1:]}, one is due every {settings.EMO_MONITOR_SECONDS} s.",
                remedy="Start manage.py monitor; look why it ended.",
                metrics=metrics,
            )
        return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
