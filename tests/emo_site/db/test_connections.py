"""Connections that end, and that believe one primary only, against real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout

from emo_site.db import connections as guarded
from emo_site.db import deadline
from emo_site.db.connections import CommitUnconfirmed, DeskPool, GuardedConnection, NoAnswer, Places
from tests.clusters import Cluster, replicated
from tests.servers import black_hole, silent_server

pytestmark = pytest.mark.cluster


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    """What a new process knows: nothing."""
    fresh = Places()
    monkeypatch.setattr(guarded, "places", fresh)
    return fresh


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """For tests that leave it another than it was."""
    with replicated() as started:
        yield started


@pytest.fixture(scope="module")
def lasting() -> Iterator[Cluster]:
    """For tests that mend what they broke."""
    with replicated() as started:
        started.primary.execute("CREATE TABLE noted (number integer)")
        yield started


def parameters(cluster: Cluster) -> dict[str, Any]:
    return {**conninfo_to_dict(cluster.url()), "connect_timeout": 2, "autocommit": True}


def pool(cluster: Cluster, **options: Any) -> DeskPool:
    made = parameters(cluster)
    sizes = {"min_size": 1, "max_size": 4, "timeout": 5, "reconnect_timeout": 0.2, **options}
    return DeskPool(writable=True, place=guarded.place_of(made), kwargs=made, open=True, **sizes)


def port_of(connection: psycopg.Connection[Any]) -> int:
    return connection.info.port


def test_frozen_server_holds_nobody_longer_than_the_deadline(lasting: Cluster) -> None:
    connection = GuardedConnection.connect(**parameters(lasting))
    lasting.primary.freeze()
    try:
        started = time.monotonic()
        with deadline.within(1), pytest.raises(NoAnswer):
            connection.execute("SELECT 1")
        assert 0.9 < time.monotonic() - started < 3
        assert connection.closed
    finally:
        lasting.primary.thaw()


def test_after_a_promotion_the_old_primary_is_not_believed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    old = cluster.primary
    with pool(cluster) as made:
        connection = made.getconn()
        assert port_of(connection) == old.address[1]
        made.putconn(connection)
        old.freeze()
        new = cluster.promote()
        with GuardedConnection.connect(**parameters(cluster)) as connection:
            assert port_of(connection) == new.address[1]
        old.thaw()
        # It is the first in the list, says "read-write", and the pool still holds a connection to it.
        connection = made.getconn()
        assert port_of(connection) == new.address[1]
        made.putconn(connection)
    with GuardedConnection.connect(**parameters(cluster)) as connection:
        assert port_of(connection) == new.address[1]
    known = guarded.places
    # A new process has met nobody yet.
    monkeypatch.setattr(guarded, "places", Places())
    with GuardedConnection.connect(**parameters(cluster)) as connection:
        assert port_of(connection) == new.address[1]
    monkeypatch.setattr(guarded, "places", known)
    new.kill()
    with pytest.raises(psycopg.OperationalError, match="is on timeline 1 behind 2"):
        GuardedConnection.connect(**parameters(cluster))
    old.kill()
    with pytest.raises(psycopg.OperationalError) as caught:
        GuardedConnection.connect(**parameters(cluster))
    assert all(str(member.address[1]) in str(caught.value) for member in cluster.members)
    assert str(parameters(cluster)["password"]) not in str(caught.value)


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_who_lost_the_primary_and_was_not_there_at_the_promotion_asks_every_host(cluster: Cluster, how: str) -> None:
    """A command has nobody who looks at the hosts meanwhile."""
    old = cluster.primary
    connection = GuardedConnection.connect(**parameters(cluster))
    if how == "frozen":
        old.freeze()
    else:
        old.kill()
    with deadline.within(1), pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    new = cluster.promote()
    if how == "frozen":
        old.thaw()
    else:
        old.start()
    for _ in range(2):
        with GuardedConnection.connect(**parameters(cluster)) as connection:
            assert port_of(connection) == new.address[1]


def test_pool_gives_up_connections_to_a_server_that_became_read_only(lasting: Cluster) -> None:
    with pool(lasting) as made:
        made.putconn(made.getconn())
        with read_only(lasting), pytest.raises(PoolTimeout):
            made.getconn(1.5)
        made.putconn(made.getconn())


@contextmanager
def read_only(cluster: Cluster) -> Iterator[None]:
    """The primary refuses to write, and its sessions have been told."""
    with psycopg.connect(cluster.primary.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        reload(connection, expected="on")
        try:
            yield
        finally:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("RESET default_transaction_read_only")
            reload(connection, expected="off")


def reload(connection: psycopg.Connection[Any], *, expected: str) -> None:
    """The server tells its processes one after the other, some time after the function returned."""
    connection.execute("SELECT pg_reload_conf()")
    question = "SELECT current_setting('default_transaction_read_only')"
    ends = time.monotonic() + 10
    while connection.execute(question).fetchone() != (expected,):
        assert time.monotonic() < ends, f"default_transaction_read_only is not {expected} after 10 s"
        time.sleep(0.02)


def test_who_waits_writes_within_a_second_of_the_promotion(cluster: Cluster) -> None:
    with pool(cluster) as made:
        made.putconn(made.getconn())
        cluster.primary.kill()
        done: list[float] = []

        def write() -> None:
            connection = made.getconn()
            connection.execute("CREATE TABLE written ()")
            done.append(time.monotonic())
            made.putconn(connection)

        # It comes while there is no primary.
        waiting = threading.Thread(target=write)
        waiting.start()
        time.sleep(0.5)
        cluster.promote()
        promoted = time.monotonic()
        waiting.join(10)
        assert done
        assert done[0] - promoted < 1.5


def test_who_comes_after_somebody_waited_in_vain_is_told_soon_until_the_server_is_back(cluster: Cluster) -> None:
    with pool(cluster, timeout=3) as made:
        with made.connection() as connection:
            connection.execute("SELECT 1")
        cluster.primary.kill()
        assert 2.9 < seconds_in_vain(made) < 4
        for _ in range(2):
            assert 0.9 < seconds_in_vain(made) < 2
        cluster.primary.start()
        with made.connection() as connection:
            connection.execute("SELECT 1")
        cluster.primary.kill()
        assert 2.9 < seconds_in_vain(made) < 4


def seconds_in_vain(made: DeskPool) -> float:
    started = time.monotonic()
    with pytest.raises(PoolTimeout), made.connection():
        pass
    return time.monotonic() - started


def test_who_gave_up_early_shortens_nobody_else_s_wait() -> None:
    made = {"host": "127.0.0.1", "port": "1", "connect_timeout": "2"}
    options = {"min_size": 0, "max_size": 1, "timeout": 2, "reconnect_timeout": 0.2}
    with DeskPool(writable=False, place="here", kwargs=made, open=True, **options) as waiting:
        with deadline.within(0.3):
            assert seconds_in_vain(waiting) < 1
        assert seconds_in_vain(waiting) > 1.9


def test_waiting_for_a_connection_ends_with_the_deadline() -> None:
    with silent_server() as (host, port):
        made = {"host": host, "port": port, "dbname": "emo", "user": "emo", "connect_timeout": 2}
        options = {"min_size": 0, "max_size": 2, "timeout": 30, "reconnect_timeout": 0.2}
        with DeskPool(writable=False, place="here", kwargs=made, open=True, **options) as waiting:
            started = time.monotonic()
            with deadline.within(1), pytest.raises(PoolTimeout, match=r"within 1\.0 s"):
                waiting.getconn()
            assert time.monotonic() - started < 2.5


def test_commit_that_no_standby_confirmed_is_an_error_not_a_success(lasting: Cluster) -> None:
    connection = GuardedConnection.connect(**{**parameters(lasting), "autocommit": False})
    lasting.standbys[0].stop()
    connection.execute("INSERT INTO noted VALUES (1)")
    cancel = threading.Timer(1, lasting.primary.query, ["SELECT pg_cancel_backend(%s)", [connection.info.backend_pid]])
    cancel.start()
    # The server gives up waiting and answers COMMIT with success and a warning.
    with deadline.within(15), pytest.raises(CommitUnconfirmed):
        connection.commit()
    assert connection.closed
    lasting.standbys[0].start()
    lasting.wait_until_streaming()


def test_dead_host_costs_its_time_out_once(lasting: Cluster) -> None:
    with black_hole() as (host, port):
        made = parameters(lasting)
        made["host"] = f"{host},{made['host']}"
        made["port"] = f"{port},{made['port']}"
        GuardedConnection.connect(**made).close()
        started = time.monotonic()
        GuardedConnection.connect(**made).close()
        assert time.monotonic() - started < 1
