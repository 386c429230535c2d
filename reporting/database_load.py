"""What databases have to carry, and how they bear it: connections, statements, hosts and replicas.

Figures of pools and statements are of the process that builds the report; those of servers come from the probes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from emo_site import display
from emo_site.db import pools, replicas, statements
from emo_site.db.pools import PoolFigures
from emo_site.db.replicas import ReplicaState
from emo_site.db.statements import DatabaseStatements
from monitoring.health import ProbeResult

NOT_KNOWN = "n/a"


@dataclass(frozen=True, kw_only=True)
class Process:
    """Whose figures they are: each worker of a server has its own."""

    pid: int
    kind: str
    since: datetime
    since_text: str


@dataclass(frozen=True, kw_only=True)
class Pool:
    """One database's pool; every figure is None where `reason` says why there is none. Times in milliseconds."""

    alias: str
    reason: str
    tone: str
    min_size: int | None = None
    max_size: int | None = None
    size: int | None = None
    in_use: int | None = None
    available: int | None = None
    waiting: int | None = None
    requests: int | None = None
    wait_mean_ms: float | None = None
    wait_longest_ms: float | None = None
    wait_total_ms: float | None = None
    timeouts: int | None = None
    connections_lost: int | None = None
    connections_failed: int | None = None
    size_text: str = NOT_KNOWN
    wait_text: str = NOT_KNOWN
    timeouts_text: str = NOT_KNOWN
    lost_text: str = NOT_KNOWN


@dataclass(frozen=True, kw_only=True)
class Application:
    """Sessions of one application_name, as the server counts them. What this role may not see is in `hidden`."""

    name: str
    here: bool
    sessions: int
    active: int
    idle_in_transaction: int
    hidden: int
    active_text: str
    idle_text: str


@dataclass(frozen=True, kw_only=True)
class Server:
    """One database's server: all of its sessions, of every process and database."""

    alias: str
    max_connections: int
    reserved: int
    used: int
    summary_text: str
    applications: tuple[Application, ...]


@dataclass(frozen=True, kw_only=True)
class Host:
    """One host as a probe found it; `alias` is the database that names it."""

    alias: str
    host: str
    tone: str
    role: str
    takes_writes: bool | None
    timeline: int | None
    lag_seconds: float | None
    error: str
    timeline_text: str
    lag_text: str
    says_text: str


@dataclass(frozen=True, kw_only=True)
class Replica:
    """Whether this process reads from it, since when, and why (not)."""

    alias: str
    usable: bool
    tone: str
    reason: str
    lag_seconds: float | None
    since: datetime
    looked_at: datetime
    status_text: str
    lag_text: str
    since_text: str
    looked_text: str


@dataclass(frozen=True, kw_only=True)
class Statements:
    """One database's statements. Quantiles of the `recent` ones; see emo_site/db/statements.py for the estimator."""

    alias: str
    count: int
    errors: int
    errors_by_kind: tuple[tuple[str, int], ...]
    slow: int
    total_ms: float
    recent: int
    p50_ms: float | None
    p95_ms: float | None
    count_text: str
    errors_text: str
    kinds_text: str
    slow_text: str
    recent_text: str
    p50_text: str
    p95_text: str
    total_text: str


@dataclass(frozen=True, kw_only=True)
class Slow:
    alias: str
    text: str
    slowest_ms: float
    at: datetime
    took_text: str
    at_text: str


@dataclass(frozen=True, kw_only=True)
class DatabaseLoad:
    process: Process
    slow_over_ms: int
    quantile_error_percent: int
    pools: tuple[Pool, ...]
    servers: tuple[Server, ...]
    hosts: tuple[Host, ...]
    replicas: tuple[Replica, ...]
    statements: tuple[Statements, ...]
    slowest: tuple[Slow, ...]


def build(results: Sequence[ProbeResult]) -> DatabaseLoad:
    counted = statements.figures()
    return DatabaseLoad(
        process=Process(
            pid=counted.process,
            kind=settings.EMO_PROCESS.kind,
            since=counted.since,
            since_text=display.moment(counted.since),
        ),
        slow_over_ms=settings.EMO_DB_SLOW_MS,
        quantile_error_percent=statements.MAX_ERROR_PERCENT,
        pools=tuple(map(_pool, pools.figures())),
        servers=tuple(_servers(results)),
        hosts=tuple(_hosts(results)),
        replicas=tuple(map(_replica, replicas.states())),
        statements=tuple(map(_statements, counted.databases)),
        slowest=tuple(_slowest(counted.databases)),
    )


def milliseconds(value: float | None) -> str:
    """Three digits at most: "0.35 ms", "12 ms", "1.2 s"."""
    if value is None:
        return NOT_KNOWN
    if value < 0.995:
        return f"{value:.2f} ms"
    if value < 9.95:
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if value < 999.5 else f"{value / 1000:.1f} s"


def _pool(found: PoolFigures) -> Pool:
    if found.waits is None:
        return Pool(alias=found.alias, reason=found.reason, tone="muted")
    waits = found.waits
    return Pool(
        alias=found.alias,
        reason="",
        tone="warn" if waits.recently_failed or (found.exhausted and waits.waiting) else "good",
        min_size=found.min_size,
        max_size=found.max_size,
        size=found.size,
        in_use=found.in_use,
        available=found.available,
        waiting=waits.waiting,
        requests=waits.requests,
        wait_mean_ms=None if waits.mean_ms is None else round(waits.mean_ms, 3),
        wait_longest_ms=round(waits.longest_ms, 3),
        wait_total_ms=round(waits.total_ms, 3),
        timeouts=waits.failed,
        connections_lost=found.connections_lost,
        connections_failed=found.connections_failed,
        size_text=f"{found.size} of {found.min_size} to {found.max_size}",
        wait_text=f"{milliseconds(waits.mean_ms)}, longest {milliseconds(waits.longest_ms)}",
        timeouts_text=display.count(waits.failed),
        lost_text=f"{display.count(found.connections_lost or 0)} / {display.count(found.connections_failed or 0)}",
    )


def _servers(results: Iterable[ProbeResult]) -> Iterable[Server]:
    for alias, metrics in _of_probes("connections", results):
        server = metrics.get("server")
        if server is None:
            continue
        free = server["max_connections"] - server["reserved"]
        yield Server(
            alias=alias,
            max_connections=server["max_connections"],
            reserved=server["reserved"],
            used=server["used"],
            summary_text=f"{server['used']} of {free} connections in use, {server['reserved']} more are reserved",
            applications=tuple(map(_application, server["applications"])),
        )


def _application(found: dict[str, Any]) -> Application:
    known = found["hidden"] < found["sessions"]
    return Application(
        **found,
        active_text=display.count(found["active"]) if known else NOT_KNOWN,
        idle_text=display.count(found["idle_in_transaction"]) if known else NOT_KNOWN,
    )


def _hosts(results: Iterable[ProbeResult]) -> Iterable[Host]:
    for kind in ("hosts", "replication"):
        for alias, metrics in _of_probes(kind, results):
            for each in metrics.get("hosts", []):
                yield _host(alias, each)


def _host(alias: str, found: dict[str, Any]) -> Host:
    lag, timeline = found["lag_seconds"], found["timeline"]
    stray = found["role"] == "standby" and not found["streaming"]
    return Host(
        alias=alias,
        host=f"{found['host'] or 'local socket'}:{found['port']}",
        tone="bad" if found["error"] else "warn" if stray else "good" if found["takes_writes"] else "accent",
        role="silent" if found["error"] else found["role"],
        takes_writes=found["takes_writes"],
        timeline=timeline,
        lag_seconds=lag,
        error=found["error"] or "",
        timeline_text=NOT_KNOWN if timeline is None else str(timeline),
        lag_text=NOT_KNOWN if lag is None else f"{lag:.1f} s",
        says_text=found["error"] or _says(found, stray=stray),
    )


def _says(found: dict[str, Any], *, stray: bool) -> str:
    if found["role"] == "standby":
        return "receives nothing from a primary" if stray else "follows"
    return "takes writes" if found["takes_writes"] else "set read-only"


def _replica(found: ReplicaState) -> Replica:
    return Replica(
        alias=found.alias,
        usable=found.usable,
        tone="good" if found.usable else "warn",
        reason=found.reason,
        lag_seconds=found.lag_seconds,
        since=found.since,
        looked_at=found.looked_at,
        status_text="read from" if found.usable else "left out",
        lag_text=NOT_KNOWN if found.lag_seconds is None else f"{found.lag_seconds:.1f} s",
        since_text=display.moment(found.since),
        looked_text=display.moment(found.looked_at),
    )


def _of_probes(kind: str, results: Iterable[ProbeResult]) -> Iterable[tuple[str, dict[str, Any]]]:
    """(alias, metrics) of the probes that are named kind:alias."""
    for result in results:
        prefix, _, alias = result.name.partition(":")
        if prefix == kind:
            yield alias, result.finding.metrics


def _statements(found: DatabaseStatements) -> Statements:
    kinds = ", ".join(f"{kind} × {count:,}" for kind, count in found.errors_by_kind[:5])
    more = len(found.errors_by_kind) - 5
    return Statements(
        alias=found.alias,
        count=found.count,
        errors=found.errors,
        errors_by_kind=found.errors_by_kind,
        slow=found.slow,
        total_ms=found.total_ms,
        recent=found.recent,
        p50_ms=found.p50_ms,
        p95_ms=found.p95_ms,
        count_text=display.count(found.count),
        errors_text=display.count(found.errors),
        kinds_text=f"{kinds} and {more} other kinds" if more > 0 else kinds,
        slow_text=display.count(found.slow),
        recent_text=display.count(found.recent),
        p50_text=milliseconds(found.p50_ms),
        p95_text=milliseconds(found.p95_ms),
        total_text=milliseconds(found.total_ms),
    )


def _slowest(databases: Iterable[DatabaseStatements]) -> Iterable[Slow]:
    found = [(each.slowest_ms, database.alias, each) for database in databases for each in database.slowest]
    for slowest_ms, alias, each in sorted(found, key=lambda item: -item[0])[: statements.SLOWEST_KEPT]:
        yield Slow(
            alias=alias,
            text=each.text,
            slowest_ms=slowest_ms,
            at=each.at,
            took_text=milliseconds(slowest_ms),
            at_text=display.moment(each.at),
        )
