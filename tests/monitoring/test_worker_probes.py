"""What the probe of background work says: no worker, a silent one, late schedules, failed tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django_tasks_db.models import DBTaskResult

from emo_site.db.clocks import now_of
from emo_site.jobs import heartbeats
from emo_site.jobs.models import Schedule
from monitoring import worker_probes
from monitoring.health import Finding
from monitoring.worker_probes import WorkerProbe
from tests.emo_site.jobs import toil

pytestmark = pytest.mark.django_db
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def _none() -> None:
    Schedule.objects.all().delete()


def schedule(name: str = "prune", *, due_in: timedelta = MINUTE, **changes: Any) -> None:
    due = now_of(connection) + due_in
    columns = {"task": "emo_site.jobs.tasks.prune_jobs", "cron": "* * * * *", "next_at": due, **changes}
    Schedule.objects.create(name=name, **columns)


def worker(*, silent: timedelta = SECOND, queues: tuple[str, ...] = ("default", "operator")) -> str:
    return heartbeats.register(queues=queues, lease=HOUR, now=now_of(connection) - silent).name


def job(status: str, *, age: timedelta, what: str = "x") -> None:
    done = toil.give.enqueue(what)
    DBTaskResult.objects.filter(pk=done.id).update(status=status, finished_at=now_of(connection) - age)


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


def test_nothing_scheduled_needs_no_worker() -> None:
    schedule(enabled=False)
    assert said(WorkerProbe().run()) == ("healthy", "nothing is scheduled")


def test_worker_that_beats_is_healthy() -> None:
    schedule()
    worker()
    toil.give.enqueue("x")
    assert said(WorkerProbe().run()) == ("healthy", "1 alive, 1 tasks wait")


@pytest.mark.parametrize(("environment", "status"), [("dev", "unknown"), ("staging", "error"), ("prod", "error")])
def test_schedule_without_any_worker_is_an_error_but_where_one_person_is_everybody(
    settings: Any, environment: str, status: str
) -> None:
    settings.EMO_ENV = environment
    schedule()
    finding = WorkerProbe().run()
    assert said(finding) == (status, "No worker has beaten for 120 s that would run prune; there never was one.")
    assert finding.remedy == "Start manage.py worker, or disable the schedule in the admin."


def test_silent_worker_is_an_error_in_dev_too() -> None:
    schedule()
    worker(silent=119 * SECOND)
    assert WorkerProbe().run().status == "healthy"
    assert WorkerProbe(silent_seconds=100).run().status == "error"
    assert "the last one beat at 20" in WorkerProbe(silent_seconds=100).run().message


def test_worker_that_has_ended_counts_no_longer() -> None:
    schedule()
    heartbeats.end(worker(), now=now_of(connection))
    assert WorkerProbe().run().status == "error"


def test_queue_that_no_worker_serves_is_named_by_its_schedules() -> None:
    schedule("prune")
    schedule("retention", task="monitoring.tasks.apply_retention")
    worker(queues=("default",))
    assert said(WorkerProbe().run())[1].startswith("No worker has beaten for 120 s that would run retention;")


def test_late_schedule_is_a_warning() -> None:
    schedule(due_in=-14 * MINUTE)
    worker()
    assert WorkerProbe().run().status == "healthy"
    assert said(WorkerProbe(late_minutes=13).run()) == ("warning", "late by more than 13 min: prune")


def test_schedule_that_cannot_be_queued_is_a_warning() -> None:
    schedule("gone", task="gone.tasks.away", problem="no such task")
    worker()
    assert said(WorkerProbe().run()) == ("warning", "can't be queued: gone")


def test_failed_task_is_a_warning_for_a_day() -> None:
    job("FAILED", age=25 * HOUR)
    assert WorkerProbe().run().status == "healthy"
    job("FAILED", age=23 * HOUR)
    finding = WorkerProbe().run()
    assert said(finding) == ("warning", "failed in the last 24 h: give")
    assert finding.metrics["failed"] == ["give"]


def test_failed_task_is_made_good_by_a_later_success_with_the_same_arguments() -> None:
    job("FAILED", age=2 * HOUR)
    job("SUCCESSFUL", age=3 * HOUR)
    job("SUCCESSFUL", age=HOUR, what="y")
    assert WorkerProbe().run().status == "warning"
    job("SUCCESSFUL", age=HOUR)
    assert WorkerProbe().run().status == "healthy"


def test_database_that_is_away_is_an_error_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(alias: str) -> None:
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(worker_probes, "require_answer", away)
    assert said(WorkerProbe().run()) == ("error", "Can't be used: connection refused")
