"""What is due is queued once, and nothing that is due stops the rest."""

from __future__ import annotations

import importlib
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django_tasks.base import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from emo_site.jobs import catalogue, cron, schedules
from emo_site.jobs.models import Schedule
from tests.factories import NOW

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _none() -> None:
    Schedule.objects.all().delete()


def schedule(name: str = "prune", **changes: Any) -> Schedule:
    columns = {"task": "emo_site.jobs.tasks.prune_jobs", "cron": "* * * * *", "next_at": NOW - MINUTE, **changes}
    return Schedule.objects.create(name=name, **columns)


def queued() -> list[str]:
    return list(DBTaskResult.objects.order_by("enqueued_at").values_list("task_path", flat=True))


def end_jobs() -> None:
    DBTaskResult.objects.update(status=TaskResultStatus.SUCCESSFUL, finished_at=NOW)


def test_only_what_is_due_and_enabled_is_queued() -> None:
    schedule("due")
    schedule("later", next_at=NOW + MINUTE)
    schedule("off", enabled=False)
    assert [each.name for each in schedules.tick(now=NOW)] == ["due"]
    assert queued() == ["emo_site.jobs.tasks.prune_jobs"]
    due = Schedule.objects.get(name="due")
    assert (due.last_enqueued_at, due.next_at) == (NOW, NOW + MINUTE)
    assert due.last_job_id == DBTaskResult.objects.get().pk


def test_arguments_are_handed_on() -> None:
    schedule(task="reporting.tasks.export_report", arguments={"report": "orders", "file_format": "json"})
    schedules.tick(now=NOW)
    job = DBTaskResult.objects.get()
    assert job.args_kwargs == {"args": [], "kwargs": {"report": "orders", "file_format": "json"}}
    assert job.queue_name == "default"


def test_what_was_missed_is_made_up_for_once() -> None:
    schedule(next_at=NOW - timedelta(days=3))
    schedules.tick(now=NOW)
    end_jobs()
    assert schedules.tick(now=NOW + timedelta(seconds=1)) == []
    assert len(queued()) == 1


@pytest.mark.parametrize("status", [TaskResultStatus.READY, TaskResultStatus.RUNNING])
def test_run_that_has_not_ended_is_not_queued_beside_itself(status: TaskResultStatus) -> None:
    schedule()
    schedules.tick(now=NOW)
    DBTaskResult.objects.update(status=status)
    assert schedules.tick(now=NOW + MINUTE) == []
    assert len(queued()) == 1
    assert Schedule.objects.get().next_at == NOW + 2 * MINUTE
    end_jobs()
    assert len(schedules.tick(now=NOW + 2 * MINUTE)) == 1


def test_schedule_that_another_worker_has_claimed_is_left() -> None:
    mine = schedule()
    other = Schedule.objects.get()
    assert schedules._claim(other, now=NOW)
    assert not schedules._claim(mine, now=NOW)


@pytest.mark.parametrize(
    ("changes", "said", "enabled"),
    [
        ({"task": "gone.tasks.away"}, "task='gone.tasks.away': no installed app has such a task", True),
        ({"arguments": {"x": 1}}, "arguments={'x': 1}: got an unexpected keyword argument 'x'", True),
        ({"cron": "never"}, "cron='never': ", False),
    ],
)
def test_schedule_that_cannot_be_queued_says_why_and_the_others_are(
    changes: dict[str, Any], said: str, enabled: bool
) -> None:
    schedule("broken", **changes)
    schedule("sound", next_at=NOW)
    assert [each.name for each in schedules.tick(now=NOW)] == ["sound"]
    assert queued() == ["emo_site.jobs.tasks.prune_jobs"]
    broken = Schedule.objects.get(name="broken")
    assert broken.problem.startswith(said)
    # Where no next time can be told, nobody would ever get past it.
    assert broken.enabled is enabled
    assert schedules.tick(now=NOW) == []


def test_run_out_of_turn_is_queued_and_not_twice() -> None:
    one = schedule(next_at=NOW + timedelta(days=1), enabled=False)
    schedules.run_now(one, now=NOW)
    assert len(queued()) == 1
    with pytest.raises(schedules.NotQueued, match="its last run is ready still"):
        schedules.run_now(one, now=NOW)
    assert len(queued()) == 1


def test_what_a_person_enters_is_due_from_now_on() -> None:
    one = Schedule(name="new", task="emo_site.jobs.tasks.prune_jobs", cron="30 * * * *")
    schedules.keep(one, now=NOW)
    assert Schedule.objects.get().next_at == NOW + timedelta(minutes=30)
    one.enabled = False
    schedules.keep(one, now=NOW)
    assert Schedule.objects.get().next_at is None


def test_what_workers_wrote_meanwhile_is_kept_when_a_person_saves() -> None:
    one = schedule()
    schedules.tick(now=NOW)
    one.cron = "0 * * * *"
    schedules.keep(one, now=NOW)
    assert Schedule.objects.get().last_enqueued_at == NOW


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"cron": "x"}, cron.BadCron),
        ({"task": "os.system"}, catalogue.NoSuchTask),
        ({"arguments": {"x": 1}}, catalogue.BadArguments),
    ],
)
def test_what_cannot_be_queued_is_not_saved(changes: dict[str, Any], error: type[Exception]) -> None:
    one = Schedule(**{"name": "new", "task": "emo_site.jobs.tasks.prune_jobs", "cron": "* * * * *", **changes})
    with pytest.raises(error):
        schedules.keep(one, now=NOW)
    assert not Schedule.objects.exists()


def test_enabled_schedule_without_a_next_time_is_refused_by_the_database() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        schedule(next_at=None)


def test_default_schedules_name_tasks_that_there_are_and_keep_what_was_changed() -> None:
    defaults = importlib.import_module("emo_site.jobs.migrations.0002_default_schedules")
    defaults.make(apps, connection.schema_editor())
    for each in Schedule.objects.all():
        catalogue.require_arguments(catalogue.task(each.task), each.arguments)
        cron.next_after(each.cron, NOW)
    enabled = set(Schedule.objects.filter(enabled=True).values_list("name", flat=True))
    assert enabled == {row[0] for row in defaults.ENABLED}
    assert Schedule.objects.count() == len(defaults.NAMES)
    Schedule.objects.filter(name="backup").update(cron="0 1 * * *")
    defaults.make(apps, connection.schema_editor())
    assert Schedule.objects.get(name="backup").cron == "0 1 * * *"


def test_performance_is_rolled_up_every_quarter_of_an_hour() -> None:
    migration = importlib.import_module("emo_site.jobs.migrations.0004_performance_schedule")
    migration.make(apps, connection.schema_editor())
    found = Schedule.objects.get(name=migration.NAME)
    catalogue.require_arguments(catalogue.task(found.task), found.arguments)
    assert (found.enabled, found.cron) == (True, "*/15 * * * *")
    assert found.next_at is not None
    migration.remove(apps, connection.schema_editor())
    assert not Schedule.objects.filter(name=migration.NAME).exists()
