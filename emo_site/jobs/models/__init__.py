"""Queued tasks, when they are due, and which workers are there to run them.

In the default database, beside the task library's own table: a run that is due is claimed and queued in one
transaction.
"""

from emo_site.jobs.models.job import Job
from emo_site.jobs.models.schedule import Schedule
from emo_site.jobs.models.worker_heartbeat import WorkerHeartbeat

__all__ = ["Job", "Schedule", "WorkerHeartbeat"]
