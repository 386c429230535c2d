"""The connection limit: somebody else has them all, and the desk's own are cut."""

from __future__ import annotations

import contextlib
import time

import psycopg

from tests.clusters import Cluster

HELD_SECONDS = 7.0
TAKEN_WITHIN = 5.0
_CUT_OFF = """
SELECT count(*), count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name LIKE 'emo-%' AND backend_type = 'client backend'
"""


def taken_for_a_while(cluster: Cluster) -> tuple[float, float | None]:
    """Superusers' slots too, so that not one is left; the desk's connections end, and it gets no new one."""
    fault = time.monotonic()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(psycopg.connect(cluster.primary.url, autocommit=True))
        give_up_at = time.monotonic() + TAKEN_WITHIN
        while True:
            _take_all(cluster.primary.url, stack)
            row = first.execute(_CUT_OFF).fetchone()
            if row is not None and row[0] == 0:
                break
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"the desk still has {row} connections after {TAKEN_WITHIN:g} s")
        time.sleep(HELD_SECONDS)
        relief = time.monotonic()
    return fault, relief


def _take_all(url: str, stack: contextlib.ExitStack) -> None:
    while True:
        try:
            stack.enter_context(psycopg.connect(url, autocommit=True))
        except psycopg.OperationalError:
            # "sorry, too many clients already": that is the aim.
            return
