"""The servers under the desk: some whose operator is the drill itself, or three members that Patroni looks after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from deploy.ha import cluster as ha
from tests import clusters


class Servers(Protocol):
    @property
    def cluster(self) -> Any:
        """What the faults are done to."""

    def settings(self) -> dict[str, str]:
        """The desk's variables that lead to them."""

    def record(self) -> str:
        """The URL of the one whose word counts."""

    def mend(self) -> None:
        """What broke comes back as a standby."""


@dataclass(frozen=True)
class Replicated:
    cluster: clusters.Cluster

    def settings(self) -> dict[str, str]:
        """All hosts for writes, and the same hosts, standbys first, for reads."""
        wanted = {"EMO_DB_URL": self.cluster.url("read-write")}
        if self.cluster.standbys:
            wanted["EMO_REPLICA_URLS"] = self.cluster.url("prefer-standby")
        return wanted

    def record(self) -> str:
        return self.cluster.primary.url

    def mend(self) -> None:
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'"
        for standby in self.cluster.standbys:
            if not standby.running or self.cluster.primary.query(streaming, [standby.name]) == (0,):
                self.cluster.rejoin(standby)
        self.cluster.wait_until_streaming()


@dataclass(frozen=True)
class Patroni:
    cluster: ha.Cluster

    def settings(self) -> dict[str, str]:
        return self.cluster.settings()

    def record(self) -> str:
        return self.cluster.url_of(self.cluster.leader())

    def mend(self) -> None:
        for member in self.cluster.members:
            if not member.running:
                self.cluster.start_member(member.name)
        self.cluster.wait_until_whole()


@contextmanager
def replicated(**options: Any) -> Iterator[Replicated]:
    with clusters.replicated(**options) as started:
        yield Replicated(started)


@contextmanager
def patroni() -> Iterator[Patroni]:
    with ha.Cluster() as started:
        yield Patroni(started)
