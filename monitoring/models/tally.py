"""What processes of the desk counted by the minute. Written only by monitoring/tallies.py."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from emo_site.db.fields import EnvironmentField
from monitoring.choices import EventLevel


class ErrorMinute(models.Model):
    """Warnings or errors of one kind, from the processes of one name on one host, in one minute.

    `message` is the last one's, masked and cut; `last_at` is its time.
    """

    environment = EnvironmentField()
    host = models.CharField(max_length=255)
    process = models.CharField(max_length=64)
    kind = models.CharField(max_length=32)
    level = models.CharField(max_length=8, choices=EventLevel.choices)
    minute = models.DateTimeField()
    count = models.BigIntegerField(default=0)
    message = models.TextField(blank=True)
    last_at = models.DateTimeField()

    class Meta:
        db_table = "error_minutes"
        ordering = ("-minute", "kind")
        constraints = (
            models.UniqueConstraint(
                # It leads with the minute: those of the last minutes are asked for, and old ones let go.
                name="error_minutes_one_each",
                fields=("minute", "environment", "host", "process", "kind", "level"),
            ),
            models.CheckConstraint(
                name="error_minutes_level_known",
                condition=Q(level__in=sorted({EventLevel.WARNING.value, EventLevel.ERROR.value})),
            ),
            models.CheckConstraint(name="error_minutes_count_not_negative", condition=Q(count__gte=0)),
        )

    def __str__(self) -> str:
        return f"{self.count:,} × {self.kind} ({self.level}) at {self.minute:%Y-%m-%d %H:%M}"


class RequestMinute(models.Model):
    """Requests that the workers on one host answered in one minute; `failures` with a status of 500 or more."""

    environment = EnvironmentField()
    host = models.CharField(max_length=255)
    minute = models.DateTimeField()
    requests = models.BigIntegerField(default=0)
    failures = models.BigIntegerField(default=0)
    slow = models.BigIntegerField(default=0)

    class Meta:
        db_table = "request_minutes"
        ordering = ("-minute", "host")
        constraints = (
            # As above.
            models.UniqueConstraint(name="request_minutes_one_each", fields=("minute", "environment", "host")),
            models.CheckConstraint(
                name="request_minutes_count_not_negative", condition=Q(requests__gte=0, failures__gte=0, slow__gte=0)
            ),
        )

    def __str__(self) -> str:
        return f"{self.requests:,} requests, {self.failures:,} failed at {self.minute:%Y-%m-%d %H:%M}"
