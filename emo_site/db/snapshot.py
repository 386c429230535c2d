"""Several statements that read the same moment, however much is written meanwhile; on SQLite two at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from typing import Protocol, TypeVar

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")
# Somebody committed in the moment between two beginnings, so many times in a row.
_ATTEMPTS = 5


class Beside(Protocol):
    """Begins to read, and returns what waits for the result."""

    def __call__(self, read: Callable[[], T], /) -> Callable[[], T]: ...


def one_by_one(read: Callable[[], T], /) -> Callable[[], T]:
    """It reads at once."""
    found = read()
    return lambda: found


@contextmanager
def snapshot(alias: str, *, two: bool = False) -> Iterator[Beside]:
    """For reading only. Inside of a transaction it is that one which says what its statements see.

    What takes long may be read by `two`: what is given to the Beside is read while the caller goes on, and sees the
    same moment. SQLite answers a connection on one core, so a thread with a connection of its own reads on another.
    PostgreSQL has workers for that, and what a transaction wrote nobody else can see: there it is read one by one, as
    it is where others never stop committing.
    """
    if not two or not _is_free(connections[alias]):
        with _alone(alias):
            yield one_by_one
        return
    with ThreadPoolExecutor(1, "snapshot") as thread:
        try:
            for _ in range(_ATTEMPTS):
                before = _version(alias)
                end = thread.submit(_begin, alias).result()
                try:
                    with _alone(alias):
                        # Nothing was committed since before the other one began.
                        if _version(alias) == before:
                            yield lambda read: thread.submit(copy_context().run, read).result
                            return
                finally:
                    thread.submit(end).result()
        finally:
            thread.submit(_close, alias).result()
    with _alone(alias):
        yield one_by_one


def _is_free(connection: BaseDatabaseWrapper) -> bool:
    """Whether another connection can read the same beside it, and can tell that it does."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return False
    # Connections to memory share one cache, in which no version is counted.
    return not connection.is_in_memory_db()  # type: ignore[attr-defined]  # SQLite's alone


@contextmanager
def _alone(alias: str) -> Iterator[None]:
    connection = connections[alias]
    if connection.in_atomic_block:
        yield
        return
    # Only connecting says what the mode is.
    connection.ensure_connection()
    mode = getattr(connection, "transaction_mode", None)
    if connection.vendor == "sqlite":
        # The desk's own mode takes the lock for writing at once, and would keep all writers waiting.
        connection.transaction_mode = "DEFERRED"  # type: ignore[attr-defined]  # SQLite's alone
    try:
        with transaction.atomic(using=alias):
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield
    finally:
        if connection.vendor == "sqlite":
            connection.transaction_mode = mode  # type: ignore[attr-defined]


def _begin(alias: str) -> Callable[[], None]:
    """In a thread. Returns what ends it there."""
    with ExitStack() as stack:
        stack.enter_context(_alone(alias))
        _version(alias)
        return stack.pop_all().close


def _close(alias: str) -> None:
    connections[alias].close()


def _version(alias: str) -> int:
    """It grows when others commit. A number of this connection, which begins to read by asking (SQLite's manual)."""
    with connections[alias].cursor() as cursor:
        cursor.execute("PRAGMA data_version")
        return int(cursor.fetchone()[0])
