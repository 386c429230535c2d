"""The verdict of benchmarks/order_review.py: a goal that is missed is told, and what did not run did not pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import order_review
from tests import servers


def results(**changes: float) -> list[dict[str, Any]]:
    """Of two sizes on PostgreSQL."""
    goals = json.loads(order_review.GOALS.read_text())["order_review"]
    seconds = {"exact": changes.get("exact", 1.1), **{name: changes.get(name, 0.02) for name in goals["seconds"]}}
    small = {
        "engine": "postgresql",
        "orders": 100_000,
        "seconds": {**dict.fromkeys(seconds, 9.0), "exact": 0.1},
        "exact_to_raw": {"median": 0.9},
        "to_exact": {"loop": changes.get("loop", 60.0)},
        "grew_megabytes": 1.0,
    }
    large = {
        "engine": "postgresql",
        "orders": 1_000_000,
        "seconds": seconds,
        "exact_to_raw": {"median": changes.get("ratio", 0.25)},
        "to_exact": {},
        "grew_megabytes": changes.get("grew", 2.0),
    }
    return [large, small]


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"ratio": 0.31}, ["postgresql: exact takes 0.31 of the hand-written SQL, goal 0.3"]),
        ({"summaries": 0.051}, ["postgresql: summaries takes 0.051 s, goal 0.05"]),
        ({"page": 0.31}, ["postgresql: page takes 0.31 s, goal 0.3"]),
        ({"page_of_all": 0.31}, ["postgresql: page_of_all takes 0.31 s, goal 0.3"]),
        ({"cached": 0.031}, ["postgresql: cached takes 0.031 s, goal 0.03"]),
        ({"grew": 81}, ["postgresql: memory grew by 81 MB, goal 80"]),
        ({"loop": 39.9}, ["postgresql: 39.9 times as fast as the loop, goal 40"]),
        ({"exact": 1.6}, ["postgresql: an order costs 1.00 to 1.60 µs, goal within 1.5"]),
    ],
)
def test_goal_that_is_missed_is_told(changes: dict[str, float], missed: list[str]) -> None:
    goals = json.loads(order_review.GOALS.read_text())["order_review"]
    assert order_review.misses(results(**changes), goals) == missed


def test_what_did_not_run_has_not_passed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def none_here() -> None:
        raise servers.Unavailable("no server here")

    monkeypatch.setattr(servers, "postgresql", none_here)
    asked = ["--orders", "1000", "--engine", "postgresql", "--check"]
    assert order_review.main(asked) == order_review.EXIT_NOT_RUN
    assert capsys.readouterr().out == "postgresql, 1,000 orders: not run: no server here\n"


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("sqlite", marks=pytest.mark.sqlite),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ],
)
def test_every_way_runs_and_comes_to_the_same(engine: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert order_review.main(["--orders", "1200", "--runs", "1", "--engine", engine, "--json"]) == 0
    [found] = json.loads(capfd.readouterr().out)["results"]
    assert "not_run" not in found
    assert set(found["ways"]) == set(found["to_exact"]) == set(order_review.WAYS)
    goals = json.loads(order_review.GOALS.read_text())["order_review"]
    assert set(goals["seconds"]) < set(found["seconds"])


@pytest.mark.usefixtures("emptied_afterwards")
def test_both_ways_come_to_the_same_on_seeded_orders() -> None:
    from datetime import UTC, datetime, timedelta

    from django.db import connection

    from benchmarks import order_review_rows, order_review_sql, order_review_ways
    from orders.models import OrderFacts
    from reporting import order_sums

    start = datetime(2025, 1, 6, tzinfo=UTC)
    assert list(order_review_rows.fill(1200, start=start, period=timedelta(days=100), batch=700)) == [700, 1200]
    found = order_sums.tally(OrderFacts.objects.all())
    assert order_review_sql.differences(found, order_review_sql.tally()) == []
    with connection.cursor() as cursor:
        cursor.execute("UPDATE order_facts SET execution = execution + 1 WHERE execution IS NOT NULL")
    spoilt = order_sums.tally(OrderFacts.objects.all())
    assert {line.partition(":")[0] for line in order_review_sql.differences(spoilt, order_review_sql.tally())} == {
        "execution",
        "cheapest",
    }
    loop = order_review_ways.loop()
    assert order_review_ways.differences(found, loop) == []
    assert {line.partition(":")[0] for line in order_review_ways.differences(spoilt, loop)} == {"sums"}
