"""How long the work at hand may still wait for databases: a request must be answered, one way or the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)
_patience: ContextVar[float | None] = ContextVar("patience", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """No wait for a database inside the block goes on after `seconds`; an outer, nearer deadline stays in force."""
    outer = _ends_at.get()
    ends_at = time.monotonic() + seconds
    token = _ends_at.set(ends_at if outer is None else min(outer, ends_at))
    try:
        yield
    finally:
        _ends_at.reset(token)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Inside the block nobody waits longer than this for a connection; queries may take what they need."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def to_connect(seconds: float) -> float:
    """How long to wait for a connection: `seconds`, or less where patience or the deadline is less."""
    patient = _patience.get()
    return at_most(seconds if patient is None else min(seconds, patient))


def remaining() -> float | None:
    """Seconds left, at least 0; None outside any deadline (commands may take hours)."""
    ends_at = _ends_at.get()
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())


def at_most(seconds: float) -> float:
    """`seconds`, or what is left of the deadline where that is less."""
    left = remaining()
    return seconds if left is None else min(seconds, left)
