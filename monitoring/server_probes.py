"""The probes of database servers: connections, clocks, hosts that must agree on a primary, replicas that follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import DatabaseError

from emo_site.db import clocks, members, pools, sessions
from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.health import own_connection
from emo_site.db.members import Member
from emo_site.db.pools import PoolFigures
from emo_site.db.sessions import Sessions
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.probes import unreachable


@dataclass(frozen=True, kw_only=True)
class PoolProbe:
    """Does anybody wait for a connection: of this process's pool, or of the server's max_connections?"""

    alias: str
    warn_used_percent: float = 80
    error_used_percent: float = 95
    critical = False

    @property
    def name(self) -> str:
        return f"connections:{self.alias}"

    def run(self) -> Finding:
        pool = pools.figures_of(self.alias)
        try:
            with own_connection(self.alias) as connection:
                found = sessions.look_at(connection)
        except DatabaseError as error:
            return unreachable(self.alias, error)
        metrics = {"server": _server_metrics(found)}
        used = f"{found.used} of {found.free_for_all} connections in use ({found.used_percent:.0f} %)"
        if found.used_percent > self.warn_used_percent:
            hard = found.used_percent > self.error_used_percent
            return Finding(
                status=HealthStatus.ERROR if hard else HealthStatus.WARNING,
                message=f"The server has {used}, the limit is {self.warn_used_percent:g} %; most by {_most(found)}.",
                remedy="Lower EMO_DB_POOL_SIZE or the number of workers, or raise max_connections.",
                metrics=metrics,
            )
        if trouble := _pool_trouble(pool):
            return Finding(
                status=HealthStatus.WARNING,
                message=trouble,
                remedy="Raise EMO_DB_POOL_SIZE, or look for slow statements that keep connections busy.",
                metrics=metrics,
            )
        return Finding(status=HealthStatus.HEALTHY, message=f"the server has {used}", metrics=metrics)


def _pool_trouble(pool: PoolFigures) -> str:
    """Empty where nobody waits, or this process has no pool."""
    if pool.waits is None:
        return ""
    if pool.waits.recently_failed:
        return f"This process's pool gave no connection {pool.waits.recently_failed} times in the last 10 minutes."
    if pool.exhausted and pool.waits.waiting:
        return f"{pool.waits.waiting} wait for a connection: all {pool.max_size} of this process's pool are in use."
    return ""


def _most(found: Sessions) -> str:
    return ", ".join(f"{each.name} ({each.sessions})" for each in found.applications[:3])


def _server_metrics(found: Sessions) -> dict[str, Any]:
    return {
        "max_connections": found.limit,
        "reserved": found.reserved,
        "used": found.used,
        "used_percent": round(found.used_percent, 2),
        "applications": [asdict(each) for each in found.applications],
    }


@dataclass(frozen=True, kw_only=True)
class ClockProbe:
    """Do the database's clock and ours agree? Rules about age compare times of the one with times of the other."""

    alias: str
    warn_offset_seconds: float = 1
    error_offset_seconds: float = 10
    critical = False

    @property
    def name(self) -> str:
        return f"clock:{self.alias}"

    def run(self) -> Finding:
        try:
            with own_connection(self.alias) as connection:
                found = clocks.compare(connection)
        except DatabaseError as error:
            return unreachable(self.alias, error)
        metrics = asdict(found)
        # Only what is beyond doubt: a slow answer is not a wrong clock.
        surely = abs(found.offset_seconds) - found.uncertainty_seconds
        side = "ahead of" if found.offset_seconds > 0 else "behind"
        message = f"{abs(found.offset_seconds):.3f} s {side} this host, ± {found.uncertainty_seconds:.3f} s"
        if surely <= self.warn_offset_seconds:
            return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
        return Finding(
            status=HealthStatus.ERROR if surely > self.error_offset_seconds else HealthStatus.WARNING,
            message=f"The database's clock is {message} (limit {self.warn_offset_seconds:g} s).",
            remedy="Let NTP set the clocks of both hosts: quotes and orders look older or younger than they are.",
            metrics=metrics,
        )


@dataclass(frozen=True, kw_only=True)
class HostsProbe:
    """Of a database with several hosts: does exactly one take writes, and do the others follow it?"""

    alias: str
    critical = True

    @property
    def name(self) -> str:
        return f"hosts:{self.alias}"

    def run(self) -> Finding:
        found = members.members_of(self.alias)
        metrics = {"hosts": [_member_metrics(each) for each in found]}
        status, message, remedy = _judged_hosts(found)
        return Finding(status=status, message=message, remedy=remedy, metrics=metrics)


def _judged_hosts(found: Sequence[Member]) -> tuple[HealthStatus, str, str]:
    answering = [each for each in found if each.answers]
    silent = [each for each in found if not each.answers]
    writers = [each for each in answering if each.takes_writes]
    if len({each.cluster for each in answering}) > 1:
        return (
            HealthStatus.ERROR,
            f"The hosts belong to different clusters: {_told(answering, 'cluster')}.",
            "Name only hosts that hold the same data: the wrong one would take orders that nobody finds again.",
        )
    if len(writers) > 1:
        oldest = min(writers, key=lambda each: each.timeline or 0)
        return (
            HealthStatus.ERROR,
            f"{len(writers)} hosts take writes (split brain): {_told(writers, 'timeline')}.",
            f"Stop {oldest.place} at once, if it is the one that was replaced, and rebuild it as a standby;"
            " then look through what it accepted.",
        )
    if not writers:
        return (
            HealthStatus.ERROR,
            f"No host takes writes: {', '.join(map(_in_short, found))}.",
            "Promote a standby, or start the primary again.",
        )
    if silent:
        return (
            HealthStatus.WARNING,
            f"{', '.join(f'{each.place} does not answer: {each.error}' for each in silent)}."
            f" {writers[0].place} takes writes.",
            "Bring it back: until then nobody can take over.",
        )
    if stray := [each for each in answering if each.role == "standby" and not each.streaming]:
        return (
            HealthStatus.WARNING,
            f"{_places(stray)} receive{'s' if len(stray) == 1 else ''} nothing from a primary.",
            "Look at primary_conninfo and the server's log; a standby that was left behind may have to be rebuilt.",
        )
    return HealthStatus.HEALTHY, ", ".join(map(_in_short, found)), ""


def _places(hosts: Iterable[Member]) -> str:
    return ", ".join(each.place for each in hosts)


def _told(hosts: Iterable[Member], what: str) -> str:
    return ", ".join(f"{each.place} ({what} {getattr(each, what)})" for each in hosts)


def _in_short(host: Member) -> str:
    if not host.answers:
        return f"{host.place} does not answer"
    if host.role == "standby":
        return f"{host.place} standby"
    return f"{host.place} {'primary' if host.takes_writes else 'primary set read-only'}"


def _member_metrics(host: Member) -> dict[str, Any]:
    return {
        "host": host.host,
        "port": host.port or "5432",
        "error": host.error or None,
        "role": host.role,
        "takes_writes": host.takes_writes,
        "timeline": host.timeline,
        "lag_seconds": host.lag_seconds,
        "streaming": host.streaming,
        "cluster": host.cluster,
    }


@dataclass(frozen=True, kw_only=True)
class ReplicationProbe:
    """Does a replica hold what our primary holds, or is it a server with a life of its own?"""

    alias: str
    critical = False

    @property
    def name(self) -> str:
        return f"replication:{self.alias}"

    def run(self) -> Finding:
        [replica] = members.members_of(self.alias)
        primaries = [each for each in members.members_of(PRIMARY_ALIAS) if each.answers and each.takes_writes]
        # Of two, the one on the newer timeline was promoted last.
        primary = max(primaries, key=lambda each: each.timeline or 0, default=None)
        metrics = {"hosts": [_member_metrics(replica)]}
        if not replica.answers or primary is None:
            return Finding(
                status=HealthStatus.UNKNOWN,
                message=f"Can't be compared: {replica.error or 'no primary takes writes'}",
                remedy=f"See the probes of {PRIMARY_ALIAS!r}."
                if replica.answers
                else "Start it, or put its URL right: it is read from again by itself.",
                metrics=metrics,
            )
        status, message, remedy = _judged_replica(replica, primary)
        return Finding(status=status, message=message, remedy=remedy, metrics=metrics)


def _judged_replica(replica: Member, primary: Member) -> tuple[HealthStatus, str, str]:
    if replica.cluster != primary.cluster:
        return (
            HealthStatus.ERROR,
            f"A server of another cluster ({replica.cluster}, ours is {primary.cluster}): it holds other data.",
            "Take it out of EMO_REPLICA_URLS, or rebuild it from the primary.",
        )
    if replica.role == "primary":
        if replica.started_at == primary.started_at:
            return HealthStatus.HEALTHY, f"the primary itself ({primary.place}), on timeline {primary.timeline}", ""
        return (
            HealthStatus.ERROR,
            f"A primary of its own on timeline {replica.timeline}; ours, {primary.place}, is on {primary.timeline}.",
            "Stop it and rebuild it as a standby: it does not receive what the primary writes.",
        )
    if not replica.streaming:
        return (
            HealthStatus.WARNING,
            "It receives nothing from a primary.",
            "Look at primary_conninfo and the server's log; a standby that was left behind may have to be rebuilt.",
        )
    return HealthStatus.HEALTHY, f"follows {primary.place} on timeline {replica.timeline}", ""
