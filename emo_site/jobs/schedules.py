"""Queues what is due, once, however many workers look. The only writer of Schedule."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import transaction

from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.jobs import catalogue, cron, queue
from emo_site.jobs.models import Schedule

logger = logging.getLogger("emo.jobs")


class NotQueued(Exception):
    """The schedule's task waits or runs already, so that it is not queued a second time."""


def tick(*, now: datetime) -> list[Schedule]:
    """Queues every schedule that is due and returns those; `now` is the database's.

    What was missed while no worker ran is made up for once. A run that still waits or runs is not queued beside itself.
    """
    queued = []
    for schedule in Schedule.objects.filter(enabled=True, next_at__lte=now).order_by("next_at", "pk"):
        try:
            with transaction.atomic(using=PRIMARY_ALIAS):
                if _claim(schedule, now=now):
                    _queue(schedule, now=now)
                    queued.append(schedule)
        except NotQueued as error:
            # Claimed for this time, so that it is looked at again when it is due next.
            _move_on(schedule, now=now)
            logger.warning("%s", error)
        except (cron.BadCron, catalogue.NoSuchTask, catalogue.BadArguments) as error:
            _move_on(schedule, now=now, problem=str(error))
            logger.error("schedule %s could not be queued: %s", schedule.name, error)  # noqa: TRY400  # no trace needed
    return queued


def run_now(schedule: Schedule, *, now: datetime) -> None:
    """Queues it out of turn. Raises NotQueued, NoSuchTask, BadArguments."""
    with transaction.atomic(using=PRIMARY_ALIAS):
        # Two who press the button at once come one after the other.
        locked = Schedule.objects.select_for_update().get(pk=schedule.pk)
        _queue(locked, now=now)


def keep(schedule: Schedule, *, now: datetime) -> None:
    """Saves what a person entered. Raises BadCron, NoSuchTask, BadArguments, and nothing is saved."""
    catalogue.require_arguments(catalogue.task(schedule.task), schedule.arguments)
    following = cron.next_after(schedule.cron, now)
    schedule.next_at = following if schedule.enabled else None
    schedule.problem = ""
    # Not the columns that workers write meanwhile.
    columns = ["name", "task", "arguments", "cron", "enabled", "next_at", "problem"]
    schedule.save(update_fields=None if schedule._state.adding else columns)


def _claim(schedule: Schedule, *, now: datetime) -> bool:
    """Whether this call, and nobody else's, has moved the schedule on from the time that it was due."""
    due = Schedule.objects.filter(pk=schedule.pk, enabled=True, next_at=schedule.next_at)
    return due.update(next_at=cron.next_after(schedule.cron, now)) == 1


def _queue(schedule: Schedule, *, now: datetime) -> None:
    last = schedule.last_job
    if last is not None and last.status in queue.WAITING:
        raise NotQueued(f"schedule {schedule.name}: its last run is {last.status.lower()} still, so none was queued")
    task = catalogue.task(schedule.task)
    catalogue.require_arguments(task, schedule.arguments)
    result = task.enqueue(**schedule.arguments)
    Schedule.objects.filter(pk=schedule.pk).update(last_enqueued_at=now, last_job_id=result.id, problem="")


def _move_on(schedule: Schedule, *, now: datetime, **columns: Any) -> None:
    try:
        following = cron.next_after(schedule.cron, now)
    except cron.BadCron:
        # Nobody could enter that: it is looked at again only when a person has.
        columns |= {"enabled": False}
        following = None
    due = Schedule.objects.filter(pk=schedule.pk, next_at=schedule.next_at)
    due.update(next_at=following, **columns)
