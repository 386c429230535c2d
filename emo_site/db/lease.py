"""Which one of several workers acts: the one whose session holds a lock of the database."""

from __future__ import annotations

import fcntl
import io
from contextlib import suppress
from pathlib import Path

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db import deadline, pooler
from emo_site.db.health import outside_the_pool
from emo_site.db.one_runner import key_of

# A server that does not answer must not hold the worker up.
ANSWER_SECONDS = 2.0


class Lease:
    """Held for as long as its session (on SQLite: its open file) lives; whoever dies gives it back by that."""

    def __init__(self, alias: str, task: str) -> None:
        self._alias, self._task = alias, task
        self._session: BaseDatabaseWrapper | None = None
        self._file: io.TextIOWrapper | None = None

    def hold(self) -> bool | None:
        """True where it is ours, False where somebody else has it, None where the database does not answer.

        Raises pooler.NoSession.
        """
        if connections[self._alias].vendor != "postgresql":
            return self._hold_file()
        try:
            with deadline.within(ANSWER_SECONDS):
                return self._hold_session()
        except DatabaseError:
            self.let_go()
            return None

    def let_go(self) -> None:
        """To be held by another one at once. What is broken is not an error here."""
        if self._session is not None:
            with suppress(DatabaseError):
                self._session.close()
            self._session = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _hold_session(self) -> bool:
        if self._session is not None:
            # The lock ends with the session: while that answers, it is ours.
            with self._session.cursor() as cursor:
                cursor.execute("SELECT NOT pg_is_in_recovery()")
                ours = bool(cursor.fetchone()[0])
            if not ours:
                # Demoted: the lock of a server that takes no writes is worth nothing.
                self.let_go()
            return ours
        session = outside_the_pool(self._alias)
        try:
            pooler.require_session(session)
            with session.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [key_of(self._task)])
                [held] = cursor.fetchone()
        except (DatabaseError, pooler.NoSession):
            session.close()
            raise
        if held:
            self._session = session
        else:
            session.close()
        return bool(held)

    def _hold_file(self) -> bool | None:
        if self._file is not None:
            return True
        name = str(connections[self._alias].settings_dict["NAME"])
        if name.startswith("file:"):
            # In memory (tests): no other process can reach it.
            return True
        try:
            file = Path(f"{name}.{self._task}.lock").open("a", encoding="utf-8")  # noqa: SIM115  # held open: that is the lock
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True
