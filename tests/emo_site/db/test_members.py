"""Each host by itself, asked for real: roles, timelines, split brain, strangers, and hosts that say nothing."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from django.db import connections

from emo_site.db import members
from emo_site.db.timescale.base import DatabaseWrapper
from tests.clusters import Cluster, replicated
from tests.desk import manage
from tests.servers import black_hole, postgresql_server, silent_server

pytestmark = pytest.mark.cluster


def asked(monkeypatch: pytest.MonkeyPatch, hosts: list[tuple[str, int]], **parameters: str) -> list[members.Member]:
    settings_dict = {
        **connections["default"].settings_dict,
        "ENGINE": "emo_site.db.timescale",
        "NAME": "emo",
        "HOST": ",".join(host for host, _ in hosts),
        "PORT": ",".join(str(port) for _, port in hosts),
        "OPTIONS": {"target_session_attrs": "read-write", "connect_timeout": 2},
        **parameters,
    }
    monkeypatch.setattr(members, "connections", {"asked": DatabaseWrapper(settings_dict, "asked")})
    return members.members_of("asked")


def user_of(url: str) -> dict[str, str]:
    who = psycopg.conninfo.conninfo_to_dict(url)
    return {"USER": str(who["user"]), "PASSWORD": str(who["password"])}


def test_primary_and_standby_are_told_apart_also_by_a_plain_role(monkeypatch: pytest.MonkeyPatch) -> None:
    with replicated(synchronous=False) as cluster:
        cluster.primary.execute("CREATE ROLE plain LOGIN PASSWORD 'x'")
        cluster.wait_until_replayed(cluster.standbys[0])
        hosts = [cluster.primary.address, cluster.standbys[0].address]
        for who in (user_of(cluster.primary.url), {"USER": "plain", "PASSWORD": "x"}):
            primary, standby = asked(monkeypatch, hosts, **who)
            assert (primary.role, primary.takes_writes, primary.timeline, primary.lag_seconds) == (
                "primary",
                True,
                1,
                None,
            )
            assert (standby.role, standby.takes_writes, standby.timeline, standby.lag_seconds) == (
                "standby",
                False,
                1,
                0.0,
            )
            assert (primary.streaming, standby.streaming) == (None, True)
            assert primary.cluster == standby.cluster


def test_standby_that_was_started_again_does_not_lag_behind_an_idle_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    with replicated(synchronous=False) as cluster:
        cluster.primary.execute("CREATE TABLE noted (number integer)")
        (standby,) = cluster.standbys
        cluster.wait_until_replayed(standby)
        standby.stop()
        standby.start()
        cluster.wait_until_streaming()
        (found,) = asked(monkeypatch, [standby.address], **user_of(standby.url))
        assert (found.streaming, found.lag_seconds) == (True, 0.0)
        document = health(cluster.url(), standby.url)
        [database] = [each for each in document["components"] if each["name"] == "database:replica1"]
        assert database["metrics"]["lag_seconds"] == 0.0
        code = "from emo_site.db import replicas; print(replicas.states()[0].lag_seconds)"
        environment = {"EMO_DB_URL": cluster.url(), "EMO_REPLICA_URLS": standby.url}
        ran = manage("shell", "--verbosity", "0", "-c", code, environment=environment)
        assert ran.out.strip() == "0.0", ran.out + ran.err


@pytest.mark.parametrize("hole", [black_hole, silent_server])
def test_a_host_that_never_answers_holds_up_nobody(monkeypatch: pytest.MonkeyPatch, hole: Any) -> None:
    with postgresql_server() as server, hole() as address:
        started = time.monotonic()
        silent, primary = asked(monkeypatch, [address, server.address], **user_of(server.url))
        assert time.monotonic() - started < 8
    assert primary.takes_writes is True
    assert not silent.answers
    assert "timeout" in silent.error or "no answer" in silent.error


def component(document: dict[str, Any], name: str) -> tuple[str, str]:
    [found] = [each for each in document["components"] if each["name"] == name]
    return found["status"], found["message"]


def health(cluster_url: str, replicas: str = "") -> dict[str, Any]:
    environment = {"EMO_DB_URL": cluster_url, **({"EMO_REPLICA_URLS": replicas} if replicas else {})}
    ran = manage("healthcheck", "--json", "--no-record", environment=environment)
    document: dict[str, Any] = json.loads(ran.out)
    return document


def promoted_beside(cluster: Cluster) -> None:
    """The standby becomes a primary while the old one still runs, as after a partition without fencing."""
    cluster.standbys[0].query("SELECT pg_promote(true, 30)")


def place(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def test_split_brain_and_a_replica_with_a_life_of_its_own_are_errors() -> None:
    with replicated(synchronous=False) as cluster:
        old, new = cluster.primary, cluster.standbys[0]
        agreed = health(cluster.url(), new.url)
        assert component(agreed, "hosts:default") == (
            "healthy",
            f"{place(old.address)} primary, {place(new.address)} standby",
        )
        assert component(agreed, "replication:replica1") == ("healthy", f"follows {place(old.address)} on timeline 1")
        promoted_beside(cluster)
        split = health(cluster.url(), old.url)
    assert component(split, "hosts:default") == (
        "error",
        f"2 hosts take writes (split brain): {place(old.address)} (timeline 1), {place(new.address)} (timeline 2).",
    )
    assert split["system_health_score"] <= 20
    assert component(split, "replication:replica1") == (
        "error",
        f"A primary of its own on timeline 1; ours, {place(new.address)}, is on 2.",
    )


def test_a_silent_host_is_a_warning_and_a_stranger_an_error() -> None:
    with ExitStack() as stack:
        cluster = stack.enter_context(replicated(synchronous=False))
        stranger = stack.enter_context(postgresql_server())
        found = health(cluster.url(), stranger.url)
        status, message = component(found, "replication:replica1")
        assert status == "error"
        assert message.startswith("A server of another cluster (")
        assert message.endswith("): it holds other data.")
        cluster.standbys[0].kill()
        status, message = component(health(cluster.url()), "hosts:default")
    assert status == "warning"
    assert f"{place(cluster.standbys[0].address)} does not answer: connection failed" in message
    assert message.endswith(f". {place(cluster.primary.address)} takes writes.")
