"""/metrics tells what is, under a bounded number of names, to those who may read it, and while a database is away."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django_tasks_db.models import DBTaskResult
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from emo_site.jobs import heartbeats
from monitoring import exposition, metrics
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult, record
from monitoring.metrics_access import may_read
from monitoring.models import IngestCheckpoint
from orders.choices import OrderStatus
from tests.run import PROJECT

TOKEN, OLD_TOKEN = "t" * 32, "ünï" * 12
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look of another test's is shared."""
    monkeypatch.setattr(exposition, "_looks", exposition._Looks())


def samples(text: str) -> dict[str, float]:
    """name{label="value"} -> value, of all families."""
    return {
        sample.name + "".join(f"|{name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def told() -> dict[str, float]:
    response = Client().get("/metrics")
    assert response.status_code == 200
    return samples(response.content.decode())


def result(name: str, status: HealthStatus, at: datetime) -> ProbeResult:
    return ProbeResult(name=name, critical=False, finding=Finding(status=status, message="x"), at=at, response_ms=1.0)


@pytest.mark.django_db(transaction=True)
def test_it_tells_of_databases_components_ingest_orders_and_tasks() -> None:
    now = datetime.now(UTC)
    heartbeats.register(queues=["default"], lease=timedelta(minutes=1), now=now)
    heartbeats.register(queues=["default"], lease=timedelta(minutes=1), now=now - timedelta(minutes=2))
    for status, age in (("READY", 90), ("READY", 30), ("SUCCESSFUL", 60), ("FAILED", 60)):
        job = DBTaskResult.objects.create(status=status, task_path="x.y", args_kwargs={"args": [], "kwargs": {}})
        DBTaskResult.objects.filter(pk=job.pk).update(enqueued_at=now - timedelta(seconds=age))
    record([result("disk", HealthStatus.ERROR, now - timedelta(minutes=2))])
    record([result("disk", HealthStatus.WARNING, now - timedelta(minutes=1))])
    record([result("cache", HealthStatus.UNKNOWN, now - timedelta(minutes=1))])
    record([result("gone", HealthStatus.HEALTHY, now - timedelta(hours=2))])
    for number in range(2):
        IngestCheckpoint.objects.create(
            key=str(number), source=f"/feed/{number}", rows=40, quarantined=1, started_at=now
        )
    found = told()
    expected = {
        "emo_build_info|environment=dev|version=0.1.0": 1,
        "emo_database_up|database=default": 1,
        "emo_component_score|component=disk": 60,
        "emo_component_status|component=disk|status=warning": 1,
        "emo_component_status|component=disk|status=error": 0,
        "emo_component_status|component=cache|status=unknown": 1,
        "emo_ingest_files": 2,
        "emo_ingest_rows": 80,
        "emo_ingest_quarantined_rows": 2,
        "emo_part_up|part=components": 1,
        "emo_part_up|part=ingest": 1,
        "emo_part_up|part=orders": 1,
        "emo_part_up|part=tasks": 1,
        "emo_tasks|status=ready": 2,
        "emo_tasks|status=running": 0,
        "emo_tasks|status=successful": 1,
        "emo_tasks|status=failed": 1,
        "emo_task_workers": 1,
        **{f"emo_orders|status={status}": 0 for status in OrderStatus.values},
    }
    assert {name: found.get(name) for name in expected} == expected
    assert 90 <= found["emo_task_longest_wait_seconds"] < 100
    # Nobody knows a figure for what is unknown, and what was recorded long ago says nothing about now.
    assert "emo_component_score|component=cache" not in found
    assert not [name for name in found if "gone" in name]
    assert found["emo_component_recorded_timestamp_seconds|component=disk"] == pytest.approx(
        (now - timedelta(minutes=1)).timestamp()
    )


@pytest.mark.django_db
def test_the_components_are_one_bounded_query(django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    for minute in range(5):
        record([result(f"c{number}", HealthStatus.HEALTHY, now - timedelta(minutes=minute)) for number in range(4)])
    monkeypatch.setattr(metrics, "MOST_ROWS", 8)
    with django_assert_num_queries(1):
        score, *_ = metrics.components(now)
    assert len(score.samples) == 4


@pytest.mark.django_db(transaction=True)
def test_both_forms_of_the_text_are_well_formed() -> None:
    Client().get("/healthz")
    plain = Client().get("/metrics")
    assert plain["Content-Type"].startswith("text/plain")
    open_metrics = Client().get("/metrics", headers={"Accept": OPENMETRICS})
    assert open_metrics["Content-Type"].startswith("application/openmetrics-text")
    families = list(parse_openmetrics(open_metrics.content.decode()))
    assert len({family.name for family in families}) == len(families)
    assert {family.name for family in families} >= {"emo_http_requests", "emo_database_up"}


@pytest.mark.django_db
def test_a_database_that_is_away_is_told_and_the_page_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: Any) -> Finding:
        return Finding(status=HealthStatus.ERROR, message="refused", metrics={"error": "OperationalError"})

    monkeypatch.setattr("monitoring.probes.DatabaseProbe.run", away)
    Client().get("/healthz")
    started = time.monotonic()
    found = told()
    assert time.monotonic() - started < 1
    assert found["emo_database_up|database=default"] == 0
    parts = [name for name in found if name.startswith("emo_part_up")]
    assert len(parts) == 4
    assert not any(found[name] for name in parts)
    assert "emo_orders|status=draft" not in found
    assert [name for name in found if name.startswith("emo_http_requests_total")]


@pytest.mark.django_db(transaction=True)
def test_a_part_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(now: datetime) -> Any:
        raise OperationalError("locked")

    monkeypatch.setattr("orders.metrics.orders", failing)
    found = told()
    assert found["emo_part_up|part=orders"] == 0
    assert found["emo_part_up|part=ingest"] == 1


@pytest.mark.django_db(transaction=True)
def test_those_who_ask_at_once_share_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[datetime] = []
    look = exposition._look

    def counted(now: datetime) -> Any:
        looks.append(now)
        return look(now)

    monkeypatch.setattr(exposition, "_look", counted)
    told()
    told()
    assert len(looks) == 1


@pytest.mark.parametrize(
    ("authorization", "peer", "forwarded", "allowed"),
    [
        (f"Bearer {TOKEN}", "203.0.113.9", True, True),
        (f"bearer  {OLD_TOKEN}", "203.0.113.9", False, True),
        (f"Bearer {TOKEN}x", "203.0.113.9", False, False),
        (f"Bearer {TOKEN[:-1]}", "203.0.113.9", False, False),
        (f"Basic {TOKEN}", "203.0.113.9", False, False),
        (TOKEN, "203.0.113.9", False, False),
        ("Bearer ", "203.0.113.9", False, False),
        ("", "203.0.113.9", False, False),
        ("", "10.1.2.3", False, True),
        ("", "::ffff:10.1.2.3", False, True),
        ("", "fd00::7", False, True),
        # The proxy's own address, whoever stands behind it.
        ("", "10.1.2.3", True, False),
        ("", "10.2.0.1", False, False),
        # A Unix socket.
        ("", "", False, False),
    ],
)
def test_who_may_read(authorization: str, peer: str, forwarded: bool, allowed: bool) -> None:
    networks = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]
    assert (
        may_read(
            authorization=authorization, peer=peer, forwarded=forwarded, tokens=[TOKEN, OLD_TOKEN], networks=networks
        )
        == allowed
    )


def test_without_tokens_an_empty_one_opens_nothing() -> None:
    for authorization in ("Bearer ", "Bearer", ""):
        assert not may_read(authorization=authorization, peer="", forwarded=False, tokens=[], networks=[])


@pytest.mark.parametrize(
    ("tokens", "networks", "headers", "status"),
    [
        ([], [], {}, 404),
        ([], [], {"Authorization": f"Bearer {TOKEN}"}, 404),
        ([TOKEN], [], {}, 403),
        ([TOKEN], [], {"Authorization": "Bearer wrong"}, 403),
        ([], [ip_network("10.0.0.0/8")], {}, 403),
        ([], [ip_network("127.0.0.0/8")], {"X-Forwarded-For": "127.0.0.1"}, 403),
    ],
)
def test_who_may_not_read_learns_nothing(
    settings: Any, tokens: list[str], networks: list[Any], headers: dict[str, str], status: int
) -> None:
    settings.EMO_METRICS_TOKENS, settings.EMO_METRICS_NETWORKS = tokens, networks
    response = Client().get("/metrics", headers=headers)
    assert response.status_code == status
    assert b"emo_" not in response.content


@pytest.mark.django_db(transaction=True)
def test_a_token_opens_it_and_is_not_told(settings: Any) -> None:
    settings.EMO_METRICS_TOKENS, settings.EMO_METRICS_NETWORKS = [TOKEN], []
    response = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 200
    for secret in (TOKEN, settings.SECRET_KEY, settings.EMO_AUDIT_KEY):
        assert secret.encode() not in response.content
    assert Client().post("/metrics").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_every_metric_is_documented() -> None:
    Client().get("/healthz")
    families = {
        family.name + ("_total" if family.type == "counter" and not family.name.endswith("_total") else "")
        for family in parse(Client().get("/metrics").content.decode())
    }
    text = (PROJECT / "docs/observability.md").read_text()
    documented = set(re.findall(r"^\| `(emo_\w+)` \|", text, re.MULTILINE))
    # Pools only where there are some, the rest always.
    assert families <= documented
    assert not {name for name in documented - families if not name.startswith("emo_db_pool_")}
