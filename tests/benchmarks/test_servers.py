"""The verdict of benchmarks/servers.py: when the choice of the server is to be thought over."""

from __future__ import annotations

import json

import pytest

from benchmarks import servers

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("queue", "counts", "missed"), [(1.0, 1.1, False), (1.2, 2.0, False), (2.0, 1.2, False), (1.3, 1.4, True)]
)
def test_granian_must_be_clearly_faster_at_both_pages(queue: float, counts: float, missed: bool) -> None:
    goals = json.loads(servers.GOALS.read_text())["servers"]
    result = {"pages": {"review queue": {"ratio": queue}, "JSON of the queue": {"ratio": counts}}}
    assert bool(servers.misses(result, goals)) is missed


def test_what_is_judged_is_the_median_of_the_rounds_ratios() -> None:
    rounds = [
        {
            name: {"per_second": speed, "p50_ms": 1.0, "p95_ms": 2.0}
            for name, speed in (("gunicorn", 10.0), ("granian", one))
        }
        for one in (10.0, 12.0, 40.0)
    ]
    summed = servers._summed(rounds)
    assert (summed["ratio"], summed["spread"]) == (1.2, [1.0, 4.0])


def test_both_are_started_with_as_many_processes_and_threads() -> None:
    started = {name: servers.command(name, 8000) for name in servers.SERVERS}
    for options in started.values():
        assert options[options.index("--workers") + 1] == "2"
    assert started["gunicorn"][started["gunicorn"].index("--threads") + 1] == "8"
    assert started["granian"][started["granian"].index("--blocking-threads") + 1] == "8"
