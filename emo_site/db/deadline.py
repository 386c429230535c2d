"""How long the work at hand may still wait for databases: a request must be answered, one way or the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)
# What a connection that is to be had takes; so long is waited even by who has no patience left.
LEAST_SECONDS = 0.2


@dataclass
class _Patience:
    left: float


_patience: ContextVar[_Patience | None] = ContextVar("patience", default=None)


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
    """Inside the block no longer than this is waited, all in all, for connections that are not to be had.

    Queries may take what they need. A page of many parts would else wait for the same dead server once a part.
    """
    token = _patience.set(_Patience(seconds))
    try:
        yield
    finally:
        _patience.reset(token)


def to_connect(seconds: float) -> float:
    """How long to wait for a connection: `seconds`, or less where patience or the deadline is less."""
    patient = _patience.get()
    return at_most(seconds if patient is None else min(seconds, max(patient.left, LEAST_SECONDS)))


def waited_in_vain(seconds: float) -> None:
    """There was no connection to be had, for so long."""
    if (patient := _patience.get()) is not None:
        patient.left -= seconds


def remaining() -> float | None:
    """Seconds left, at least 0; None outside any deadline (commands may take hours)."""
    ends_at = _ends_at.get()
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())


def at_most(seconds: float) -> float:
    """`seconds`, or what is left of the deadline where that is less."""
    left = remaining()
    return seconds if left is None else min(seconds, left)
