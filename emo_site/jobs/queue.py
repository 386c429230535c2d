"""The life of a queued task: claimed by one worker, finished, put back, run again.

The rows are the task library's. A worker changes them only in one transaction with its own heartbeat's row: who was
taken for dead meanwhile can't, so that a task that was given to another is never finished twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from traceback import format_exception
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import transaction
from django.db.models import Q
from django_tasks.base import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.jobs import heartbeats
from emo_site.logs.formats import masker

# A task whose worker died so often is likely to be the reason.
MAX_ATTEMPTS = 3
# The end of a trace names the error; what is longer than this helps nobody.
MAX_TRACE = 50_000
FINISHED = (TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED)
WAITING = (TaskResultStatus.READY, TaskResultStatus.RUNNING)


class NotRunAgain(Exception):
    """A task can't be queued again; the message says which and why."""


class WorkerLost(Exception):
    """The worker died in the middle of the task, more often than is tried again."""


def claim(worker: str, *, queues: Collection[str], now: datetime) -> DBTaskResult[..., Any] | None:
    """The next task that is ready in one of the queues, now this worker's; None where there is none. LeaseLost."""
    ready = DBTaskResult.objects.ready().filter(queue_name__in=queues)
    # Without a lock first: an idle worker must not keep others from writing on SQLite.
    if not ready.exists():
        return None
    with transaction.atomic(using=PRIMARY_ALIAS):
        job = ready.get_locked()
        if job is None:
            return None
        heartbeats.take_up(worker, job.task_path, now=now)
        job.status, job.started_at, job.worker_ids = TaskResultStatus.RUNNING, now, [*job.worker_ids, worker]
        job.save(update_fields=["status", "started_at", "worker_ids"])
    return job


def succeed(job: DBTaskResult[..., Any], worker: str, value: Any, *, now: datetime) -> None:
    """`value` is what storable() let through. Raises LeaseLost."""
    with transaction.atomic(using=PRIMARY_ALIAS):
        heartbeats.put_down(worker, succeeded=1)
        _finish(job, TaskResultStatus.SUCCESSFUL, now=now, return_value=value)


def fail(job: DBTaskResult[..., Any], worker: str, error: BaseException, *, now: datetime) -> None:
    """Raises LeaseLost."""
    with transaction.atomic(using=PRIMARY_ALIAS):
        heartbeats.put_down(worker, failed=1)
        _finish(job, TaskResultStatus.FAILED, now=now, **_told(error))


def put_back(job: DBTaskResult[..., Any], worker: str) -> None:
    """By a worker that has to end before the task is done. Raises LeaseLost."""
    with transaction.atomic(using=PRIMARY_ALIAS):
        heartbeats.put_down(worker)
        _running(job).update(status=TaskResultStatus.READY)


def storable(value: Any) -> Any:
    """The value as JSON keeps it. Raises TypeError or ValueError for what can't be kept."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    # Half of a surrogate pair can't be encoded, and PostgreSQL keeps no NUL.
    text.encode()
    if "\\u0000" in text:
        raise ValueError("the result holds a NUL character, which PostgreSQL does not keep")
    return json.loads(text)


def reap(*, now: datetime) -> list[DBTaskResult[..., Any]]:
    """Gives on what the dead were doing: back into the queue, or failed where it was tried MAX_ATTEMPTS times."""
    touched: list[DBTaskResult[..., Any]] = []
    for worker in heartbeats.overdue(now=now):
        with transaction.atomic(using=PRIMARY_ALIAS):
            if not heartbeats.declare_lost(worker, now=now):
                continue
            for job in DBTaskResult.objects.filter(status=TaskResultStatus.RUNNING):
                if job.worker_ids[-1:] == [worker.name]:
                    _give_on(job, worker.name, now=now)
                    touched.append(job)
    return touched


def again(job: DBTaskResult[..., Any]) -> DBTaskResult[..., Any]:
    """Queues a finished task once more, as a new one: what became of the old stays readable. Raises NotRunAgain."""
    if job.status not in FINISHED:
        raise NotRunAgain(f"{job.task_path} ({job.pk}) is {job.status.lower()}: only a finished task can be run again")
    try:
        task = job.task
    except (ImportError, SuspiciousOperation) as error:
        raise NotRunAgain(f"{job.task_path} ({job.pk}): there is no such task any more") from error
    result = task.enqueue(*job.args_kwargs["args"], **job.args_kwargs["kwargs"])
    return DBTaskResult.objects.get(pk=result.id)


def prune(*, succeeded_before: datetime, failed_before: datetime) -> int:
    """Forgets finished tasks; returns how many."""
    old = Q(status=TaskResultStatus.SUCCESSFUL, finished_at__lt=succeeded_before)
    old |= Q(status=TaskResultStatus.FAILED, finished_at__lt=failed_before)
    _, by_model = DBTaskResult.objects.filter(old).delete()
    return by_model.get(DBTaskResult._meta.label, 0)


def _running(job: DBTaskResult[..., Any]) -> Any:
    return DBTaskResult.objects.filter(pk=job.pk, status=TaskResultStatus.RUNNING)


def _finish(job: DBTaskResult[..., Any], status: TaskResultStatus, *, now: datetime, **columns: Any) -> None:
    told = {"return_value": None, "exception_class_path": "", "traceback": "", **columns}
    _running(job).update(status=status, finished_at=now, **told)
    job.refresh_from_db()


def _give_on(job: DBTaskResult[..., Any], worker: str, *, now: datetime) -> None:
    if len(job.worker_ids) < MAX_ATTEMPTS:
        _running(job).update(status=TaskResultStatus.READY)
        job.refresh_from_db()
        return
    lost = WorkerLost(f"worker {worker} died in the middle of it; that was attempt {len(job.worker_ids)}, the last")
    _finish(job, TaskResultStatus.FAILED, now=now, **_told(lost))


def _told(error: BaseException) -> dict[str, str]:
    # PostgreSQL keeps no NUL, and an error that can't be written down would be lost.
    trace = "".join(format_exception(error)).replace("\0", "�").encode(errors="replace").decode()
    # It is read by more people than the settings are.
    trace = masker().text(trace)
    return {
        "exception_class_path": f"{type(error).__module__}.{type(error).__qualname__}",
        "traceback": trace if len(trace) <= MAX_TRACE else f"[…]{trace[-MAX_TRACE:]}",
    }
