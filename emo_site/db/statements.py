"""Counts the statements that this process sends to each database: how many, how long, what failed, which were slowest.

An execute wrapper of Django on every connection. What goes past Django's cursors (COPY, a server-side cursor's
fetches) is not seen; on SQLite the time ends with the first row. No value of a statement is kept.
"""

from __future__ import annotations

import math
import os
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.statement_text import normalised

# Upper ends of the buckets in seconds: four to a doubling, from 10 µs to 168 s, and one above. A quantile told as the
# middle of its bucket is off by a factor of 2 ** (1/8) at most: 9 %.
BOUNDS = tuple(1e-5 * 2 ** (step / 4) for step in range(97))
MAX_ERROR_PERCENT = 9
# Quantiles are of the current and the last window: an hour that was slow last week says nothing about now.
WINDOW_SECONDS = 300.0
SLOWEST_KEPT = 10
SLOWEST_WITHIN_SECONDS = 3600.0
# Quicker ones are not worth a look, and reading their text would cost more than they do.
SLOWEST_FROM_SECONDS = 0.001
# So many wait to be counted: it is cheaper all at once.
MOST_FRESH = 256
MOST_KINDS = 40
OTHER_KINDS = "other"

Execute = Callable[[Any, Any, bool, dict[str, Any]], Any]


@dataclass(frozen=True, kw_only=True)
class SlowStatement:
    """`text` is normalised (statement_text.py); its slowest run of the last hour, and when that ended."""

    text: str
    slowest_ms: float
    at: datetime


@dataclass(frozen=True, kw_only=True)
class DatabaseStatements:
    """`count`, `errors`, `slow` and `total_ms` since the process started, failed statements included; `slow` are those
    over EMO_DB_SLOW_MS. Quantiles by nearest rank over the `recent` statements of the last 5 to 10 minutes, off by
    MAX_ERROR_PERCENT at most; None where there were none. `histogram` has a count for each of BOUNDS and one above.
    """

    alias: str
    count: int
    errors: int
    errors_by_kind: tuple[tuple[str, int], ...]
    slow: int
    total_ms: float
    recent: int
    p50_ms: float | None
    p95_ms: float | None
    slowest: tuple[SlowStatement, ...]
    histogram: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class StatementFigures:
    """Of one process only: each worker of a server has its own."""

    process: int
    since: datetime
    databases: tuple[DatabaseStatements, ...]


class _Tally:
    """The counts of one database; safe between threads. Times are of time.perf_counter, in seconds."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._slow_over = settings.EMO_DB_SLOW_MS / 1000
        self.clear()

    def clear(self) -> None:
        self._lock = threading.Lock()
        # (started, ended) of what is not in the buckets yet. A deque is added to and taken from without a lock.
        self._fresh: deque[tuple[float, float]] = deque()
        self._note = self._fresh.append
        self._buckets = [0] * (len(BOUNDS) + 1)
        # The buckets as they were at the start of the last window and of the current one.
        self._before = self._at_start = tuple(self._buckets)
        self._window_ends = perf_counter() + WINDOW_SECONDS
        self._total = 0.0
        self._slow = 0
        self._kinds: dict[str, int] = {}
        self._slowest: dict[str, tuple[float, float]] = {}
        self._floor = SLOWEST_FROM_SECONDS

    def around(self, execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """Django's execute wrapper."""
        started = perf_counter()
        try:
            result = execute(sql, params, many, context)
        except BaseException as error:
            self._add(sql, started, perf_counter())
            self._failed(kind_of(error))
            raise
        # What follows is part of every statement's time; the rest of the work waits for others to come along.
        ended = perf_counter()
        if ended - started <= self._floor and len(self._fresh) < MOST_FRESH:
            self._note((started, ended))
        else:
            self._add(sql, started, ended)
        return result

    def _add(self, sql: Any, started: float, ended: float) -> None:
        self._note((started, ended))
        with self._lock:
            self._count()
        if ended - started > self._floor:
            self._keep(normalised(_as_text(sql)), ended - started, ended)

    def _count(self) -> None:
        """Takes what is fresh into the buckets, oldest first. Under the lock."""
        buckets = self._buckets
        while self._fresh:
            started, ended = self._fresh.popleft()
            if ended > self._window_ends:
                self._turn(ended)
            seconds = ended - started
            buckets[bisect_right(BOUNDS, seconds)] += 1
            self._total += seconds
            if seconds > self._slow_over:
                self._slow += 1

    def _failed(self, kind: str) -> None:
        with self._lock:
            if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
                kind = OTHER_KINDS
            self._kinds[kind] = self._kinds.get(kind, 0) + 1

    def _keep(self, text: str, seconds: float, ended: float) -> None:
        with self._lock:
            known = self._slowest.get(text)
            if known is not None and known[0] >= seconds and ended - known[1] < SLOWEST_WITHIN_SECONDS:
                return
            self._slowest[text] = (seconds, ended)
            self._forget(ended)

    def _forget(self, now: float) -> None:
        for text in [text for text, (_, at) in self._slowest.items() if now - at >= SLOWEST_WITHIN_SECONDS]:
            del self._slowest[text]
        while len(self._slowest) > SLOWEST_KEPT:
            del self._slowest[min(self._slowest, key=self._slowest.__getitem__)]
        full = len(self._slowest) == SLOWEST_KEPT
        self._floor = min(self._slowest.values())[0] if full else SLOWEST_FROM_SECONDS

    def _turn(self, now: float) -> None:
        """A new window begins. After a long silence the last one is empty too."""
        counts = tuple(self._buckets)
        silent = now > self._window_ends + WINDOW_SECONDS
        self._before, self._at_start = (counts if silent else self._at_start), counts
        self._window_ends = now + WINDOW_SECONDS
        self._forget(now)

    def figures(self) -> DatabaseStatements:
        now, clock = perf_counter(), datetime.now(UTC)
        with self._lock:
            self._count()
            if now > self._window_ends:
                self._turn(now)
            self._forget(now)
            buckets, before = tuple(self._buckets), self._before
            total, slow = self._total, self._slow
            kinds, slowest = dict(self._kinds), dict(self._slowest)
        recent = [count - old for count, old in zip(buckets, before, strict=True)]
        return DatabaseStatements(
            alias=self.alias,
            count=sum(buckets),
            errors=sum(kinds.values()),
            errors_by_kind=tuple(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
            slow=slow,
            total_ms=round(total * 1000, 3),
            recent=sum(recent),
            p50_ms=quantile_ms(recent, 0.50),
            p95_ms=quantile_ms(recent, 0.95),
            slowest=tuple(
                SlowStatement(
                    text=text,
                    slowest_ms=round(seconds * 1000, 3),
                    at=clock - timedelta(seconds=now - ended),
                )
                for text, (seconds, ended) in sorted(slowest.items(), key=lambda item: -item[1][0])
            ),
            histogram=buckets,
        )


def quantile_ms(counts: list[int], share: float) -> float | None:
    """The middle (geometric) of the bucket that holds the value of that rank; None where nothing was counted."""
    rank = math.ceil(sum(counts) * share)
    if not rank:
        return None
    place = 0
    while rank > counts[place]:
        rank -= counts[place]
        place += 1
    if place in (0, len(BOUNDS)):
        # The outermost have no middle: at most, or at least, their only end.
        return round(BOUNDS[min(place, len(BOUNDS) - 1)] * 1000, 4)
    return round(math.sqrt(BOUNDS[place - 1] * BOUNDS[place]) * 1000, 4)


def kind_of(error: BaseException) -> str:
    """SQLSTATE and its name, SQLite's name, or the exception's class. Never its text: that quotes values."""
    cause = error.__cause__ or error
    if state := getattr(cause, "sqlstate", None):
        return f"{state} {type(cause).__name__}"
    return str(getattr(cause, "sqlite_errorname", None) or type(cause).__name__)


def _as_text(sql: Any) -> str:
    if isinstance(sql, str):
        return sql
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    # psycopg's composed statements, which know how to write themselves without a connection.
    return str(sql.as_string(None)) if hasattr(sql, "as_string") else type(sql).__name__


_tallies: dict[str, _Tally] = {}
_since = datetime.now(UTC)


def _tally(alias: str) -> _Tally:
    # Two threads may both make one; setdefault lets only one of them count.
    return _tallies.get(alias) or _tallies.setdefault(alias, _Tally(alias))


def count_on(*, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Receives connection_created, which a pooled connection sends again for each request."""
    around = _tally(connection.alias).around
    if around not in connection.execute_wrappers:
        # First, so that what other wrappers do counts as the statement's time.
        connection.execute_wrappers.insert(0, around)


def figures() -> StatementFigures:
    """Of every database of the settings, in their order; one that nothing was sent to has zeros."""
    return StatementFigures(
        process=os.getpid(),
        since=_since,
        databases=tuple(_tally(alias).figures() for alias in settings.DATABASES),
    )


def start_over() -> None:
    """Forgets what was counted."""
    global _since  # noqa: PLW0603  # one process, one beginning
    _since = datetime.now(UTC)
    for tally in _tallies.values():
        tally.clear()


# A forked worker counts its own statements, and must not wait for a lock that only its parent would release.
os.register_at_fork(after_in_child=start_over)
