"""What the probes of servers say of what they find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from emo_site.db.clocks import ClockOffset
from emo_site.db.members import Member
from emo_site.db.pools import PoolFigures
from emo_site.db.sessions import Application, Sessions
from emo_site.db.waits import WaitFigures
from monitoring import server_probes
from monitoring.health import Finding
from monitoring.server_probes import ClockProbe, HostsProbe, PoolProbe, ReplicationProbe

STARTED = datetime(2025, 11, 3, 9, 0, tzinfo=UTC)
PRIMARY = Member(host="h1", port="5432", role="primary", takes_writes=True, cluster="7", timeline=2, started_at=STARTED)
STANDBY = Member(
    host="h2",
    port="",
    role="standby",
    takes_writes=False,
    cluster="7",
    timeline=2,
    lag_seconds=0.0,
    streaming=True,
    started_at=STARTED + timedelta(hours=1),
)
SILENT = Member(host="h2", port="5432", error="connection refused")
LOST = OperationalError("connection to server at 127.0.0.1, port 5 failed: refused\nIs the server running?")


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


def finds(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, answer: Any) -> None:
    @contextmanager
    def nothing(alias: str) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(alias=alias)

    def look(*args: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(server_probes, "own_connection", nothing)
    monkeypatch.setattr(module, name, look)


def served(count: int) -> Sessions:
    application = Application(
        name="emo-prod-gunicorn-1", here=True, sessions=count, active=1, idle_in_transaction=0, hidden=0
    )
    return Sessions(limit=103, reserved=3, applications=(application,))


POOL = PoolFigures(
    alias="default", min_size=1, max_size=2, size=2, in_use=1, available=1, waits=WaitFigures(requests=5)
)


@pytest.mark.parametrize(
    ("used", "pool", "expected"),
    [
        (1, POOL, ("healthy", "the server has 1 of 100 connections in use (1 %)")),
        (80, POOL, ("healthy", "the server has 80 of 100 connections in use (80 %)")),
        (
            81,
            POOL,
            (
                "warning",
                "The server has 81 of 100 connections in use (81 %), the limit is 80 %; most by"
                " emo-prod-gunicorn-1 (81).",
            ),
        ),
        (
            96,
            POOL,
            (
                "error",
                "The server has 96 of 100 connections in use (96 %), the limit is 80 %; most by"
                " emo-prod-gunicorn-1 (96).",
            ),
        ),
        (1, replace(POOL, in_use=2, available=0), ("healthy", "the server has 1 of 100 connections in use (1 %)")),
        (
            1,
            replace(POOL, in_use=2, available=0, waits=WaitFigures(requests=5, waiting=3)),
            ("warning", "3 wait for a connection: all 2 of this process's pool are in use."),
        ),
        (
            1,
            replace(POOL, waits=WaitFigures(requests=5, failed=9, recently_failed=4)),
            ("warning", "This process's pool gave no connection 4 times in the last 10 minutes."),
        ),
        (
            1,
            replace(POOL, waits=WaitFigures(requests=5, failed=9)),
            ("healthy", "the server has 1 of 100 connections in use (1 %)"),
        ),
        (
            1,
            PoolFigures(alias="default", reason="not asked yet"),
            ("healthy", "the server has 1 of 100 connections in use (1 %)"),
        ),
    ],
)
def test_connections(monkeypatch: pytest.MonkeyPatch, used: int, pool: PoolFigures, expected: tuple[str, str]) -> None:
    finds(monkeypatch, server_probes.sessions, "look_at", served(used))
    monkeypatch.setattr(server_probes.pools, "figures_of", lambda alias: pool)
    assert said(PoolProbe(alias="default").run()) == expected


@pytest.mark.parametrize(
    ("offset", "uncertainty", "expected"),
    [
        (0.25, 0.001, ("healthy", "0.250 s ahead of this host, ± 0.001 s")),
        (-0.999, 0.001, ("healthy", "0.999 s behind this host, ± 0.001 s")),
        (-1.5, 0.001, ("warning", "The database's clock is 1.500 s behind this host, ± 0.001 s (limit 1 s).")),
        (300.0, 0.01, ("error", "The database's clock is 300.000 s ahead of this host, ± 0.010 s (limit 1 s).")),
        # A slow answer is not a wrong clock.
        (1.9, 1.2, ("healthy", "1.900 s ahead of this host, ± 1.200 s")),
    ],
)
def test_clock(monkeypatch: pytest.MonkeyPatch, offset: float, uncertainty: float, expected: tuple[str, str]) -> None:
    found = ClockOffset(offset_seconds=offset, uncertainty_seconds=uncertainty)
    finds(monkeypatch, server_probes.clocks, "compare", found)
    finding = ClockProbe(alias="default").run()
    assert said(finding) == expected
    assert finding.metrics == {"offset_seconds": offset, "uncertainty_seconds": uncertainty}


@pytest.mark.parametrize(
    ("probe", "module", "name"), [(PoolProbe, "sessions", "look_at"), (ClockProbe, "clocks", "compare")]
)
def test_a_server_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch, probe: Any, module: str, name: str) -> None:
    finds(monkeypatch, getattr(server_probes, module), name, LOST)
    assert said(probe(alias="default").run()) == (
        "error",
        "Can't be used: connection to server at 127.0.0.1, port 5 failed: refused",
    )


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ([PRIMARY, STANDBY], ("healthy", "h1:5432 primary, h2:5432 standby")),
        (
            [PRIMARY, replace(PRIMARY, host="h2", timeline=3)],
            ("error", "2 hosts take writes (split brain): h1:5432 (timeline 2), h2:5432 (timeline 3)."),
        ),
        # A fenced old primary is no second one.
        (
            [PRIMARY, replace(PRIMARY, host="h2", takes_writes=False)],
            ("healthy", "h1:5432 primary, h2:5432 primary set read-only"),
        ),
        (
            [PRIMARY, SILENT],
            ("warning", "h2:5432 does not answer: connection refused. h1:5432 takes writes."),
        ),
        (
            [STANDBY, replace(SILENT, host="h3")],
            ("error", "No host takes writes: h2:5432 standby, h3:5432 does not answer."),
        ),
        (
            [PRIMARY, replace(STANDBY, cluster="8")],
            ("error", "The hosts belong to different clusters: h1:5432 (cluster 7), h2:5432 (cluster 8)."),
        ),
        ([PRIMARY, replace(STANDBY, streaming=False)], ("warning", "h2:5432 receives nothing from a primary.")),
    ],
)
def test_hosts(monkeypatch: pytest.MonkeyPatch, hosts: list[Member], expected: tuple[str, str]) -> None:
    monkeypatch.setattr(server_probes.members, "members_of", lambda alias: hosts)
    finding = HostsProbe(alias="default").run()
    assert said(finding) == expected
    assert [each["host"] for each in finding.metrics["hosts"]] == [each.host for each in hosts]


def test_of_two_primaries_the_older_is_to_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [replace(PRIMARY, host="new", timeline=3), replace(PRIMARY, host="old", timeline=2)]
    monkeypatch.setattr(server_probes.members, "members_of", lambda alias: hosts)
    assert HostsProbe(alias="default").run().remedy.startswith("Stop old:5432 at once")


@pytest.mark.parametrize(
    ("replica", "primary", "expected"),
    [
        (STANDBY, [PRIMARY, STANDBY], ("healthy", "follows h1:5432 on timeline 2")),
        (replace(STANDBY, streaming=False), [PRIMARY], ("warning", "It receives nothing from a primary.")),
        (
            replace(STANDBY, cluster="8"),
            [PRIMARY],
            ("error", "A server of another cluster (8, ours is 7): it holds other data."),
        ),
        (replace(PRIMARY, host="other name"), [PRIMARY], ("healthy", "the primary itself (h1:5432), on timeline 2")),
        (
            replace(PRIMARY, host="h2", started_at=STARTED + timedelta(hours=1), timeline=1),
            [PRIMARY],
            ("error", "A primary of its own on timeline 1; ours, h1:5432, is on 2."),
        ),
        (SILENT, [PRIMARY], ("unknown", "Can't be compared: connection refused")),
        (STANDBY, [replace(PRIMARY, takes_writes=False)], ("unknown", "Can't be compared: no primary takes writes")),
    ],
)
def test_replica(
    monkeypatch: pytest.MonkeyPatch, replica: Member, primary: list[Member], expected: tuple[str, str]
) -> None:
    monkeypatch.setattr(server_probes.members, "members_of", lambda alias: primary if alias == "default" else [replica])
    assert said(ReplicationProbe(alias="replica1").run()) == expected


@pytest.mark.postgresql
@pytest.mark.django_db
@pytest.mark.parametrize("probe", [PoolProbe, ClockProbe, HostsProbe])
def test_real_server_is_healthy(probe: Any) -> None:
    finding = probe(alias="default").run()
    assert str(finding.status) == "healthy", finding.message
