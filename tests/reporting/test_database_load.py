"""Connections, statements, hosts and replicas on the health page: figures, words, and what is not known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from emo_site.db import statements
from emo_site.db.pools import PoolFigures
from emo_site.db.replicas import ReplicaState
from emo_site.db.statements import DatabaseStatements, SlowStatement
from emo_site.db.waits import WaitFigures
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from reporting import database_load, health_report, rendering
from reporting.database_load import milliseconds
from tests.factories import NOW


def result(name: str, **metrics: object) -> ProbeResult:
    finding = Finding(status=HealthStatus.HEALTHY, message="fine", metrics=metrics)
    return ProbeResult(name=name, critical=False, finding=finding, at=NOW, response_ms=1.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "n/a"),
        (0.0, "0.00 ms"),
        (0.994, "0.99 ms"),
        (0.996, "1.0 ms"),
        (9.94, "9.9 ms"),
        (9.96, "10 ms"),
        (999.4, "999 ms"),
        (999.6, "1.0 s"),
        (61_234.0, "61.2 s"),
    ],
)
def test_times_are_told_in_the_unit_that_matters(value: float | None, expected: str) -> None:
    assert milliseconds(value) == expected


POOL = PoolFigures(
    alias="default",
    min_size=1,
    max_size=4,
    size=3,
    in_use=2,
    available=1,
    waits=WaitFigures(requests=4, total_ms=10.0, longest_ms=7.0, waiting=0),
    connections_made=3,
    connections_failed=2,
    connections_lost=1,
)


def test_a_pool_in_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_load.pools, "figures", lambda: (POOL,))
    [pool] = database_load.build([]).pools
    assert (pool.size_text, pool.wait_text, pool.lost_text, pool.tone) == (
        "3 of 1 to 4",
        "2.5 ms, longest 7.0 ms",
        "1 / 2",
        "good",
    )
    assert (pool.waiting, pool.requests, pool.wait_mean_ms, pool.wait_total_ms, pool.timeouts) == (0, 4, 2.5, 10.0, 0)


def test_a_pool_that_gave_nothing_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    troubled = replace(POOL, waits=WaitFigures(requests=4, failed=2, recently_failed=1))
    monkeypatch.setattr(database_load.pools, "figures", lambda: (troubled,))
    [pool] = database_load.build([]).pools
    assert (pool.tone, pool.timeouts) == ("warn", 2)


@pytest.mark.sqlite
def test_sqlite_says_why_it_has_no_pool() -> None:
    [pool] = database_load.build([]).pools
    assert (pool.reason, pool.size) == ("SQLite is a file: each thread opens it by itself", None)


APPLICATION = {"name": "emo-x", "here": True, "sessions": 3, "active": 1, "idle_in_transaction": 2, "hidden": 0}


def test_a_servers_sessions_come_from_its_probe() -> None:
    others = {**APPLICATION, "name": "psql", "active": 0, "idle_in_transaction": 0, "hidden": 3}
    server = {
        "max_connections": 100,
        "reserved": 3,
        "used": 6,
        "used_percent": 6.2,
        "applications": [APPLICATION, others],
    }
    [found] = database_load.build([result("connections:default", server=server), result("disk")]).servers
    assert found.summary_text == "6 of 97 connections in use, 3 more are reserved"
    assert [(each.active_text, each.idle_text) for each in found.applications] == [("1", "2"), ("n/a", "n/a")]


HOST: dict[str, Any] = {
    "host": "h1",
    "port": "5432",
    "error": None,
    "role": "primary",
    "takes_writes": True,
    "timeline": 3,
    "lag_seconds": None,
    "streaming": None,
    "cluster": "7",
}
STANDBY = {**HOST, "host": "h2", "role": "standby", "takes_writes": False, "lag_seconds": 1.25, "streaming": True}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (HOST, ("h1:5432", "good", "primary", "takes writes", "3", "n/a")),
        ({**HOST, "takes_writes": False}, ("h1:5432", "accent", "primary", "set read-only", "3", "n/a")),
        (STANDBY, ("h2:5432", "accent", "standby", "follows", "3", "1.2 s")),
        (
            {**STANDBY, "streaming": False},
            ("h2:5432", "warn", "standby", "receives nothing from a primary", "3", "1.2 s"),
        ),
        (
            {**HOST, "host": "", "error": "refused", "role": None, "takes_writes": None, "timeline": None},
            ("local socket:5432", "bad", "silent", "refused", "n/a", "n/a"),
        ),
    ],
)
def test_hosts(host: dict[str, Any], expected: tuple[str, ...]) -> None:
    [found] = database_load.build([result("hosts:default", hosts=[host])]).hosts
    assert (found.host, found.tone, found.role, found.says_text, found.timeline_text, found.lag_text) == expected


@pytest.mark.parametrize(("usable", "status", "tone"), [(True, "read from", "good"), (False, "left out", "warn")])
def test_replicas(monkeypatch: pytest.MonkeyPatch, usable: bool, status: str, tone: str) -> None:
    state = ReplicaState(
        alias="replica1",
        usable=usable,
        answers=True,
        standby=True,
        reason="a reason",
        lag_seconds=None,
        position=0,
        looked_at=NOW,
        since=NOW,
    )
    monkeypatch.setattr(database_load.replicas, "states", lambda: [state])
    [found] = database_load.build([]).replicas
    assert (found.status_text, found.tone, found.lag_text, found.since_text) == (
        status,
        tone,
        "n/a",
        "2025-11-03 15:00:00 UTC",
    )


COUNTED = DatabaseStatements(
    alias="default",
    count=12_345,
    errors=9,
    errors_by_kind=tuple((f"kind{number}", 9 - number) for number in range(7)),
    slow=2,
    total_ms=61_234.0,
    recent=100,
    p50_ms=0.351,
    p95_ms=None,
    slowest=(SlowStatement(text="SELECT <b>", slowest_ms=1234.5, at=datetime(2025, 11, 3, 14, 0, tzinfo=UTC)),),
    histogram=(),
)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = statements.StatementFigures(process=7, since=NOW, databases=(COUNTED,))
    monkeypatch.setattr(database_load.statements, "figures", lambda: figures)


@pytest.mark.usefixtures("counted")
def test_statements_in_words() -> None:
    load = database_load.build([])
    [row], [slow] = load.statements, load.slowest
    assert (row.count_text, row.p50_text, row.p95_text, row.total_text) == ("12,345", "0.35 ms", "n/a", "61.2 s")
    assert row.kinds_text == "kind0 × 9, kind1 × 8, kind2 × 7, kind3 × 6, kind4 × 5 and 2 other kinds"
    assert (slow.took_text, slow.at_text) == ("1.2 s", "2025-11-03 14:00:00 UTC")
    assert (load.process.pid, load.process.since) == (7, NOW)


@pytest.mark.django_db
@pytest.mark.usefixtures("counted")
def test_page_and_json_tell_the_same() -> None:
    results = [result("hosts:default", hosts=[HOST, STANDBY])]
    report = health_report.build(now=NOW, results=results)
    page = rendering.html_file(report)
    for text in ("Hosts and replicas", "h2:5432", "pid 7", "SELECT &lt;b&gt;", "0.35 ms", "12,345"):
        assert text in page
    load = json.loads(rendering.json_text(report))["load"]
    assert load["statements"][0]["count"] == 12_345
    assert load["slowest"][0]["text"] == "SELECT <b>"
    assert load["hosts"][1]["lag_seconds"] == 1.25
    assert load["process"]["pid"] == 7
    assert load["pools"][0]["alias"] == "default"
