"""The probes of databases, disk and market data. Each is one small class with one run()."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError

from emo_site.db.aliases import apps_of, database_of, is_replica
from emo_site.db.health import look_at, own_connection, require_answer, unapplied_migrations
from emo_site.db.timescale.capabilities import look_up
from emo_site.db.timescale.hypertables import existing, expected
from monitoring import shards
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.models import MarketEvent, SystemHealth


def hypertables_of(alias: str) -> frozenset[str]:
    """The time series that are partitioned by time here, where TimescaleDB is to be had: not one that is on shards."""
    return frozenset(
        model._meta.db_table
        for model in (MarketEvent, SystemHealth)
        if not (model is MarketEvent and shards.is_spread(alias))
    )


def unreachable(alias: str, error: Exception) -> Finding:
    # The driver's text names host, port and user, never the password.
    reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
    return Finding(
        status=HealthStatus.ERROR,
        message=f"Can't be used: {reason}",
        remedy=f"Check that the server of database {alias!r} runs, and its URL, user and password.",
        metrics={"error": type(error).__name__},
    )


def not_asked(alias: str, error: Exception) -> Finding:
    """For whoever asks a database about itself: that it is down is the word of one probe, and not of ten."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return Finding(
        status=HealthStatus.UNKNOWN,
        message=f"Can't be asked: {reason}",
        remedy=f"See the probe database:{alias}.",
        metrics={"error": type(error).__name__},
    )


@dataclass(frozen=True, kw_only=True)
class DatabaseProbe:
    """Connects, asks SELECT 1, and looks at role, latency and lag."""

    alias: str
    warn_latency_ms: float = 250
    warn_lag_seconds: float = 10

    @property
    def name(self) -> str:
        return f"database:{self.alias}"

    @property
    def critical(self) -> bool:
        return not is_replica(self.alias)

    def run(self) -> Finding:
        try:
            with own_connection(self.alias) as connection:
                facts = look_at(connection)
        except DatabaseError as error:
            return unreachable(self.alias, error)
        metrics = {
            "engine": facts.engine,
            "version": facts.version,
            "role": facts.role,
            "latency_ms": facts.latency_ms,
            "connect_ms": facts.connect_ms,
            "lag_seconds": facts.lag_seconds,
        }
        if facts.role == "standby" and self.critical:
            return Finding(
                status=HealthStatus.ERROR,
                message="The server is a standby: it takes no writes.",
                remedy="Promote it, or name the primary in the URL with target_session_attrs=read-write.",
                metrics=metrics,
            )
        if facts.lag_seconds is not None and facts.lag_seconds > self.warn_lag_seconds:
            return Finding(
                status=HealthStatus.WARNING,
                message=f"Replication lag is {facts.lag_seconds:.0f} s (limit {self.warn_lag_seconds:g} s).",
                remedy="Check the network and the load between primary and standby.",
                metrics=metrics,
            )
        if facts.timeouts_missing:
            return Finding(
                status=HealthStatus.WARNING,
                message=f"Behind the pooler time-outs are not in force: {'; '.join(facts.timeouts_missing)}.",
                remedy="Set them in its connect_query (deploy/pgbouncer/pgbouncer.ini), RELOAD and RECONNECT.",
                metrics=metrics,
            )
        if facts.latency_ms > self.warn_latency_ms:
            return Finding(
                status=HealthStatus.WARNING,
                message=f"SELECT 1 took {facts.latency_ms:.0f} ms (limit {self.warn_latency_ms:g} ms).",
                remedy="Look for long transactions and a busy disk on the server.",
                metrics=metrics,
            )
        return Finding(
            status=HealthStatus.HEALTHY,
            message=f"{facts.engine} {facts.version}, {facts.role}, SELECT 1 in {facts.latency_ms:.1f} ms",
            metrics=metrics,
        )


@dataclass(frozen=True, kw_only=True)
class MigrationsProbe:
    """Are the migrations of the apps in this database applied?"""

    alias: str

    @property
    def name(self) -> str:
        return f"migrations:{self.alias}"

    @property
    def critical(self) -> bool:
        return not is_replica(self.alias)

    def run(self) -> Finding:
        try:
            with own_connection(self.alias) as connection:
                missing = unapplied_migrations(connection)
        except DatabaseError as error:
            return unreachable(self.alias, error)
        if missing:
            return Finding(
                status=HealthStatus.ERROR,
                message=f"{len(missing)} not applied: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}",
                remedy="Migrate its primary." if is_replica(self.alias) else "Run manage.py migrate_all.",
                metrics={"unapplied": len(missing)},
            )
        return Finding(status=HealthStatus.HEALTHY, message="up to date", metrics={"unapplied": 0})


@dataclass(frozen=True, kw_only=True)
class HypertablesProbe:
    """Are the time series hypertables, where the server has TimescaleDB?"""

    alias: str
    critical = False

    @property
    def name(self) -> str:
        return f"hypertables:{self.alias}"

    def run(self) -> Finding:
        if not apps_of(self.alias, [apps.get_app_config("monitoring").label]):
            return Finding(status=HealthStatus.HEALTHY, message="no time series in this database")
        try:
            with own_connection(self.alias) as connection:
                capabilities, found = look_up(connection), existing(connection)
        except DatabaseError as error:
            return unreachable(self.alias, error)
        if settings.EMO_TIMESCALE == "off" and not found:
            return Finding(status=HealthStatus.HEALTHY, message="ordinary tables: EMO_TIMESCALE is off")
        metrics = {"timescaledb": capabilities.installed, "licence": capabilities.licence, "hypertables": sorted(found)}
        wanted = hypertables_of(self.alias)
        missing = sorted(wanted - found)
        if not expected(capabilities):
            return Finding(
                status=HealthStatus.HEALTHY, message="ordinary tables: the server has no TimescaleDB", metrics=metrics
            )
        if missing:
            return Finding(
                status=HealthStatus.WARNING,
                message=f"Ordinary tables on a server with TimescaleDB: {', '.join(missing)}",
                remedy=f"Run manage.py sync_hypertables --database {self.alias}.",
                metrics=metrics,
            )
        return Finding(
            status=HealthStatus.HEALTHY,
            message=f"{', '.join(sorted(wanted))} (TimescaleDB {capabilities.installed}, {capabilities.licence})",
            metrics=metrics,
        )


def _write_refused(folder: Path) -> str:
    """The system's word why nothing can be written there, empty where it can. What is tried has no name on the disk."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
            # Only now need the space be there.
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


@dataclass(frozen=True, kw_only=True)
class DiskProbe:
    """Free space where the desk keeps its files, and whether it can write there."""

    path: str
    warn_free_percent: float = 15
    error_free_percent: float = 5
    name = "disk"
    critical = False

    def run(self) -> Finding:
        place = Path(self.path)
        while not place.exists():
            place = place.parent
        usage = psutil.disk_usage(str(place))
        free = 100 * usage.free / usage.total
        metrics = {"free_bytes": usage.free, "total_bytes": usage.total, "free_percent": round(free, 2)}
        message = f"{free:.1f} % free ({usage.free / 2**30:.1f} GiB)"
        remedy = f"Free space below {place}, or move the desk's data folder."
        if refusal := _write_refused(place):
            return Finding(
                status=HealthStatus.ERROR,
                message=f"{place} can't be written: {refusal}; {message}",
                remedy="Exports, backups and SQLite files go there: mount it writable, and give it to the desk's user.",
                metrics=metrics,
            )
        if free < self.error_free_percent:
            return Finding(status=HealthStatus.ERROR, message=message, remedy=remedy, metrics=metrics)
        if free < self.warn_free_percent:
            return Finding(status=HealthStatus.WARNING, message=message, remedy=remedy, metrics=metrics)
        return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)


@dataclass(frozen=True, kw_only=True)
class MarketDataProbe:
    """How old is the newest market event?"""

    # Over a long weekend without trading the last event is up to four days old.
    warn_age_hours: float = 96
    warn_ahead_hours: float = 0.1
    name = "market data"
    critical = False

    def run(self) -> Finding:
        alias = database_of("monitoring")
        try:
            require_answer(alias)
            newest = MarketEvent.objects.newest()
        except DatabaseError as error:
            return unreachable(alias, error)
        if newest is None:
            return Finding(
                status=HealthStatus.UNKNOWN,
                message="no market event on record",
                remedy="Import or ingest market data: rules that need a price block until then.",
            )
        hours = (datetime.now(UTC) - newest.timestamp).total_seconds() / 3600
        metrics = {"age_hours": round(hours, 3), "newest": newest.timestamp.isoformat()}
        if hours < -self.warn_ahead_hours:
            # It would keep this probe content until its time has come.
            return Finding(
                status=HealthStatus.WARNING,
                message=f"the newest event is dated {-hours:.1f} h in the future",
                remedy="Check the clocks and the time zone of the bot's market data feed.",
                metrics=metrics,
            )
        message = f"the newest event is {hours:.1f} h old"
        if hours > self.warn_age_hours:
            return Finding(
                status=HealthStatus.WARNING,
                message=f"{message} (limit {self.warn_age_hours:g} h)",
                remedy="Check the bot's market data feed.",
                metrics=metrics,
            )
        return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
