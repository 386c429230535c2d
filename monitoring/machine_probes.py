"""The probes of the machine that the desk runs on: memory, processors, and the cache."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from uuid import uuid4

import psutil
from django.conf import settings
from django.core.cache import DEFAULT_CACHE_ALIAS, caches

from monitoring.choices import HealthStatus
from monitoring.health import Finding

_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class MemoryProbe:
    """How much memory could still be had without swapping, of the whole machine?"""

    warn_available_percent: float = 10
    error_available_percent: float = 4
    warn_swapped_percent: float = 60
    name = "memory"
    critical = False

    def run(self) -> Finding:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        available = 100 * memory.available / memory.total
        metrics = {
            "available_bytes": memory.available,
            "total_bytes": memory.total,
            "available_percent": round(available, 2),
            "swapped_bytes": swap.used,
            "swapped_percent": round(swap.percent, 2),
        }
        swapped = f", {swap.percent:.0f} % of the swap space in use" if swap.total else ""
        message = (
            f"{available:.1f} % available ({memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB){swapped}"
        )
        if available >= self.warn_available_percent and swap.percent <= self.warn_swapped_percent:
            return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
        return Finding(
            status=HealthStatus.ERROR if available < self.error_available_percent else HealthStatus.WARNING,
            message=message,
            remedy="See which process takes it (ps aux --sort=-rss); lower the number of workers, or add memory: the"
            " system ends whoever asks last.",
            metrics=metrics,
        )


@dataclass(frozen=True, kw_only=True)
class LoadProbe:
    """Do more processes wait to run, or for the disk, than there are processors? The mean of the last 5 minutes."""

    warn_per_processor: float = 2
    error_per_processor: float = 8
    name = "cpu"
    critical = False

    def run(self) -> Finding:
        one, five, fifteen = os.getloadavg()
        processors = os.cpu_count() or 1
        each = five / processors
        metrics = {"load_1": one, "load_5": five, "load_15": fifteen, "processors": processors}
        message = f"load {five:.1f} on {processors} processors over 5 min ({each:.2f} each)"
        if each <= self.warn_per_processor:
            return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
        return Finding(
            status=HealthStatus.ERROR if each > self.error_per_processor else HealthStatus.WARNING,
            message=f"{message}, the limit is {self.warn_per_processor:g}",
            remedy="See what runs and what waits for the disk (top); move imports and backups to quieter hours.",
            metrics=metrics,
        )


@dataclass(frozen=True, kw_only=True)
class CacheProbe:
    """Does the cache give back what was put into it?"""

    cache: str = DEFAULT_CACHE_ALIAS
    warn_ms: float = 50
    critical = False

    @property
    def name(self) -> str:
        return "cache" if self.cache == DEFAULT_CACHE_ALIAS else f"cache:{self.cache}"

    def run(self) -> Finding:
        backend = str(settings.CACHES[self.cache]["BACKEND"]).rpartition(".")[2]
        key, value = f"emo-probe-{uuid4().hex}", uuid4().hex
        started = time.perf_counter()
        try:
            cache = caches[self.cache]
            cache.set(key, value, timeout=30)
            found = cache.get(key)
            cache.delete(key)
        except Exception as error:  # noqa: BLE001  # each cache has a driver of its own, with errors of its own
            return Finding(
                status=HealthStatus.ERROR,
                message=f"{backend} can't be used: {type(error).__name__}: {error}",
                remedy="Check that its server runs, and settings.CACHES.",
                metrics={"backend": backend},
            )
        took = (time.perf_counter() - started) * 1000
        metrics = {"backend": backend, "round_trip_ms": round(took, 3)}
        if found != value:
            return Finding(
                status=HealthStatus.ERROR,
                message=f"{backend} did not give back what was put into it",
                remedy="Check its memory limit, and that all its servers run.",
                metrics=metrics,
            )
        message = f"{backend}, put and taken in {took:.1f} ms"
        if took > self.warn_ms:
            return Finding(
                status=HealthStatus.WARNING,
                message=f"{message} (limit {self.warn_ms:g} ms)",
                remedy="Look at the load of its server and at the network between.",
                metrics=metrics,
            )
        return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
