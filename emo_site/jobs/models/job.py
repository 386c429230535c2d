"""A queued task under the desk's name."""

from __future__ import annotations

from typing import Any

from django_tasks_db.models import DBTaskResult


class Job(DBTaskResult[..., Any]):
    """The task library's row, as the admin shows it. Written by the library's enqueue() and by jobs/queue.py."""

    class Meta:
        proxy = True
        permissions = (("run_job", "Can run tasks now, and again"),)

    def __str__(self) -> str:
        return f"{self.task_name}, queued at {self.enqueued_at:%Y-%m-%d %H:%M:%S} UTC"
