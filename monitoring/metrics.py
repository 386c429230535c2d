"""What /metrics tells of health and ingest: one cheap query each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Sum
from prometheus_client.core import GaugeMetricFamily, Metric

from monitoring.choices import HealthStatus
from monitoring.health import ProbeResult
from monitoring.models import IngestCheckpoint, SystemHealth

# What was recorded before, or lies behind so many newer rows, is not told: no query reads more.
TOLD_FOR = timedelta(hours=1)
MOST_ROWS = 2000


def databases(results: Sequence[ProbeResult]) -> Iterable[Metric]:
    """Of the probes of the databases (DatabaseProbe), which were asked for this very scrape."""
    up = GaugeMetricFamily(
        "emo_database_up", "1 where the database could be used just now, else 0.", labels=["database"]
    )
    latency = GaugeMetricFamily(
        "emo_database_latency_seconds", "One SELECT 1 on an open connection.", labels=["database"]
    )
    lag = GaugeMetricFamily("emo_database_replication_lag_seconds", "How far a standby is behind.", labels=["database"])
    for result in results:
        labels = [result.name.partition(":")[2]]
        figures = result.finding.metrics
        up.add_metric(labels, float(result.finding.status != HealthStatus.ERROR))
        if figures.get("latency_ms") is not None:
            latency.add_metric(labels, figures["latency_ms"] / 1000)
        if figures.get("lag_seconds") is not None:
            lag.add_metric(labels, figures["lag_seconds"])
    return up, latency, lag


def components(now: datetime) -> Iterable[Metric]:
    """What was last recorded of each component."""
    score = GaugeMetricFamily("emo_component_score", "0 to 100; none while it is unknown.", labels=["component"])
    status = GaugeMetricFamily(
        "emo_component_status",
        "1 for the status that the component has, 0 for the others.",
        labels=["component", "status"],
    )
    recorded = GaugeMetricFamily(
        "emo_component_recorded_timestamp_seconds", "When that was recorded, in Unix time.", labels=["component"]
    )
    rows = SystemHealth.objects.filter(
        environment=settings.EMO_ENV, timestamp__gt=now - TOLD_FOR, timestamp__lte=now
    ).order_by("-timestamp", "-id")
    seen: set[str] = set()
    for name, points, found, at in rows.values_list("component_name", "health_score", "status", "timestamp")[
        :MOST_ROWS
    ]:
        if name in seen:
            continue
        seen.add(name)
        if found != HealthStatus.UNKNOWN:
            score.add_metric([name], float(points))
        for each in HealthStatus.values:
            status.add_metric([name, each], float(each == found))
        recorded.add_metric([name], at.timestamp())
    return score, status, recorded


def ingest(now: datetime) -> Iterable[Metric]:
    """Of all files together: their names would be endless."""
    found = IngestCheckpoint.objects.aggregate(files=Count("pk"), rows=Sum("rows"), refused=Sum("quarantined"))
    return (
        GaugeMetricFamily("emo_ingest_files", "Files of market events that were begun.", value=found["files"]),
        GaugeMetricFamily("emo_ingest_rows", "Rows that were taken in from them.", value=found["rows"] or 0),
        GaugeMetricFamily(
            "emo_ingest_quarantined_rows", "Rows of them that went into quarantine.", value=found["refused"] or 0
        ),
    )
