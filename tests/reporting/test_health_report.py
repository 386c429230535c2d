"""The institutional report: what the probes say, what was recorded, and what is missing and why."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from monitoring import health
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from orders.choices import OrderStatus
from reporting import health_report, rendering
from tests.factories import NOW, equity, person, staged

pytestmark = pytest.mark.django_db

SPECIFIED = {
    "timestamp",
    "database_healthy",
    "environment",
    "total_orders",
    "active_orders",
    "system_health_score",
    "database_dialect",
    "migration_status",
    "recent_files_count",
    "components",
}


def _result(
    name: str, status: HealthStatus = HealthStatus.HEALTHY, *, critical: bool = False, **metrics: object
) -> ProbeResult:
    finding = Finding(
        status=status, message=f"{name} is {status}", remedy="" if status == "healthy" else "mend it", metrics=metrics
    )
    return ProbeResult(name=name, critical=critical, finding=finding, at=NOW, response_ms=1.5)


DATABASE = _result(
    "database:default", critical=True, engine="sqlite", version="3", role="primary", latency_ms=0.2, lag_seconds=None
)
MIGRATIONS = _result("migrations:default", critical=True)


def test_a_healthy_desk() -> None:
    report = health_report.build(now=NOW, results=[DATABASE, MIGRATIONS])
    assert report.database_healthy is True
    assert report.database_dialect == "sqlite"
    assert report.migration_status == "up to date"
    assert report.system_health_score == 100.0
    assert report.missing == ()
    assert report.databases[0].engine == "sqlite 3"
    assert report.databases[0].latency_text == "0.2 ms"


def test_what_pulls_the_score_down_is_named() -> None:
    disk = _result("disk", HealthStatus.WARNING)
    report = health_report.build(now=NOW, results=[DATABASE, MIGRATIONS, disk])
    assert report.system_health_score == float((Decimal(260) / 3).quantize(Decimal("0.01")))
    assert report.pulled_down_by == ("disk: warning",)
    assert report.system_status == "warning"


def test_a_dead_database_is_never_three_quarters_healthy() -> None:
    dead = _result("database:default", HealthStatus.ERROR, critical=True)
    others = [_result(f"component {number}") for number in range(9)]
    report = health_report.build(now=NOW, results=[dead, *others])
    assert report.system_health_score == 20.0
    assert report.database_healthy is False
    assert report.total_orders is report.active_orders is report.recent_files_count is None
    assert report.missing == (
        "Orders: the default database can't be used.",
        "History: the database of recorded health can't be used.",
    )
    assert report.databases[0].engine == report.databases[0].latency_text == report.databases[0].lag_text == "n/a"


def test_migrations_that_are_missing_are_said() -> None:
    behind = _result("migrations:default", HealthStatus.ERROR, critical=True)
    report = health_report.build(now=NOW, results=[DATABASE, behind])
    assert report.migration_status == "default: migrations:default is error"


def test_orders_activity_and_recent_files() -> None:
    equity()
    trader = person("trader", "trader")
    staged(trader, client_order_id="a", source_file="one.yaml")
    staged(trader, client_order_id="b", source_file="one.yaml")
    staged(trader, client_order_id="c", source_file="old.yaml", now=NOW - timedelta(hours=25))
    report = health_report.build(now=NOW, results=[DATABASE, MIGRATIONS])
    assert report.total_orders == 3
    assert report.active_orders == 0
    assert report.recent_files_count == 1
    assert report.recent_activity[0].actor == "trader"
    assert report.recent_activity[0].what == f"staged: {OrderStatus.PENDING_REVIEW.label}"


def test_recorded_health_of_the_last_day_is_shown() -> None:
    earlier = [
        ProbeResult(
            name="disk",
            critical=False,
            finding=Finding(status=status, message="", remedy=""),
            at=NOW - timedelta(hours=hours),
            response_ms=1.0,
        )
        for hours, status in ((30, HealthStatus.ERROR), (2, HealthStatus.WARNING), (1, HealthStatus.HEALTHY))
    ]
    health.record(earlier)
    component = health_report.build(now=NOW, results=[DATABASE, MIGRATIONS, _result("disk")]).components[-1]
    assert component.hours_text == "Last 24 h, worst of each hour: 1 h healthy, 1 h warning, 22 h not recorded"
    assert [run.status for run in component.hours] == ["none", "warning", "healthy"]
    assert [(each.period, each.records, each.up_text) for each in component.uptimes] == [
        ("24 h", 2, "100 %"),
        ("7 d", 3, "66.66 %"),
        ("30 d", 3, "66.66 %"),
    ]


def test_json_keeps_the_specifications_names() -> None:
    document = json.loads(rendering.json_text(health_report.build(now=NOW, results=[DATABASE, MIGRATIONS])))
    assert document.keys() >= SPECIFIED
    assert document["components"][0]["name"] == "database:default"
