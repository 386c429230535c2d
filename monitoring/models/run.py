"""What work on the time series has done so far."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from monitoring.choices import RetentionWay


class IngestCheckpoint(models.Model):
    """How far a file of events was taken in. Written only by monitoring/ingest.py, in the transaction of the rows."""

    # Of the path and the format: a path may be longer than an index takes.
    key = models.CharField(max_length=64, unique=True)
    source = models.TextField()
    lines = models.BigIntegerField(default=0)
    offset = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True)
    rows = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)
    quarantine = models.TextField(blank=True)
    quarantine_size = models.BigIntegerField(default=0)
    started_at = models.DateTimeField()
    finished = models.BooleanField(default=False)

    class Meta:
        db_table = "ingest_checkpoints"
        ordering = ("source",)

    def __str__(self) -> str:
        return f"{self.source}: {self.rows:,} rows up to line {self.lines:,}"


class RetentionRun(models.Model):
    """What one run of retention let go of one table. Written only by monitoring/retention.py."""

    table_name = models.CharField("table", max_length=64)
    way = models.CharField(max_length=8, choices=RetentionWay.choices)
    # Everything older was to go.
    cutoff = models.DateTimeField()
    rows = models.BigIntegerField(default=0)
    chunks = models.IntegerField(default=0)
    started_at = models.DateTimeField()
    # Empty while it runs, and for ever where it was cut off; rows and chunks then say how far it got.
    finished_at = models.DateTimeField(null=True, blank=True)
    failure = models.TextField(blank=True)

    class Meta:
        db_table = "retention_runs"
        ordering = ("-started_at", "-id")
        constraints = (
            models.CheckConstraint(
                name="retention_runs_time_series_only", condition=Q(table_name__in=["market_events", "system_health"])
            ),
            models.CheckConstraint(name="retention_runs_way_known", condition=Q(way__in=sorted(RetentionWay.values))),
        )
        indexes = (
            # The last run of a table, for the health page and the admin's list.
            models.Index("table_name", models.F("started_at").desc(), name="retention_runs_table"),
        )

    def __str__(self) -> str:
        return f"{self.table_name} before {self.cutoff:%Y-%m-%d %H:%M}: {self.rows:,} rows"
