"""How long nobody can write or read in each kind of failover, and what is lost, under a small load."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from deploy.ha.cluster import Cluster
from emo_site.db import deadline
from emo_site.db.connections import GuardedConnection

WRITERS = 2
READERS = 2
# Seconds. A statement is given up after PATIENCE, as a request would be.
PATIENCE = 4.0
PAUSE = 0.02
PAUSE_AFTER_FAILURE = 0.1
SETTLED = 2.0
ETCD_GONE = 30.0


@dataclass(frozen=True)
class Outcome:
    """One failover. Gaps are the longest time between two successes of anybody; `lost` counts acknowledged rows."""

    write_gap: float
    writes_failed: int
    read_gap: float
    reads_failed: int
    acknowledged: int
    lost: int


@dataclass
class Load:
    """Writers and readers as the desk has them: its own connections, to whoever leads and to any standby."""

    cluster: Cluster
    acknowledged: list[tuple[float, int]] = field(default_factory=list)
    read_at: list[float] = field(default_factory=list)
    writes_failed: int = 0
    reads_failed: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            number = next(self._ids)
        connection.execute("INSERT INTO measured (number) VALUES (%s)", [number])
        self.acknowledged.append((time.monotonic(), number))

    def read(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("SELECT max(number) FROM measured").fetchone()
        self.read_at.append(time.monotonic())

    def write_failed(self) -> None:
        with self._lock:
            self.writes_failed += 1

    def read_failed(self) -> None:
        with self._lock:
            self.reads_failed += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Settled before the body begins, and again before it ends."""
        jobs = [("read-write", self.write, self.write_failed)] * WRITERS
        jobs += [("prefer-standby", self.read, self.read_failed)] * READERS
        threads = [threading.Thread(target=self._repeat, args=job, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            time.sleep(SETTLED)
            yield
            time.sleep(SETTLED)
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _repeat(self, target: str, work: Callable[[GuardedConnection], None], failed: Callable[[], None]) -> None:
        parameters: dict[str, Any] = {**conninfo_to_dict(self.cluster.url), "target_session_attrs": target}
        connection: GuardedConnection | None = None
        while not self._over.is_set():
            try:
                with deadline.within(PATIENCE):
                    if connection is None:
                        connection = GuardedConnection.connect(autocommit=True, connect_timeout=2, **parameters)
                    work(connection)
                time.sleep(PAUSE)
            except psycopg.Error:
                failed()
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(PAUSE_AFTER_FAILURE)
        if connection is not None:
            connection.close()


def measured(cluster: Cluster, happens: Callable[[Cluster], None]) -> Outcome:
    """Under load, `happens` returns once the cluster is whole again."""
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS measured")
        connection.execute("CREATE TABLE measured (number bigint PRIMARY KEY)")
    load = Load(cluster)
    with load.running():
        happens(cluster)
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        found = {row[0] for row in connection.execute("SELECT number FROM measured")}
    return Outcome(
        write_gap=_longest_gap([at for at, _ in load.acknowledged]),
        writes_failed=load.writes_failed,
        read_gap=_longest_gap(load.read_at),
        reads_failed=load.reads_failed,
        acknowledged=len(load.acknowledged),
        lost=len({number for _, number in load.acknowledged} - found),
    )


def _longest_gap(moments: Sequence[float]) -> float:
    """Seconds between two neighbours; nothing at all is no measurement."""
    if len(moments) < 2:
        raise ValueError(f"{len(moments)} successes are no measurement: the load did not run")
    return max(after - before for before, after in pairwise(sorted(moments)))


def switchover(cluster: Cluster) -> None:
    cluster.switchover()
    cluster.wait_until_whole()


def leader_killed(cluster: Cluster) -> None:
    old = cluster.kill(cluster.leader())
    cluster.leader(other_than=old)
    cluster.start_member(old)
    cluster.wait_until_whole()


def leader_frozen(cluster: Cluster) -> None:
    old = cluster.freeze(cluster.leader())
    cluster.leader(other_than=old)
    cluster.thaw(old)
    cluster.wait_until_whole()


def standby_killed(cluster: Cluster) -> None:
    standby = cluster.kill(cluster.synchronous_standby())
    time.sleep(SETTLED)
    cluster.start_member(standby)
    cluster.wait_until_whole()


def standby_frozen(cluster: Cluster) -> None:
    standby = cluster.freeze(cluster.synchronous_standby())
    time.sleep(ETCD_GONE / 2)
    cluster.thaw(standby)
    cluster.wait_until_whole()


def etcd_gone(cluster: Cluster) -> None:
    cluster.stop_etcd()
    time.sleep(ETCD_GONE)
    cluster.start_etcd()
    cluster.wait_until_whole()


KINDS: dict[str, Callable[[Cluster], None]] = {
    "planned switchover": switchover,
    "kill -9 of the leader": leader_killed,
    "leader frozen, thawed after the election": leader_frozen,
    "kill -9 of the synchronous standby": standby_killed,
    "synchronous standby frozen for 15 s": standby_frozen,
    "etcd gone for 30 s": etcd_gone,
}

HEADING: tuple[str, ...] = (
    "what happens",
    "s without writes",
    "writes failed",
    "s without reads",
    "reads failed",
    "acknowledged",
    "lost",
)


def report(cluster: Cluster, rounds: int) -> str:
    """A table: each kind of failover `rounds` times, medians of the gaps, sums of what was lost."""
    rows = [HEADING]
    for name, happens in KINDS.items():
        seen = [measured(cluster, happens) for _ in range(rounds)]
        rows.append((name, *_medians(seen)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([*lines, f"medians of {rounds}; acknowledged and lost are sums"])


def _medians(seen: Sequence[Outcome]) -> tuple[str, ...]:
    return (
        f"{statistics.median(each.write_gap for each in seen):.1f}",
        f"{statistics.median(each.writes_failed for each in seen):.0f}",
        f"{statistics.median(each.read_gap for each in seen):.2f}",
        f"{statistics.median(each.reads_failed for each in seen):.0f}",
        str(sum(each.acknowledged for each in seen)),
        str(sum(each.lost for each in seen)),
    )
