"""Background work on background work: finished tasks and ended workers are not kept for ever."""

from __future__ import annotations

from datetime import timedelta

from django.db import connections
from django_tasks import task

from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.clocks import now_of
from emo_site.jobs import heartbeats, queue

# Long enough to see how last week went, and to find out why something failed.
KEEP_SUCCEEDED = timedelta(days=7)
KEEP_FAILED = timedelta(days=30)


@task
def prune_jobs() -> dict[str, int]:
    """Returns how many finished tasks and ended workers were forgotten."""
    now = now_of(connections[PRIMARY_ALIAS])
    return {
        "tasks": queue.prune(succeeded_before=now - KEEP_SUCCEEDED, failed_before=now - KEEP_FAILED),
        "workers": heartbeats.prune(before=now - KEEP_FAILED),
    }
