"""The institutional report: what the probes say, what was recorded, and what is missing and why."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from django.test import Client
from django_tasks_db.models import DBTaskResult

from emo_site.jobs import heartbeats
from emo_site.jobs.models import Schedule
from monitoring import health, health_hours
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.models import ErrorMinute, Incident, SystemHealth
from orders import workflow
from orders.choices import OrderStatus
from orders.fill import Fill
from reporting import health_report, rendering
from reporting.shared_report import SharedReport
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
    assert report.system_health_score == float((Decimal(660) / 7).quantize(Decimal("0.01")))
    assert report.pulled_down_by == ("disk: warning",)
    assert report.system_status == "warning"


def test_many_costs_are_a_few_lines_that_still_add_up() -> None:
    ill = [_result(f"component {number:03d}", HealthStatus.WARNING) for number in range(300)]
    dead = _result("database:default", HealthStatus.ERROR, critical=True)
    report = health_report.build(now=NOW, results=[dead, *ill])
    assert (len(report.costs), report.other_costs and report.other_costs.n) == (301, 291)
    section = rendering.body_html(report).partition('id="costs"')[2].partition("</section>")[0]
    points = [Decimal(each) for each in re.findall(r'<td class="number">([0-9.]+)</td>', section)]
    assert len(points) == 10 + 1 + 1
    assert 100 - sum(points) == Decimal(str(report.system_health_score))
    assert "291 others" in section


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


@pytest.mark.django_db(transaction=True)
def test_a_part_whose_connection_is_lost_is_missing_unless_the_page_can_be_read_elsewhere(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def lost(*args: object, **options: object) -> None:
        asked.append(args)
        raise OperationalError("gone") from psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(health_report, "_orders", lost)
    report = health_report.build(now=NOW, results=[DATABASE])
    assert (report.missing, report.total_orders) == (("Orders: gone",), None)
    asked.clear()

    client.force_login(person("ada", "auditor"))
    monkeypatch.setattr("reporting.shared_report.health.run", lambda *args, **options: [DATABASE])
    monkeypatch.setattr("reporting.views._shared", SharedReport(health.SharedRun(max_age=5.0)))
    page = client.get("/reports/institutional/")
    assert (page.status_code, len(asked)) == (200, 2)
    assert "Orders: gone" in page.content.decode()


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


def test_the_last_errors_of_a_day_are_told_by_kind() -> None:
    def logged(kind: str, level: str, count: int, message: str, hours: float) -> None:
        at = NOW - timedelta(hours=hours)
        ErrorMinute.objects.create(
            host="a", process="gunicorn", kind=kind, level=level, minute=at, count=count, message=message, last_at=at
        )

    logged("migration", "error", 1, "of last week", 100)
    logged("performance", "warning", 1200, "slow", 5)
    logged("database connection", "error", 2, "refused", 3)
    logged("database connection", "error", 3, "r" * 400, 1)
    logged("migration", "error", 1, "after the moment", -1)
    report = health_report.build(now=NOW, results=[DATABASE, MIGRATIONS])
    assert report.errors is not None
    assert [(row.kind, row.level, row.tone, row.count_text, row.host) for row in report.errors] == [
        ("database connection", "error", "bad", "5", "a"),
        ("performance", "warning", "warn", "1,200", "a"),
    ]
    assert report.errors[0].message_text == f"{'r' * 300} …"
    body = rendering.body_html(report)
    assert "Last warnings and errors" in body
    assert "No warning and no error" not in body


def test_background_work_is_told() -> None:
    heartbeats.register(queues=["default", "operator"], lease=timedelta(minutes=1), now=NOW - timedelta(seconds=20))
    heartbeats.register(queues=["default"], lease=timedelta(minutes=1), now=NOW - timedelta(minutes=5))

    def job(status: str, hours: float) -> DBTaskResult[..., Any]:
        made = DBTaskResult.objects.create(
            status=status,
            task_path="orders.tasks.expire_orders",
            args_kwargs={"args": [], "kwargs": {}},
            exception_class_path="builtins.ValueError" if status == "FAILED" else "",
        )
        DBTaskResult.objects.filter(pk=made.pk).update(finished_at=NOW - timedelta(hours=hours))
        return made

    failed = job("FAILED", 2)
    for status, hours in (("FAILED", 30), ("SUCCESSFUL", 1), ("SUCCESSFUL", 50), ("READY", 0), ("RUNNING", 0)):
        job(status, hours)
    Schedule.objects.all().delete()
    Schedule.objects.create(
        name="expire", task="x", cron="* * * * *", next_at=NOW, last_enqueued_at=NOW, last_job=failed, problem="no task"
    )
    Schedule.objects.create(name="weekly", task="x", cron="0 6 * * 1", enabled=False)
    report = health_report.build(now=NOW, results=[DATABASE, MIGRATIONS])
    work = report.background
    assert work is not None
    assert [(each.queues, each.beat_text) for each in work.workers] == [(("default", "operator"), "20 s ago")]
    assert (work.waiting, work.running, work.succeeded, work.failed) == (1, 1, 1, 1)
    assert [(each.task, each.error) for each in work.failures] == [("expire_orders", "ValueError")]
    assert [(each.name, each.outcome, each.tone, each.problem, each.next_text) for each in work.schedules] == [
        ("expire", "failed", "bad", "no task", "2025-11-03 15:00:00 UTC"),
        ("weekly", "", "muted", "", "disabled"),
    ]
    body = rendering.body_html(report)
    assert "1 succeeded, 1 failed" in body
    assert health_report.build_past(at=NOW).background is None


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
    health_hours.roll_up(now=NOW)
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


def _adds_up(report: health_report.InstitutionalReport) -> bool:
    lost = sum(cost.points for cost in report.costs) + (report.cap.points if report.cap else 0)
    return report.system_health_score == pytest.approx(100 - lost)


def test_each_component_that_is_not_well_says_what_it_costs() -> None:
    """Two critical ones weigh three each, the others one; what is unknown does not count."""
    disk, feed = _result("disk", HealthStatus.WARNING), _result("market data", HealthStatus.ERROR)
    unknown = _result("files", HealthStatus.UNKNOWN)
    report = health_report.build(now=NOW, results=[DATABASE, MIGRATIONS, disk, feed, unknown])
    assert [(cost.name, cost.points_text) for cost in report.costs] == [("market data", "12.50"), ("disk", "5.00")]
    assert report.cap is None
    assert _adds_up(report)


def test_the_cap_is_a_part_of_its_own() -> None:
    dead = _result("database:default", HealthStatus.ERROR, critical=True)
    report = health_report.build(now=NOW, results=[dead, MIGRATIONS, _result("disk", HealthStatus.WARNING)])
    assert report.cap is not None
    assert (report.cap.by, report.system_health_score) == (("database:default",), 20.0)
    assert _adds_up(report)
    page = rendering.body_html(report)
    assert "while a critical component fails: database:default" in page


def test_the_worst_components_come_first() -> None:
    results = [_result("a"), _result("b", HealthStatus.WARNING), _result("c", HealthStatus.UNKNOWN)]
    report = health_report.build(now=NOW, results=[*results, _result("d", HealthStatus.ERROR)])
    assert [component.name for component in report.components] == ["d", "b", "c", "a"]


def test_a_message_of_ten_thousand_characters_unfolds() -> None:
    finding = Finding(status=HealthStatus.ERROR, message="<b>x" * 2500)
    long = ProbeResult(name="files", critical=False, finding=finding, at=NOW, response_ms=None)
    report = health_report.build(now=NOW, results=[DATABASE, long])
    component = report.components[0]
    assert component.message_text + component.rest_text == finding.message
    assert len(component.message_text) == 300
    page = rendering.body_html(report)
    assert "The rest of it (10000 characters)" in page
    assert "<b>x" not in page
    assert json.loads(rendering.json_text(report))["components"][0]["message"] == finding.message


def test_orders_of_the_trading_day() -> None:
    """The day begins at midnight in New York: 05:00 UTC in November."""
    equity(at=NOW - timedelta(days=2))
    trader, reviewer = person("trader", "trader"), person("reviewer", "reviewer")
    staged(trader, client_order_id="yesterday", now=NOW.replace(hour=4, minute=59))
    filled, refused, _ = (staged(trader, client_order_id=name, now=NOW.replace(hour=5)) for name in ("a", "b", "c"))
    workflow.approve(filled.pk, actor=reviewer, now=NOW.replace(hour=5, minute=10))
    workflow.reject(refused.pk, actor=reviewer, now=NOW.replace(hour=5, minute=31), reason="no")
    workflow.submit(filled.pk, actor=trader, now=NOW.replace(hour=5, minute=40))
    fill = Fill(execution_id="f1", price=Decimal("400.90"), quantity=Decimal(2), executed_at=NOW.replace(hour=6))
    workflow.record_execution(filled.pk, fill, actor=trader, now=NOW.replace(hour=6))
    backlog = _result("review backlog", waiting=2, oldest_hours=10.0)

    day = health_report.build(now=NOW, results=[DATABASE, MIGRATIONS, backlog]).orders_today
    assert day is not None
    assert (day.day.isoformat(), day.since.isoformat()) == ("2025-11-03", "2025-11-03T05:00:00+00:00")
    assert day.by_status == {"executed": 1, "rejected": 1, "pending_review": 1}
    assert (day.waiting, day.oldest_hours) == (2, 10.0)
    assert (day.review_median_minutes, day.n_reviewed, day.review_text) == (20.5, 2, "20.5 min (n = 2)")

    # As they stood then, whatever they have become.
    past = health_report.build_past(at=NOW.replace(hour=5, minute=20))
    assert past.orders_today is not None
    assert past.orders_today.by_status == {"approved": 1, "pending_review": 2}
    assert (past.orders_today.n_reviewed, past.total_orders, past.active_orders) == (1, 4, None)
    assert past.orders_today.backlog_note == "the review backlog was not probed"


def _incident(began: timedelta, **changes: object) -> None:
    values = {"component_name": "disk", "severity": "error", "message": "full", "last_seen_at": NOW, **changes}
    Incident.objects.create(began_at=NOW - began, **values)


def test_incidents_with_their_duration_and_who_acknowledged_them() -> None:
    _incident(timedelta(days=31), ended_at=NOW - timedelta(days=30))
    _incident(
        timedelta(hours=5),
        ended_at=NOW - timedelta(hours=2),
        acknowledged_at=NOW - timedelta(hours=4),
        acknowledged_by="olga",
        note="a log ran wild",
    )
    _incident(timedelta(minutes=10), component_name="market data")
    report = health_report.build(now=NOW, results=[DATABASE])
    assert report.incidents is not None
    opened, over = report.incidents
    assert (opened.component, opened.ended_at, opened.duration_text) == ("market data", None, "10 min, not over")
    assert (over.duration_seconds, over.duration_text) == (10_800, "3 h")
    assert (over.acknowledged_text, over.note) == ("olga, 2025-11-03 11:00:00 UTC", "a log ran wild")

    then = health_report.build_past(at=NOW - timedelta(hours=4, minutes=30)).incidents
    assert then is not None
    [row] = then
    assert (row.duration_text, row.acknowledged_text, row.note) == ("30 min, not over", "nobody", "")


def test_a_past_moment_is_told_from_what_was_recorded() -> None:
    health.record([DATABASE, _result("disk", HealthStatus.ERROR, free_bytes=1)])
    report = health_report.build_past(at=NOW + timedelta(minutes=5))
    assert report.past
    assert {each.name: each.status for each in report.components} == {"database:default": "healthy", "disk": "error"}
    assert report.databases[0].engine == "sqlite 3"
    assert report.databases[0].statements_text == report.databases[0].size_text == "n/a: not recorded"
    assert report.load is None
    page = rendering.html_file(report)
    assert "A moment of the past." in page
    assert "n/a: not recorded" in page


def test_a_past_moment_of_which_nothing_is_left_says_so() -> None:
    report = health_report.build_past(at=NOW)
    assert report.system_health_score is None
    assert report.missing == (
        "Components: nothing was recorded at that moment, or it is gone (records are kept for 7 days; hours stay).",
    )
    assert "No component is on record at this moment." in rendering.html_file(report)


def test_the_disks_days_are_told() -> None:
    for day in range(5):
        health.record([replace(_result("disk", free_bytes=(100 + day) * 10**9), at=NOW - timedelta(days=day))])
    report = health_report.build(now=NOW, results=[DATABASE])
    assert report.disk is not None
    assert (report.disk.days_left, report.disk_rate_text) == (100.0, "1 GB less free each day")
    shown = {figure.label: (figure.value, figure.note) for figure in report.headline}
    assert shown["Disk full in"] == ("100 days", "at this rate, Theil-Sen over 5 days")


def test_migrations_are_listed_newest_first_with_their_times() -> None:
    rows = health_report.build(now=datetime.now(UTC), results=[DATABASE]).migrations
    times = [row.at for row in rows if row.at is not None]
    assert len(times) == 5
    assert times == sorted(times, reverse=True)


def test_a_dead_database_has_no_migrations_to_tell() -> None:
    dead = _result("database:default", HealthStatus.ERROR, critical=True)
    [row] = health_report.build(now=NOW, results=[dead]).migrations
    assert (row.name, row.reason) == ("", "the database can't be used")


def test_backups_by_the_names_on_their_shelf(settings: Any, tmp_path: Path) -> None:
    settings.EMO_BACKUP_DIR = tmp_path
    assert health_report.build(now=NOW, results=[DATABASE]).backups.made_text == "n/a: there is none"
    for stamp in ("20251102T150000Z", "20251103T120000Z", "20251104T120000Z"):
        (tmp_path / f"emo-dev-{stamp}.tar.age").write_bytes(b"x" * 1500)
    proven = _result("backups", verified_at="2025-11-03T13:00:00+00:00")
    backups = health_report.build(now=NOW, results=[DATABASE, proven]).backups
    assert (backups.kept, backups.name) == (2, "emo-dev-20251103T120000Z.tar.age")
    assert backups.made_text == "2025-11-03 12:00:00 UTC, 3 h before, 1.5 kB"
    assert backups.verified_text == "2025-11-03 13:00:00 UTC"


def test_files_that_came_in_are_listed() -> None:
    equity()
    trader = person("trader", "trader")
    for name, source in (("a", "one.yaml"), ("b", "one.yaml"), ("c", "two.yaml")):
        staged(trader, client_order_id=name, source_file=source)
    files = health_report.build(now=NOW, results=[DATABASE]).recent_files
    assert {(file.name, file.rows_text) for file in files} == {("one.yaml", "2 orders"), ("two.yaml", "1 order")}


def test_no_data_at_all_is_a_report_too() -> None:
    report = health_report.build(now=NOW, results=[])
    assert not SystemHealth.objects.exists()
    page = rendering.html_file(report)
    for text in ("no probe knows", "None is on record.", "n/a: no score was recorded"):
        assert text in page


def test_every_drawing_has_a_name_and_figures_behind_it() -> None:
    health.record([DATABASE, _result("disk")])
    page = rendering.body_html(
        health_report.build(now=NOW + timedelta(minutes=30), results=[DATABASE, _result("disk")])
    )
    drawings = re.findall(r"<svg\b[^>]*>", page)
    assert len(drawings) == 3
    assert all('role="img"' in each and ("aria-label=" in each or "aria-labelledby=" in each) for each in drawings)
    assert page.count("<summary>Figures") == len(drawings)
