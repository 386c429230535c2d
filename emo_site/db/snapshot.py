"""Several statements that read the same moment, however much is written meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction


@contextmanager
def snapshot(alias: str) -> Iterator[None]:
    """For reading only. Inside of a transaction it is that one which says what its statements see."""
    connection = connections[alias]
    if connection.in_atomic_block:
        yield
        return
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
