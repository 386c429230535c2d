"""What went wrong in this process, and how many requests it answered, by the minute, until somebody takes it away.

Kept in memory: the database may be what went wrong. monitoring/tallies.py takes it into the tables.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

# While nobody takes them, the oldest minutes are dropped.
MOST_MINUTES = 600
MOST_KINDS = 20
OTHER = "other"
LONGEST_MESSAGE = 500


@dataclass(frozen=True, kw_only=True)
class ErrorTally:
    """Records of one kind and level (warning, error) in one minute; `message` and `at` are the last one's."""

    minute: datetime
    kind: str
    level: str
    count: int
    message: str
    at: datetime

    def plus(self, other: ErrorTally) -> ErrorTally:
        last = max(self, other, key=lambda each: each.at)
        return replace(last, count=self.count + other.count)


@dataclass(frozen=True, kw_only=True)
class RequestTally:
    """Requests of one minute; `failures` were answered 500 or more, `slow` took longer than a person waits."""

    minute: datetime
    requests: int
    failures: int
    slow: int

    def plus(self, other: RequestTally) -> RequestTally:
        return replace(
            self,
            requests=self.requests + other.requests,
            failures=self.failures + other.failures,
            slow=self.slow + other.slow,
        )


@dataclass(frozen=True, kw_only=True)
class Taken:
    errors: tuple[ErrorTally, ...] = ()
    requests: tuple[RequestTally, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.errors or self.requests)


class Tallies:
    """Safe between threads."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._errors: dict[tuple[datetime, str, str], ErrorTally] = {}
        self._requests: dict[datetime, RequestTally] = {}
        # (kind, level) -> count since the process began, which is never taken away.
        self._totals: dict[tuple[str, str], int] = {}

    def note_error(self, *, kind: str, level: str, message: str, at: datetime) -> None:
        """`message` must be masked."""
        with self._lock:
            if (kind, level) not in self._totals and len(self._totals) >= MOST_KINDS:
                kind = OTHER
            self._totals[kind, level] = self._totals.get((kind, level), 0) + 1
            text = message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 1]}…"
            tally = ErrorTally(minute=_minute(at), kind=kind, level=level, count=1, message=text, at=at)
            self._add_errors([tally])

    def note_request(self, *, failed: bool, slow: bool, at: datetime) -> None:
        with self._lock:
            self._add_requests([RequestTally(minute=_minute(at), requests=1, failures=int(failed), slow=int(slow))])

    def take(self) -> Taken:
        """All that was not taken yet; whoever can't write it gives it back."""
        with self._lock:
            taken = Taken(errors=tuple(self._errors.values()), requests=tuple(self._requests.values()))
            self._errors, self._requests = {}, {}
            return taken

    def give_back(self, taken: Taken) -> None:
        with self._lock:
            self._add_errors(taken.errors)
            self._add_requests(taken.requests)

    def totals(self) -> dict[tuple[str, str], int]:
        """(kind, level) -> records since the process began."""
        with self._lock:
            return dict(self._totals)

    def _add_errors(self, tallies: Iterable[ErrorTally]) -> None:
        for tally in tallies:
            key = tally.minute, tally.kind, tally.level
            known = self._errors.get(key)
            self._errors[key] = tally if known is None else known.plus(tally)
        while len(self._errors) > MOST_MINUTES:
            del self._errors[min(self._errors)]

    def _add_requests(self, tallies: Iterable[RequestTally]) -> None:
        for tally in tallies:
            known = self._requests.get(tally.minute)
            self._requests[tally.minute] = tally if known is None else known.plus(tally)
        while len(self._requests) > MOST_MINUTES:
            del self._requests[min(self._requests)]


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


of_process = Tallies()

# A forked worker counts for itself, and must not wait for a lock that only its parent would release.
os.register_at_fork(after_in_child=of_process.clear)
