"""What a failover left behind in databases is found and, where it can be, put right: on real ones, damaged beside the
desk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.clusters import replicated
from tests.desk import empty_database, manage
from tests.servers import postgresql_server

DATABASE_KINDS = {"unmigrated", "lost tables", "missing hypertable", "missing chunk", "replica"}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with empty_database(tmp_path) as url:
        yield url


def succeeds(*arguments: str, environment: dict[str, str]) -> None:
    ran = manage(*arguments, environment=environment)
    assert ran.status == 0, ran.out + ran.err


def recover(environment: dict[str, str], *arguments: str) -> list[dict[str, Any]]:
    """What was found of databases. (The folder of quarantined events is the project's, not this test's.)"""
    ran = manage("recover", "--json", *arguments, environment=environment)
    document = json.loads(ran.out)
    assert ran.status == (2 if document["not_looked"] else 1 if document["left"] else 0), ran.err
    return [item for item in document["found"] if item["kind"] in DATABASE_KINDS]


def told(items: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    return [(item["kind"], item["subject"], item["left"]) for item in items]


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as server:
        for statement in statements:
            server.execute(statement)  # type: ignore[call-overload]


def test_database_that_lacks_migrations_is_migrated(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    succeeds("migrate_all", "--verbosity", "0", environment=environment)
    succeeds("migrate", "reporting", "0001", "--verbosity", "0", environment=environment)
    [item] = recover(environment)
    assert (item["kind"], item["can_be_done"]) == ("unmigrated", True)
    assert item["found"].startswith("reporting.0002_groups")
    assert manage("migrate_all", "--check", environment=environment).status == 1
    [item] = recover(environment, "--yes")
    assert (item["done"], item["left"]) == ("every database is migrated", False)
    assert recover(environment) == []
    succeeds("migrate_all", "--check", environment=environment)


def test_database_without_any_table_is_said_to_be_so_and_then_made(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    ran = manage("recover", environment=environment)
    assert ran.status == 2
    assert "unmigrated: default: " in ran.out
    assert "could not look: " in ran.out
    ran = manage("recover", "--yes", environment=environment)
    assert "done   every database is migrated" in ran.out
    assert ran.status != 2, ran.out
    assert recover(environment) == []


def test_table_that_was_lost_is_a_persons(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    succeeds("migrate_all", "--verbosity", "0", environment=environment)
    succeeds("migrate", "reporting", "0001", "--verbosity", "0", environment=environment)
    if url.startswith("sqlite"):
        import sqlite3

        with sqlite3.connect(url.removeprefix("sqlite://")) as file:
            file.execute("DROP TABLE strategy_performance")
        file.close()
    else:
        execute(url, "DROP TABLE strategy_performance")
    items = recover(environment, "--yes")
    assert [(item["kind"], item["left"]) for item in items] == [("lost tables", True), ("unmigrated", True)]
    assert "Restore a backup" in items[1]["failed"]


def test_server_that_is_down_is_not_called_recovered() -> None:
    ran = manage("recover", "--yes", environment={"EMO_DB_URL": "postgresql://emo:hush@127.0.0.1:1/emo"})
    assert ran.status == 2
    assert "could not look: migrations: connection failed" in ran.out
    assert "hush" not in ran.out + ran.err


def test_hypertables_of_a_server_that_is_down_are_not_made() -> None:
    ran = manage("sync_hypertables", environment={"EMO_DB_URL": "postgresql://emo:hush@127.0.0.1:1/emo"})
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("CommandError: default: could not be done (connection failed")
    assert "hush" not in ran.err


@pytest.mark.timescaledb
def test_table_that_should_be_a_hypertable_becomes_one(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    succeeds("migrate_all", "--verbosity", "0", environment=environment | {"EMO_TIMESCALE": "off"})
    succeeds("load_demo", environment=environment)
    assert told(recover(environment)) == [
        ("missing hypertable", "market_events", True),
        ("missing hypertable", "system_health", True),
    ]
    assert told(recover(environment | {"EMO_CHUNK_DAYS": "3"}, "--yes")) == [
        ("missing hypertable", "market_events", False),
        ("missing hypertable", "system_health", False),
    ]
    assert recover(environment) == []
    with psycopg.connect(url) as server:
        assert server.execute("SELECT count(*) FROM market_events").fetchone() == (5,)
        assert server.execute("SELECT count(*) FROM show_chunks('market_events')").fetchone() == (1,)
        [(interval,)] = server.execute(_INTERVALS).fetchall()
        assert interval == timedelta(days=3)
    succeeds("migrate", "monitoring", "0001", "--verbosity", "0", environment=environment)
    succeeds("migrate_all", "--verbosity", "0", environment=environment | {"EMO_TIMESCALE": "off"})
    succeeds("sync_hypertables", "--yes", environment=environment | {"EMO_CHUNK_DAYS": "2"})
    with psycopg.connect(url) as server:
        assert server.execute(_INTERVALS).fetchall() == [(timedelta(days=2),)]


_INTERVALS = "SELECT DISTINCT time_interval FROM timescaledb_information.dimensions"


@pytest.mark.timescaledb
def test_chunk_whose_table_is_gone_is_named_with_its_period(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    succeeds("migrate_all", "--verbosity", "0", environment=environment)
    succeeds("load_demo", environment=environment)
    assert recover(environment) == []
    with psycopg.connect(url, autocommit=True) as server:
        [(chunk,)] = server.execute("SELECT show_chunks('market_events')::text").fetchall()
        # As a crash that lost a part of the catalogue: the extension must not see it go.
        server.execute("ALTER EVENT TRIGGER timescaledb_ddl_sql_drop DISABLE")
        server.execute(f"DROP TABLE {chunk}")  # type: ignore[call-overload]
    [item] = recover(environment, "--yes")
    assert (item["kind"], item["subject"], item["left"]) == ("missing chunk", chunk, True)
    assert "it held market_events from 20" in item["found"]
    assert "restore a backup beside" in item["would"]


@pytest.mark.postgresql
def test_replica_that_is_down_or_no_replica_is_named(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    succeeds("migrate_all", "--verbosity", "0", environment=environment)
    with postgresql_server() as other:
        replicas = f"postgresql://emo:hush@127.0.0.1:1/emo,{other.url},{url}?target_session_attrs=prefer-standby"
        items = recover(environment | {"EMO_REPLICA_URLS": replicas}, "--yes")
    # The third is the primary by another name, as where every member of a cluster is named: nothing is left behind.
    assert [(item["kind"], item["database"], item["can_be_done"]) for item in items] == [
        ("replica", f"replica{number}", False) for number in (1, 2)
    ]
    down, other_cluster = (item["found"] for item in items)
    assert down.startswith("Can't be compared: connection failed")
    assert other_cluster.startswith("A server of another cluster (")
    assert "hush" not in json.dumps(items)


@pytest.mark.cluster
def test_standby_that_streams_is_nothing_left_behind_and_shows_pages_to_who_is_logged_in() -> None:
    passwords = {f"EMO_DB_{name}_PASSWORD": "hush" for name in ("MIGRATOR", "APP", "READONLY")}
    with replicated() as cluster:
        primary, standby = cluster.members
        superuser = {"EMO_DB_URL": primary.url}
        succeeds("create_roles", environment=superuser | passwords)
        succeeds("migrate_all", "--verbosity", "0", environment={"EMO_DB_URL": _as("emo_migrator", primary.url)})
        cluster.wait_until_replayed(standby)
        desk = {"EMO_DB_URL": _as("emo_app", primary.url), "EMO_REPLICA_URLS": _as("emo_app", standby.url)}
        assert recover(desk) == []
        assert _page_from_replica(desk) == "200, read there: True"
        # A reader can't tell who is logged in: no page from there, and the probe says so before anybody asks for one.
        reading = desk | {"EMO_REPLICA_URLS": _as("emo_readonly", standby.url)}
        assert _page_from_replica(reading) == "500, read there: True"
        told = manage("healthcheck", "--no-record", "--database", "replica1", environment=reading).out
        assert "emo_readonly may not read django_session." in told
        assert "Name PREFIX_app in EMO_REPLICA_URLS" in told
        # Who may not see a receiver's details does not take it for dead.
        execute(primary.url, "REVOKE pg_read_all_stats FROM emo_app")
        cluster.wait_until_replayed(standby)
        assert recover(desk) == []
        execute(primary.url, "GRANT pg_read_all_stats TO emo_app")
        cluster.promote(standby)
        # The old primary was not fenced, and somebody calls it a replica now.
        turned = {"EMO_DB_URL": desk["EMO_REPLICA_URLS"], "EMO_REPLICA_URLS": desk["EMO_DB_URL"]}
        [found] = [item["found"] for item in recover(turned)]
        assert found.startswith("A primary of its own on timeline 1; ours, ")


def _page_from_replica(environment: dict[str, str]) -> str:
    ran = manage("shell", "-c", _PAGE, environment=environment)
    assert ran.status == 0, ran.err
    return ran.out.strip().splitlines()[-1]


_PAGE = """
import time
from django.contrib.auth.models import User
from django.test import Client
from emo_site.db import replicas, statements
user, _ = User.objects.get_or_create(username="looks", is_superuser=True)
browser = Client(HTTP_HOST="localhost", raise_request_exception=False)
browser.force_login(user)
replicas.states()
time.sleep(2)
status = browser.get("/reports/orders/").status_code
read = {each.alias: each.count for each in statements.figures().databases}["replica1"] > 0
print(f"{status}, read there: {read}")
"""


def _as(role: str, url: str) -> str:
    return f"postgresql://{role}:hush@{url.rpartition('@')[2]}"
