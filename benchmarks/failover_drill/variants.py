"""What breaks, what the operator does about it, and what must hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from benchmarks.failover_drill import disk, slots
from benchmarks.failover_drill.cluster import Servers, patroni, replicated
from benchmarks.failover_drill.verdict import Figures
from deploy.ha import cluster as ha
from tests.clusters import Cluster

PROMOTED_AFTER = 2.0
# Longer than the pool's time-out, so that writers learn what happens when nobody is promoted.
PROMOTED_LATE_AFTER = 8.0
# The lock of a dead leader lives for 20 s; then a member is chosen, promoted, and found.
PATRONI_WITHIN = 40.0
# What the pool may wait (5 s), and what a busy machine with two cores needs on top to say so.
REFUSED_WITHIN = 8.0


@dataclass(frozen=True)
class Goal:
    """`figure` of Figures must be at most, or at least, so much in every run, or in the median of the runs."""

    figure: str
    text: str
    at_most: float | None = None
    at_least: float | None = None
    median: bool = False

    def met(self, values: Sequence[float | None]) -> bool:
        """None, where something never came back, meets nothing."""
        known = [value for value in values if value is not None]
        if len(known) < len(values) or not known:
            return False
        judged = [sorted(known)[(len(known) - 1) // 2]] if self.median else known
        below = self.at_most is None or max(judged) <= self.at_most
        return below and (self.at_least is None or min(judged) >= self.at_least)

    def values(self, runs: Sequence[Figures]) -> list[float | None]:
        return [attrgetter(self.figure)(run) for run in runs]


# The last three keep the drill honest: something was at work, and something was broken.
ALWAYS = (
    Goal("lost", "acknowledged, not found", at_most=0),
    Goal("duplicates", "on record twice", at_most=0),
    Goal("strangers", "on record, never sent", at_most=0),
    Goal("hung", "requests hung (> 10 s)", at_most=0),
    Goal("failed_reads", "reads failed", at_most=0),
    Goal("failed_writes", "writes answered with an error page, or not", at_most=0),
    Goal("declined", "writes declined by a rule", at_most=0),
    Goal("changes_acknowledged", "changes acknowledged", at_least=50),
    Goal("reads", "reads", at_least=20),
)
FAILOVER = (
    Goal("writes_back_after_relief", "writes back after the promotion, s", at_most=1.0, median=True),
    Goal("seconds_without_writes", "seconds without writes", at_least=1.0),
)
NOTHING_REFUSED = (Goal("refused", "writes refused (503, Retry-After)", at_most=0),)
SOME_REFUSED = (
    Goal("refused", "writes refused (503, Retry-After)", at_least=1),
    Goal("longest_refusal", "longest wait for a refusal, s", at_most=REFUSED_WITHIN),
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """`fault` breaks and mends a cluster; it returns time.monotonic() of the fault and of what ends it.

    `afterwards`: seconds.
    """

    name: str
    says: str
    fault: Callable[[Any], tuple[float, float | None]]
    goals: tuple[Goal, ...]
    servers: Callable[[], AbstractContextManager[Servers]] = replicated
    prepare: Callable[[Any], None] = lambda cluster: None
    afterwards: float = 6.0


def _promoted(cluster: Cluster, after: float) -> float:
    """The moment at which the order to promote was given."""
    time.sleep(after)
    ordered = time.monotonic()
    cluster.promote()
    return ordered


def _kill(cluster: Cluster) -> tuple[float, float | None]:
    fault = time.monotonic()
    cluster.primary.kill()
    return fault, _promoted(cluster, PROMOTED_AFTER)


def _kill_and_wait(cluster: Cluster) -> tuple[float, float | None]:
    fault = time.monotonic()
    cluster.primary.kill()
    return fault, _promoted(cluster, PROMOTED_LATE_AFTER)


def _kill_replica(cluster: Cluster) -> tuple[float, float | None]:
    fault = time.monotonic()
    replica = cluster.standbys[0]
    replica.kill()
    time.sleep(4)
    replica.start()
    return fault, None


def _cut(cluster: Cluster) -> tuple[float, float | None]:
    fault = time.monotonic()
    cluster.primary.cut()
    return fault, _promoted(cluster, PROMOTED_AFTER)


def _freeze_and_thaw(cluster: Cluster) -> tuple[float, float | None]:
    fault = time.monotonic()
    old = cluster.primary
    old.freeze()
    ordered = _promoted(cluster, PROMOTED_AFTER)
    time.sleep(3)
    old.thaw()
    return fault, ordered


def _kill_leader(cluster: ha.Cluster) -> tuple[float, float | None]:
    """Nobody promotes anything here: the moment is the one at which another member was seen to lead."""
    leader = cluster.leader()
    fault = time.monotonic()
    cluster.kill(leader)
    cluster.leader(other_than=leader)
    return fault, time.monotonic()


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(
            name="kill",
            says=f"the primary is killed (-9), the standby promoted {PROMOTED_AFTER:g} s later",
            fault=_kill,
            goals=(*ALWAYS, *FAILOVER),
        ),
        Variant(
            name="kill-late",
            says=f"the primary is killed, the standby promoted only {PROMOTED_LATE_AFTER:g} s later",
            fault=_kill_and_wait,
            goals=(*ALWAYS, *FAILOVER, *SOME_REFUSED),
        ),
        Variant(
            name="replica-killed",
            says="one of two standbys is killed, and started again 4 s later",
            fault=_kill_replica,
            goals=(*ALWAYS, *NOTHING_REFUSED),
            servers=partial(replicated, standbys=2),
        ),
        Variant(
            name="black-hole",
            says=f"every packet to and from the primary vanishes, the standby is promoted {PROMOTED_AFTER:g} s later",
            fault=_cut,
            goals=(
                *ALWAYS,
                Goal("writes_back_after_fault", "writes back after the fault, s", at_most=7.0),
                Goal("seconds_without_writes", "seconds without writes", at_least=1.0),
            ),
            servers=partial(replicated, network=True),
            afterwards=10.0,
        ),
        Variant(
            name="frozen",
            says="the primary is frozen, the standby promoted, the old primary thawed 3 s after that",
            fault=_freeze_and_thaw,
            goals=(
                *ALWAYS,
                *FAILOVER[1:],
                Goal("writes_back_after_fault", "writes back after the fault, s", at_most=10.0),
            ),
            afterwards=10.0,
        ),
        Variant(
            name="patroni",
            says="the leader of three members under Patroni is killed (-9), and Patroni promotes another one",
            fault=_kill_leader,
            goals=(
                *ALWAYS,
                # From the fault: that a member leads is not yet that it may commit, since commits wait for its standby.
                FAILOVER[1],
                *SOME_REFUSED,
                Goal("writes_back_after_fault", "writes back after the fault, s", at_most=PATRONI_WITHIN),
            ),
            servers=patroni,
        ),
        Variant(
            name="disk-full",
            says="the database's disk is full for 5 s",
            fault=disk.full_for_a_while,
            goals=(
                *ALWAYS,
                *SOME_REFUSED,
                Goal("writes_back_after_relief", "writes back once there is space, s", at_most=1.0, median=True),
            ),
            servers=partial(replicated, standbys=0, small_disk=disk.SIZE),
            prepare=disk.prepare,
        ),
        Variant(
            name="connection-limit",
            says="others take every connection of the primary for 7 s, and the desk loses those it had",
            fault=slots.taken_for_a_while,
            goals=(
                *ALWAYS,
                *SOME_REFUSED,
                Goal("writes_back_after_relief", "writes back once there are connections, s", at_most=1.0, median=True),
            ),
            servers=partial(replicated, settings={"max_connections": "60"}),
        ),
    )
}
