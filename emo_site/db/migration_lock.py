"""One migration of a database at a time, whichever host it runs on: who comes second waits and says for whom.

On PostgreSQL an advisory lock on a connection of its own, outside the pool and outside the migrations' transactions;
it ends with its session. (Through a pooler that hands sessions around, as PgBouncer does per transaction, it is
refused: migrate past it.) On SQLite a lock on a file beside the database, which ends with its process.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db import pooler
from emo_site.db.health import own_connection

# Advisory locks are numbers. This one spells "emomig".
KEY = int.from_bytes(b"emomig")
ASK_EVERY_SECONDS = 0.25

Say = Callable[[str], None]


class LockTaken(Exception):
    """Somebody else migrates this database, and still did when the patience ended."""


class LockLost(Exception):
    """The session that held the lock is gone: another host may be migrating by now."""


class MigrationLock:
    """Held while the block of `exclusive` runs."""

    def __init__(self, connection: BaseDatabaseWrapper | None) -> None:
        self._connection = connection

    def require(self) -> None:
        """Raises LockLost where the lock went with its session. (A file's lock goes with this process only.)"""
        if self._connection is None:
            return
        try:
            held = _asked(self._connection, f"{_HELD} AND l.pid = pg_backend_pid()")  # a connection made anew has none
        except OperationalError as error:
            raise LockLost(f"{self._connection.alias}: {str(error).strip().splitlines()[0]}") from error
        if not held:
            raise LockLost(f"{self._connection.alias}: the session that held the migration lock is gone")


def exclusive(alias: str, *, wait: float, say: Say) -> AbstractContextManager[MigrationLock]:
    """Takes the lock, waiting up to `wait` seconds. Raises LockTaken, pooler.NoSession, and what the driver raises."""
    if connections[alias].vendor == "postgresql":
        return _server_lock(alias, wait=wait, say=say)
    return _file_lock(alias, Path(str(connections[alias].settings_dict["NAME"])), wait=wait, say=say)


_HELD = f"""
SELECT a.pid, a.application_name, a.usename, coalesce(host(a.client_addr), 'a local socket'), a.backend_start
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
AND l.classid = {KEY >> 32} AND l.objid = {KEY & 0xFFFFFFFF}
"""  # noqa: S608  # numbers of our own


def _asked(connection: BaseDatabaseWrapper, question: str) -> list[tuple[int, str, str, str, datetime]]:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return list(cursor.fetchall())


def _holder(connection: BaseDatabaseWrapper) -> str:
    for pid, program, user, host, since in _asked(connection, _HELD):
        return f"{program or 'a program'} of {user}, pid {pid} from {host}, since {since:%H:%M:%S} UTC"
    return "somebody who has just ended"


@contextmanager
def _server_lock(alias: str, *, wait: float, say: Say) -> Iterator[MigrationLock]:
    with own_connection(alias) as connection:
        pooler.require_session(connection)

        def taken() -> bool:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [KEY])
                return bool(cursor.fetchone()[0])

        _wait_for(alias, taken, lambda: _holder(connection), wait=wait, say=say)
        # Closing the connection gives it back.
        yield MigrationLock(connection)


@contextmanager
def _file_lock(alias: str, database: Path, *, wait: float, say: Say) -> Iterator[MigrationLock]:
    # The file stays: where it were removed, a third could lock a new one while the second holds the old one.
    path = database.with_name(f"{database.name}.migrating")
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise OperationalError(f"{path} can't be opened: {error.strerror}") from error
    with file:

        def taken() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        _wait_for(alias, taken, lambda: path.read_text(encoding="utf-8").strip(), wait=wait, say=say)
        file.truncate(0)
        file.write(f"manage.py, pid {os.getpid()}, since {datetime.now(UTC):%H:%M:%S} UTC")
        file.flush()
        yield MigrationLock(None)


def _wait_for(alias: str, taken: Callable[[], bool], holder: Callable[[], str], *, wait: float, say: Say) -> None:
    give_up_at = time.monotonic() + wait
    told = False
    while not taken():
        left = give_up_at - time.monotonic()
        if left <= 0:
            raise LockTaken(f"{alias}: still being migrated by {holder()} after {wait:g} s")
        if not told:
            say(f"{alias}: being migrated by {holder()}; waiting up to {wait:g} s")
            told = True
        time.sleep(min(ASK_EVERY_SECONDS, left))
