"""python -m benchmarks.pages: the health page on ten million health records of thirty days: how long its report takes
to be built, how long fifty viewers wait for the rendering that they share, and whether the memory of its servers stays.

Built is measured at the last minute of an hour, when most records are not summed up yet. Beside it: the uptimes alone,
asked of all records in one SQL statement, which is why hours are summed up at all.

A viewer asks once a second, thirty times as often as the page does. Half a minute of it with nothing new, once for
the whole page and once for who has it already; then with a new version every half second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

GOALS = Path(__file__).with_name("goals.json")
ENGINES = ("postgresql", "timescaledb")
EXIT_MISSED, EXIT_NOT_RUN = 1, 2
PERIOD = timedelta(days=30)
COMPONENTS = 25
BATCH_ROUNDS = 20_000
RUNS = 15
VIEWERS = 50
SECONDS = 30
PAGE = "/reports/institutional/"

# Each component's status is a hash of round and component: one in fifty is a warning, one in five hundred an error.
_FILL = """
INSERT INTO system_health (id, component_name, health_score, status, timestamp, response_ms, environment, metrics,
                           metadata)
SELECT (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex(us %% 1000), 3, '0') || '8'
        || substr(md5(round || ' ' || component), 1, 15))::uuid,
       names[component], CASE status WHEN 'healthy' THEN 100 WHEN 'warning' THEN 60 ELSE 0 END, status,
       to_timestamp(us / 1000000) + (us %% 1000000) * interval '1 microsecond', (round %% 100) / 10.0, 'dev',
       CASE names[component] WHEN 'disk' THEN jsonb_build_object('free_bytes', 1000000000000 - round::bigint * 100000)
                             ELSE '{"latency_ms": 1.2}' END,
       jsonb_build_object('message', 'as it should be', 'remedy', '', 'critical', component = 1)
FROM (SELECT round, component, %(names)s::text[] AS names,
             %(start)s::bigint + floor(round * %(step)s::numeric)::bigint AS us,
             CASE WHEN hash %% 500 = 0 THEN 'error' WHEN hash %% 50 = 0 THEN 'warning' ELSE 'healthy' END AS status
      FROM generate_series(%(low)s, %(high)s) AS round, generate_series(1, %(components)s) AS component,
           LATERAL (SELECT ((round * 25 + component) * 2654435761 %% 4294967296) / 65536 AS hash) AS hashed) AS made
"""

# The best single statement that was found for it: one pass by component, each record until the next or ten minutes.
_UPTIMES = """
SELECT component_name, sum(least(next, timestamp + interval '10 minutes') - timestamp)
       FILTER (WHERE status IN ('healthy', 'warning'))
FROM (SELECT component_name, timestamp, status,
             coalesce(lead(timestamp) OVER (PARTITION BY component_name ORDER BY timestamp), now()) AS next
      FROM system_health WHERE environment = 'dev' AND timestamp >= %s) AS spans
GROUP BY component_name
"""


def _measured(engine: str, rows: int) -> dict[str, Any]:
    """What a process of its own finds on a new database, or why there is none."""
    from benchmarks.queries import database
    from tests import servers

    try:
        with database(engine) as url, tempfile.TemporaryDirectory(prefix="emo-pages-") as folder:
            found = Path(folder) / "found.json"
            kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "POSTGRES"))}
            subprocess.run(
                [sys.executable, "-m", "benchmarks.pages", f"--rows={rows}", f"--measure={found}"],
                check=True,
                cwd=Path(__file__).resolve().parent.parent,
                env={**kept, "EMO_ENV": "dev", "EMO_DB_URL": url},
                stdout=sys.stderr,
            )
            return {"engine": engine, **json.loads(found.read_text())}
    except (servers.Unavailable, subprocess.CalledProcessError) as error:
        return {"engine": engine, "not_run": " ".join(str(error).split())}


# ---- inside the process that has the database ------------------------------------------------------------------------


def _measure(rows: int) -> dict[str, Any]:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")
    django.setup()
    from django.core.management import call_command

    from benchmarks.queries import server
    from monitoring import health_hours

    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    _fill(rows)
    loaded = time.perf_counter()
    _say(f"{rows:,} records, {loaded - started:.0f} s")
    hours = health_hours.roll_up(now=datetime.now(UTC))
    summed = time.perf_counter()
    _say(f"{hours} hours summed up, {summed - loaded:.0f} s")
    return {
        "rows": rows,
        "server": server(),
        "load_seconds": round(loaded - started, 1),
        "sum_up_seconds": round(summed - loaded, 1),
        **_built(),
        **_viewed(),
    }


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _names() -> list[str]:
    from monitoring import health

    names = [probe.name for probe in health.configured()]
    return names + [f"feed {number}" for number in range(COMPONENTS - len(names))]


def _fill(count: int) -> None:
    from django.db import connection

    names = _names()
    rounds = count // len(names)
    start = datetime.now(UTC) - PERIOD
    for low in range(0, rounds, BATCH_ROUNDS):
        values: dict[str, Any] = {
            "names": names,
            "components": len(names),
            "start": int(start.timestamp()) * 1_000_000,
            "step": PERIOD / timedelta(microseconds=1) / rounds,
            "low": low,
            "high": min(low + BATCH_ROUNDS, rounds) - 1,
        }
        with connection.cursor() as cursor:
            cursor.execute(_FILL, values)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE system_health")


def _built() -> dict[str, Any]:
    from django.db import connection

    from monitoring.uptime import full_hour
    from reporting import health_history, health_report, rendering

    # The worst minute: an hour of records is read one by one.
    now = full_hour(datetime.now(UTC)) - timedelta(seconds=1)
    results = health_history.results_at(now)
    built, read, rendered = [], [], []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        report = health_report.build(now=now, results=results)
        ended = time.perf_counter()
        rendering.body_html(report)
        rendered.append(time.perf_counter() - ended)
        built.append(ended - started)
        started = time.perf_counter()
        health_history.read(now=now)
        read.append(time.perf_counter() - started)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        started = time.perf_counter()
        cursor.execute(_UPTIMES, [now - PERIOD])
        cursor.fetchall()
        without = time.perf_counter() - started
    return {
        "build_seconds": round(statistics.median(built[1:]), 3),
        "history_seconds": round(statistics.median(read[1:]), 3),
        "render_seconds": round(statistics.median(rendered[1:]), 3),
        "uptimes_of_all_records_seconds": round(without, 3),
    }


# ---- the viewers -----------------------------------------------------------------------------------------------------


def _viewed() -> dict[str, Any]:
    from tests.desk import collect_static, served

    collect_static()
    cookie = _cookie()
    with served({"EMO_ENV": "dev", "EMO_DB_URL": os.environ["EMO_DB_URL"]}, workers=2) as port:
        _record_round()
        # What a process needs for its first reports is no leak.
        with _new_versions():
            _view(port, cookie, seconds=SECONDS / 2, known=False)
        # Until every process has seen the last round.
        time.sleep(2)
        tag = _get(port, cookie, {})[2]
        whole = _view(port, cookie, seconds=SECONDS, known=False)
        before = _memory()
        same = _view(port, cookie, seconds=SECONDS, known=True, tag=tag)
        with _new_versions():
            changing = _view(port, cookie, seconds=SECONDS, known=False)
        after = _memory()
    return {
        "whole_page": whole,
        "not_modified": same,
        "changing": changing,
        "memory_megabytes": [round(before / 1e6, 1), round(after / 1e6, 1)],
        "memory_ratio": round(after / before, 3),
    }


def _cookie() -> str:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.create_user("viewer"))
    return f"sessionid={client.cookies['sessionid'].value}"


def _record_round() -> None:
    from monitoring import health
    from monitoring.choices import HealthStatus
    from monitoring.health import Finding, ProbeResult

    now = datetime.now(UTC)
    finding = Finding(status=HealthStatus.HEALTHY, message="as it should be", metrics={})
    health.record(
        [ProbeResult(name=name, critical=False, finding=finding, at=now, response_ms=1.0) for name in _names()]
    )


@contextmanager
def _new_versions() -> Iterator[None]:
    """A round every half second, as if there were a monitor in a hurry."""
    done = threading.Event()

    def record() -> None:
        from django.db import connections

        while not done.wait(0.5):
            _record_round()
        connections.close_all()

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _view(port: int, cookie: str, *, seconds: float, known: bool, tag: str = "") -> dict[str, Any]:
    """Milliseconds of every answer to VIEWERS people, who ask once a second, each in another part of it."""
    times: list[float] = []
    failures: list[str] = []
    begin = time.monotonic() + 0.5
    headers = {"If-None-Match": tag} if known else {}
    wanted = 304 if known else 200

    def view(place: int) -> None:
        ask = begin + place / VIEWERS
        while ask < begin + seconds:
            time.sleep(max(0.0, ask - time.monotonic()))
            started = time.perf_counter()
            status, _, _ = _get(port, cookie, headers)
            times.append((time.perf_counter() - started) * 1000)
            if status != wanted:
                failures.append(str(status))
            ask = max(ask + 1, time.monotonic())

    threads = [threading.Thread(target=view, args=(place,)) for place in range(VIEWERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"{len(failures)} of {len(times)} answers were {', '.join(sorted(set(failures)))}")
    times.sort()
    return {
        "n": len(times),
        "p50_ms": round(times[len(times) // 2], 1),
        "p95_ms": round(times[int(len(times) * 0.95)], 1),
        "longest_ms": round(times[-1], 1),
    }


def _get(port: int, cookie: str, headers: dict[str, str]) -> tuple[int, bytes, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", PAGE, headers={"Cookie": cookie, "Host": "localhost", **headers})
        response = connection.getresponse()
        return response.status, response.read(), response.headers.get("ETag", "")
    finally:
        connection.close()


def _memory() -> int:
    """Resident bytes of the servers, which this process has started, all of them together."""
    import psutil

    return sum(each.memory_info().rss for each in psutil.Process().children(recursive=True))


# ---- the verdict -----------------------------------------------------------------------------------------------------


def misses(result: dict[str, Any], goals: dict[str, float]) -> list[str]:
    found = []
    if result["build_seconds"] > goals["build_seconds"]:
        found.append(f"{result['engine']}: built in {result['build_seconds']} s, goal {goals['build_seconds']}")
    for name in ("whole_page", "not_modified"):
        if result[name]["p95_ms"] > goals["cached_p95_ms"]:
            found.append(f"{result['engine']}: {name}: p95 {result[name]['p95_ms']} ms, goal {goals['cached_p95_ms']}")
    if result["memory_ratio"] > goals["memory_flat_within"]:
        found.append(f"{result['engine']}: memory grew to {result['memory_ratio']}, goal {goals['memory_flat_within']}")
    return found


def _shown(result: dict[str, Any]) -> str:
    if "not_run" in result:
        return f"{result['engine']}: not run: {result['not_run']}"
    lines = [
        f"{result['server']['version']}, {result['rows']:,} records",
        f"  {result['build_seconds']:.3f} s  built, {result['history_seconds']:.3f} s of it recorded history",
        f"  {result['render_seconds']:.3f} s  rendered",
        f"  {result['uptimes_of_all_records_seconds']:.3f} s  uptimes of all records in one statement, for comparison",
        f"  {result['sum_up_seconds']:.1f} s  all hours summed up, once",
    ]
    for name in ("whole_page", "not_modified", "changing"):
        row = result[name]
        times = f"{row['p50_ms']} / {row['p95_ms']} / {row['longest_ms']}"
        lines.append(f"  {times} ms  p50, p95, longest of {name} (n = {row['n']:,})")
    before, after = result["memory_megabytes"]
    lines.append(f"  {before} to {after} MB  memory of the servers ({result['memory_ratio']})")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="how many records (default 10,000,000)")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 where a goal is missed, 2 where an engine is missing"
    )
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.rows < COMPONENTS * 1000:
        parser.error(f"--rows must be at least {COMPONENTS * 1000}")
    if options.measure:
        options.measure.write_text(json.dumps(_measure(options.rows)))
        return 0
    results = [_measured(engine, options.rows) for engine in options.engine or ENGINES]
    goals = json.loads(GOALS.read_text())["pages"]
    missed = [miss for result in results if "not_run" not in result for miss in misses(result, goals)]
    print(
        json.dumps({"results": results, "missed": missed}, indent=2)
        if options.json
        else "\n".join(map(_shown, results))
    )
    print("\n".join(missed), file=sys.stderr, end="\n" if missed else "")
    if not options.check:
        return 0
    return EXIT_MISSED if missed else EXIT_NOT_RUN if any("not_run" in result for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
