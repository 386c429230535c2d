"""A process that runs tasks, and until when it may be trusted to be alive."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class WorkerHeartbeat(models.Model):
    """One run of a worker. One writer: jobs/heartbeats.py.

    All times are of the database's clock: hosts need not agree with each other. While `alive_until` has not passed, the
    worker's tasks are its own; a row that has ended never comes back to life.
    """

    name = models.CharField(max_length=64, unique=True)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    # Names of the queues that it serves.
    queues = models.JSONField()
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    alive_until = models.DateTimeField()
    # The path of the task that it runs, empty between tasks.
    doing = models.TextField(blank=True)
    doing_since = models.DateTimeField(null=True, blank=True)
    succeeded = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    ended_at = models.DateTimeField(null=True, blank=True)
    # It did not end by itself: its lease ran out, and what it was doing was given to others.
    lost = models.BooleanField(default=False)

    class Meta:
        db_table = "worker_heartbeats"
        ordering = ("-started_at", "-id")
        verbose_name = "worker"
        constraints = (
            models.CheckConstraint(
                name="worker_heartbeats_lost_have_ended", condition=Q(lost=False) | Q(ended_at__isnull=False)
            ),
        )
        indexes = (
            # Those that are alive, for the reaper and the probe; there are few.
            models.Index(name="worker_heartbeats_alive", fields=("alive_until",), condition=Q(ended_at__isnull=True)),
            # Newest first, and pruning.
            models.Index(name="worker_heartbeats_started", fields=("started_at", "id")),
        )

    def __str__(self) -> str:
        return self.name
