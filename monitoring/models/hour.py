"""An hour of a component's life, summed up."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from emo_site.db.fields import EnvironmentField

_HOUR = 3_600_000_000


class HealthHour(models.Model):
    """For how long a component was in which status within one full hour. Written only by monitoring/health_hours.py.

    Figures as in monitoring/uptime.py, times in microseconds. The desk as a whole has an empty name. It outlives the
    records that it was made from: a year of 25 components is 220,000 rows.
    """

    environment = EnvironmentField()
    component_name = models.CharField("component", max_length=64, blank=True)
    hour = models.DateTimeField()
    healthy = models.BigIntegerField(default=0)
    warning = models.BigIntegerField(default=0)
    error = models.BigIntegerField(default=0)
    unknown = models.BigIntegerField(default=0)
    score_sum = models.BigIntegerField(default=0)
    records = models.IntegerField(default=0)

    class Meta:
        db_table = "health_hours"
        ordering = ("-hour", "component_name")
        constraints = (
            # Also the index of a period of all components, and of one component's, which is a part of that.
            models.UniqueConstraint(name="health_hours_one_each", fields=("environment", "hour", "component_name")),
            models.CheckConstraint(
                name="health_hours_within_the_hour",
                condition=Q(healthy__gte=0, warning__gte=0, error__gte=0, unknown__gte=0, records__gte=0)
                & Q(healthy__lte=_HOUR - F("warning") - F("error") - F("unknown")),
            ),
        )

    def __str__(self) -> str:
        return f"{self.component_name or 'the desk'} from {self.hour:%Y-%m-%d %H:%M}"
