"""The page of metrics: what the workers count, and what the databases are asked for each scrape.

It answers within seconds while a database is away: that is when it is looked at. What can't be asked is left out, and
emo_part_up says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils.module_loading import import_string
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from emo_site.db import deadline
from emo_site.db.aliases import database_of
from emo_site.db.outage import reason_of
from emo_site.metrics import instruments, publishing
from monitoring import health, metrics
from monitoring.choices import HealthStatus
from monitoring.health import Probe, ProbeResult
from monitoring.probes import DatabaseProbe

logger = logging.getLogger(__name__)

DATABASES_SECONDS = 2.0
PARTS_SECONDS = 2.0
# Several that scrape at once share one look: each of them asks every database.
SHARED_SECONDS = 1.0

Part = Callable[[datetime], Iterable[Metric]]


class _Looks:
    """The last look at the databases, and when."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._found: list[Metric] = []

    def found(self) -> list[Metric]:
        with self._lock:
            if time.monotonic() - self._at > SHARED_SECONDS:
                self._found = _look(datetime.now(UTC))
                self._at = time.monotonic()
            return self._found


class _Found(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


_looks = _Looks()


def text(*, accept: str) -> tuple[bytes, str]:
    """The page and its content type, as the header Accept wants it."""
    publishing.publish()
    asked = CollectorRegistry()
    asked.register(_Found(_looks.found()))
    encode, content_type = choose_encoder(accept)
    counted = encode(instruments.registry())
    # OpenMetrics ends with a line that says so, once.
    return counted.removesuffix(b"# EOF\n") + encode(asked), content_type


def _look(now: datetime) -> list[Metric]:
    probes: list[Probe] = [DatabaseProbe(alias=alias) for alias in settings.DATABASES]
    results = health.run(probes, timeout=DATABASES_SECONDS, now=now)
    return [_build(), *metrics.databases(results), *_parts(results, now)]


def _build() -> Metric:
    build = GaugeMetricFamily(
        "emo_build_info", "1; the labels say which desk this is.", labels=["version", "environment"]
    )
    build.add_metric([settings.EMO_VERSION, settings.EMO_ENV], 1)
    return build


def _parts(results: Iterable[ProbeResult], now: datetime) -> Iterable[Metric]:
    down = {result.name.partition(":")[2] for result in results if result.finding.status == HealthStatus.ERROR}
    up = GaugeMetricFamily(
        "emo_part_up", "1 where the part could be asked, else 0: its figures are missing.", labels=["part"]
    )
    with deadline.within(PARTS_SECONDS):
        for path, app_label in settings.METRICS:
            # Waiting for what is known to be away would only make the others late.
            found = None if database_of(app_label) in down else _asked(path, now)
            up.add_metric([path.rpartition(".")[2]], float(found is not None))
            yield from found or ()
    yield up


def _asked(path: str, now: datetime) -> list[Metric] | None:
    """None where the database did not answer as it should."""
    part: Part = import_string(path)
    try:
        return list(part(now))
    except (DatabaseError, InterfaceError, psycopg.Error) as error:
        logger.warning("/metrics goes without %s: %s", path, reason_of(error))
        return None
