"""The full system check: every probe, and whether the desk does what it is for.

It works while databases are down, and says of each part what can't be.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connections, router
from django.db.models import Model

from emo_site.db import deadline
from emo_site.db.aliases import PRIMARY_ALIAS, apps_of, database_of, is_made_in, is_replica
from emo_site.db.health import asked_within, models_asked_within, unapplied_migrations
from emo_site.db.replicas import reading_from_replica
from monitoring import health
from monitoring.choices import HealthStatus
from monitoring.health import Probe, ProbeResult
from orders.refusal import Refused
from reporting import health_report, order_review, rehearsal, rendering
from reporting.rehearsal import Failed

logger = logging.getLogger(__name__)

# Of the whole time: what is left is for the parts that come after the probes.
PROBES_SHARE = 0.5
ROUND_TRIP = ("review round trip", "audit of the round trip")
_NAMED = 5


class Verdict(StrEnum):
    PASS = "PASS"  # noqa: S105  # no password
    WARN = "WARN"
    FAIL = "FAIL"


# What nobody knows has not passed, and has not failed.
_OF_STATUS = {
    HealthStatus.HEALTHY: Verdict.PASS,
    HealthStatus.WARNING: Verdict.WARN,
    HealthStatus.UNKNOWN: Verdict.WARN,
    HealthStatus.ERROR: Verdict.FAIL,
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """`took_ms` is None where the part did not end in time, or was not begun."""

    name: str
    verdict: Verdict
    message: str
    remedy: str = ""
    took_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class SystemCheck:
    at: datetime
    environment: str
    version: str
    parts: tuple[Part, ...]
    took_ms: float

    @property
    def verdict(self) -> Verdict:
        """The worst of the parts."""
        found = {each.verdict for each in self.parts}
        return next((each for each in (Verdict.FAIL, Verdict.WARN) if each in found), Verdict.PASS)


# Given the seconds that it has: what it finds, most often one part.
Work = Callable[[float], list[Part]]


def run(probes: Sequence[Probe], *, timeout: float, now: datetime) -> SystemCheck:
    """Ends within `timeout` seconds, whatever hangs. Changes nothing."""
    started = time.perf_counter()
    results = health.run(probes, timeout=timeout * PROBES_SHARE, now=now)
    left = timeout - (time.perf_counter() - started)
    parts = (*map(_of_probe, results), *within(_works(results, now), max(0.1, left)))
    return SystemCheck(
        at=now,
        environment=settings.EMO_ENV,
        version=settings.EMO_VERSION,
        parts=parts,
        took_ms=_milliseconds(started),
    )


def _of_probe(result: ProbeResult) -> Part:
    finding = result.finding
    return Part(
        name=f"probe {result.name}",
        verdict=_OF_STATUS[finding.status],
        message=finding.message,
        remedy=finding.remedy,
        took_ms=result.response_ms,
    )


def _works(results: Sequence[ProbeResult], now: datetime) -> dict[tuple[str, ...], Work]:
    """By the names of the parts that each of them finds."""
    return {
        ("router",): lambda seconds: [routing(seconds)],
        **{(f"migrations {alias}",): partial(_migrations, alias) for alias in settings.DATABASES},
        ("report institutional",): lambda _: [institutional_report(results, now)],
        ("report orders",): lambda seconds: [order_report(now, seconds)],
        ROUND_TRIP: lambda seconds: round_trip(now, seconds),
    }


def within(works: dict[tuple[str, ...], Work], seconds: float) -> list[Part]:
    """The parts that each of the works finds, by the names of what it looks at.

    All at once: one that hangs must not take the time of the others. One that crashes has failed.
    """
    ends_at = time.monotonic() + seconds
    slots: dict[tuple[str, ...], list[Part]] = {names: [] for names in works}
    threads = [
        threading.Thread(target=_do, args=(names, work, seconds, slots[names]), daemon=True, name=f"check {names[0]}")
        for names, work in works.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return [part for names, slot in slots.items() for part in tuple(slot) or _no_answer(names, seconds)]


def _no_answer(names: tuple[str, ...], seconds: float) -> list[Part]:
    remedy = "See the probes of the databases; raise --timeout where they are merely slow."
    return _failed_first(names, f"No answer within {seconds:.1f} s.", remedy)


def _do(names: tuple[str, ...], work: Work, seconds: float, slot: list[Part]) -> None:
    started = time.perf_counter()
    try:
        with deadline.within(seconds):
            found = work(seconds)
    except DatabaseError as error:
        found = _failed_first(names, f"Can't be used: {_first_line(error)}", "See the probes of the databases.")
    except Exception as error:  # the program's edge for a part: its crash is its own failure
        logger.exception("part %s failed", names[0])
        found = _failed_first(names, f"{type(error).__name__}: {error}", "Read the log for the trace.")
    finally:
        # A connection left open in a finished thread is lost to the pool.
        connections.close_all()
    took = _milliseconds(started)
    # Whole or not at all: who reads it may have given up waiting.
    slot[:] = [each if each.took_ms is not None else replace(each, took_ms=took) for each in found]


def _failed_first(names: tuple[str, ...], message: str, remedy: str) -> list[Part]:
    """The first part failed; the others would have come after it."""
    return [_failed(names[0], message, remedy), *(_not_reached(each, names[0]) for each in names[1:])]


def _not_reached(name: str, before: str) -> Part:
    return Part(name=name, verdict=Verdict.WARN, message=f"not reached: the {before} did not come to its end")


def _failed(name: str, message: str, remedy: str) -> Part:
    return Part(name=name, verdict=Verdict.FAIL, message=message, remedy=remedy)


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


# ---- the parts -------------------------------------------------------------------------------------------------------


def routing(seconds: float) -> Part:
    """Does each model go to the database of its app, to be read and written, and is its table there?"""
    models = [each for each in apps.get_models(include_auto_created=True) if each._meta.managed]
    wrong = [problem for model in models for problem in _astray(model)]
    if not wrong:
        wrong = [problem for alias in settings.DATABASES for problem in _missing(alias, models, seconds)]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        return _failed(
            "router",
            f"{'; '.join(wrong[:_NAMED])}{more}",
            "Check DATABASE_ROUTERS and the URLs of the databases, and run manage.py migrate_all.",
        )
    message = f"{len(models)} models, each read and written where its app lives"
    return Part(name="router", verdict=Verdict.PASS, message=message)


def _astray(model: type[Model]) -> list[str]:
    label, home = model._meta.label, database_of(model._meta.app_label)
    problems = []
    if (read := router.db_for_read(model)) != home:
        problems.append(f"{label} is read from {read} instead of {home}")
    if (written := router.db_for_write(model)) != home:
        problems.append(f"{label} is written to {written} instead of {home}")
    with reading_from_replica():
        if (written := router.db_for_write(model)) != home:
            problems.append(f"{label} is written to {written} while pages are read from a replica")
        read = router.db_for_read(model)
        if read != home and not (is_replica(read) and home == PRIMARY_ALIAS):
            problems.append(f"{label} is read from {read} while pages are read from a replica")
    made = [alias for alias in settings.DATABASES if router.allow_migrate_model(alias, model)]
    wanted = [alias for alias in settings.DATABASES if is_made_in(alias, model._meta.app_label)]
    if made != wanted:
        where = ", ".join(wanted)
        problems.append(f"the table of {label} is made in {', '.join(made) or 'no database'} instead of {where}")
    return problems


def _missing(alias: str, models: Sequence[type[Model]], seconds: float) -> list[str]:
    with asked_within(alias, seconds) as connection:
        there = set(connection.introspection.table_names())
    here = set(apps_of(alias, [config.label for config in apps.get_app_configs()]))
    wanted = [each._meta.db_table for each in models if each._meta.app_label in here and not each._meta.proxy]
    return [f"{alias} has no table {table}" for table in wanted if table not in there]


def _migrations(alias: str, seconds: float) -> list[Part]:
    return [migrations(alias, seconds)]


def migrations(alias: str, seconds: float) -> Part:
    name = f"migrations {alias}"
    with asked_within(alias, seconds) as connection:
        missing = unapplied_migrations(connection)
    if missing:
        named = f"{', '.join(missing[:_NAMED])}{' …' if len(missing) > _NAMED else ''}"
        remedy = "Migrate its primary." if is_replica(alias) else "Run manage.py migrate_all."
        return _failed(name, f"{len(missing)} not applied: {named}", remedy)
    return Part(name=name, verdict=Verdict.PASS, message="all are applied")


def institutional_report(results: Sequence[ProbeResult], now: datetime) -> Part:
    report = health_report.build(now=now, results=results)
    size = _rendered(report)
    name = "report institutional"
    if report.missing:
        return Part(
            name=name,
            verdict=Verdict.WARN,
            message=f"{size}; without: {'; '.join(report.missing)}",
            remedy="See the probes of the databases.",
        )
    return Part(name=name, verdict=Verdict.PASS, message=f"{size}, {len(report.components)} components")


def order_report(now: datetime, seconds: float) -> Part:
    with models_asked_within(PRIMARY_ALIAS, seconds):
        report = order_review.build(now=now)
    return Part(
        name="report orders", verdict=Verdict.PASS, message=f"{_rendered(report)}, {report.total_orders:,} orders"
    )


def _rendered(report: rendering.Report) -> str:
    html, text = rendering.html_file(report), rendering.json_text(report)
    return f"HTML {len(html.encode()) / 1000:.0f} kB, JSON {len(text.encode()) / 1000:.0f} kB"


def round_trip(now: datetime, seconds: float) -> list[Part]:
    """An order from staging to its fill, and then its trail: two parts."""
    name, of_audit = ROUND_TRIP
    try:
        found = rehearsal.rehearse(now=now, seconds=seconds)
    except (Refused, Failed) as error:
        why = f"{error.code}: {error}" if isinstance(error, Refused) else str(error)
        remedy = "Read docs/workflow.md for what should have happened, and the log for what did."
        return _failed_first(ROUND_TRIP, why, remedy)
    took = round(found.trip_seconds * 1000, 3)
    if found.trail is None:
        message = f"staged, and blocked by {', '.join(found.blocked_by)}: nothing can be approved now"
        remedy = "Release trading, or see docs/rules.md for what each rule wants."
        blocked = Part(name=name, verdict=Verdict.WARN, message=message, remedy=remedy, took_ms=took)
        return [blocked, _not_reached(of_audit, name)]
    message = f"{', '.join(found.steps)}; rolled back"
    trip = Part(name=name, verdict=Verdict.PASS, message=message, took_ms=took)
    return [trip, _audited(of_audit, found)]


def _audited(name: str, found: rehearsal.Rehearsal) -> Part:
    took = round(found.audit_seconds * 1000, 3)
    trail = found.trail
    if trail is None or not trail.is_sound or trail.events != len(found.steps):
        bad = trail.findings[0].what if trail and trail.findings else f"{trail.events if trail else 0} events"
        message = f"the trail of {len(found.steps)} steps is not as it was written: {bad}"
        remedy = "Run manage.py verify_audit, and check EMO_AUDIT_KEY (docs/audit.md)."
        return Part(name=name, verdict=Verdict.FAIL, message=message, remedy=remedy, took_ms=took)
    return Part(name=name, verdict=Verdict.PASS, message=f"{trail.events} events, all as written", took_ms=took)
