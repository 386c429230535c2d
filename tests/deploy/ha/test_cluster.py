"""Orders survive a switchover, a killed leader and a frozen one: the desk against three members under Patroni."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from deploy.ha.cluster import Cluster, Failed
from tests.desk import environment_of, manage
from tests.run import PROJECT

pytestmark = [pytest.mark.cluster, pytest.mark.patroni]

# A desk that lives through all of it, its pool included; one answer a line.
DESK = """
import json, sys
from datetime import UTC, datetime
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.contrib.auth.models import User
from emo_site.db import deadline
from orders import workflow
from orders.choices import OrderStatus
from orders.models import StagedOrder
from tests import factories

factories.equity(at=datetime.now(UTC))
trader, reviewer = factories.person("trader", "trader"), factories.person("reviewer", "reviewer")

def approve():
    now = datetime.now(UTC)
    order = workflow.stage(factories.ticket(), created_by=trader, now=now)
    return str(workflow.approve(order.pk, actor=reviewer, now=now).pk)

def approved():
    return [str(key) for key in StagedOrder.objects.filter(status=OrderStatus.APPROVED).values_list("pk", flat=True)]

print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    close_old_connections()
    try:
        with deadline.within(8):
            answer = {"approve": approve, "approved": approved}[line.strip()]()
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    close_old_connections()
    print(json.dumps(answer), flush=True)
"""


class Desk:
    """A running desk; `acknowledged` are the orders whose approval it has confirmed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.acknowledged: list[str] = []

    def ask(self, word: str) -> object:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> object:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the desk ended"
        return json.loads(line)

    def approve(self, *, within: float) -> float:
        """Stage and approve an order, again and again until that works; seconds until it did."""
        began = time.monotonic()
        while True:
            answer = self.ask("approve")
            if isinstance(answer, str):
                self.acknowledged.append(answer)
                return time.monotonic() - began
            assert time.monotonic() - began < within, answer
            time.sleep(0.2)

    def holds_what_it_acknowledged(self) -> None:
        found = self.ask("approved")
        assert isinstance(found, list), found
        # An approval whose answer was lost may be there too; one that was confirmed must be.
        assert self.acknowledged
        assert set(self.acknowledged) <= set(found)


@contextlib.contextmanager
def desk(cluster: Cluster) -> Iterator[Desk]:
    environment = {"EMO_ENV": "dev", "EMO_POLICY_FILE": "tests/policy.yaml", **cluster.settings()}
    migrated = manage("migrate_all", environment=environment)
    assert migrated.status == 0, migrated.out + migrated.err
    process = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", DESK],
        env=environment_of(environment),
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        running = Desk(process)
        assert running.answer() == "ready"
        yield running
    finally:
        process.kill()
        process.communicate()


def test_orders_survive_a_switchover_and_a_killed_leader(subtests: pytest.Subtests) -> None:
    with Cluster() as cluster, desk(cluster) as running:
        with subtests.test("every member offers itself, and the desk finds the one that leads"):
            running.approve(within=10)
            running.holds_what_it_acknowledged()
            assert len(cluster.patronictl("list").splitlines()) == 7

        with subtests.test("a planned switchover keeps every order and the desk goes on"):
            before = cluster.leader()
            assert cluster.switchover() != before
            running.approve(within=40)
            running.holds_what_it_acknowledged()
            cluster.wait_until_whole()

        with subtests.test("after kill -9 of the leader another one leads with every order"):
            old = cluster.kill(cluster.leader())
            new = cluster.leader(other_than=old)
            running.approve(within=40)
            running.holds_what_it_acknowledged()

        with subtests.test("the killed leader rejoins by itself as a standby"):
            cluster.start_member(old)
            cluster.wait_until_whole()
            assert cluster.leader() == new
            running.holds_what_it_acknowledged()


def test_nothing_that_a_frozen_leader_accepts_after_it_is_thawed_counts() -> None:
    with Cluster() as cluster, desk(cluster) as running:
        running.approve(within=10)
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE fenced (number int)")
        # Someone is in the middle of a transaction when the leader stops.
        with psycopg.connect(cluster.url_of(cluster.leader())) as caught:
            caught.execute("INSERT INTO fenced VALUES (1)")
            old = cluster.freeze(cluster.leader())
            new = cluster.leader(other_than=old)
            running.approve(within=40)
            cluster.thaw(old)
            assert not _commits(caught)
        # It takes itself back, without being told.
        cluster.wait_until_whole()
        assert cluster.leader() == new
        running.approve(within=10)
        running.holds_what_it_acknowledged()
        with psycopg.connect(cluster.url_of(new)) as connection:
            assert connection.execute("SELECT count(*) FROM fenced").fetchone() == (0,)


def _commits(connection: psycopg.Connection) -> bool:
    """Whether a commit is acknowledged. A warning that no standby has confirmed it is no acknowledgement."""
    warnings: list[str] = []
    connection.add_notice_handler(lambda diagnostic: warnings.append(diagnostic.sqlstate or ""))
    try:
        connection.commit()
    except psycopg.OperationalError:
        return False
    return not warnings


def test_the_local_cluster_obeys_and_leaves_nothing_when_it_is_killed() -> None:
    command = [sys.executable, "-m", "deploy.ha.local"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stderr is not None
        files = dict(parent.stdout.readline().strip().split("=", 1) for _ in range(2))
        assert set(files) == {"EMO_DB_URL_FILE", "EMO_REPLICA_URLS_FILE"}
        folder = Path(files["EMO_DB_URL_FILE"]).parent
        url = Path(files["EMO_DB_URL_FILE"]).read_text()
        parent.stdin.write("dance\nkill db4\nlist\n")
        parent.stdin.flush()
        assert parent.stdout.readline().startswith("Commands: list, ")
        assert "'dance' is no command" in parent.stderr.readline()
        assert "'db4' is no member" in parent.stderr.readline()
        assert "Cluster: emo" in parent.stdout.readline()
        os.kill(parent.pid, signal.SIGKILL)
    give_up_at = time.monotonic() + 20
    while folder.exists() and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not folder.exists()
    ports = conninfo_to_dict(url)["port"].split(",")
    assert len(ports) == 3
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)), timeout=1)


def test_a_name_that_is_no_member_is_refused() -> None:
    with pytest.raises(Failed, match="'db4' is no member"):
        Cluster().member("db4")
