"""What components outside of the desk report of themselves."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from emo_site.db.fields import EnvironmentField
from monitoring.choices import HealthStatus


class ComponentState(models.Model):
    """The last report of one component. Written only by monitoring/component_reports.py."""

    environment = EnvironmentField()
    name = models.CharField(max_length=64)
    status = models.CharField(max_length=8, choices=HealthStatus.choices)
    message = models.CharField(max_length=300, blank=True)
    latency_ms = models.FloatField(null=True, blank=True)
    next_within_seconds = models.PositiveIntegerField()
    """The next report is due within so many seconds of this one."""
    metrics = models.JSONField(default=dict, blank=True)
    reported_at = models.DateTimeField()
    reported_by = models.CharField(max_length=150)
    """Whose token or which user it was; no key, since these tables may live in a database of their own."""

    class Meta:
        db_table = "component_states"
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(name="component_states_one_each", fields=("environment", "name")),
            models.CheckConstraint(
                name="component_states_status_known", condition=Q(status__in=sorted(HealthStatus.values))
            ),
            models.CheckConstraint(name="component_states_interval_positive", condition=Q(next_within_seconds__gt=0)),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.status} at {self.reported_at:%Y-%m-%d %H:%M:%S}"
