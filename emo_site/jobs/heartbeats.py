"""Workers say that they are alive, what they do, and that they have ended. The only writer of WorkerHeartbeat."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import F

from emo_site.jobs.models import WorkerHeartbeat


class LeaseLost(Exception):
    """The worker was taken for dead: what it was doing is no longer its own."""


def register(*, queues: Sequence[str], lease: timedelta, now: datetime) -> WorkerHeartbeat:
    """A new worker: this process. `now` is the database's."""
    host, pid = socket.gethostname(), os.getpid()
    return WorkerHeartbeat.objects.create(
        # A pid comes back, and so may a host's name.
        name=f"{host[:40]}:{pid}:{secrets.token_hex(4)}",
        host=host,
        pid=pid,
        queues=list(queues),
        started_at=now,
        beat_at=now,
        alive_until=now + lease,
    )


def beat(name: str, *, lease: timedelta, now: datetime) -> None:
    """Raises LeaseLost."""
    if not WorkerHeartbeat.objects.filter(name=name, ended_at=None).update(beat_at=now, alive_until=now + lease):
        raise LeaseLost(name)


def take_up(name: str, doing: str, *, now: datetime) -> None:
    """In the transaction that claims a task: whoever takes the worker for dead waits, or has come first (LeaseLost)."""
    alive = WorkerHeartbeat.objects.filter(name=name, ended_at=None, alive_until__gt=now)
    if not alive.update(doing=doing, doing_since=now):
        raise LeaseLost(name)


def put_down(name: str, *, succeeded: int = 0, failed: int = 0) -> None:
    """In the transaction that writes what became of the task. Raises LeaseLost where others have it by now."""
    changed = WorkerHeartbeat.objects.filter(name=name, ended_at=None).update(
        doing="", doing_since=None, succeeded=F("succeeded") + succeeded, failed=F("failed") + failed
    )
    if not changed:
        raise LeaseLost(name)


def end(name: str, *, now: datetime) -> None:
    WorkerHeartbeat.objects.filter(name=name, ended_at=None).update(ended_at=now, doing="", doing_since=None)


def overdue(*, now: datetime) -> list[WorkerHeartbeat]:
    """Those whose lease has run out."""
    return list(WorkerHeartbeat.objects.filter(ended_at=None, alive_until__lte=now))


def declare_lost(worker: WorkerHeartbeat, *, now: datetime) -> bool:
    """Whether it is lost, and by this call: it may have beaten meanwhile, or somebody else may have come first."""
    still = WorkerHeartbeat.objects.filter(pk=worker.pk, ended_at=None, alive_until__lte=now)
    return still.update(ended_at=now, lost=True) == 1


def prune(*, before: datetime) -> int:
    """Forgets workers that ended before then; returns how many."""
    return WorkerHeartbeat.objects.filter(ended_at__lt=before).delete()[0]
