"""The probes of how the time series are kept: chunks, the server's own jobs, and retention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError

from emo_site.db.aliases import database_of
from emo_site.db.health import asked_within, models_asked_within
from emo_site.db.timescale import chunks, jobs
from emo_site.db.timescale.capabilities import look_up
from emo_site.db.timescale.hypertables import existing
from emo_site.db.timescale.jobs import Job
from emo_site.display import age, count
from monitoring import time_series
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.probes import not_asked
from monitoring.time_series import OVERDUE, TimeSeries


@dataclass(frozen=True, kw_only=True)
class ChunksProbe:
    """Do TimescaleDB's jobs succeed, and are there few enough chunks that a question without a time stays quick?"""

    alias: str
    warn_chunks: int = 1000
    answer_seconds: float = 5
    critical = False

    @property
    def name(self) -> str:
        return f"chunks:{self.alias}"

    def run(self) -> Finding:
        try:
            with asked_within(self.alias, self.answer_seconds) as connection:
                capabilities = look_up(connection)
                if capabilities.installed is None:
                    return Finding(status=HealthStatus.HEALTHY, message="the database has no TimescaleDB")
                counts = {table: chunks.count_chunks(connection, table) for table in sorted(existing(connection))}
                # Under the Apache licence the one job that there is, of the server's own, is refused for its licence.
                found = jobs.look_at(connection) if capabilities.licence == chunks.COMMUNITY else ()
        except DatabaseError as error:
            return not_asked(self.alias, error)
        failed = [each for each in found if each.failed]
        metrics = {"chunks": counts, "jobs": len(found), "failed_jobs": [each.title for each in failed]}
        told = ", ".join(f"{table} {count(number)}" for table, number in counts.items()) or "none"
        if failed:
            return Finding(
                status=HealthStatus.WARNING,
                message=f"{len(failed)} of {len(found)} jobs failed: {'; '.join(map(_failure, failed))}",
                remedy="See timescaledb_information.job_errors as the database's owner, put right what it says, and run"
                f" CALL run_job({failed[0].number}).",
                metrics=metrics,
            )
        if any(number > self.warn_chunks for number in counts.values()):
            return Finding(
                status=HealthStatus.WARNING,
                message=f"chunks: {told} (limit {count(self.warn_chunks)})",
                remedy="Raise EMO_CHUNK_DAYS, keep rows for fewer days, and run manage.py apply_retention.",
                metrics=metrics,
            )
        own = f"{len(found)} jobs, none failed" if found else "the server does nothing by itself"
        return Finding(status=HealthStatus.HEALTHY, message=f"chunks: {told}; {own}", metrics=metrics)


def _failure(job: Job) -> str:
    at = f" at {job.last_run_at:%Y-%m-%d %H:%M} UTC" if job.last_run_at else ""
    return f"{job.title}{at}{f': {job.error}' if job.error else ''}"


@dataclass(frozen=True, kw_only=True)
class RetentionProbe:
    """Do old market events and health records go? Where none are older than they should be, nothing was to be done."""

    answer_seconds: float = 5
    name = "retention"
    critical = False

    def run(self) -> Finding:
        alias, now = database_of("monitoring"), datetime.now(UTC)
        try:
            with models_asked_within(alias, self.answer_seconds):
                found = time_series.look(now=now)
        except DatabaseError as error:
            return not_asked(alias, error)
        metrics = {each.table: {"last_run": each.last_run, "keep_days": each.keep_days} for each in found}
        if failed := [each for each in found if each.last_run_tone == "bad"]:
            return Finding(
                status=HealthStatus.ERROR,
                message="; ".join(f"{each.table}: {each.last_run}" for each in failed),
                remedy="Put right what it says, and run manage.py apply_retention.",
                metrics=metrics,
            )
        if late := [each for each in found if _is_late(each, now)]:
            return Finding(
                status=HealthStatus.WARNING,
                message="; ".join(f"{each.table}: {_lateness(each, now)}" for each in late),
                remedy="Run manage.py apply_retention, and let it run every day.",
                metrics=metrics,
            )
        return Finding(status=HealthStatus.HEALTHY, message=_in_order(found), metrics=metrics)


def _is_late(series: TimeSeries, now: datetime) -> bool:
    if series.keep_days is None or series.oldest is None:
        return False
    return now - series.oldest > timedelta(days=series.keep_days) + OVERDUE + _slack(series)


def _slack(series: TimeSeries) -> timedelta:
    """The server's own policy lets whole chunks go: rows stay until the youngest of their chunk is old enough."""
    return timedelta(days=series.chunk_interval_days or 0)


def _lateness(series: TimeSeries, now: datetime) -> str:
    oldest = age(now - series.oldest) if series.oldest else ""
    return f"rows of {oldest} ago are kept, {series.keep_days} d are wanted; last run {series.last_run}"


def _in_order(found: Sequence[TimeSeries]) -> str:
    kept = [f"{each.table} {'for ever' if each.keep_days is None else f'{each.keep_days} d'}" for each in found]
    return f"kept as wanted: {', '.join(kept)}"
