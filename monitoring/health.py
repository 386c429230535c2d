"""Runs probes in parallel within a bound, sums them up and records what they found. The only writer of SystemHealth."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from django.conf import settings
from django.db import connections, transaction
from django.utils.module_loading import import_string

from emo_site.db.aliases import database_of
from emo_site.db.uuid7 import uuid7
from monitoring.choices import HealthStatus
from monitoring.models import SystemHealth

logger = logging.getLogger(__name__)

FULL_SCORE = Decimal(100)
SCORES = {HealthStatus.HEALTHY: FULL_SCORE, HealthStatus.WARNING: Decimal(60), HealthStatus.ERROR: Decimal(0)}
# How much a component counts: what the desk can't work without, as much as three others.
CRITICAL_WEIGHT, WEIGHT = 3, 1
# One critical component that is down caps the whole: a desk without its database is not 75 % healthy.
CRITICAL_CAP = Decimal(20)
POINT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one probe found. `message` says what is; `remedy` what to do about it, empty where all is well."""

    status: HealthStatus
    message: str
    remedy: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)


class Probe(Protocol):
    """A small class with one `run()`. Its thresholds are its fields. `critical`: without it the desk can't work.

    One that must be bounded more tightly than the whole run has a field `timeout`, in seconds.
    """

    @property
    def name(self) -> str: ...

    @property
    def critical(self) -> bool: ...

    def run(self) -> Finding:
        """Looks once. May take long or raise: the runner bounds and reports it."""


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    name: str
    critical: bool
    finding: Finding
    at: datetime
    response_ms: float | None
    """Milliseconds the probe took; None where it gave no answer."""

    @property
    def score(self) -> Decimal | None:
        """0 to 100; None for unknown, which is neither good nor bad."""
        return SCORES.get(self.finding.status)


def configured() -> list[Probe]:
    """The probes that settings.PROBES names."""
    return [import_string(path)(**thresholds) for path, thresholds in settings.PROBES]


def run(probes: Sequence[Probe], *, timeout: float, now: datetime) -> list[ProbeResult]:
    """Runs all probes at once; ends within `timeout` seconds, whatever they do.

    A probe that has not answered by then, or within its own `timeout`, is an error of that probe. Its thread is left
    behind as a daemon: a socket that never answers can't be interrupted, but it must not hold up the others or the end
    of the program.
    """
    began = time.monotonic()
    bounds = [min(timeout, getattr(probe, "timeout", timeout)) for probe in probes]
    slots: list[list[ProbeResult]] = [[] for _ in probes]
    threads = [
        threading.Thread(target=_run_one, args=(probe, now, slot), daemon=True, name=f"probe {probe.name}")
        for probe, slot in zip(probes, slots, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread, bound in zip(threads, bounds, strict=True):
        thread.join(max(0.0, began + bound - time.monotonic()))
    # Taken at once: what answers from now on comes too late.
    answers = [slot[0] if slot else None for slot in slots]
    return [
        answer or _no_answer(probe, bound, now) for probe, bound, answer in zip(probes, bounds, answers, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class SystemScore:
    """A score from 0 to 100 and what pulls it down: 100 less every component's points, less `capped`, is `score`.

    A component loses its share of the weights (CRITICAL_WEIGHT or WEIGHT, of the components that know) of what it lacks
    to 100. `capped` is what is taken away beyond that while a critical one fails (`capped_by`): the whole is then at
    most CRITICAL_CAP. `known` of `all` components count: unknown is neither good nor bad.
    """

    score: Decimal
    lost: tuple[tuple[str, Decimal], ...]
    capped: Decimal
    capped_by: tuple[str, ...]
    known: int
    all: int


def score_of(results: Sequence[ProbeResult]) -> SystemScore | None:
    """None where no probe knows. Components that lost nothing are left out; those that lost most come first."""
    known = [(result, result.score) for result in results if result.score is not None]
    if not known:
        return None
    lost = _lost(known)
    plain = (FULL_SCORE - sum((points for _, points in lost), Decimal(0))).quantize(POINT)
    failing = tuple(result.name for result, _ in known if result.critical and result.finding.status == "error")
    score = min(plain, CRITICAL_CAP) if failing else plain
    return SystemScore(
        score=score,
        lost=lost,
        capped=plain - score,
        capped_by=failing if plain > score else (),
        known=len(known),
        all=len(results),
    )


def _lost(known: Sequence[tuple[ProbeResult, Decimal]]) -> tuple[tuple[str, Decimal], ...]:
    """Points by component, most first. Rounded to hundredths that add up to the rounded whole."""
    weights = sum(weight_of(result) for result, _ in known)
    exact = [(result.name, (FULL_SCORE - score) * weight_of(result) / weights) for result, score in known]
    lost = sorted(((name, points.quantize(POINT)) for name, points in exact if points), key=_most_first)
    if lost:
        whole = sum((points for _, points in exact), Decimal(0))
        rest = whole.quantize(POINT) - sum((points for _, points in lost), Decimal(0))
        lost[0] = (lost[0][0], lost[0][1] + rest)
    return tuple(lost)


def _most_first(pair: tuple[str, Decimal]) -> tuple[Decimal, str]:
    return -pair[1], pair[0]


def weight_of(result: ProbeResult) -> int:
    return CRITICAL_WEIGHT if result.critical else WEIGHT


def system_score(results: Sequence[ProbeResult]) -> Decimal | None:
    """Of `score_of` the score alone."""
    found = score_of(results)
    return None if found is None else found.score


def worst_status(results: Sequence[ProbeResult]) -> HealthStatus:
    """Error before warning before healthy; unknown where no probe knows. One unknown does not hide what others know."""
    found = {result.finding.status for result in results}
    for status in (HealthStatus.ERROR, HealthStatus.WARNING, HealthStatus.HEALTHY):
        if status in found:
            return status
    return HealthStatus.UNKNOWN


def record(results: Sequence[ProbeResult]) -> int:
    """Stores one SystemHealth row for each result; returns how many. Raises DatabaseError where that can't be done."""
    return store(rows_of(results))


def rows_of(results: Sequence[ProbeResult]) -> list[SystemHealth]:
    """Not stored yet, with the ids that they will have: stored twice, such a row is there once.

    Unknown has no score: its row has 0, and its status says that the figure is none.
    """
    return [
        SystemHealth(
            id=uuid7(result.at),
            component_name=result.name,
            health_score=result.score if result.score is not None else Decimal(0),
            status=result.finding.status,
            timestamp=result.at,
            response_ms=result.response_ms,
            metrics=result.finding.metrics,
            metadata={"message": result.finding.message, "remedy": result.finding.remedy, "critical": result.critical},
        )
        for result in results
    ]


def store(rows: Sequence[SystemHealth]) -> int:
    """Writes rows made before, whole or not at all; those that are there already stay. Raises DatabaseError."""
    with transaction.atomic(using=database_of("monitoring")):
        SystemHealth.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
    return len(rows)


def bounded(timeout: float) -> float:
    """The time-out of a command line; ValueError where no run could keep it."""
    if not 0.1 <= timeout <= 600:
        raise ValueError(f"--timeout={timeout:g}: must be from 0.1 to 600 seconds")
    return timeout


class SharedRun:
    """One probe run at a time, its results shared by everybody who asks within `max_age` seconds.

    Probing anew for every request of a load balancer exhausts the connection pool as soon as one database hangs. Who
    asks while a run is under way gets the results before it, where they are no older than `max_age` and a run: were
    they to wait, all threads of a server would.
    """

    def __init__(self, max_age: float) -> None:
        self._max_age = max_age
        self._lock = threading.Lock()
        self._results: dict[tuple[str, ...], tuple[float, list[ProbeResult]]] = {}

    def results(self, probes: Sequence[Probe], *, timeout: float) -> list[ProbeResult]:
        key = tuple(probe.name for probe in probes)
        if (known := self._younger_than(self._max_age, key)) is not None:
            return known
        if not self._lock.acquire(blocking=False):
            if (known := self._younger_than(self._max_age + timeout, key)) is not None:
                return known
            self._lock.acquire()
        try:
            # Whoever had the lock before may have looked meanwhile.
            if (known := self._younger_than(self._max_age, key)) is not None:
                return known
            results = run(probes, timeout=timeout, now=datetime.now(UTC))
            self._results[key] = (time.monotonic(), results)
            return results
        finally:
            self._lock.release()

    def _younger_than(self, seconds: float, key: tuple[str, ...]) -> list[ProbeResult] | None:
        at, results = self._results.get(key, (float("-inf"), []))
        return results if time.monotonic() - at <= seconds else None


def _run_one(probe: Probe, now: datetime, slot: list[ProbeResult]) -> None:
    started = time.perf_counter()
    try:
        finding = _finding(probe)
    except Exception as error:  # the program's edge for a probe: its crash is its own error, never "healthy"
        logger.exception("probe %s failed", probe.name)
        finding = Finding(
            status=HealthStatus.ERROR,
            message=f"The probe itself failed: {type(error).__name__}: {error}",
            remedy="Read the log for the trace.",
        )
    finally:
        # A connection left open in a finished thread is lost to the pool.
        connections.close_all()
    elapsed = (time.perf_counter() - started) * 1000
    slot.append(
        ProbeResult(name=probe.name, critical=probe.critical, finding=finding, at=now, response_ms=round(elapsed, 3))
    )


def _finding(probe: Probe) -> Finding:
    finding = probe.run()
    if not isinstance(finding, Finding):
        # Found here, it is this probe's error; later it would be everybody's.
        raise TypeError(f"run() gave {finding!r} instead of a Finding")
    return finding


def _no_answer(probe: Probe, timeout: float, now: datetime) -> ProbeResult:
    finding = Finding(
        status=HealthStatus.ERROR,
        message=f"No answer within {timeout:g} s.",
        remedy="Check that the host is up and that no firewall swallows its packets.",
    )
    return ProbeResult(name=probe.name, critical=probe.critical, finding=finding, at=now, response_ms=None)
