"""The probe of background work: is a worker there for what is scheduled, and does what it runs succeed?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models import Exists, OuterRef, QuerySet
from django_tasks.base import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from emo_site import display
from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.clocks import now_of
from emo_site.db.health import require_answer
from emo_site.jobs import catalogue
from emo_site.jobs.catalogue import NoSuchTask
from emo_site.jobs.models import Schedule, WorkerHeartbeat
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.probes import unreachable

_LISTED = 4


@dataclass(frozen=True, kw_only=True)
class WorkerProbe:
    """Does a worker serve the queue of each enabled schedule, is nothing late, and did no task fail for good?

    A failed task counts until the same task, with the same arguments, has succeeded, or `failed_hours` have passed.
    """

    silent_seconds: float = 120
    late_minutes: float = 15
    failed_hours: float = 24
    name = "task worker"
    critical = False

    def run(self) -> Finding:
        try:
            require_answer(PRIMARY_ALIAS)
            now = now_of(connections[PRIMARY_ALIAS])
            return self._look(now)
        except DatabaseError as error:
            return unreachable(PRIMARY_ALIAS, error)

    def _look(self, now: datetime) -> Finding:
        since = now - timedelta(hours=self.failed_hours)
        schedules = list(Schedule.objects.filter(enabled=True))
        workers = list(WorkerHeartbeat.objects.filter(ended_at=None, beat_at__gte=self._silent_since(now)))
        unserved = _unserved(schedules, workers)
        late = [each.name for each in schedules if each.next_at and now - each.next_at > self._late]
        failed = sorted({each.rpartition(".")[2] for each in _failed(since).values_list("task_path", flat=True)})
        lost = WorkerHeartbeat.objects.filter(lost=True, ended_at__gte=since).count()
        broken = list(Schedule.objects.exclude(problem="").values_list("name", flat=True))
        metrics = {
            "workers": len(workers),
            "lost_workers": lost,
            "waiting": DBTaskResult.objects.filter(status=TaskResultStatus.READY).count(),
            "failed": failed,
            "late": late,
            "doing": [each.doing for each in workers if each.doing],
        }
        if unserved:
            return self._no_worker(unserved, metrics)
        problems = [
            _problem(f"failed in the last {self.failed_hours:g} h: ", failed),
            _problem(f"late by more than {self.late_minutes:g} min: ", late),
            _problem("can't be queued: ", broken),
        ]
        if any(problems):
            return Finding(
                status=HealthStatus.WARNING,
                message="; ".join(filter(None, problems)),
                remedy="Look at the jobs and the schedules in the admin: a failed job shows its trace.",
                metrics=metrics,
            )
        message = f"{len(workers)} alive, {metrics['waiting']} tasks wait" if schedules else "nothing is scheduled"
        return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)

    def _no_worker(self, unserved: list[Schedule], metrics: dict[str, Any]) -> Finding:
        names = _named([each.name for each in unserved])
        newest = WorkerHeartbeat.objects.order_by("-beat_at").first()
        last = f"the last one beat at {display.moment(newest.beat_at)}" if newest else "there never was one"
        # In dev a worker is started by who wants one.
        told_only = settings.EMO_ENV == "dev" and newest is None
        return Finding(
            status=HealthStatus.UNKNOWN if told_only else HealthStatus.ERROR,
            message=f"No worker has beaten for {self.silent_seconds:g} s that would run {names}; {last}.",
            remedy="Start manage.py worker, or disable the schedule in the admin.",
            metrics=metrics,
        )

    def _silent_since(self, now: datetime) -> datetime:
        return now - timedelta(seconds=self.silent_seconds)

    @property
    def _late(self) -> timedelta:
        return timedelta(minutes=self.late_minutes)


def _unserved(schedules: Iterable[Schedule], workers: list[WorkerHeartbeat]) -> list[Schedule]:
    served = {queue for worker in workers for queue in worker.queues}
    return [each for each in schedules if (queue := _queue(each)) and queue not in served]


def _queue(schedule: Schedule) -> str | None:
    """None where the task is gone; the schedule itself says so when it is due."""
    try:
        return catalogue.task(schedule.task).queue_name
    except NoSuchTask:
        return None


def _failed(since: datetime) -> QuerySet[DBTaskResult[..., Any]]:
    """Failures that no later success of the same task with the same arguments has made good."""
    made_good = DBTaskResult.objects.filter(
        status=TaskResultStatus.SUCCESSFUL,
        task_path=OuterRef("task_path"),
        args_kwargs=OuterRef("args_kwargs"),
        finished_at__gt=OuterRef("finished_at"),
    )
    return DBTaskResult.objects.filter(~Exists(made_good), status=TaskResultStatus.FAILED, finished_at__gte=since)


def _problem(words: str, names: list[str]) -> str:
    return f"{words}{_named(names)}" if names else ""


def _named(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
