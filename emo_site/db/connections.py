"""Connections to PostgreSQL that end and that believe one primary only, and the pool that hands them out.

Three things that psycopg and libpq leave to us: a server that is frozen keeps its sockets alive, so that a wait must
end on our side; an old primary that comes back still says "read-write", so that its timeline decides; and a
transaction whose synchronous standby never answered is reported as committed, with a mere warning.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import psycopg
from psycopg import errors
from psycopg.abc import RV, PQGen
from psycopg.rows import tuple_row
from psycopg_pool import ConnectionPool, PoolTimeout

from emo_site.db import deadline
from emo_site.db.waits import Waits

logger = logging.getLogger(__name__)

# A pooled connection is looked at before it is handed out; a server that needs longer for that is no use.
CHECK_SECONDS = 2.0
COMMIT_SECONDS = 60.0
# The pool tries to connect once for each request that comes to it and gives up soon (RECONNECT_SECONDS). Who waits
# comes again this often, so that writes are back soon after a promotion.
SLICE_SECONDS = 0.2
RECONNECT_SECONDS = 0.2
# How long others wait once somebody has waited for all of the pool's time-out in vain. Each wait takes a thread of the
# server: requests queue behind it, those for pages too, and no deadline counts the time in that queue.
BRIEF_SECONDS = 1.0
# How long after a failure to connect a place counts as down.
DOWN_SECONDS = 2.0

# The server's function that gives up waiting for a standby. By its name: the text is translated in other languages.
_UNCONFIRMED = "SyncRepWaitForLSN"
# Whether the session takes writes, and the primary's timeline (the name of the WAL file begins with it; a standby has
# none).
_STATE = """
SELECT current_setting('transaction_read_only') = 'off',
       CASE WHEN NOT pg_is_in_recovery()
            THEN ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END
"""
READ_WRITE = "read-write"
# `primary` is for roles whose sessions begin read-only: they too must not meet a standby, or yesterday's primary.
WRITABLE = (READ_WRITE, "primary")


class Fenced(psycopg.OperationalError):
    """The server was primary once: another has been promoted since, and what this one accepts would be lost."""


class CommitUnconfirmed(psycopg.OperationalError):
    """The server committed, but no synchronous standby has it: it is gone if the standby is promoted."""


class NoAnswer(psycopg.OperationalError):
    """The server did not answer within the time that was left; the connection is closed."""


_READS = re.compile(r"\s*(?:SELECT|SET|SHOW|EXPLAIN|VALUES)\b", re.IGNORECASE)
_commits: ContextVar[list[int] | None] = ContextVar("commits", default=None)


@contextmanager
def counting_commits() -> Iterator[None]:
    """Counts, for commits_asked(), what the block asks a server to commit: transactions, and statements outside any."""
    token = _commits.set([0])
    try:
        yield
    finally:
        _commits.reset(token)


def _note_commit() -> None:
    if (counter := _commits.get()) is not None:
        counter[0] += 1


def note_autocommits(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Django's execute wrapper: outside a transaction, a statement that may write asks for its own commit."""
    if not context["connection"].in_atomic_block and not _READS.match(str(sql)):
        _note_commit()
    return execute(sql, params, many, context)


def note_autocommits_on(*, connection: Any, **kwargs: object) -> None:
    """Receives connection_created, which a pooled connection sends again for each request."""
    if connection.vendor == "postgresql" and note_autocommits not in connection.execute_wrappers:
        connection.execute_wrappers.append(note_autocommits)


def commits_asked() -> int:
    """How many commits the present block of counting_commits() has asked for; 0 outside any."""
    counter = _commits.get()
    return 0 if counter is None else counter[0]


class Places:
    """What this process has learnt of each set of hosts: the newest timeline, the host that served last, failures.

    One object a process; plain dictionaries, since each entry is written whole.
    """

    def __init__(self) -> None:
        self.timelines: dict[str, int] = {}
        self._served_by: dict[str, str] = {}
        self._failed_at: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self._in_doubt: set[str] = set()

    def doubt(self, place: str) -> None:
        """A connection was lost: before the next one, each host is asked, since another may have been promoted."""
        self._in_doubt.add(place)

    def asked_all(self, place: str) -> None:
        self._in_doubt.discard(place)

    def settled(self, place: str) -> bool:
        """Whether the host that served last is still believed to be the primary, without asking the others."""
        return place in self.timelines and place not in self._in_doubt

    def met(self, place: str, timeline: int) -> int:
        """A primary of that place is on this timeline; returns the newest one met so far."""
        newest = max(timeline, self.timelines.get(place, 0))
        if timeline:
            self.timelines[place] = newest
        return newest

    def order(self, place: str, hosts: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The hosts, the one that served last first: a host that drops packets costs seconds each time."""
        last = self._served_by.get(place)
        return sorted(hosts, key=lambda each: ":".join(each) != last)

    def served(self, place: str, host: tuple[str, str]) -> None:
        self._served_by[place] = ":".join(host)
        if self._failed_at.pop(place, None) is not None:
            logger.warning("%s: connected again, to %s", place, ":".join(host))

    def failed(self, place: str, error: Exception) -> None:
        self._reasons[place] = " ".join(str(error).split())
        if place not in self._failed_at:
            logger.warning("%s: no server can be used: %s", place, self._reasons[place])
        self._failed_at[place] = time.monotonic()

    def is_down(self, place: str) -> bool:
        """Whether connecting failed within the last DOWN_SECONDS, and has not succeeded since."""
        failed_at = self._failed_at.get(place)
        return failed_at is not None and time.monotonic() - failed_at < DOWN_SECONDS

    def why_down(self, place: str) -> str:
        """What the driver said, which names hosts and users and no password; empty where the place is not down."""
        return self._reasons[place] if self.is_down(place) else ""


places = Places()


def place_of(parameters: dict[str, Any]) -> str:
    """The key of a set of hosts, from libpq's parameters or Django's settings of a database."""
    read = {str(name).lower(): value for name, value in parameters.items()}
    name = read.get("dbname") or read.get("name")
    return f"{name} at {read.get('host') or ''}:{read.get('port') or ''}"


class GuardedConnection(psycopg.Connection[Any]):
    """A psycopg connection that keeps to the deadline, to the newest timeline, and to confirmed commits."""

    # Whether a failure to connect is noted and logged.
    _noted = True
    _unconfirmed = False
    _place = ""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """As psycopg's. Of several hosts, the one on the newest timeline that this process has seen.

        The first time, and after a connection was lost, each host is asked, so that nobody is taken in by a primary of
        yesterday.
        """
        place, hosts = place_of(kwargs), hosts_of(kwargs)
        if kwargs.get("target_session_attrs") not in WRITABLE or len(hosts) < 2 or "hostaddr" in kwargs:
            return cls._to_one(place, conninfo, kwargs)
        found: list[tuple[int, tuple[str, str], Self]] = []
        failures: list[psycopg.Error] = []
        settled = places.settled(place)
        for host in places.order(place, hosts):
            try:
                found.append(cls._to_primary(place, host, conninfo, kwargs))
            except psycopg.Error as error:
                failures.append(error)
            if found and settled:
                break
        if not found:
            kind = Fenced if all(isinstance(each, Fenced) for each in failures) else psycopg.OperationalError
            none_found = kind("; ".join(str(each).strip() for each in failures))
            if cls._noted:
                places.failed(place, none_found)
            raise none_found
        found.sort(key=lambda each: each[0])
        timeline, host, connection = found.pop()
        for _, _, other in found:
            other.close()
        if not settled:
            places.asked_all(place)
        places.met(place, timeline)
        places.served(place, host)
        return connection

    @classmethod
    def _to_primary(
        cls, place: str, host: tuple[str, str], conninfo: str, kwargs: dict[str, Any]
    ) -> tuple[int, tuple[str, str], Self]:
        # The server is asked below. libpq would believe what it was told as it connected, and PgBouncer tells what its
        # server was when it first met it: a standby, long after that was promoted (pgbouncer/pgbouncer#859).
        asked = {**kwargs, "host": host[0], "port": host[1], "target_session_attrs": "any"}
        connection = cls._bounded(place, conninfo, asked)
        try:
            timeline = timeline_of(connection, writable=kwargs["target_session_attrs"] == READ_WRITE)
            newest = places.timelines.get(place, 0)
            if timeline < newest:
                raise Fenced(f"{host[0]}:{host[1]} was primary once: it is on timeline {timeline} behind {newest}")
        except psycopg.Error:
            connection.close()
            raise
        return timeline, host, connection

    @classmethod
    def _to_one(cls, place: str, conninfo: str, kwargs: dict[str, Any]) -> Self:
        try:
            connection = cls._bounded(place, conninfo, kwargs)
        except psycopg.Error as error:
            if cls._noted:
                places.failed(place, error)
            raise
        places.served(place, hosts_of(kwargs)[0])
        return connection

    @classmethod
    def _bounded(cls, place: str, conninfo: str, kwargs: dict[str, Any]) -> Self:
        connection = super().connect(conninfo, **kwargs)
        connection._place = place
        connection.add_notice_handler(connection._note)
        return connection

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        left = deadline.remaining()
        bound = left is not None and (timeout is None or left < timeout)
        try:
            result = super().wait(gen, interval, left if bound else timeout)
        except errors._WaitTimeout:
            if not bound:
                raise
            # The server may be in the middle of it: what it has done is unknown, and the connection of no more use.
            self.pgconn.finish()
            places.doubt(self._place)
            raise NoAnswer("the server did not answer in the time that was left") from None
        except psycopg.OperationalError:
            if self.closed:
                places.doubt(self._place)
            raise
        if self._unconfirmed:
            self._unconfirmed = False
            self.pgconn.finish()
            places.doubt(self._place)
            raise CommitUnconfirmed("the server committed, but no synchronous standby confirmed it")
        return result

    def commit(self) -> None:
        _note_commit()
        # Of a primary without its standbys a command, too, would wait for ever, and no time-out of the server applies.
        with deadline.within(COMMIT_SECONDS):
            super().commit()

    def _note(self, diagnostic: errors.Diagnostic) -> None:
        if diagnostic.source_function == _UNCONFIRMED:
            self._unconfirmed = True


class OwnConnection(GuardedConnection):
    """Outside the pool: who asks for it gets the error at once, and tells it."""

    _noted = False


def hosts_of(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    """Each host with its port, of libpq's parameters; an empty host is libpq's default, the local socket."""
    hosts, ports = str(parameters.get("host") or "").split(","), str(parameters.get("port") or "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    return list(zip(hosts, ports, strict=True))


def timeline_of(connection: psycopg.Connection[Any], *, writable: bool = True) -> int:
    """The timeline a primary writes on. Raises OperationalError where it was demoted, or, if the session is to be
    `writable`, takes no writes."""
    with deadline.within(CHECK_SECONDS), connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(_STATE).fetchone()
        if not connection.autocommit:
            connection.rollback()
    if row is None or row[1] is None or (writable and not row[0]):
        where = f"{connection.info.host}:{connection.info.port}"
        raise psycopg.OperationalError(f"the server at {where} takes no writes (any more)")
    return int(row[1])


class DeskPool(ConnectionPool[GuardedConnection]):
    """psycopg's pool, which waits no longer than the request may, and tries again while it waits."""

    def __init__(self, *, writable: bool, place: str, **options: Any) -> None:
        self.place = place
        self.waits = Waits()
        # A primary that was demoted, and one that another has overtaken, still answer SELECT 1.
        self._look = self._look_primary if writable else self._look_answers
        self._read_write = options["kwargs"].get("target_session_attrs") == READ_WRITE
        self._waited_in_vain = False
        super().__init__(connection_class=GuardedConnection, check=self._check_or_drain, **options)

    def getconn(self, timeout: float | None = None) -> GuardedConnection:
        """Raises PoolTimeout after `timeout` seconds (the pool's own, if None), or when the deadline is over.

        After BRIEF_SECONDS already, as long as nobody has had a connection since somebody waited for all of that time.
        """
        whole = self.timeout if timeout is None else timeout
        patience = deadline.to_connect(whole)
        brief = min(patience, BRIEF_SECONDS) if self._waited_in_vain else patience
        with self.waits.one():
            try:
                connection = self._had_within(brief)
            except PoolTimeout:
                deadline.waited_in_vain(brief)
                self._waited_in_vain = self._waited_in_vain or patience >= whole
                raise
            self._waited_in_vain = False
            return connection

    def _had_within(self, patience: float) -> GuardedConnection:
        ends_at = time.monotonic() + patience
        while True:
            left = ends_at - time.monotonic()
            try:
                return super().getconn(max(0.0, min(SLICE_SECONDS, left)))
            except PoolTimeout:
                if left <= SLICE_SECONDS:
                    why = places.why_down(self.place)
                    said = f"no connection could be had within {patience:.1f} s{f' ({why})' if why else ''}"
                    raise PoolTimeout(said) from None

    def _check_or_drain(self, connection: GuardedConnection) -> None:
        try:
            self._look(connection)
        except psycopg.Error:
            # Left open, it would come back. The others lead to the same server: each would cost its time again.
            connection.close()
            self.drain()
            raise

    def _look_answers(self, connection: GuardedConnection) -> None:
        with deadline.within(CHECK_SECONDS):
            self.check_connection(connection)

    def _look_primary(self, connection: GuardedConnection) -> None:
        if timeline_of(connection, writable=self._read_write) < places.timelines.get(self.place, 0):
            raise Fenced("another server has been promoted since")
