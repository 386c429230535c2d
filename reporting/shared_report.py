"""The institutional report as everybody looks at it: built and rendered once for each version of its data.

Where the monitor runs, its last round is what the page shows, and nothing is probed for a viewer. Else, or where the
databases can't say what the last round was, the probes are run, for all viewers at once.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Max

from emo_site.db import deadline
from monitoring import health
from monitoring.health import ProbeResult, SharedRun
from monitoring.models import Incident
from orders.models import OrderEvent
from orders.standing import trading_day
from reporting import health_history, health_report, rendering
from reporting.health_report import InstitutionalReport

PROBE_TIMEOUT_SECONDS = 5.0
# A record that is older is no longer taken for the state of now.
FRESH_ROUNDS = 4
# For so long nobody asks again which version there is.
LOOK_SECONDS = 1.0
# So long a look may take, with the probes and everything else.
MAKING_SECONDS = 10.0
# A database that takes longer over so little is not well.
ANSWER_SECONDS = 1.0

_Found = TypeVar("_Found")


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """One version; `tag` is its name on the wire, `body` the HTML of everything that is the same for all viewers."""

    tag: str
    report: InstitutionalReport
    body: str


class SharedReport:
    """Holds the last version and no other. Who comes while the next one is made gets the last, or waits if that is
    older than it takes to make one.
    """

    def __init__(self, probes: SharedRun, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._probes = probes
        self._look_seconds = look_seconds
        self._lock = threading.Lock()
        # With the time at which it was last found to be the newest.
        self._last: tuple[Rendered, float] | None = None

    def current(self) -> Rendered:
        if (known := self._younger_than(self._look_seconds)) is not None:
            return known
        if not self._lock.acquire(blocking=False):
            # Were they to wait, all threads of a server would; the page says of which moment it is.
            if (known := self._younger_than(self._look_seconds + MAKING_SECONDS)) is not None:
                return known
            self._lock.acquire()
        try:
            # Whoever had the lock before may have looked meanwhile.
            if (known := self._younger_than(self._look_seconds)) is not None:
                return known
            self._last = (self._look(datetime.now(UTC)), time.monotonic())
            return self._last[0]
        finally:
            self._lock.release()

    def _younger_than(self, seconds: float) -> Rendered | None:
        # One value, read once: it is replaced by another thread.
        last = self._last
        return last[0] if last is not None and time.monotonic() - last[1] < seconds else None

    def _look(self, now: datetime) -> Rendered:
        recorded = _version(now)
        if recorded is not None:
            if (same := self._tagged(recorded)) is not None:
                return same
            if (results := _last_round(now)) is not None:
                return _rendered(recorded, max(result.at for result in results), results)
        results = self._probes.results(health.configured(), timeout=PROBE_TIMEOUT_SECONDS)
        tag = _tag("probed", max((result.at for result in results), default=now))
        return self._tagged(tag) or _rendered(tag, now, results)

    def _tagged(self, tag: str) -> Rendered | None:
        return self._last[0] if self._last is not None and self._last[0].tag == tag else None


def _rendered(tag: str, now: datetime, results: list[ProbeResult]) -> Rendered:
    report = health_report.build(now=now, results=results)
    return Rendered(tag=tag, report=report, body=rendering.body_html(report))


def _tag(*facts: Any) -> str:
    named = "|".join(map(str, (settings.EMO_VERSION, settings.EMO_ENV, *facts)))
    return f'W/"{hashlib.sha256(named.encode()).hexdigest()[:24]}"'


def _fresh() -> timedelta:
    return timedelta(seconds=FRESH_ROUNDS * settings.EMO_MONITOR_SECONDS)


def _version(now: datetime) -> str | None:
    """What the page hangs on, by three steps into indexes; None where there is no fresh round, or nobody answers."""
    return _or_none(lambda: _read_version(now))


def _last_round(now: datetime) -> list[ProbeResult] | None:
    names = [probe.name for probe in health.configured()]
    return _or_none(lambda: health_history.fresh_results(names, now=now, within=_fresh()))


def _or_none(ask: Callable[[], _Found | None]) -> _Found | None:
    """The probes then say what is the matter with the database that did not answer; they need their time too."""
    try:
        with deadline.within(ANSWER_SECONDS):
            return ask()
    except DatabaseError:
        return None


def _read_version(now: datetime) -> str | None:
    newest = health_history.newest_record(now=now)
    if newest is None or now - newest > _fresh():
        return None
    event = OrderEvent.objects.order_by("-at", "-id").values_list("pk", flat=True).first()
    incidents = Incident.objects.filter(environment=settings.EMO_ENV).aggregate(
        Max("began_at"), Max("ended_at"), Max("acknowledged_at")
    )
    return _tag(newest, event, sorted(incidents.items()), trading_day(now))
