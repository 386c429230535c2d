"""What was wrong with a component, from when until when."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from emo_site.db.fields import EnvironmentField, TimeOrderedUUIDField
from monitoring.choices import HealthStatus


class Incident(models.Model):
    """A component that was not healthy, as soon as that was more than a flicker. One writer: monitoring/incidents.py.

    `severity` is the worst it came to; `message` and `remedy` are the last ones heard. People by user name: they may
    live in another database.
    """

    id = TimeOrderedUUIDField("began_at")
    component_name = models.CharField("component", max_length=64)
    environment = EnvironmentField()
    severity = models.CharField(max_length=8, choices=HealthStatus.choices)
    critical = models.BooleanField(default=False)
    message = models.TextField()
    remedy = models.TextField(blank=True)
    began_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    note = models.TextField(blank=True)
    changes = models.JSONField(default=list, blank=True)
    """Each change of its status: [{"at": ISO time, "status": …, "message": …}], the last one its end."""

    class Meta:
        db_table = "incidents"
        ordering = ("-began_at", "-id")
        constraints = (
            models.CheckConstraint(
                name="incidents_severity_known",
                condition=Q(severity__in=sorted(set(HealthStatus.values) - {HealthStatus.HEALTHY.value})),
            ),
            models.CheckConstraint(
                name="incidents_end_after_they_began",
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("began_at")),
            ),
            models.CheckConstraint(
                name="incidents_acknowledged_by_someone",
                condition=Q(acknowledged_at__isnull=True) | ~Q(acknowledged_by=""),
            ),
            # Two workers that both find the database down would otherwise write down two.
            models.UniqueConstraint(
                name="incidents_one_open_each",
                fields=("environment", "component_name"),
                condition=Q(ended_at__isnull=True),
            ),
        )
        indexes = (
            # The history of one component, and recent ones of all.
            models.Index("component_name", models.F("began_at").desc(), name="incidents_component"),
            models.Index(name="incidents_began", fields=("began_at", "id")),
        )

    def __str__(self) -> str:
        return f"{self.component_name} {self.severity} from {self.began_at:%Y-%m-%d %H:%M:%S}"
