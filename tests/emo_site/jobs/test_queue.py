"""Claiming, finishing and giving on tasks: by the database's word, never twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django_tasks.base import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from emo_site.db.clocks import now_of
from emo_site.jobs import heartbeats, queue
from emo_site.jobs.heartbeats import LeaseLost
from emo_site.jobs.models import WorkerHeartbeat
from emo_site.jobs.tasks import KEEP_FAILED, KEEP_SUCCEEDED, prune_jobs
from tests.emo_site.jobs import toil
from tests.factories import NOW

pytestmark = pytest.mark.django_db
LEASE = timedelta(seconds=60)
LATER = NOW + LEASE
QUEUES = ("default", "operator")


def worker(**changes: Any) -> str:
    return heartbeats.register(queues=QUEUES, lease=LEASE, now=changes.get("now", NOW)).name


def claimed(name: str) -> DBTaskResult[..., Any]:
    toil.give.enqueue("x")
    job = queue.claim(name, queues=QUEUES, now=NOW)
    assert job is not None
    return job


def row(name: str) -> WorkerHeartbeat:
    return WorkerHeartbeat.objects.get(name=name)


def test_task_is_claimed_by_one_worker() -> None:
    first, second = worker(), worker()
    job = claimed(first)
    assert queue.claim(second, queues=QUEUES, now=NOW) is None
    assert (job.status, job.worker_ids, job.started_at) == ("RUNNING", [first], NOW)
    assert (row(first).doing, row(first).doing_since) == ("tests.emo_site.jobs.toil.give", NOW)


def test_worker_that_may_be_taken_for_dead_claims_nothing() -> None:
    name = worker()
    toil.give.enqueue("x")
    with pytest.raises(LeaseLost):
        queue.claim(name, queues=QUEUES, now=LATER)
    assert DBTaskResult.objects.get().status == "READY"


def test_tasks_of_other_queues_are_left() -> None:
    name = worker()
    toil.give.using(queue_name="operator").enqueue("x")
    assert queue.claim(name, queues=["default"], now=NOW) is None
    assert queue.claim(name, queues=["operator"], now=NOW) is not None


def test_worker_that_beats_in_time_keeps_its_task() -> None:
    name = worker()
    job = claimed(name)
    heartbeats.beat(name, lease=LEASE, now=LATER - timedelta(seconds=1))
    assert queue.reap(now=LATER) == []
    queue.succeed(job, name, "y", now=LATER)
    assert (job.status, job.return_value, job.finished_at) == ("SUCCESSFUL", "y", LATER)
    assert (row(name).doing, row(name).succeeded) == ("", 1)


def test_task_of_a_silent_worker_goes_back_and_its_result_is_refused() -> None:
    name, other = worker(), worker(now=LATER)
    job = claimed(name)
    [given] = queue.reap(now=LATER)
    assert (given.pk, given.status) == (job.pk, "READY")
    assert (row(name).lost, row(name).ended_at) == (True, LATER)
    assert queue.reap(now=LATER) == []
    for act in (
        lambda: queue.succeed(job, name, "late", now=LATER),
        lambda: queue.fail(job, name, ValueError("late"), now=LATER),
        lambda: queue.put_back(job, name),
        lambda: heartbeats.beat(name, lease=LEASE, now=LATER),
    ):
        with pytest.raises(LeaseLost):
            act()
    again = queue.claim(other, queues=QUEUES, now=LATER)
    assert again is not None
    assert again.worker_ids == [name, other]
    with pytest.raises(LeaseLost):
        queue.succeed(job, name, "late", now=LATER)
    again.refresh_from_db()
    assert (again.status, again.return_value) == ("RUNNING", None)


def test_worker_that_beats_between_two_looks_is_not_declared_lost() -> None:
    name = worker()
    seen = row(name)
    heartbeats.beat(name, lease=LEASE, now=LATER)
    assert not heartbeats.declare_lost(seen, now=LATER)


def test_task_is_tried_three_times() -> None:
    toil.give.enqueue("x")
    now = NOW
    for attempt in range(1, 4):
        name = worker(now=now)
        job = queue.claim(name, queues=QUEUES, now=now)
        assert job is not None
        now += LEASE
        [given] = queue.reap(now=now)
        assert given.status == ("READY" if attempt < 3 else "FAILED")
    assert given.exception_class_path == "emo_site.jobs.queue.WorkerLost"
    assert f"worker {name} died in the middle of it; that was attempt 3, the last" in given.traceback


def test_tasks_of_other_workers_are_not_touched_by_the_reaper() -> None:
    dead, alive = worker(), worker()
    claimed(dead)
    kept = claimed(alive)
    heartbeats.beat(alive, lease=LEASE, now=NOW + timedelta(seconds=30))
    assert len(queue.reap(now=LATER)) == 1
    kept.refresh_from_db()
    assert (kept.status, kept.worker_ids) == ("RUNNING", [alive])


def test_lost_worker_has_ended_says_the_database() -> None:
    worker()
    with pytest.raises(IntegrityError), transaction.atomic():
        WorkerHeartbeat.objects.update(lost=True)


@pytest.mark.parametrize("value", [None, 1, 1.5, "é", [1, {"a": None}], {"a": [True]}])
def test_what_json_keeps_is_kept(value: object) -> None:
    name = worker()
    job = claimed(name)
    queue.succeed(job, name, queue.storable(value), now=NOW)
    assert DBTaskResult.objects.get().return_value == value


@pytest.mark.parametrize("value", [object(), float("nan"), "a\0b", "\ud800", {1, 2}])
def test_what_json_or_the_database_cannot_keep_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        queue.storable(value)


@pytest.mark.parametrize("text", ["a\0b", "half \ud800 of a pair", "x" * 200_000])
def test_trace_of_any_error_can_be_written_down(text: str) -> None:
    name = worker()
    job = claimed(name)
    queue.fail(job, name, ValueError(text), now=NOW)
    trace = DBTaskResult.objects.get().traceback
    assert trace.rstrip()[-1] == text[-1]
    assert len(trace) < 51_000


def test_trace_tells_no_secret(settings: Any) -> None:
    name = worker()
    job = claimed(name)
    error = ValueError(f"{settings.SECRET_KEY} for postgresql://emo:hush-hush@db/emo")
    queue.fail(job, name, error, now=NOW)
    trace = DBTaskResult.objects.get().traceback
    assert trace.endswith("ValueError: *** for postgresql://emo:***@db/emo\n")
    assert settings.SECRET_KEY not in trace


def test_finished_task_is_run_again_as_a_new_one_with_the_same_arguments() -> None:
    name = worker()
    job = claimed(name)
    queue.fail(job, name, ValueError("no"), now=NOW)
    new = queue.again(job)
    assert new.pk != job.pk
    assert (new.status, new.task_path, new.args_kwargs) == ("READY", job.task_path, job.args_kwargs)
    assert DBTaskResult.objects.get(pk=job.pk).traceback.endswith("ValueError: no\n")


@pytest.mark.parametrize("status", [TaskResultStatus.READY, TaskResultStatus.RUNNING])
def test_task_that_has_not_ended_is_not_run_again(status: TaskResultStatus) -> None:
    job = claimed(worker())
    job.status = status
    with pytest.raises(queue.NotRunAgain, match=f"is {status.lower()}: only a finished task"):
        queue.again(job)
    assert DBTaskResult.objects.count() == 1


def test_task_that_is_gone_is_not_run_again() -> None:
    job = claimed(worker())
    job.status, job.task_path = TaskResultStatus.FAILED, "no.such.task"
    with pytest.raises(queue.NotRunAgain, match="there is no such task any more"):
        queue.again(job)


def test_old_jobs_and_workers_are_forgotten_and_running_ones_never() -> None:
    now = now_of(connection)
    second = timedelta(seconds=10)
    ages = {
        ("SUCCESSFUL", KEEP_SUCCEEDED + second): False,
        ("SUCCESSFUL", KEEP_SUCCEEDED - second): True,
        ("FAILED", KEEP_FAILED + second): False,
        ("FAILED", KEEP_FAILED - second): True,
        ("RUNNING", None): True,
        ("READY", None): True,
    }
    kept = set()
    for (status, age), stays in ages.items():
        job = DBTaskResult.objects.get(pk=toil.give.enqueue("x").id)
        DBTaskResult.objects.filter(pk=job.pk).update(status=status, finished_at=age and now - age)
        if stays:
            kept.add(job.pk)
    worker(now=now - 2 * KEEP_FAILED)
    heartbeats.end(worker(), now=now - KEEP_FAILED - second)
    assert prune_jobs.call() == {"tasks": 2, "workers": 1}
    assert set(DBTaskResult.objects.values_list("pk", flat=True)) == kept
    assert WorkerHeartbeat.objects.get().ended_at is None
    assert prune_jobs.call() == {"tasks": 0, "workers": 0}
