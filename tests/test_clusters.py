"""The clusters on which failover is tried: each fault is really there, and nothing is left afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import janitor, lan, run
from tests.clusters import Cluster, replicated

pytestmark = pytest.mark.cluster

# In CI they fail instead.
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and not run.in_ci(), reason="name spaces for networks and disks need root"
)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with replicated() as started:
        started.primary.execute("CREATE TABLE noted (number integer)")
        yield started


def note(cluster: Cluster, number: int) -> None:
    cluster.primary.query("INSERT INTO noted VALUES (%s) RETURNING 1", [number])


def test_pair_is_up_soon() -> None:
    started_at = time.monotonic()
    with replicated():
        # Measured on two idle cores: 1.4 s. The bound leaves room for a machine that others keep busy.
        assert time.monotonic() - started_at < 30


def test_what_was_acknowledged_is_on_the_promoted_standby_after_kill_9(cluster: Cluster) -> None:
    old = cluster.primary
    for number in range(30):
        note(cluster, number)
    old.kill()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(old.address, timeout=1)
    assert cluster.promote() is not old
    assert cluster.primary.query("SELECT count(*) FROM noted") == (30,)
    with psycopg.connect(cluster.url()) as connection:
        assert connection.info.port == cluster.primary.address[1]


def test_without_a_standby_no_commit_is_acknowledged(cluster: Cluster) -> None:
    cluster.standbys[0].kill()
    acknowledged = threading.Event()

    def commit() -> None:
        note(cluster, 1)
        acknowledged.set()

    writer = threading.Thread(target=commit)
    writer.start()
    assert not acknowledged.wait(1)
    cluster.go_alone()
    assert acknowledged.wait(10)
    writer.join()


def test_two_standbys_do_without_either() -> None:
    with replicated(standbys=2) as cluster:
        cluster.primary.execute("CREATE TABLE noted (number integer)")
        cluster.standbys[0].kill()
        note(cluster, 1)
        new = cluster.standbys[1]
        cluster.primary.kill()
        assert cluster.promote() is new
        assert new.query("SELECT count(*) FROM noted") == (1,)


def test_remaining_standby_follows_the_promoted_one() -> None:
    with replicated(standbys=2) as cluster:
        cluster.primary.execute("CREATE TABLE noted (number integer)")
        old, (first, second) = cluster.primary, cluster.standbys
        old.kill()
        cluster.promote(first)
        note(cluster, 1)
        cluster.wait_until_replayed(second)
        assert second.query("SELECT count(*) FROM noted") == (1,)


def test_killed_primary_comes_back_as_a_standby(cluster: Cluster) -> None:
    old = cluster.primary
    old.kill()
    cluster.promote()
    note(cluster, 1)
    cluster.rejoin(old)
    note(cluster, 2)
    cluster.wait_until_replayed(old)
    assert old.in_recovery()
    assert old.query("SELECT array_agg(number ORDER BY number) FROM noted") == ([1, 2],)


def test_killed_server_starts_again_with_its_data(cluster: Cluster) -> None:
    note(cluster, 7)
    cluster.primary.kill()
    cluster.primary.start()
    assert cluster.primary.query("SELECT number FROM noted") == (7,)


def test_frozen_server_takes_connections_and_says_nothing_until_it_is_thawed(cluster: Cluster) -> None:
    primary = cluster.primary
    primary.freeze()
    with socket.create_connection(primary.address, timeout=1):
        pass
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        primary.query("SELECT 1", timeout=2)
    primary.thaw()
    assert primary.query("SELECT 1") == (1,)


def test_thawed_primary_still_believes_in_itself(cluster: Cluster) -> None:
    old = cluster.primary
    old.freeze()
    cluster.promote()
    old.thaw()
    assert not old.in_recovery()
    assert not cluster.primary.in_recovery()


def test_standby_lags_until_replay_goes_on(cluster: Cluster) -> None:
    (standby,) = cluster.standbys
    cluster.wait_until_replayed(standby)
    standby.pause_replay()
    note(cluster, 1)
    assert standby.query("SELECT count(*) FROM noted") == (0,)
    standby.resume_replay()
    cluster.wait_until_replayed(standby)
    assert standby.query("SELECT count(*) FROM noted") == (1,)


@needs_root
def test_packets_vanish_and_come_back() -> None:
    with replicated(network=True) as cluster:
        primary, (standby,) = cluster.primary, cluster.standbys
        with psycopg.connect(primary.url, autocommit=True) as open_before:
            primary.cut()
            started_at = time.monotonic()
            with pytest.raises(TimeoutError):
                socket.create_connection(primary.address, timeout=1)
            assert time.monotonic() - started_at >= 1
            # The others are reached as before.
            assert standby.query("SELECT 1") == (1,)
            primary.restore()
            assert open_before.execute("SELECT 1").fetchone() == (1,)
        assert primary.query("SELECT 1") == (1,)


@needs_root
def test_cut_off_primary_acknowledges_only_what_is_cancelled() -> None:
    """The trap of synchronous replication: a cancelled COMMIT is answered like a good one, with a mere warning."""
    with replicated(network=True) as cluster:
        old = cluster.primary
        old.execute("CREATE TABLE noted (number integer)")
        old.cut()
        cluster.promote()
        note(cluster, 1)
        old.restore()
        with psycopg.connect(old.url, autocommit=True) as connection:
            notices: list[str] = []
            connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
            impatient = threading.Timer(1.0, connection.cancel)
            # It ends before the commit begins to wait, and so does not end the wait.
            connection.execute("SET statement_timeout = 300")
            impatient.start()
            started_at = time.monotonic()
            connection.execute("INSERT INTO noted VALUES (2)")
            assert time.monotonic() - started_at > 0.8
            impatient.join()
        assert notices == ["canceling wait for synchronous replication due to user request"]


@needs_root
def test_network_is_gone_afterwards() -> None:
    with lan.network() as own:
        machine = own.attach()
        shown = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
        assert f"198.18.{own.number}.0/24" in shown
    shown = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    assert f"198.18.{own.number}.0/24" not in shown
    assert not Path(f"/proc/{machine.holder}").exists()


STARTS_A_CLUSTER_AND_WAITS = """
import time
from tests.clusters import replicated
with replicated(network=True) as cluster:
    cluster.standbys[0].freeze()
    print(cluster.folder, flush=True)
    time.sleep(60)
"""


@needs_root
def test_killed_parent_leaves_nothing_not_even_what_was_frozen() -> None:
    command = [sys.executable, "-c", STARTS_A_CLUSTER_AND_WAITS]
    before = shared_memory()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=run.PROJECT) as parent:
        assert parent.stdout is not None
        folder = Path(parent.stdout.readline().strip())
        assert len(janitor.processes_in(folder)) > 8
        added = shared_memory() - before
        os.kill(parent.pid, signal.SIGKILL)
    give_up_at = time.monotonic() + 30
    while folder.exists() and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not folder.exists()
    assert janitor.processes_in(folder) == []
    # Those of other tests, which come and go meanwhile, may be among them.
    assert not {segment for segment in added & shared_memory() if not in_use(segment)}


def shared_memory() -> set[str]:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {line.split()[1] for line in lines}


def in_use(segment: str) -> bool:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return any(line.split()[1] == segment and int(line.split()[6]) > 0 for line in lines)


@needs_root
def test_full_disk_is_really_full_and_has_space_again() -> None:
    with replicated(standbys=0, small_disk="24m") as cluster:
        primary = cluster.primary
        primary.execute(f"CREATE TABLESPACE small LOCATION '{primary.small_disk_inside}'")
        primary.execute("CREATE TABLE noted TABLESPACE small AS SELECT repeat('x', 500) AS text")
        primary.fill_disk()
        more = "INSERT INTO noted SELECT repeat('x', 500) FROM generate_series(1, 1000)"
        with pytest.raises(psycopg.errors.DiskFull):
            primary.execute(more)
        assert primary.query("SELECT count(*) FROM noted") == (1,)
        primary.free_disk()
        primary.execute(more)
        assert primary.query("SELECT count(*) FROM noted") == (1001,)
