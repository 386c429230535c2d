"""Background work on the API: what nobody can ask for any more is not kept."""

from __future__ import annotations

from django.db import connections
from django_tasks import task

from emo_site.api import answers, nonces
from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.clocks import now_of


@task
def prune_api() -> dict[str, int]:
    """Returns how many stored answers and nonces were let go."""
    now = now_of(connections[PRIMARY_ALIAS])
    return {"answers": answers.prune(now=now), "nonces": nonces.prune(now=now)}
