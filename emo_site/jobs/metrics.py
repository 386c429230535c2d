"""What /metrics tells of background work."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Count, Min
from django_tasks.base import TaskResultStatus
from django_tasks_db.models import DBTaskResult
from prometheus_client.core import GaugeMetricFamily, Metric

from emo_site.jobs.models import WorkerHeartbeat


def tasks(now: datetime) -> Iterable[Metric]:
    """Three queries. Finished tasks are those that are still kept (jobs/tasks.py says how long)."""
    text = "Tasks of each status; finished ones while they are kept."
    found = GaugeMetricFamily("emo_tasks", text, labels=["status"])
    counts = dict(DBTaskResult.objects.order_by().values_list("status").annotate(Count("pk")))
    for status in TaskResultStatus.values:
        found.add_metric([status.lower()], counts.get(status, 0))
    alive = WorkerHeartbeat.objects.filter(ended_at=None, alive_until__gt=now).count()
    oldest = DBTaskResult.objects.ready().order_by().aggregate(at=Min("enqueued_at"))["at"]
    waited = (now - oldest).total_seconds() if oldest else 0.0
    return (
        found,
        GaugeMetricFamily("emo_task_workers", "Workers that are alive.", value=alive),
        GaugeMetricFamily(
            "emo_task_longest_wait_seconds", "Since when the oldest task that is due waits for a worker.", value=waited
        ),
    )
