"""Background work in the admin: who sees it, who may change it, a failed job's trace, run again, run now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from emo_site.jobs import heartbeats, queue
from emo_site.jobs.models import Schedule
from tests.emo_site.jobs import toil
from tests.factories import person

pytestmark = pytest.mark.django_db

JOBS = "/admin/jobs/job/"
SCHEDULES = "/admin/jobs/schedule/"
WORKERS = "/admin/jobs/workerheartbeat/"


@pytest.fixture
def operator() -> User:
    return person("oscar", "operator")


@pytest.fixture
def auditor() -> User:
    return person("alma", "auditor")


@pytest.fixture
def prune() -> Schedule:
    Schedule.objects.all().delete()
    due = timezone.now() + timedelta(hours=1)
    return Schedule.objects.create(name="prune", task="emo_site.jobs.tasks.prune_jobs", cron="0 3 * * *", next_at=due)


@pytest.fixture
def failed() -> DBTaskResult[..., Any]:
    now = timezone.now()
    worker = heartbeats.register(queues=["default"], lease=timedelta(seconds=60), now=now).name
    toil.fail.enqueue("<b>this</b>")
    job = queue.claim(worker, queues=["default"], now=now)
    assert job is not None
    try:
        job.task.call(*job.args_kwargs["args"])
    except ValueError as error:
        queue.fail(job, worker, error, now=now + timedelta(seconds=1.5))
    return job


def as_user(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def act(user: User, path: str, action: str, row: Any) -> list[str]:
    response = as_user(user).post(path, {"action": action, "_selected_action": [str(row.pk)]}, follow=True)
    return [str(message) for message in get_messages(response.wsgi_request)]


def form(**changes: str) -> dict[str, str]:
    return {
        "name": "prune",
        "task": "emo_site.jobs.tasks.prune_jobs",
        "arguments": "{}",
        "cron": "0 3 * * *",
        "enabled": "on",
        **changes,
    }


@pytest.mark.parametrize("group", ["reviewer", "trader", "operator", "auditor", "risk officer"])
@pytest.mark.usefixtures("prune", "failed")
def test_everybody_sees_jobs_schedules_and_workers(group: str) -> None:
    client = as_user(person("ida", group))
    for path, shown in ((JOBS, "fail"), (SCHEDULES, "0 3 * * *"), (WORKERS, "alive, or not yet missed")):
        response = client.get(path)
        assert response.status_code == 200
        assert shown in response.content.decode()


def test_nobody_without_permission_sees_them(failed: DBTaskResult[..., Any]) -> None:
    stranger = User.objects.create_user("sam", is_staff=True)
    for path in (JOBS, SCHEDULES, WORKERS, f"{JOBS}{failed.pk}/change/"):
        assert as_user(stranger).get(path).status_code == 403


def test_failed_job_shows_its_trace_and_nothing_of_it_is_markup(auditor: User, failed: DBTaskResult[..., Any]) -> None:
    page = as_user(auditor).get(f"{JOBS}{failed.pk}/change/").content.decode()
    assert "ValueError: &lt;b&gt;this&lt;/b&gt; can&#x27;t be done" in page
    assert "Traceback (most recent call last)" in page
    assert "builtins.ValueError" in page
    assert "1.50\N{NO-BREAK SPACE}s" in page
    assert "<b>this" not in page
    listed = as_user(auditor).get(JOBS).content.decode()
    assert '<span class="badge tone-bad">failed</span>' in listed


def test_long_arguments_are_cut_short_in_the_list_only(auditor: User) -> None:
    toil.give.enqueue("x" * 500)
    client, job = as_user(auditor), DBTaskResult.objects.get()
    assert "x" * 51 not in client.get(JOBS).content.decode()
    assert "x" * 500 in client.get(f"{JOBS}{job.pk}/change/").content.decode()


def test_failed_job_is_run_again_and_who_did_it_is_logged(operator: User, failed: DBTaskResult[..., Any]) -> None:
    [said] = act(operator, JOBS, "run_again", failed)
    old, new = DBTaskResult.objects.order_by("enqueued_at")
    assert f"{new.pk}</a>" in said
    assert (old.pk, old.status, new.status) == (failed.pk, "FAILED", "READY")
    assert new.args_kwargs == old.args_kwargs
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, entry.change_message) == (
        operator,
        str(failed.pk),
        f"Run again as {new.pk}.",
    )


def test_waiting_job_is_not_run_again(operator: User) -> None:
    toil.give.enqueue("x")
    [said] = act(operator, JOBS, "run_again", DBTaskResult.objects.get())
    assert said.startswith("Not run again: tests.emo_site.jobs.toil.give")
    assert DBTaskResult.objects.count() == 1


def test_auditor_runs_nothing(auditor: User, prune: Schedule, failed: DBTaskResult[..., Any]) -> None:
    act(auditor, JOBS, "run_again", failed)
    act(auditor, SCHEDULES, "run_now", prune)
    assert DBTaskResult.objects.count() == 1
    for path in (JOBS, SCHEDULES):
        assert "run_" not in as_user(auditor).get(path).content.decode()
    assert as_user(auditor).post(f"{SCHEDULES}{prune.pk}/change/", form(cron="* * * * *")).status_code == 403
    prune.refresh_from_db()
    assert prune.cron == "0 3 * * *"


def test_nobody_changes_or_removes_a_job(operator: User, failed: DBTaskResult[..., Any]) -> None:
    chief = User.objects.create_superuser("chief")
    for user in (operator, chief):
        assert as_user(user).post(f"{JOBS}{failed.pk}/change/", {"queue_name": "x"}).status_code == 403
        assert as_user(user).post(f"{JOBS}{failed.pk}/delete/", {"post": "yes"}).status_code == 403
        assert as_user(user).get(f"{JOBS}add/").status_code == 403
    assert DBTaskResult.objects.get().status == "FAILED"


def test_schedule_is_run_out_of_turn(operator: User, prune: Schedule) -> None:
    assert act(operator, SCHEDULES, "run_now", prune) == ["prune is queued."]
    assert DBTaskResult.objects.get().task_path == "emo_site.jobs.tasks.prune_jobs"
    assert act(operator, SCHEDULES, "run_now", prune) == [
        "Not queued: schedule prune: its last run is ready still, so none was queued."
    ]
    listed = as_user(operator).get(SCHEDULES).content.decode()
    assert f"{JOBS}{DBTaskResult.objects.get().pk}/change/" in listed


def test_operator_changes_when_something_is_due(operator: User, prune: Schedule) -> None:
    before = timezone.now()
    response = as_user(operator).post(f"{SCHEDULES}{prune.pk}/change/", form(cron="*/5 * * * *"))
    assert response.status_code == 302
    prune.refresh_from_db()
    assert prune.next_at is not None
    assert before < prune.next_at <= before + timedelta(minutes=6)
    as_user(operator).post(f"{SCHEDULES}{prune.pk}/change/", form(enabled=""))
    prune.refresh_from_db()
    assert (prune.enabled, prune.next_at) == (False, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cron": "25 h"}, "cron=&#x27;25 h&#x27;"),
        ({"task": "os.system"}, "os.system is not one of the available choices"),
        ({"arguments": "[1]"}, "an object of names and values is needed"),
        ({"arguments": '{"x": 1}'}, "prune_jobs takes no arguments"),
        ({"arguments": "{"}, "Enter a valid JSON"),
    ],
)
def test_what_could_not_be_queued_is_refused_beside_its_field(
    operator: User, prune: Schedule, changes: dict[str, str], said: str
) -> None:
    response = as_user(operator).post(f"{SCHEDULES}{prune.pk}/change/", form(**changes))
    assert response.status_code == 200
    assert said in response.content.decode()
    prune.refresh_from_db()
    assert (prune.cron, prune.arguments, prune.task) == ("0 3 * * *", {}, "emo_site.jobs.tasks.prune_jobs")


@pytest.mark.usefixtures("failed")
def test_jobs_are_found_by_state_and_task(auditor: User) -> None:
    client = as_user(auditor)
    for query, count in (
        ("state=FAILED", 1),
        ("state=READY", 0),
        ("state=nonsense", 1),
        ("task=emo_site.jobs.tasks.prune_jobs", 0),
        ("task=os.system", 1),
    ):
        response = client.get(f"{JOBS}?{query}")
        assert len(response.context["cl"].result_list) == count, query
