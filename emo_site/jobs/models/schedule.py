"""When a task is due."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django_tasks_db.models import DBTaskResult


class Schedule(models.Model):
    """A task that is queued again and again. One writer: jobs/schedules.py.

    `next_at` is empty while it is disabled. `problem` says why it could not be queued when it was due last.
    """

    name = models.CharField(max_length=64, unique=True)
    task = models.CharField(max_length=128)
    arguments = models.JSONField(default=dict, blank=True)
    cron = models.CharField(max_length=64)
    enabled = models.BooleanField(default=True)
    next_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_enqueued_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_job = models.ForeignKey(
        DBTaskResult, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    problem = models.TextField(blank=True, editable=False)

    class Meta:
        db_table = "schedules"
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                name="schedules_enabled_are_due_some_time", condition=Q(enabled=False) | Q(next_at__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return self.name
