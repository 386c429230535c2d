"""A worker: queues what is due, gives on what the dead were doing, and runs tasks one after the other."""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from types import FrameType
from typing import Any, cast

from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from django_tasks.base import TaskContext, TaskResult
from django_tasks.signals import task_finished, task_started
from django_tasks_db.models import DBTaskResult

from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.clocks import now_of
from emo_site.jobs import heartbeats, queue, schedules
from emo_site.jobs.heartbeats import LeaseLost
from emo_site.jobs.pulse import EXIT_LOST, Pulse

logger = logging.getLogger("emo.jobs")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# What a task raises where a signal ended it: it is to be run again, it did not fail.
_ENDED_FROM_OUTSIDE = (SystemExit, KeyboardInterrupt)


class Worker:
    """`interval`: seconds between two looks while there is nothing to do. `lease`: how long after its last beat others
    leave its task alone."""

    def __init__(self, *, queues: Collection[str], interval: float, lease: timedelta) -> None:
        self._queues = queues
        self._interval = interval
        self._lease = lease
        self._stopping = False
        self._working = False
        # A signal may come between looking at the flag and waiting: what is in the pipe is not missed.
        self._woken, self._wake = os.pipe()

    def run(self) -> None:
        """Until it is told to stop. Raises DatabaseError where it can't even begin."""
        self._listen()
        worker = heartbeats.register(queues=sorted(self._queues), lease=self._lease, now=_now()).name
        logger.info("worker %s serves %s", worker, ", ".join(sorted(self._queues)))
        pulse = Pulse(worker, lease=self._lease)
        pulse.start()
        try:
            while not self._stopping:
                if not self._look(worker):
                    select.select([self._woken], [], [], self._interval)
        except LeaseLost:
            # It was frozen for longer than its lease, and looked before its pulse did.
            logger.critical("worker %s was silent for so long that others may have its task", worker)
            raise SystemExit(EXIT_LOST) from None
        finally:
            pulse.stop()
        heartbeats.end(worker, now=_now())
        logger.info("worker %s has ended", worker)

    def _look(self, worker: str) -> bool:
        """Whether there was a task to run."""
        close_old_connections()
        try:
            now = _now()
            for given in queue.reap(now=now):
                logger.warning(
                    "a worker is dead: its %s (%s) is %s now", given.task_path, given.pk, given.status.lower()
                )
            schedules.tick(now=now)
            job = queue.claim(worker, queues=self._queues, now=now)
        except (OperationalError, InterfaceError) as error:
            # An outage ends. If it does not, the pulse ends the process.
            logger.warning("the database can't be used: %s", str(error).strip())
            connections.close_all()
            return False
        if job is None:
            return False
        self._work(job, worker)
        return True

    def _work(self, job: DBTaskResult[..., Any], worker: str) -> None:
        self._working = True
        try:
            value = queue.storable(_call(job))
        except _ENDED_FROM_OUTSIDE:
            self._stopping = True
            self._write(lambda now: queue.put_back(job, worker))
            logger.warning("%s (%s) was ended by a signal and is put back", job.task_path, job.pk)
        except Exception as error:  # noqa: BLE001  # the program's edge for a task: its error is its result
            failure = error
            self._write(lambda now: queue.fail(job, worker, failure, now=now))
            _announce(job)
        else:
            self._write(lambda now: queue.succeed(job, worker, value, now=now))
            _announce(job)
        finally:
            self._working = False
            # A command that was run may have taken them over.
            self._listen()

    def _write(self, change: Callable[[datetime], None]) -> None:
        """What became of a task must not be lost over an outage; the pulse ends the process where it takes too long.

        Raises LeaseLost: the task was given to another meanwhile, and the result of this run is dropped.
        """
        while True:
            try:
                change(_now())
            except (OperationalError, InterfaceError) as error:
                logger.warning("the result can't be written yet: %s", str(error).strip())
                connections.close_all()
                time.sleep(1)
                continue
            return

    def _listen(self) -> None:
        for number in _SIGNALS:
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """The first signal lets the task at hand finish; the second ends it, and it is put back."""
        if self._stopping and self._working:
            raise SystemExit(128 + number)
        self._stopping = True
        os.write(self._wake, b"\0")


def _call(job: DBTaskResult[..., Any]) -> Any:
    result = job.task_result
    task_started.send(sender=type(result.task.get_backend()), task_result=result)
    # The database's kind of result; the library's own loop hands it on like this.
    context = [TaskContext(task_result=cast(TaskResult[Any], result))] if result.task.takes_context else []
    return result.task.call(*context, *result.args, **result.kwargs)


def _announce(job: DBTaskResult[..., Any]) -> None:
    """To whoever listens to the task library, its log among them."""
    try:
        result = job.task_result
    except (ImportError, SuspiciousOperation):
        logger.exception("there is no task %s (any more)", job.task_path)
        return
    task_finished.send(sender=type(result.task.get_backend()), task_result=result)


def _now() -> datetime:
    return now_of(connections[PRIMARY_ALIAS])
