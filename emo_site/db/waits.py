"""How long requests wait for a connection of the pool, counted where they wait.

psycopg_pool counts too, but the desk asks it again every fraction of a second (connections.py), and each of those
slices would be a request and a time-out of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

# For how long a time-out is news.
RECENT_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class WaitFigures:
    """Since the pool was made. Milliseconds from asking to having, the pool's check of the connection included."""

    requests: int = 0
    failed: int = 0
    recently_failed: int = 0
    """Those that ended without a connection within the last RECENT_SECONDS."""
    waiting: int = 0
    total_ms: float = 0.0
    longest_ms: float = 0.0

    @property
    def mean_ms(self) -> float | None:
        """Over all requests that have ended, those without a connection too; None where there was none."""
        return self.total_ms / self.requests if self.requests else None


class Waits:
    """Counts of one pool; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = self._failed = self._waiting = 0
        self._total = self._longest = 0.0
        # Minute (of the monotonic clock) -> failures; one entry a minute at most, old ones dropped.
        self._failures: dict[int, int] = {}

    @contextmanager
    def one(self) -> Iterator[None]:
        """Around getting one connection; an exception counts as a failure and goes on."""
        with self._lock:
            self._waiting += 1
        started = monotonic()
        had = False
        try:
            yield
            had = True
        finally:
            self._ended(monotonic() - started, had=had)

    def _ended(self, seconds: float, *, had: bool) -> None:
        with self._lock:
            self._waiting -= 1
            self._requests += 1
            self._total += seconds
            self._longest = max(self._longest, seconds)
            if not had:
                self._failed += 1
                minute = int(monotonic() // 60)
                self._failures[minute] = self._failures.get(minute, 0) + 1
                self._forget(minute)

    def figures(self) -> WaitFigures:
        with self._lock:
            self._forget(int(monotonic() // 60))
            return WaitFigures(
                requests=self._requests,
                failed=self._failed,
                recently_failed=sum(self._failures.values()),
                waiting=self._waiting,
                total_ms=self._total * 1000,
                longest_ms=self._longest * 1000,
            )

    def _forget(self, minute: int) -> None:
        oldest = minute - int(RECENT_SECONDS // 60)
        for past in [past for past in self._failures if past < oldest]:
            del self._failures[past]
