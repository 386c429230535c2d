"""Whether what a program expects of the desk is there: five checks, PASS or FAIL. Changes nothing in a database."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from tempfile import TemporaryDirectory

from emo_site import legacy
from emo_site.db import alchemy, migration, migration_files
from emo_site.db.health import own_connection
from monitoring import health
from monitoring.choices import HealthStatus
from reporting import system_check
from reporting.system_check import Part, Verdict

# Of the time of a check, for the probes: the rest is for the report on what they found.
PROBES_SHARE = 0.7
_NAMED = 5


class Failed(Exception):
    """Something is not as it should be; the message says what."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def run(*, timeout: float, now: datetime) -> tuple[Part, ...]:
    """One part for each check, none of them a warning. Ends within `timeout` seconds, whatever hangs."""
    ends_at = time.monotonic() + timeout
    checks: dict[str, Callable[[float], str]] = {
        "router": _of_part(system_check.routing),
        "legacy doors": lambda _: legacy_doors(now),
        "order review": _of_part(lambda seconds: system_check.order_report(now, seconds)),
        "integration health": lambda seconds: integration_health(now, seconds),
        "migrations": lambda _: migrations(),
    }
    # One after the other: the doors warn, and who silences warnings does so for every thread.
    return tuple(
        part
        for name, check in checks.items()
        for part in system_check.within({(name,): _work(name, check)}, max(0.1, ends_at - time.monotonic()))
    )


def legacy_doors(now: datetime) -> str:
    """The old names do what they did, as far as that changes nothing. Raises Failed, DatabaseError."""
    with warnings.catch_warnings(), TemporaryDirectory(prefix="emo-validate-") as folder:
        warnings.simplefilter("ignore", DeprecationWarning)
        legacy.DBRouter.init()
        said = [f"{legacy.DBRouter.dialect()} answers", _by_sqlalchemy()]
        order = {
            "symbol": "SPY",
            "type": "limit",
            "quantity": 1,
            "value": 440,
            "status": "executed",
            "created_at": now,
        }
        review = legacy.EnhancedOrderReview(folder)
        found = review.analyze_orders([order])
        if (found.executed_orders, found.bad) != (1, ()):
            raise Failed(f"an order as the old bot had it is not understood: {found.bad}", "Read docs/order-review.md.")
        size = review.save_report([order]).stat().st_size
        return "; ".join([*said, f"report of dictionaries: {size / 1000:.0f} kB"])


def _by_sqlalchemy() -> str:
    try:
        with legacy.get_enhanced_router().get_connection() as connection:
            answer = connection.exec_driver_sql("SELECT 1").scalar()
    except alchemy.NotInstalled as error:
        # Who needs no engine need not install it.
        return f"doors that need it are closed: {error}"
    if answer != 1:
        raise Failed(f"SELECT 1 gave {answer!r} by SQLAlchemy", "Run manage.py healthcheck.")
    return "SQLAlchemy too"


def integration_health(now: datetime, seconds: float) -> str:
    """No component that the desk can't work without is failing. Raises Failed."""
    results = health.run(health.configured(), timeout=seconds * PROBES_SHARE, now=now)
    failing = [each for each in results if each.critical and each.finding.status == HealthStatus.ERROR]
    if failing:
        said = "; ".join(f"{each.name}: {each.finding.message}" for each in failing)
        raise Failed(said, failing[0].finding.remedy)
    report = system_check.institutional_report(results, now)
    others = sum(each.finding.status != HealthStatus.HEALTHY for each in results)
    return f"score {health.system_score(results)}, {others} of {len(results)} components not healthy; {report.message}"


def migrations() -> str:
    """All are made, all are applied, and the database knows of no others. Raises Failed, DatabaseError."""
    if unmade := migration_files.unmade():
        raise Failed(f"not made: {_named(unmade)}", "Run manage.py makemigrations, and read what it wrote.")
    for alias in migration.aliases():
        pending = migration.pending(alias)
        if pending:
            said = _named([*pending.migrations, *map(str, pending.missing)])
            raise Failed(f"{alias}: not applied: {said}", "Run manage.py migrate_all.")
        with own_connection(alias) as connection:
            foreign = migration_files.without_file(connection)
        if foreign:
            remedy = "Run the version of the desk that migrated this database, or restore a backup."
            raise Failed(f"{alias}: applied, but not in this version: {_named(foreign)}", remedy)
    return f"all are made and applied in {', '.join(migration.aliases())}"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _of_part(look: Callable[[float], Part]) -> Callable[[float], str]:
    def check(seconds: float) -> str:
        found = look(seconds)
        if found.verdict == Verdict.FAIL:
            raise Failed(found.message, found.remedy)
        return found.message

    return check


def _work(name: str, check: Callable[[float], str]) -> system_check.Work:
    def work(seconds: float) -> list[Part]:
        passed = Part(name=name, verdict=Verdict.PASS, message="")
        try:
            return [replace(passed, message=check(seconds))]
        except Failed as failed:
            return [replace(passed, verdict=Verdict.FAIL, message=str(failed), remedy=failed.remedy)]

    return work
