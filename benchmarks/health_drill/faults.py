"""The seven faults: what is done to a real part of the desk, how it is undone, and which component must tell of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.health_drill.desk import Desk


@dataclass(frozen=True)
class Fault:
    name: str
    says: str
    component: str
    # What the limit, and how often the thing itself speaks, add to two rounds of the watch; seconds.
    limit: float
    begin: Callable[[Desk], None]
    end: Callable[[Desk], None]


FAULTS = (
    Fault(
        "primary",
        "the primary stops",
        "database:default",
        0,
        lambda desk: desk.cluster.primary.stop(),
        lambda desk: desk.cluster.primary.start(),
    ),
    Fault("disk", "the disk of the desk's files is full", "disk", 0, Desk.fill_disk, Desk.free_disk),
    Fault(
        "replica",
        "the replica stops replaying (limit 10 s)",
        "database:replica1",
        10,
        lambda desk: desk.cluster.standbys[0].pause_replay(),
        lambda desk: desk.cluster.standbys[0].resume_replay(),
    ),
    Fault("worker", "kill -9 to the worker (limit 15 s)", "task worker", 15, Desk.kill_worker, Desk.start_worker),
    Fault(
        "audit",
        "a superuser rewrites an event of the audit trail",
        "audit trail",
        0,
        Desk.rewrite_event,
        Desk.restore_event,
    ),
    Fault("backup", "no backup any more (limit 90 s)", "backups", 90, Desk.end_backups, Desk.start_backups),
    Fault("market", "the feed of market data ends (limit 10 s)", "market data", 10, Desk.end_feed, Desk.start_feed),
)
