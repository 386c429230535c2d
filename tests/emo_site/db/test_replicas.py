"""Which replica is read from, when, and by whom."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest
from django.db import transaction

from emo_site.db import replicas
from emo_site.db.replicas import ReplicaState, alias_for_read, noting_use, reading_from_replica
from emo_site.db.replicas import in_use as replicas_in_use
from tests.clusters import Cluster, replicated
from tests.desk import environment_of, manage, served
from tests.run import PROJECT

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def state(
    alias: str, *, usable: bool = True, answers: bool = True, standby: bool = True, position: int = 100
) -> ReplicaState:
    return ReplicaState(
        alias=alias,
        usable=usable,
        answers=answers,
        standby=standby,
        reason="",
        lag_seconds=0,
        position=position,
        looked_at=NOW,
        since=NOW,
    )


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_states(*states: ReplicaState, down: bool = False) -> None:
        monkeypatch.setattr(replicas, "states", lambda: list(states))
        monkeypatch.setattr(replicas, "primary_is_down", lambda: down)
        # Asked once more, they are where they were.
        monkeypatch.setattr(replicas, "_replayed", {each.alias: each.position for each in states}.__getitem__)

    return set_states


GOOD, BEHIND, LAGS = state("replica1"), state("replica1", position=10), state("replica1", usable=False)
GONE = state("replica1", usable=False, answers=False)


@pytest.mark.parametrize(
    ("states", "down", "asked", "alias"),
    [
        ([GOOD], False, {}, "replica1"),
        ([], False, {}, "default"),
        ([LAGS], False, {}, "default"),
        ([GONE], False, {}, "default"),
        ([GONE, state("replica2")], False, {}, "replica2"),
        # Who has written reads the primary until the replica has replayed it.
        ([GOOD], False, {"position": 100}, "replica1"),
        ([BEHIND], False, {"position": 100}, "default"),
        # Without a primary, old is better than nothing, and the furthest is the best.
        ([BEHIND], True, {"position": 100}, "replica1"),
        ([BEHIND, state("replica2", position=20)], True, {"position": 100}, "replica2"),
        ([LAGS], True, {}, "replica1"),
        ([LAGS, state("replica2", usable=False, position=200)], True, {}, "replica2"),
        ([GONE], True, {}, "default"),
        ([LAGS], False, {"any_will_do": True}, "replica1"),
        # The connection to the primary was lost: its own place in the list is no way round that.
        ([state("replica1", standby=False), state("replica2", position=90)], False, {"any_will_do": True}, "replica2"),
    ],
)
def test_where_a_read_goes(
    known: Callable[..., None], states: list[ReplicaState], down: bool, asked: dict[str, Any], alias: str
) -> None:
    known(*states, down=down)
    with reading_from_replica(**asked):
        assert alias_for_read() == alias
    assert alias_for_read() == "default"


@pytest.mark.parametrize(
    ("replayed", "alias", "asked"),
    [
        # Seen behind replica2 a second ago; the last commit was confirmed by it alone.
        ({"replica1": 100}, "replica1", ["replica2", "replica1"]),
        # It arrives a moment later.
        ({"replica2": [50, 100]}, "replica2", ["replica2", "replica1", "replica3", "replica2"]),
        ({}, "replica2", None),
    ],
)
def test_in_an_outage_who_has_written_reads_where_that_is(
    known: Callable[..., None], monkeypatch: pytest.MonkeyPatch, replayed: dict[str, Any], alias: str, asked: Any
) -> None:
    calls: list[str] = []

    def position(name: str) -> int:
        calls.append(name)
        found = replayed.get(name, -1)
        return (found.pop(0) if len(found) > 1 else found[0]) if isinstance(found, list) else found

    # What was the primary when it was looked at was the furthest, of course.
    known(state("replica1", position=10), state("replica2", position=20), state("replica3", standby=False), down=True)
    monkeypatch.setattr(replicas, "_replayed", position)
    with reading_from_replica(position=100, any_will_do=True):
        assert alias_for_read() == alias
    assert asked is None or calls == asked


def test_one_block_reads_from_one_replica(known: Callable[..., None]) -> None:
    known(GOOD, state("replica2"))
    with noting_use():
        for _ in range(3):
            with reading_from_replica():
                assert len({alias_for_read() for _ in range(4)}) == 1
        assert replicas_in_use() == ["replica1", "replica2"]


@pytest.mark.django_db
def test_inside_a_transaction_the_primary_is_read(known: Callable[..., None]) -> None:
    known(GOOD)
    with reading_from_replica(), transaction.atomic():
        assert alias_for_read() == "default"


def test_log_tells_of_a_replica_that_is_gone_and_of_one_that_is_back_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = replicas._Watch("replica1", {}, 0)
    gone = dataclasses.replace(GONE, reason="it does not answer")
    for seen in (GOOD, GOOD, gone, gone, GOOD, GOOD):
        watch._set(seen)
    # What settings.LOGGING lets through.
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == ["replica1 is left out: it does not answer", "replica1 is read from: "]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with replicated() as started:
        yield started


@pytest.fixture(scope="module")
def environment(cluster: Cluster) -> dict[str, str]:
    made = {
        "EMO_ENV": "dev",
        "EMO_DB_URL": cluster.url(),
        "EMO_REPLICA_URLS": cluster.standbys[0].url,
        "EMO_REPLICA_MAX_LAG": "1",
    }
    ran = manage("migrate", "--verbosity", "0", environment=made)
    assert ran.status == 0, ran.err
    created = manage(
        "shell",
        "-c",
        "from django.contrib.auth.models import User; User.objects.create_superuser('ann', password='right')",
        environment=made,
    )
    assert created.status == 0, created.err
    return made


WATCH = """
import json, sys, time
from emo_site.db import replicas
while True:
    (state,) = replicas.states()
    print(json.dumps([state.usable, state.answers, state.reason]), flush=True)
    time.sleep(0.2)
"""


@pytest.mark.cluster
def test_replica_that_lags_or_is_down_is_left_out_and_comes_back_by_itself(
    cluster: Cluster, environment: dict[str, str]
) -> None:
    (standby,) = cluster.standbys
    command = [sys.executable, str(PROJECT / "manage.py"), "shell", "--verbosity", "0", "-c", WATCH]
    with subprocess.Popen(
        command, env=environment_of(environment), cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None

        def until(wanted: list[Any], part: str) -> None:
            deadline = time.monotonic() + 30
            for line in watch.stdout:
                *got, reason = json.loads(line)
                if got == wanted and part in reason:
                    return
                assert time.monotonic() < deadline, f"{got} {reason}, not {wanted} {part}"

        try:
            until([True, True], "a standby")
            standby.pause_replay()
            cluster.primary.execute("CREATE TABLE IF NOT EXISTS noted (number integer)")
            until([False, True], "the limit is 1 s")
            standby.resume_replay()
            until([True, True], "a standby")
            standby.freeze()
            until([False, False], "")
            standby.thaw()
            until([True, True], "a standby")
            standby.stop()
            until([False, False], "")
            standby.start()
            until([True, True], "a standby")
        finally:
            watch.kill()


@pytest.mark.cluster
def test_who_has_written_reads_it_though_the_replica_is_behind(cluster: Cluster, environment: dict[str, str]) -> None:
    (standby,) = cluster.standbys
    with served({**environment, "EMO_REPLICA_MAX_LAG": "3600"}) as port:
        base = f"http://127.0.0.1:{port}"
        browser = build_opener(HTTPCookieProcessor(CookieJar()))
        log_in(browser, base)
        cluster.wait_until_replayed(standby)
        time.sleep(2.5)
        standby.pause_replay()
        try:
            # A new session, which the replica does not know.
            log_in(browser, base)
            assert "Log out" in browser.open(f"{base}/reports/orders/", timeout=15).read().decode()
            # Without the cookie that says so, the replica is asked, and knows nobody.
            for handler in browser.handlers:
                if isinstance(handler, HTTPCookieProcessor):
                    handler.cookiejar.clear("127.0.0.1", "/", "emo_written")
            assert "/admin/login/" in browser.open(f"{base}/reports/orders/", timeout=15).url
        finally:
            standby.resume_replay()


def log_in(browser: OpenerDirector, base: str) -> None:
    for handler in browser.handlers:
        if isinstance(handler, HTTPCookieProcessor):
            handler.cookiejar.clear()
            browser.open(f"{base}/admin/login/", timeout=15).read()
            (token,) = [cookie.value for cookie in handler.cookiejar if cookie.name == "csrftoken"]
    form = {"username": "ann", "password": "right", "csrfmiddlewaretoken": token, "next": "/admin/password_change/"}
    answer = browser.open(f"{base}/admin/login/", urlencode(form).encode(), timeout=15)
    assert "/admin/password_change/" in answer.url


@pytest.mark.cluster
def test_report_is_exported_from_the_replica(tmp_path: Path, cluster: Cluster, environment: dict[str, str]) -> None:
    (standby,) = cluster.standbys
    patient = {**environment, "EMO_REPLICA_MAX_LAG": "3600"}

    def orders() -> int:
        path = tmp_path / "report.json"
        ran = manage("export_report", "orders", "--format", "json", "--output", str(path), environment=patient)
        assert ran.status == 0, ran.err
        return int(json.loads(path.read_text())["total_orders"])

    standby.pause_replay()
    try:
        assert manage("load_demo", environment=patient).status == 0
        assert orders() == 0
    finally:
        standby.resume_replay()
    cluster.wait_until_replayed(standby)
    assert orders() == 10


WITHOUT_THE_PRIMARY = """
import json, time
from datetime import UTC, datetime
from django.conf import settings
from emo_site.db import deadline, replicas
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from reporting import health_report
now = datetime.now(UTC)
# As the probes found the primary a moment before it went.
well = Finding(status=HealthStatus.HEALTHY, message="", metrics={"engine": "postgresql", "version": "18"})
names = [f"{of}:{alias}" for of in ("database", "migrations") for alias in settings.DATABASES]
found = [
    ProbeResult(name=name, critical=True, finding=well, at=now, response_ms=1.0) for name in names
]
replicas.states()
with deadline.within(9), replicas.reading_from_replica(any_will_do=True), deadline.patience(1):
    began = time.monotonic()
    report = health_report.build(now=now, results=found)
    seconds = time.monotonic() - began
sizes = [each.size_text for each in report.databases]
tables = [each.table for each in report.time_series]
replayed = [replicas._replayed(alias) for alias in ("replica1", "default")]
print(json.dumps([seconds, report.missing, tables, sizes, *replayed]))
"""


@pytest.mark.cluster
def test_health_page_of_a_replica_waits_for_a_lost_primary_once_and_not_once_a_part(
    cluster: Cluster, environment: dict[str, str]
) -> None:
    cluster.wait_until_replayed(cluster.standbys[0])
    nobody_there = re.sub(r":\d+(?=/)", ":1", cluster.standbys[0].url)
    ran = manage(
        "shell", "--verbosity", "0", "-c", WITHOUT_THE_PRIMARY, environment={**environment, "EMO_DB_URL": nobody_there}
    )
    assert ran.status == 0, ran.err
    seconds, missing, tables, (primary, replica), replayed, of_nobody = json.loads(ran.out.splitlines()[-1])
    # Two parts ask each server themselves; the pool's own time-out is five seconds.
    assert 1 <= seconds < 4
    assert (missing, tables) == ([], ["market_events", "system_health"])
    assert (primary, replica.endswith("MB")) == ("n/a: no answer", True)
    assert replayed > of_nobody == -1


NEIGHBOUR = """
import json, time
from emo_site.db import replicas
from django.db import connection, transaction
states = replicas.states()
# Twice looked at: what is learnt of one look must not spoil the next.
time.sleep(2.5)
with replicas.reading_from_replica():
    reads = replicas.alias_for_read()
with replicas.reading_from_replica(any_will_do=True):
    reads_anything = replicas.alias_for_read()
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute("SELECT 1")
print(json.dumps([reads, reads_anything, [state.reason.split(",")[0] for state in replicas.states()]]))
"""


@pytest.mark.cluster
def test_server_of_another_cluster_or_database_is_no_replica_and_fences_nobody(
    cluster: Cluster, environment: dict[str, str]
) -> None:
    cluster.primary.execute("CREATE DATABASE other")
    with replicated(synchronous=False) as strangers:
        # It has been promoted once more often than ours, which says nothing about ours.
        stranger = strangers.promote()
        named = f"{stranger.url},{cluster.primary.url.removesuffix('emo')}other"
        for primary in (cluster.url(), cluster.primary.url + "?target_session_attrs=read-write"):
            ran = manage(
                "shell",
                "--verbosity",
                "0",
                "-c",
                NEIGHBOUR,
                environment={**environment, "EMO_DB_URL": primary, "EMO_REPLICA_URLS": named},
            )
            assert ran.status == 0, ran.err
            reads, reads_anything, reasons = json.loads(ran.out)
            assert (reads, reads_anything) == ("default", "default")
            assert reasons[0].startswith("it is emo of cluster ")
            assert reasons[1].startswith("it is other of cluster ")
