"""How many short tasks a second one worker does, and two: `expire_orders`, queued at once, each run by one of them.

    python -m benchmarks.workers [--tasks 300] [--rounds 3]

One PostgreSQL that waits for its disk, workers as processes of their own (`manage.py worker`), one and two of them in
turn. Prints tasks a second from the first start to the last end, as the table of jobs has them, medians of the rounds,
and the rounds' ratio of two to one: median, least, most. Exit status 2 where it could not be run, 1 where a task ran
more than once or not at all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import psycopg

EXIT_NOT_RUN = 2
WAYS = (1, 2)
# Seconds.
DONE_WITHIN = 300.0

_QUEUE = """
from orders.tasks import expire_orders
for number in range({tasks}):
    expire_orders.enqueue()
"""
_TABLE = "django_tasks_database_dbtaskresult"
_LEFT = f"SELECT count(*) FROM {_TABLE} WHERE status IN ('READY', 'RUNNING')"
_DONE = f"""
SELECT count(*) FILTER (WHERE status = 'SUCCESSFUL' AND jsonb_array_length(worker_ids) = 1),
       extract(epoch FROM max(finished_at) - min(started_at))::float8
  FROM {_TABLE}
"""


class Wrong(Exception):
    """What was measured is not what was meant to be."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    from tests import servers

    try:
        with servers.postgresql(durable=True) as url:
            print(json.dumps(_measured(url, arguments), indent=2))
    except servers.Unavailable as error:
        print(json.dumps({"not_run": str(error)}))
        return EXIT_NOT_RUN
    except Wrong as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _measured(url: str, arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.desk import manage

    environment = {"EMO_ENV": "dev", "EMO_DB_URL": url}
    prepared = manage("migrate_all", "--verbosity", "0", environment=environment)
    if prepared.status:
        raise Wrong(prepared.err)
    with psycopg.connect(url, autocommit=True) as connection:
        # Nothing but what is queued here.
        connection.execute("UPDATE schedules SET enabled = false")
        found: dict[int, list[float]] = {workers: [] for workers in WAYS}
        for number in range(arguments.rounds):
            for workers in WAYS:
                found[workers].append(_round(connection, environment, workers, arguments.tasks))
                rate = found[workers][-1]
                print(f"  round {number + 1}, workers {workers}: {rate:.1f} a second", file=sys.stderr, flush=True)
    ratios = [two / one for one, two in zip(found[1], found[2], strict=True)]
    return {
        "tasks_per_second": {str(workers): round(statistics.median(rates), 1) for workers, rates in found.items()},
        "two_to_one": [round(value, 2) for value in (statistics.median(ratios), min(ratios), max(ratios))],
    }


def _round(connection: psycopg.Connection[Any], environment: dict[str, str], workers: int, tasks: int) -> float:
    """Tasks a second; the workers are up before anything is queued."""
    from tests.desk import environment_of, manage
    from tests.run import PROJECT

    connection.execute(f"DELETE FROM {_TABLE}")
    connection.execute("DELETE FROM worker_heartbeats")
    command = [sys.executable, "manage.py", "worker", "--interval", "0.1"]
    with ExitStack() as stack:
        for _ in range(workers):
            process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=environment_of(environment),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, timeout=30)
            stack.callback(process.terminate)
        _until(connection, "SELECT count(*) FROM worker_heartbeats", workers)
        queued = manage("shell", "--no-imports", "-c", _QUEUE.format(tasks=tasks), environment=environment)
        if queued.status:
            raise Wrong(queued.err)
        _until(connection, _LEFT, 0)
    done, seconds = connection.execute(_DONE).fetchall()[0]
    if done != tasks:
        raise Wrong(f"{tasks} tasks were queued, {done} ran once and succeeded")
    return float(tasks / seconds)


def _until(connection: psycopg.Connection[Any], question: Any, wanted: int) -> None:
    give_up_at = time.monotonic() + DONE_WITHIN
    while connection.execute(question).fetchall()[0][0] != wanted:
        if time.monotonic() > give_up_at:
            raise Wrong(f"not within {DONE_WITHIN:g} s: {question}")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
