"""Memory, processors and the cache in every state."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from django.core.cache.backends.locmem import LocMemCache

from monitoring.health import Finding
from monitoring.machine_probes import CacheProbe, LoadProbe, MemoryProbe

GIB = 2**30


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


@pytest.mark.parametrize(
    ("available", "swapped", "expected"),
    [
        (50, 0, ("healthy", "50.0 % available (50.0 of 100.0 GiB), 0 % of the swap space in use")),
        (10, 60, ("healthy", "10.0 % available (10.0 of 100.0 GiB), 60 % of the swap space in use")),
        (9, 0, ("warning", "9.0 % available (9.0 of 100.0 GiB), 0 % of the swap space in use")),
        (50, 61, ("warning", "50.0 % available (50.0 of 100.0 GiB), 61 % of the swap space in use")),
        (3, 0, ("error", "3.0 % available (3.0 of 100.0 GiB), 0 % of the swap space in use")),
    ],
)
def test_memory(monkeypatch: pytest.MonkeyPatch, available: int, swapped: int, expected: tuple[str, str]) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available * GIB, total=100 * GIB))
    monkeypatch.setattr(
        psutil, "swap_memory", lambda: SimpleNamespace(total=GIB, used=GIB * swapped // 100, percent=float(swapped))
    )
    finding = MemoryProbe().run()
    assert said(finding) == expected
    assert bool(finding.remedy) == (finding.status != "healthy")


def test_this_machine_has_memory() -> None:
    finding = MemoryProbe(warn_available_percent=0, error_available_percent=0, warn_swapped_percent=100).run()
    assert str(finding.status) == "healthy"
    assert 0 < finding.metrics["available_bytes"] < finding.metrics["total_bytes"]


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (2.0, ("healthy", "load 2.0 on 4 processors over 5 min (0.50 each)")),
        (8.0, ("healthy", "load 8.0 on 4 processors over 5 min (2.00 each)")),
        (9.0, ("warning", "load 9.0 on 4 processors over 5 min (2.25 each), the limit is 2")),
        (40.0, ("error", "load 40.0 on 4 processors over 5 min (10.00 each), the limit is 2")),
    ],
)
def test_load(monkeypatch: pytest.MonkeyPatch, load: float, expected: tuple[str, str]) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, load, 0.2))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    finding = LoadProbe().run()
    assert said(finding) == expected
    assert finding.metrics == {"load_1": 0.1, "load_5": load, "load_15": 0.2, "processors": 4}


class Lost(LocMemCache):
    """As a server that is gone."""

    def set(self, *args: Any, **kwargs: Any) -> None:
        raise ConnectionError("refused")


class Forgetful(LocMemCache):
    """As a server without memory."""

    def get(self, *args: Any, **kwargs: Any) -> None:
        return None


def cache(settings: Any, backend: str) -> None:
    settings.CACHES = {"default": {"BACKEND": backend}}


def test_a_cache_that_gives_back_what_was_put_into_it_is_healthy(settings: Any) -> None:
    cache(settings, "django.core.cache.backends.locmem.LocMemCache")
    finding = CacheProbe(warn_ms=10_000).run()
    assert str(finding.status) == "healthy"
    assert finding.message.startswith("LocMemCache, put and taken in ")


def test_a_slow_cache_is_a_warning(settings: Any) -> None:
    cache(settings, "django.core.cache.backends.locmem.LocMemCache")
    finding = CacheProbe(warn_ms=0).run()
    assert str(finding.status) == "warning"
    assert finding.message.endswith(" ms (limit 0 ms)")


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (f"{__name__}.Lost", "Lost can't be used: ConnectionError: refused"),
        (f"{__name__}.Forgetful", "Forgetful did not give back what was put into it"),
        ("django.core.cache.backends.dummy.DummyCache", "DummyCache did not give back what was put into it"),
    ],
)
def test_a_cache_that_does_not_work_is_an_error(settings: Any, backend: str, message: str) -> None:
    cache(settings, backend)
    finding = CacheProbe().run()
    assert said(finding) == ("error", message)
    assert finding.remedy


def test_another_cache_has_a_name_of_its_own() -> None:
    assert (CacheProbe().name, CacheProbe(cache="sessions").name) == ("cache", "cache:sessions")
