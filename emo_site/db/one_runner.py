"""One program at a time doing a thing to a database, whichever host it runs on: who comes second is refused."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import DatabaseError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db import pooler


class AlreadyRunning(Exception):
    """Somebody else is at it; the message says what and where."""


@contextmanager
def only_one(alias: str, task: str) -> Iterator[None]:
    """Holds the lock named `task` of this database while its block runs. Raises AlreadyRunning at once; NoSession.

    On PostgreSQL an advisory lock of the session that does the work, and that ends with it at the latest. On SQLite a
    lock on a file beside the database, which ends with its process.
    """
    refusal = AlreadyRunning(f"{task} is running on database {alias!r} already; wait until it has ended")
    if connections[alias].vendor != "postgresql":
        with _file_lock(str(connections[alias].settings_dict["NAME"]), task, refusal):
            yield
        return
    with _session_lock(connections[alias], task, refusal):
        yield


@contextmanager
def _session_lock(connection: BaseDatabaseWrapper, task: str, refusal: AlreadyRunning) -> Iterator[None]:
    key = key_of(task)
    pooler.require_session(connection)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        if not cursor.fetchone()[0]:
            raise refusal
    try:
        yield
    finally:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
        except DatabaseError:
            # The session is broken; with its end the lock is given back.
            connection.close()


def key_of(task: str) -> int:
    """The advisory lock of that name."""
    return int.from_bytes(hashlib.sha256(task.encode()).digest()[:8], "big", signed=True)


@contextmanager
def _file_lock(database: str, task: str, refusal: AlreadyRunning) -> Iterator[None]:
    if database.startswith("file:"):
        # In memory (tests): no other process can reach it.
        yield
        return
    # The file stays: where it were removed, a third could lock a new one while the second holds the old one.
    path = Path(f"{database}.{task}.lock")
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise OperationalError(f"{path} can't be opened: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal from None
        yield
