"""The pools of this process and the sessions of a server, as figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import OperationalError, connection, connections

from emo_site.db import activity, pools, sessions
from emo_site.db.timescale.base import DatabaseWrapper
from tests.servers import postgresql_server


@pytest.mark.sqlite
def test_sqlite_has_no_pool_and_says_so() -> None:
    [found] = pools.figures()
    assert (found.alias, found.reason) == ("default", "SQLite is a file: each thread opens it by itself")
    assert (found.size, found.waits, found.exhausted) == (None, None, False)


@pytest.fixture
def desk_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseWrapper]:
    """A database with a pool of two, on a server of its own; its wrapper stands for `default` in this thread."""
    with postgresql_server() as server:
        host, port = server.address
        password = server.url.split(":")[2].partition("@")[0]
        wrapper = DatabaseWrapper(
            {
                **connections["default"].settings_dict,
                "ENGINE": "emo_site.db.timescale",
                "NAME": "emo",
                "USER": "postgres",
                "PASSWORD": password,
                "HOST": host,
                "PORT": str(port),
                "CONN_MAX_AGE": 0,
                "CONN_HEALTH_CHECKS": True,
                "OPTIONS": {
                    "application_name": "emo-test-pool",
                    "connect_timeout": 2,
                    "pool": {"min_size": 1, "max_size": 2, "timeout": 5},
                },
            },
            "pooled",
        )
        monkeypatch.setattr(pools, "connections", {"pooled": wrapper})
        yield wrapper
        wrapper.close()
        wrapper.close_pool()


@pytest.mark.django_db
def test_a_pool_is_told_in_figures_and_not_opened_by_looking(desk_pool: DatabaseWrapper) -> None:
    assert pools.figures_of("pooled").reason == "this process has not asked it for a connection yet"
    desk_pool.ensure_connection()
    # One that is being made is nobody's to have, and counts as in use.
    found = pools.figures_of("pooled")
    give_up_at = time.monotonic() + 10
    while found.in_use != 1 and time.monotonic() < give_up_at:
        time.sleep(0.02)
        found = pools.figures_of("pooled")
    assert (found.min_size, found.max_size, found.in_use, found.reason) == (1, 2, 1, "")
    assert found.waits is not None
    assert (found.waits.requests, found.waits.failed) == (1, 0)
    desk_pool.close()
    assert pools.figures_of("pooled").in_use == 0


def test_an_exhausted_pool_shows_who_waits_and_each_time_out_once(desk_pool: DatabaseWrapper) -> None:
    pool = desk_pool.pool
    assert pool is not None
    pool.open()
    taken = [pool.getconn(), pool.getconn()]
    errors: list[Exception] = []

    def ask() -> None:
        try:
            pool.getconn(0.4)
        except psycopg.OperationalError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    found = pools.figures_of("pooled")
    for each in taken:
        pool.putconn(each)
    assert found.exhausted
    # The desk asks psycopg's pool again and again while it waits; for the one who waits it is one time-out.
    assert found.waits is not None
    assert (found.waits.requests, found.waits.failed, found.waits.recently_failed) == (3, 1, 1)
    assert found.waits.longest_ms >= 400
    assert [str(error) for error in errors] == ["no connection could be had within 0.4 s"]


@pytest.mark.postgresql
@pytest.mark.django_db
def test_sessions_are_told_by_application() -> None:
    settings_dict = connection.settings_dict
    with psycopg.connect(
        host=settings_dict["HOST"],
        port=settings_dict["PORT"],
        user=settings_dict["USER"],
        password=settings_dict["PASSWORD"],
        dbname=settings_dict["NAME"],
        application_name="emo-test-someone",
    ) as other:
        other.execute("SELECT 1")
        found = sessions.look_at(connection)
    [mine] = [each for each in found.applications if each.name == "emo-test-someone"]
    assert (mine.sessions, mine.idle_in_transaction, mine.active, mine.here, mine.hidden) == (1, 1, 0, True, 0)
    assert found.limit == 200
    assert found.reserved >= 3
    assert found.used >= 2
    assert found.used_percent == 100 * found.used / (found.limit - found.reserved)


@pytest.mark.django_db
def test_who_may_not_see_others_still_counts_them() -> None:
    with postgresql_server() as server:
        with psycopg.connect(server.url, autocommit=True) as superuser:
            superuser.execute("CREATE ROLE plain LOGIN PASSWORD 'x'")
        host, port = server.address
        options = {"application_name": "emo-test-plain"}
        settings_dict = {**connections["default"].settings_dict, "ENGINE": "emo_site.db.timescale", "NAME": "emo"}
        settings_dict |= {"USER": "plain", "PASSWORD": "x", "HOST": host, "PORT": str(port), "OPTIONS": options}
        with psycopg.connect(server.url, application_name="other"):
            wrapper = DatabaseWrapper(settings_dict, "plain")
            found = sessions.look_at(wrapper)
            wrapper.close()
    by_name = {each.name: each for each in found.applications}
    assert (by_name["other"].sessions, by_name["other"].hidden) == (1, 1)
    assert (by_name["emo-test-plain"].sessions, by_name["emo-test-plain"].active) == (1, 1)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_session_that_is_just_connecting_is_hidden_from_nobody() -> None:
    """Its state is not known yet, as that of a session which one may not see."""
    known = connection.settings_dict
    server = {"host": known["HOST"], "port": known["PORT"], "user": known["USER"], "password": known["PASSWORD"]}
    over = threading.Event()

    def connect() -> None:
        while not over.is_set():
            psycopg.connect(**server, dbname=known["NAME"]).close()

    with ThreadPoolExecutor() as pool:
        for _ in range(4):
            pool.submit(connect)
        try:
            hidden = [activity.open_transactions(connection).hidden for _ in range(500)]
            found = [sessions.look_at(connection) for _ in range(500)]
        finally:
            over.set()
    assert sum(hidden) == 0
    assert sum(each.hidden for look in found for each in look.applications) == 0


def test_many_applications_are_summed_up() -> None:
    made = [
        sessions.Application(name=f"a{n}", here=True, sessions=1, active=0, idle_in_transaction=0, hidden=0)
        for n in range(23)
    ]
    bounded = sessions._bounded(made)
    assert len(bounded) == sessions.MOST_APPLICATIONS + 1
    assert (bounded[-1].name, bounded[-1].sessions) == ("(3 others)", 3)


def test_the_servers_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without a free connection refuses the probe too; what it says is passed on."""
    from monitoring import server_probes

    def full(alias: str) -> None:
        raise OperationalError("FATAL:  sorry, too many clients already")

    monkeypatch.setattr(server_probes, "own_connection", full)
    finding = server_probes.PoolProbe(alias="default").run()
    assert (str(finding.status), finding.message) == (
        "error",
        "Can't be used: FATAL:  sorry, too many clients already",
    )
