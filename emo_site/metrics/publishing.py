"""Every few seconds each worker brings what it counts elsewhere (statements, pools, errors) to where others see it.

Not with each statement: that would cost more than quick statements do. A thread of its own, so that a worker which has
nothing to do says so too.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from django.db import connections

from emo_site import tallies
from emo_site.db import deadline, pools, statements
from emo_site.db.pools import PoolFigures
from emo_site.db.statements import DatabaseStatements
from emo_site.metrics import instruments

logger = logging.getLogger(__name__)
performance = logging.getLogger("emo.performance")

EVERY_SECONDS = 5.0
# For what is written into a database.
WITHIN_SECONDS = 3.0
# The end of a process waits no longer than that for the last of it.
LAST_SECONDS = 1.0

_lock = threading.Lock()
_writers: list[Callable[[datetime], object]] = []
# What was brought last, for the difference: a database's figures, (what, labels) -> count.
_statements: dict[str, DatabaseStatements] = {}
_counts: dict[tuple[Any, ...], float] = {}
_stop = threading.Event()


def also(write: Callable[[datetime], object]) -> None:
    """Has `write(now)` called each time; it may take WITHIN_SECONDS."""
    if write not in _writers:
        _writers.append(write)


def start() -> None:
    """For processes that serve or watch: begins to publish, until the process ends, and once more then."""
    _stop.clear()
    threading.Thread(target=_run, name="publish figures", daemon=True).start()
    atexit.register(_last)


def publish() -> None:
    """Brings the figures of this process up to date; asks no database."""
    with _lock:
        for found in statements.figures().databases:
            _bring_statements(found)
        for pool in pools.figures():
            _bring_pool(pool)
        for (kind, level), count in tallies.of_process.totals().items():
            _rise(instruments.LOG_RECORDS, count, kind, level)


def write(now: datetime) -> None:
    """Has the writers write. What they raise is logged: the others, and the next time, must go on."""
    for writer in _writers:
        try:
            with deadline.within(WITHIN_SECONDS):
                writer(now)
        except Exception:  # the thread's edge
            logger.exception("%s could not write", getattr(writer, "__qualname__", writer))


def _run() -> None:
    while not _stop.wait(EVERY_SECONDS):
        _once()


def _once() -> None:
    try:
        publish()
        write(datetime.now(UTC))
    except Exception:  # the thread's edge
        logger.exception("the figures of this process could not be published")
    finally:
        # A connection left open here would be lost to the pool.
        connections.close_all()


def _last() -> None:
    _stop.set()
    _ignore_signals()
    with deadline.within(LAST_SECONDS):
        _once()


def _ignore_signals() -> None:
    """Ctrl-C comes from the terminal, and once more from gunicorn: it is ending already, within LAST_SECONDS."""
    ending = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
    for _ in ending:
        # One that has just come is raised here; there are no more than these.
        with suppress(SystemExit, KeyboardInterrupt):
            for number in ending:
                signal.signal(number, signal.SIG_IGN)
            return


def _bring_statements(found: DatabaseStatements) -> None:
    before = _statements.get(found.alias)
    if before is None or before.count > found.count:
        before = None
    _statements[found.alias] = found
    old = before.histogram if before else (0,) * len(found.histogram)
    _add_to(
        instruments.STATEMENTS.labels(found.alias),
        [new - past for new, past in zip(found.histogram, old, strict=True)],
        (found.total_ms - (before.total_ms if before else 0.0)) / 1000,
    )
    _rise(instruments.SLOW_STATEMENTS, found.slow, found.alias)
    for kind, count in found.errors_by_kind:
        _rise(instruments.STATEMENT_ERRORS, count, found.alias, kind)
    slow = found.slow - (before.slow if before else 0)
    if slow > 0:
        _tell_slow(found, slow)


def _tell_slow(found: DatabaseStatements, count: int) -> None:
    worst = found.slowest[0] if found.slowest else None
    performance.warning(
        "%d statements to database %s took longer than EMO_DB_SLOW_MS; the slowest of the last hour took %s ms: %s",
        count,
        found.alias,
        worst.slowest_ms if worst else "?",
        worst.text if worst else "?",
    )


def _add_to(histogram: Any, counts: list[int], seconds: float) -> None:
    """The library counts one observation at a time; here a few thousand may have come together. Its own fields, then:
    each bucket holds what is between its bound and the one before.
    """
    if not any(counts):
        return
    step, bounds = instruments.STATEMENT_STEP, instruments.STATEMENT_BOUNDS
    ends = [0, *(step * place + 1 for place in range(len(bounds))), len(counts)]
    for bucket, (begin, end) in zip(histogram._buckets, pairwise(ends), strict=True):
        if several := sum(counts[begin:end]):
            bucket.inc(several)
    histogram._sum.inc(seconds)


def _bring_pool(pool: PoolFigures) -> None:
    if pool.size is None or pool.waits is None:
        return
    instruments.POOL_CONNECTIONS.labels(pool.alias, "in_use").set(pool.in_use or 0)
    instruments.POOL_CONNECTIONS.labels(pool.alias, "available").set(pool.available or 0)
    instruments.POOL_LIMIT.labels(pool.alias).set(pool.max_size or 0)
    instruments.POOL_WAITING.labels(pool.alias).set(pool.waits.waiting)
    _rise(instruments.POOL_REQUESTS, pool.waits.requests, pool.alias)
    _rise(instruments.POOL_FAILED, pool.waits.failed, pool.alias)
    _rise(instruments.POOL_WAIT, pool.waits.total_ms / 1000, pool.alias)
    _rise(instruments.POOL_LOST, pool.connections_lost or 0, pool.alias)


def _rise(counter: Any, count: float, *labels: str) -> None:
    """Adds what came since the last time; a count that fell was begun anew."""
    key = (counter, *labels)
    before = _counts.get(key, 0.0)
    if (more := count - before if count >= before else count) > 0:
        counter.labels(*labels).inc(more)
    _counts[key] = count


def _start_over() -> None:
    global _lock  # noqa: PLW0603  # the parent's may be held, and nobody here would release it
    _lock = threading.Lock()
    _statements.clear()
    _counts.clear()


os.register_at_fork(after_in_child=_start_over)
