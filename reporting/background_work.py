"""Background work: which workers are there, what is due when, and what failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q
from django_tasks.base import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from emo_site import display
from emo_site.jobs.models import Schedule, WorkerHeartbeat
from monitoring.choices import HealthStatus
from reporting.components import TONES

RECENT = timedelta(hours=24)
FAILURES_SHOWN = 10
_OUTCOMES = {
    TaskResultStatus.READY: HealthStatus.UNKNOWN,
    TaskResultStatus.RUNNING: HealthStatus.UNKNOWN,
    TaskResultStatus.SUCCESSFUL: HealthStatus.HEALTHY,
    TaskResultStatus.FAILED: HealthStatus.ERROR,
}


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """`beat_at` is by the database's clock; `succeeded` and `failed` count tasks since the worker started."""

    name: str
    queues: tuple[str, ...]
    doing: str
    beat_at: datetime
    succeeded: int
    failed: int
    beat_text: str


@dataclass(frozen=True, kw_only=True)
class ScheduleRow:
    """`outcome` of the run that was queued last, "" where there is none on record."""

    name: str
    cron: str
    enabled: bool
    next_at: datetime | None
    last_at: datetime | None
    outcome: str
    problem: str
    tone: str
    next_text: str
    last_text: str


@dataclass(frozen=True, kw_only=True)
class FailedTask:
    task: str
    failed_at: datetime
    error: str
    failed_text: str


@dataclass(frozen=True, kw_only=True)
class BackgroundWork:
    """`succeeded` and `failed` finished within 24 h; `failures` are the newest of these, FAILURES_SHOWN at most."""

    workers: tuple[WorkerRow, ...]
    schedules: tuple[ScheduleRow, ...]
    waiting: int
    running: int
    succeeded: int
    failed: int
    failures: tuple[FailedTask, ...]


def background_work(*, now: datetime) -> BackgroundWork:
    """Of now; in four queries. Raises DatabaseError."""
    recent = Q(finished_at__gte=now - RECENT)
    counts = DBTaskResult.objects.aggregate(
        waiting=Count("pk", filter=Q(status=TaskResultStatus.READY)),
        running=Count("pk", filter=Q(status=TaskResultStatus.RUNNING)),
        succeeded=Count("pk", filter=recent & Q(status=TaskResultStatus.SUCCESSFUL)),
        failed=Count("pk", filter=recent & Q(status=TaskResultStatus.FAILED)),
    )
    workers = WorkerHeartbeat.objects.filter(ended_at=None, alive_until__gt=now).order_by("started_at", "pk")
    failures = DBTaskResult.objects.filter(recent, status=TaskResultStatus.FAILED).order_by("-finished_at", "-pk")
    return BackgroundWork(
        workers=tuple(_worker(each, now) for each in workers),
        schedules=tuple(_schedule(each) for each in Schedule.objects.select_related("last_job")),
        failures=tuple(
            _failure(each, each.finished_at) for each in failures[:FAILURES_SHOWN] if each.finished_at is not None
        ),
        **counts,
    )


def _worker(worker: WorkerHeartbeat, now: datetime) -> WorkerRow:
    return WorkerRow(
        name=worker.name,
        queues=tuple(worker.queues),
        doing=_short(worker.doing),
        beat_at=worker.beat_at,
        succeeded=worker.succeeded,
        failed=worker.failed,
        beat_text=f"{display.age(now - worker.beat_at)} ago",
    )


def _schedule(schedule: Schedule) -> ScheduleRow:
    job = schedule.last_job
    status = TaskResultStatus(job.status) if job else None
    return ScheduleRow(
        name=schedule.name,
        cron=schedule.cron,
        enabled=schedule.enabled,
        next_at=schedule.next_at,
        last_at=schedule.last_enqueued_at,
        outcome=str(status.label).lower() if status else "",
        problem=schedule.problem,
        tone=TONES[_OUTCOMES[status]] if status else TONES[HealthStatus.UNKNOWN],
        next_text=display.moment(schedule.next_at) if schedule.next_at else "disabled",
        last_text=display.moment(schedule.last_enqueued_at) if schedule.last_enqueued_at else "never",
    )


def _failure(job: DBTaskResult[..., Any], at: datetime) -> FailedTask:
    return FailedTask(
        task=_short(job.task_path),
        failed_at=at,
        # The trace is for the jobs' own page, which not everybody sees.
        error=job.exception_class_path.rpartition(".")[2],
        failed_text=display.moment(at),
    )


def _short(path: str) -> str:
    return path.rpartition(".")[2]
