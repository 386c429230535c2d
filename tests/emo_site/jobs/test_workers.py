"""Workers in processes of their own: killed, frozen, told to stop, and several at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emo_site.jobs.pulse import EXIT_LOST
from tests.conftest import BACKEND
from tests.desk import empty_database
from tests.run import PROJECT, environment
from tests.servers import Server, postgresql_server

PATIENCE = 60


class Desk:
    """A desk whose schedules are all disabled, and its workers."""

    def __init__(self, url: str) -> None:
        self.env = environment(os.environ, BACKEND, {"EMO_DB_URL": url})
        self.workers: list[subprocess.Popen[str]] = []
        self._run("migrate", "-v0")
        self.shell("Schedule.objects.update(enabled=False)")

    def _run(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=PROJECT, env=self.env, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def shell(self, code: str) -> Any:
        """Runs the code in the desk; gives what it leaves in `out`."""
        head = (
            "import json; from datetime import *; from emo_site.jobs.models import *;"
            "from tests.emo_site.jobs import toil;"
            "from django_tasks_db.models import DBTaskResult as Job; out = None\n"
        )
        shown = self._run("shell", "-v0", "-c", f"{head}{code}\nprint(json.dumps(out, default=str))")
        return json.loads(shown.splitlines()[-1])

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.shell("out = list(Job.objects.order_by('enqueued_at').values())"))

    def worker(self, *, lease: float = 3) -> subprocess.Popen[str]:
        command = [sys.executable, "manage.py", "worker", "--interval", "0.1", "--lease", str(lease)]
        self.workers.append(
            subprocess.Popen(
                command, cwd=PROJECT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return self.workers[-1]

    def stop(self) -> list[int]:
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        return [self.end_of(worker) for worker in self.workers]

    @staticmethod
    def end_of(worker: subprocess.Popen[str]) -> int:
        worker.communicate(timeout=PATIENCE)
        return worker.returncode


def wait_for(what: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    give_up_at = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with empty_database(tmp_path) as url:
        yield url


@pytest.fixture
def desk(url: str) -> Iterator[Desk]:
    desk = Desk(url)
    yield desk
    for worker in desk.workers:
        if worker.poll() is None:
            worker.kill()
            worker.communicate()


def test_task_of_a_worker_that_is_killed_is_taken_over(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    desk.shell(f"toil.last.enqueue({str(path)!r}, 5)")
    first = desk.worker()
    wait_for(lambda: lines(path))
    second = desk.worker()
    first.kill()
    desk.end_of(first)
    wait_for(lambda: len(lines(path)) == 3)
    wait_for(lambda: desk.jobs()[0]["status"] == "SUCCESSFUL")
    assert lines(path) == [["started", f"{first.pid}"], ["started", f"{second.pid}"], ["finished", f"{second.pid}"]]
    [job] = desk.jobs()
    assert job["return_value"] == "done"
    dead, alive = desk.shell("out = list(WorkerHeartbeat.objects.order_by('started_at').values())")
    assert job["worker_ids"] == [dead["name"], alive["name"]]
    assert (dead["pid"], dead["lost"]) == (first.pid, True)
    # Not before the dead one's lease had run out.
    assert dead["alive_until"] <= job["started_at"]
    assert (alive["lost"], alive["succeeded"]) == (False, 1)


def test_worker_that_was_frozen_leaves_its_task_to_the_one_that_took_it_over(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    desk.shell(f"toil.last.enqueue({str(path)!r}, 20)")
    first = desk.worker(lease=4)
    wait_for(lambda: lines(path))
    first.send_signal(signal.SIGSTOP)
    second = desk.worker(lease=4)
    wait_for(lambda: len(lines(path)) == 2)
    first.send_signal(signal.SIGCONT)
    assert desk.end_of(first) == EXIT_LOST
    wait_for(lambda: desk.jobs()[0]["status"] == "SUCCESSFUL")
    assert [words for words, _ in lines(path)] == ["started", "started", "finished"]
    assert lines(path)[-1] == ["finished", f"{second.pid}"]


def test_idle_worker_that_was_taken_for_dead_ends_and_claims_nothing(desk: Desk) -> None:
    worker = desk.worker(lease=60)
    wait_for(lambda: desk.shell("out = WorkerHeartbeat.objects.count()") == 1)
    desk.shell("WorkerHeartbeat.objects.update(ended_at=datetime.now(UTC), lost=True); toil.give.enqueue('x')")
    assert desk.end_of(worker) == EXIT_LOST
    assert desk.jobs()[0]["status"] == "READY"


def test_task_that_kills_its_workers_is_failed_in_the_end(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    desk.shell(f"toil.die.enqueue({str(path)!r})")
    for _ in range(3):
        assert desk.end_of(desk.worker(lease=3)) == -signal.SIGKILL
    desk.worker(lease=3)
    wait_for(lambda: desk.jobs()[0]["status"] == "FAILED")
    [job] = desk.jobs()
    assert len(lines(path)) == 3
    assert job["exception_class_path"] == "emo_site.jobs.queue.WorkerLost"
    assert "died in the middle of it; that was attempt 3, the last" in job["traceback"]


def test_two_workers_run_each_of_forty_tasks_once(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    for _ in range(2):
        desk.worker()
    wait_for(lambda: desk.shell("out = WorkerHeartbeat.objects.count()") == 2)
    desk.shell(f"[toil.count.enqueue({str(path)!r}, number) for number in range(40)]")
    wait_for(lambda: len(lines(path)) >= 40)
    assert desk.stop() == [0, 0]
    assert Counter(number for number, _ in lines(path)) == {f"{number}": 1 for number in range(40)}
    assert {int(pid) for _, pid in lines(path)} == {worker.pid for worker in desk.workers}
    jobs = desk.jobs()
    assert {job["status"] for job in jobs} == {"SUCCESSFUL"}
    assert {len(job["worker_ids"]) for job in jobs} == {1}
    assert desk.shell("out = sum(WorkerHeartbeat.objects.values_list('succeeded', flat=True))") == 40


def test_what_is_due_is_queued_once_by_two_workers(desk: Desk) -> None:
    for _ in range(2):
        desk.worker()
    wait_for(lambda: desk.shell("out = WorkerHeartbeat.objects.count()") == 2)
    desk.shell(
        "past = datetime.now(UTC) - timedelta(minutes=1)\n"
        "for number in range(20): Schedule.objects.create(name=f'no {number}', task='emo_site.jobs.tasks.prune_jobs',"
        " cron='0 0 29 2 *', next_at=past)"
    )
    wait_for(lambda: desk.shell("out = Schedule.objects.filter(last_enqueued_at=None, enabled=True).count()") == 0)
    time.sleep(1)
    assert desk.stop() == [0, 0]
    assert [job["task_path"] for job in desk.jobs()] == ["emo_site.jobs.tasks.prune_jobs"] * 20
    assert desk.shell("out = Schedule.objects.filter(enabled=True).values('last_job').distinct().count()") == 20
    assert desk.shell("out = Schedule.objects.filter(enabled=True, next_at__lte=datetime.now(UTC)).count()") == 0


def test_failed_task_keeps_its_trace_and_the_worker_goes_on(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    desk.shell(
        "toil.fail.enqueue('this')\n"
        "[toil.give_unstorable.enqueue(kind) for kind in ('nul', 'surrogate', 'object', 'nan')]\n"
        f"toil.count.enqueue({str(path)!r}, 1)\n"
        "toil.give.enqueue('x')\n"
        "Job.objects.filter(task_path='tests.emo_site.jobs.toil.give').update(task_path='no.such.task')"
    )
    desk.worker()
    wait_for(lambda: all(job["finished_at"] for job in desk.jobs()))
    assert desk.stop() == [0]
    failed, *unstorable, counted, lost = desk.jobs()
    assert failed["exception_class_path"] == "builtins.ValueError"
    assert 'raise ValueError(f"{what} can\'t be done")' in failed["traceback"]
    assert failed["traceback"].endswith("ValueError: this can't be done\n")
    assert [job["status"] for job in unstorable] == ["FAILED"] * 4
    assert counted["status"] == "SUCCESSFUL"
    assert (lost["status"], lost["exception_class_path"]) == ("FAILED", "builtins.ModuleNotFoundError")
    [worker] = desk.shell("out = list(WorkerHeartbeat.objects.values('succeeded', 'failed'))")
    assert worker == {"succeeded": 1, "failed": 6}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_worker_ends_at_once_when_told(desk: Desk, number: signal.Signals) -> None:
    worker = desk.worker(lease=60)
    wait_for(lambda: desk.shell("out = WorkerHeartbeat.objects.count()") == 1)
    started = time.monotonic()
    worker.send_signal(number)
    assert desk.end_of(worker) == 0
    # Its next sign of life would be twenty seconds away.
    assert time.monotonic() - started < 10
    [row] = desk.shell("out = list(WorkerHeartbeat.objects.values('lost', 'ended_at', 'doing'))")
    assert row["ended_at"]
    assert not row["lost"]


def test_worker_finishes_its_task_before_it_ends(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    desk.shell(f"toil.last.enqueue({str(path)!r}, 2); toil.last.enqueue({str(path)!r}, 2)")
    worker = desk.worker()
    wait_for(lambda: lines(path))
    worker.send_signal(signal.SIGTERM)
    assert desk.end_of(worker) == 0
    assert [words for words, _ in lines(path)] == ["started", "finished"]
    assert [job["status"] for job in desk.jobs()] == ["SUCCESSFUL", "READY"]


def test_second_signal_ends_the_task_and_puts_it_back(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    desk.shell(f"toil.last.enqueue({str(path)!r}, 60)")
    worker = desk.worker()
    wait_for(lambda: lines(path))
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    worker.send_signal(signal.SIGTERM)
    assert desk.end_of(worker) == 0
    assert [words for words, _ in lines(path)] == ["started"]
    [job] = desk.jobs()
    assert (job["status"], len(job["worker_ids"])) == ("READY", 1)
    [row] = desk.shell("out = list(WorkerHeartbeat.objects.values('lost', 'ended_at', 'doing'))")
    assert (row["lost"], row["doing"]) == (False, "")
    assert row["ended_at"]


def test_worker_serves_only_the_queues_that_it_is_given(desk: Desk) -> None:
    desk.shell(
        "from monitoring.tasks import apply_retention; from emo_site.jobs.tasks import prune_jobs\n"
        "apply_retention.enqueue(); prune_jobs.enqueue()"
    )
    command = [sys.executable, "manage.py", "worker", "--interval", "0.1", "--queue", "operator"]
    desk.workers.append(subprocess.Popen(command, cwd=PROJECT, env=desk.env, stderr=subprocess.PIPE, text=True))
    wait_for(lambda: desk.jobs()[0]["status"] == "SUCCESSFUL")
    time.sleep(0.5)
    assert desk.stop() == [0]
    assert [job["status"] for job in desk.jobs()] == ["SUCCESSFUL", "READY"]


@pytest.mark.parametrize(
    ("words", "said"), [(("--interval", "nan"), "--interval=nan"), (("--lease", "0"), "--lease=0")]
)
def test_impossible_seconds_are_refused(desk: Desk, words: tuple[str, str], said: str) -> None:
    command = [sys.executable, "manage.py", "worker", *words]
    done = subprocess.run(command, cwd=PROJECT, env=desk.env, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{said}: must be from" in done.stderr


@pytest.fixture
def server() -> Iterator[Server]:
    with postgresql_server() as started:
        yield started


@pytest.mark.postgresql
def test_worker_outlives_an_outage_and_writes_the_result_afterwards(server: Server, tmp_path: Path) -> None:
    desk, path = Desk(server.url), tmp_path / "notes"
    desk.shell(f"toil.last.enqueue({str(path)!r}, 3); toil.count.enqueue({str(path)!r}, 7)")
    worker = desk.worker(lease=60)
    wait_for(lambda: lines(path))
    server.stop()
    time.sleep(5)
    assert worker.poll() is None
    server.start()
    wait_for(lambda: len(lines(path)) == 3)
    assert [words for words, _ in lines(path)] == ["started", "finished", "7"]
    assert desk.stop() == [0]
    assert [job["status"] for job in desk.jobs()] == ["SUCCESSFUL", "SUCCESSFUL"]


@pytest.mark.postgresql
def test_worker_ends_itself_where_it_cannot_beat_for_long(server: Server, tmp_path: Path) -> None:
    desk, path = Desk(server.url), tmp_path / "notes"
    desk.shell(f"toil.last.enqueue({str(path)!r}, 60)")
    worker = desk.worker(lease=3)
    wait_for(lambda: lines(path))
    server.stop()
    assert desk.end_of(worker) == EXIT_LOST
