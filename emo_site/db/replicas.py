"""Reads from replicas: asked for by the caller, and only while a replica answers and is not too far behind.

    with reading_from_replica():
        report = order_review.build(now=now)

One thread per server and process looks once a second. A replica that is down or lags is left out, and taken in again
by itself. Inside a transaction, and where no replica will do, reads go to the primary. The hosts of the primary are
looked at too: a process that has not written for a while must learn of a promotion, and what is another
cluster or database is no replica.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections
from psycopg.rows import tuple_row

from emo_site.db import deadline
from emo_site.db.aliases import is_replica
from emo_site.db.connections import GuardedConnection, hosts_of, place_of, places

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0
# A look that takes longer means that the replica does not answer; what was seen is believed no longer than BELIEVED.
LOOK_WITHIN_SECONDS = 2.0
BELIEVED_SECONDS = 3.5
FIRST_LOOK_SECONDS = 0.5
# A standby that has confirmed a commit has it on disk, and replays it a moment later.
REPLAYED_SECONDS = 0.5

# Lag as a clock sees it: none while all that was received is replayed. An idle primary sends nothing, and to a standby
# that was started again "received" is the beginning of a WAL file, before what it has replayed. Without a receiver
# nobody knows what the primary has done since. (Its status is NULL to a role without pg_read_all_stats.)
_LOOK = """
SELECT pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn,
       CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
       EXISTS (SELECT FROM pg_stat_wal_receiver WHERE coalesce(status, 'streaming') = 'streaming'),
       CASE WHEN NOT pg_is_in_recovery()
            THEN ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END,
       current_database() || ' of cluster ' || (SELECT system_identifier FROM pg_control_system())
"""


@dataclass(frozen=True, kw_only=True)
class ReplicaState:
    """`usable`: reads may go there now. `answers`: it could be read at least, where nothing better is left."""

    alias: str
    usable: bool
    answers: bool
    standby: bool
    reason: str
    lag_seconds: float | None
    position: int
    """Bytes of WAL replayed (an LSN as a number)."""
    looked_at: datetime
    since: datetime
    """When it became usable, or stopped being so."""


@dataclass
class _Reading:
    """What one block has asked for; `position` must have been replayed, `any_will_do` takes what answers."""

    position: int
    any_will_do: bool
    used: str = ""


_reading: ContextVar[_Reading | None] = ContextVar("reading", default=None)
_in_use: ContextVar[set[str] | None] = ContextVar("in_use", default=None)


@contextmanager
def reading_from_replica(*, position: int = 0, any_will_do: bool = False) -> Iterator[None]:
    """Sends the block's reads of the default database to a replica.

    `position`: what must have been replayed there, since the reader has written it. `any_will_do`: in an outage a
    replica that lags is better than no answer, though one that has replayed `position` is taken where there is one;
    holds for blocks inside too.
    """
    outer = _reading.get()
    if outer is not None and outer.any_will_do:
        yield
        return
    token = _reading.set(_Reading(position=position, any_will_do=any_will_do))
    try:
        yield
    finally:
        _reading.reset(token)


@contextmanager
def noting_use() -> Iterator[None]:
    """Inside the block in_use() says which replicas were read from."""
    token = _in_use.set(set())
    try:
        yield
    finally:
        _in_use.reset(token)


def in_use() -> list[str]:
    """The replicas that the innermost block of noting_use() has read from so far."""
    return sorted(_in_use.get() or ())


def takes_any() -> bool:
    """Whether the block takes any replica that answers, since the primary does not."""
    reading = _reading.get()
    return reading is not None and (reading.any_will_do or primary_is_down())


def aliases() -> list[str]:
    return [alias for alias in settings.DATABASES if is_replica(alias)]


def alias_for_read() -> str:
    """Where the block reads the default database: a replica that will do, or the primary."""
    reading = _reading.get()
    if reading is None or connections[DEFAULT_DB_ALIAS].in_atomic_block:
        return DEFAULT_DB_ALIAS
    # One block reads from one place: two replicas may be at different moments.
    if reading.used:
        return reading.used
    chosen = _choose(reading)
    if chosen != DEFAULT_DB_ALIAS:
        reading.used = chosen
        if (noted := _in_use.get()) is not None:
            noted.add(chosen)
    return chosen


def _choose(reading: _Reading) -> str:
    known = states()
    good = [each.alias for each in known if each.usable and each.position >= reading.position]
    if reading.any_will_do or (not good and primary_is_down()):
        # A standby: what was the primary when it was looked at may be what is down. Of several, the one furthest on.
        best = sorted((each for each in known if each.answers), key=lambda each: (not each.standby, -each.position))
        has = reading.position <= 0 or any(each.standby and each.position >= reading.position for each in best)
        good = [each.alias for each in best][:1] if has else _asked(best, reading.position)
    return good[next(_turn) % len(good)] if good else DEFAULT_DB_ALIAS


def _asked(candidates: Sequence[ReplicaState], position: int) -> list[str]:
    """The one that has replayed `position` by now, else the first.

    The looks are up to a second old. What was acknowledged since is on one of several standbys, and arrives on the
    others never, if the primary is gone: there an order that was just staged would be one that does not exist.
    """
    until = time.monotonic() + deadline.at_most(REPLAYED_SECONDS)
    while candidates:
        for each in candidates:
            if _replayed(each.alias) >= position:
                return [each.alias]
        if time.monotonic() >= until:
            break
        time.sleep(REPLAYED_SECONDS / 10)
    return [each.alias for each in candidates][:1]


def _replayed(alias: str) -> int:
    connection = connections[alias]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT coalesce(pg_last_wal_replay_lsn() - '0/0'::pg_lsn, 0)")
            return int(cursor.fetchone()[0])
    except (DatabaseError, InterfaceError):
        connection.close()
        return -1


_turn = itertools.count()


def primary_is_down() -> bool:
    """Whether this process could not connect to the primary a moment ago."""
    return places.is_down(place_of(settings.DATABASES[DEFAULT_DB_ALIAS]))


def can_stand_in() -> bool:
    """Whether some replica answers, so that a read need not wait for the primary."""
    return any(each.answers for each in states())


def states() -> list[ReplicaState]:
    """Each replica as this process sees it."""
    watches = _watches()
    return [watches[alias].state() for alias in aliases()]


def keep_watch() -> None:
    """Starts looking, in a process that has not yet."""
    _watches()


def leave_out(alias: str, reason: str) -> None:
    """A read from it has failed: left out until the next look finds it well."""
    _watches()[alias].out(reason)


@dataclass(eq=False)
class _Watch:
    """One server: a replica by its alias, another host of the primary by its place."""

    alias: str
    parameters: dict[str, Any]
    process: int
    holds: str = ""
    """The database and cluster (system identifier) that it was when it last answered."""
    primaries: Sequence[_Watch] = field(default=(), repr=False)
    """Those of the hosts that the primary's URL names."""
    _state: ReplicaState | None = None
    _seen_at: float = 0.0
    _looked: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name=f"watch {self.alias}").start()

    def state(self) -> ReplicaState:
        # The first request of a process gives the first look a moment; a command, which looks once, gives it more.
        self._looked.wait(BELIEVED_SECONDS if deadline.remaining() is None else deadline.at_most(FIRST_LOOK_SECONDS))
        state = self._state
        if state is None:
            return self._left_out("not looked at yet")
        if time.monotonic() - self._seen_at > BELIEVED_SECONDS:
            return self._left_out("it does not answer")
        return state

    def out(self, reason: str) -> None:
        self._set(self._left_out(reason))

    def _left_out(self, reason: str) -> ReplicaState:
        now = datetime.now(UTC)
        last = self._state
        return ReplicaState(
            alias=self.alias,
            usable=False,
            answers=False,
            standby=False,
            reason=reason,
            lag_seconds=None,
            position=0,
            looked_at=now,
            since=last.since if last is not None and not last.usable else now,
        )

    def _set(self, state: ReplicaState) -> None:
        with self._lock:
            last, self._state, self._seen_at = self._state, state, time.monotonic()
        if is_replica(self.alias) and (last is None or last.usable != state.usable):
            # That it is back must be in the log beside that it was gone; that all is well from the start need not.
            level = logging.INFO if state.usable and last is None else logging.WARNING
            logger.log(level, "%s is %s: %s", self.alias, "read from" if state.usable else "left out", state.reason)
        self._looked.set()

    def _run(self) -> None:
        # Whose replica it must be is known only then.
        for each in self.primaries if self not in self.primaries else ():
            each._looked.wait(LOOK_WITHIN_SECONDS)
        while True:
            try:
                self._look_until_it_fails()
            except psycopg.Error as error:
                self.out(f"it can't be asked: {str(error).strip().splitlines()[0]}")
            time.sleep(LOOK_EVERY_SECONDS)

    def _look_until_it_fails(self) -> None:
        # A connection outside the pool, kept open: the pool is for requests.
        connection = GuardedConnection.connect(**self.parameters)
        try:
            while True:
                with deadline.within(LOOK_WITHIN_SECONDS):
                    self._set(self._look(connection))
                time.sleep(LOOK_EVERY_SECONDS)
        finally:
            connection.close()

    def _look(self, connection: GuardedConnection) -> ReplicaState:
        (row,) = connection.cursor(row_factory=tuple_row).execute(_LOOK).fetchall()
        standby, position, _, streaming, timeline, self.holds = row
        lag = None if row[2] is None else float(row[2])
        originals = {each.holds for each in self.primaries} - {""}
        stranger = bool(originals) and self.holds not in originals
        # Timelines are counted in each cluster by itself.
        met = timeline or 0 if self.holds in originals else 0
        newest = places.met(place_of(settings.DATABASES[DEFAULT_DB_ALIAS]), met)
        reason = (
            f"it is {self.holds}, the primary is {', '.join(sorted(originals))}"
            if stranger
            else _objection(standby=standby, lag=lag, streaming=streaming, timeline=timeline, newest=newest)
        )
        now, last = datetime.now(UTC), self._state
        return ReplicaState(
            alias=self.alias,
            usable=not reason,
            answers=not stranger and (standby or not reason),
            standby=standby,
            reason=reason or ("a standby" if standby else "the primary itself"),
            lag_seconds=lag,
            position=int(position),
            looked_at=now,
            since=last.since if last is not None and last.usable == (not reason) else now,
        )


def _objection(*, standby: bool, lag: float | None, streaming: bool, timeline: int | None, newest: int) -> str:
    """Why it is not read from; empty where nothing is in the way."""
    if not standby:
        behind = timeline is not None and timeline < newest
        return f"it was primary once, on timeline {timeline} behind {newest}" if behind else ""
    if not streaming:
        return "it receives nothing from a primary"
    limit = settings.EMO_REPLICA_MAX_LAG
    if lag is None or lag > limit:
        return f"it lags {'by an unknown time' if lag is None else f'{lag:.1f} s'}, the limit is {limit} s"
    return ""


_started: dict[str, _Watch] = {}
_starting = threading.Lock()


def _watches() -> dict[str, _Watch]:
    """The watches of this process: threads don't come along into a forked one."""
    process = os.getpid()
    with _starting:
        if not any(watch.process == process for watch in _started.values()):
            _started.clear()
            for alias, parameters in _servers().items():
                _started[alias] = _Watch(alias, {**parameters, "autocommit": True}, process)
            primary = _primary()
            primaries = [
                watch for watch in _started.values() if primary and _named(watch.parameters) <= _named(primary)
            ]
            for watch in _started.values():
                watch.primaries = primaries
                watch.start()
        return dict(_started)


def _servers() -> dict[str, dict[str, Any]]:
    """What to connect to: each replica, and each host of a primary with several, or with replicas, not among them."""
    servers = {alias: connections[alias].get_connection_params() for alias in aliases()}
    primary = _primary()
    if primary is None or (not servers and len(hosts_of(primary)) < 2):
        return servers
    covered = {place for parameters in servers.values() for place in _named(parameters)}
    for host, port in hosts_of(primary):
        if (host, port, primary["dbname"]) not in covered:
            servers[f"{host}:{port}"] = {**primary, "host": host, "port": port, "target_session_attrs": "any"}
    return servers


def _primary() -> dict[str, Any] | None:
    """How to connect to it; None on SQLite."""
    connection = connections[DEFAULT_DB_ALIAS]
    return connection.get_connection_params() if connection.vendor == "postgresql" else None


def _named(parameters: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(host, port, parameters["dbname"]) for host, port in hosts_of(parameters)}
