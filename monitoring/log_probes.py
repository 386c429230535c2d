"""The probes of what processes log and of how the web workers answer.

Both read what all processes have written into the tables (monitoring/tallies.py), since whoever probes is another
process than the workers. What a process could not write, because the database was away, comes with its next batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError

from emo_site.db.aliases import database_of
from emo_site.db.health import require_answer
from monitoring import tallies
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.tallies import LastErrors, WebRequests


@dataclass(frozen=True, kw_only=True)
class LogErrorsProbe:
    """How many errors the processes of the desk have logged lately, and of which kinds."""

    warn_count: int = 10
    minutes: int = 5
    name = "log errors"
    critical = False

    def run(self) -> Finding:
        try:
            require_answer(database_of("monitoring"))
            found = tallies.last_errors(since=datetime.now(UTC) - timedelta(minutes=self.minutes))
        except DatabaseError as error:
            return _not_known(error)
        return self.judged(found)

    def judged(self, found: LastErrors) -> Finding:
        metrics = {"errors": found.errors, "warnings": found.warnings}
        errors = sorted((each for each in found.kinds if each.level == "error"), key=lambda each: -each.count)
        if found.errors <= self.warn_count:
            message = f"{found.errors} errors, {found.warnings} warnings in {self.minutes} min"
            return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
        kinds = ", ".join(f"{each.count} {each.kind}" for each in errors)
        last = max(errors, key=lambda each: each.at)
        return Finding(
            status=HealthStatus.WARNING,
            message=f"{found.errors} errors in {self.minutes} min (limit {self.warn_count}): {kinds}."
            f" The last, from {last.process} on {last.host}: {last.message}",
            remedy="Read the log of that process around that time.",
            metrics=metrics,
        )


@dataclass(frozen=True, kw_only=True)
class WebErrorsProbe:
    """Which share of the requests is answered with a failure (500 and more)."""

    warn_percent: float = 1
    error_percent: float = 10
    # Of a few requests one is no rate.
    least_failures: int = 3
    minutes: int = 5
    name = "web errors"
    critical = False

    def run(self) -> Finding:
        try:
            require_answer(database_of("monitoring"))
            found = tallies.web_requests(since=datetime.now(UTC) - timedelta(minutes=self.minutes))
        except DatabaseError as error:
            return _not_known(error)
        return self.judged(found)

    def judged(self, found: WebRequests) -> Finding:
        percent = found.failed_percent
        metrics = {"requests": found.requests, "failures": found.failures, "slow": found.slow}
        if percent is None:
            message = f"no requests in {self.minutes} min"
            return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
        message = f"{found.failures} of {found.requests} requests failed in {self.minutes} min ({percent:.1f} %)"
        if percent <= self.warn_percent or found.failures < self.least_failures:
            return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
        return Finding(
            status=HealthStatus.ERROR if percent > self.error_percent else HealthStatus.WARNING,
            message=f"{message}, the limit is {self.warn_percent:g} %.",
            remedy="Read the workers' log: each failure has its trace and the id that the answer carried.",
            metrics=metrics,
        )


def _not_known(error: DatabaseError) -> Finding:
    lines = str(error).strip().splitlines()
    return Finding(
        status=HealthStatus.UNKNOWN,
        message=f"Can't be counted: {lines[0] if lines else type(error).__name__}",
        remedy="See the probe of the database.",
    )
