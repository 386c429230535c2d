"""manage.py healthcheck: probes everything within a bound; the exit status is its verdict."""

from __future__ import annotations

import json
import os
import threading
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

from emo_site.db import pools, statements
from emo_site.db.aliases import database_of
from monitoring import health
from monitoring.choices import HealthStatus
from monitoring.health import Probe, ProbeResult

EXIT_FAILING = 1
EXIT_NOT_CHECKED = 2
# What is kept back of the bound for storing the results.
RECORD_SECONDS = 1.0


class Command(BaseCommand):
    help = (
        "Runs every probe of settings.PROBES (docs/probes.md): databases and servers, the machine, backups, market"
        " data, orders and their trail, in parallel and within --timeout seconds. Exit status: 0 healthy, 1 degraded or"
        " failing, 2 could not check."
    )
    # It must run, and say what is wrong, while databases are down.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
        parser.add_argument("--database", metavar="ALIAS", help="only the probes of this database")
        parser.add_argument(
            "--timeout", type=float, default=10.0, metavar="S", help="seconds for everything (default 10)"
        )
        parser.add_argument("--record", action="store_true", default=True, help="store the results (default)")
        parser.add_argument("--no-record", action="store_false", dest="record", help="don't store the results")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            timeout = health.bounded(options["timeout"])
        except ValueError as error:
            raise CommandError(str(error), returncode=EXIT_NOT_CHECKED) from error
        probes = self._probes(options["database"])
        kept = min(RECORD_SECONDS, timeout / 4) if options["record"] else 0.0
        results = health.run(probes, timeout=timeout - kept, now=datetime.now(UTC))
        not_recorded = _record(results, kept) if options["record"] else "not asked for"
        score, status = health.system_score(results), health.worst_status(results)
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(results, not_recorded), indent=2))
        else:
            self._table(results)
            shown = "n/a (no probe knows)" if score is None else f"{score} of 100"
            self.stdout.write(f"\nSystem health: {status}, score {shown}, {len(results)} probes")
            self.stdout.write(f"Not recorded: {not_recorded}" if not_recorded else f"Recorded {len(results)} results.")
        if status in (HealthStatus.WARNING, HealthStatus.ERROR):
            raise SystemExit(EXIT_FAILING)
        if status == HealthStatus.UNKNOWN:
            raise SystemExit(EXIT_NOT_CHECKED)

    def _probes(self, alias: str | None) -> list[Probe]:
        try:
            probes = health.configured()
        except (ImportError, TypeError, ValueError) as error:
            raise CommandError(f"settings.PROBES: {error}", returncode=EXIT_NOT_CHECKED) from error
        if alias is None:
            return probes
        if alias not in settings.DATABASES:
            known = ", ".join(settings.DATABASES)
            raise CommandError(f"--database={alias}: known are {known}", returncode=EXIT_NOT_CHECKED)
        return [probe for probe in probes if getattr(probe, "alias", None) == alias]

    def _table(self, results: list[ProbeResult]) -> None:
        width = max((len(result.name) for result in results), default=0)
        style = {
            HealthStatus.HEALTHY: self.style.SUCCESS,
            HealthStatus.WARNING: self.style.WARNING,
            HealthStatus.ERROR: self.style.ERROR,
            HealthStatus.UNKNOWN: self.style.NOTICE,
        }
        for result in results:
            status = result.finding.status
            took = "      n/a" if result.response_ms is None else f"{result.response_ms:6.0f} ms"
            word = style[status](f"{status:<8}")
            self.stdout.write(f"{result.name:<{width}}  {word} {took}  {result.finding.message}")
            if result.finding.remedy:
                self.stdout.write(f"{'':<{width}}  {'':<8} {'':>9}  → {result.finding.remedy}")


def _record(results: list[ProbeResult], seconds: float) -> str:
    """Stores the results; returns why not, or the empty string. Ends within `seconds`."""
    home = f"database:{database_of('monitoring')}"
    if any(result.name == home and result.finding.status == HealthStatus.ERROR for result in results):
        return f"{home} can't be used"
    reasons: list[str] = []
    # In a thread of its own: a database that hangs only now must not hold up the verdict.
    thread = threading.Thread(target=_record_or_say_why, args=(results, reasons), daemon=True)
    thread.start()
    thread.join(seconds)
    return reasons[0] if reasons else f"{home} did not answer within {seconds:g} s"


def _record_or_say_why(results: list[ProbeResult], reasons: list[str]) -> None:
    try:
        health.record(results)
        reasons.append("")
    except DatabaseError as error:
        reasons.append(str(error).strip().splitlines()[0])
    finally:
        connections.close_all()


def _as_json(results: list[ProbeResult], not_recorded: str) -> dict[str, Any]:
    score = health.system_score(results)
    return {
        "status": str(health.worst_status(results)),
        "system_health_score": None if score is None else float(score),
        "environment": settings.EMO_ENV,
        "recorded": not not_recorded,
        "not_recorded_because": not_recorded or None,
        "components": [
            {
                "name": result.name,
                "status": str(result.finding.status),
                "score": None if result.score is None else float(result.score),
                "critical": result.critical,
                "message": result.finding.message,
                "remedy": result.finding.remedy,
                "response_ms": result.response_ms,
                "at": result.at.isoformat(),
                "metrics": result.finding.metrics,
            }
            for result in results
        ],
        "pools": _pools_as_json(results),
        "statements": _statements_as_json(),
    }


def _pools_as_json(results: list[ProbeResult]) -> list[dict[str, Any]]:
    """`process` is this command's own pool, which did little so far; `server` counts everybody's connections."""
    servers = {
        result.name.partition(":")[2]: result.finding.metrics.get("server")
        for result in results
        if result.name.startswith("connections:")
    }
    return [
        {
            "database": each.alias,
            "process": {**asdict(each), "pid": os.getpid(), "reason": each.reason or None},
            "server": servers.get(each.alias),
        }
        for each in pools.figures()
    ]


def _statements_as_json() -> dict[str, Any]:
    """Of this command's own process: what the probes asked, and how long each database took over it."""
    found = statements.figures()
    return {
        "pid": found.process,
        "since": found.since.isoformat(),
        "quantile_error_percent": statements.MAX_ERROR_PERCENT,
        "slow_over_ms": settings.EMO_DB_SLOW_MS,
        "databases": [
            {
                "database": each.alias,
                "count": each.count,
                "errors": each.errors,
                "errors_by_kind": dict(each.errors_by_kind),
                "slow": each.slow,
                "total_ms": each.total_ms,
                "recent": each.recent,
                "p50_ms": each.p50_ms,
                "p95_ms": each.p95_ms,
                "slowest": [{**asdict(slow), "at": slow.at.isoformat()} for slow in each.slowest],
            }
            for each in found.databases
        ],
    }
