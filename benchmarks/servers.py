"""python -m benchmarks.servers: the desk behind granian beside the desk behind gunicorn, which it is started with: how
many answers a second each gives for the review queue and for the JSON that the queue's page asks for by itself.

Both have two processes of eight threads and count into shared files, and ask one PostgreSQL with the demo's month. They
take turns in one run, the other one idle; what is judged is the median of the ratios. Each of the viewers asks again as
soon as it is answered, over a connection that stays open.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

GOALS = Path(__file__).with_name("goals.json")
EXIT_MISSED, EXIT_NOT_RUN = 1, 2
SERVERS = ("gunicorn", "granian")
QUEUE = "/admin/orders/stagedorder/"
PAGES = {"review queue": QUEUE, "JSON of the queue": f"{QUEUE}counts/"}
PROJECT = Path(__file__).resolve().parent.parent
PROCESSES, THREADS = 2, 8
START_SECONDS = 30
_VIEWER = """
from django.contrib.auth.models import User
from django.test import Client
client = Client()
client.force_login(User.objects.create_superuser("viewer"))
print(client.cookies["sessionid"].value)
"""


def command(server: str, port: int) -> list[str]:
    """As `make run` starts the one, and as alike as the other can be started."""
    if server == "gunicorn":
        options = ["--config", "emo_site/gunicorn_conf.py", "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
        options += ["--workers", str(PROCESSES), "--threads", str(THREADS), "--log-level", "warning"]
        return [sys.executable, "-m", "gunicorn", "emo_site.wsgi", *options]
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws", "--log-level", "warning"]
    options += ["--workers", str(PROCESSES), "--blocking-threads", str(THREADS)]
    return [sys.executable, "-m", "granian", "emo_site.wsgi:application", *options]


@contextmanager
def running(server: str, environment: dict[str, str]) -> Iterator[int]:
    """Its port. Each has a folder of its own for the figures of its processes."""
    with socket.socket() as free, tempfile.TemporaryDirectory(prefix="emo-servers-") as folder:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        free.close()
        figures = {} if server == "gunicorn" else {"PROMETHEUS_MULTIPROC_DIR": folder}
        process = subprocess.Popen(command(server, port), cwd=PROJECT, env={**environment, **figures})
        try:
            _wait_until_alive(server, process, port)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_alive(server: str, process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{server} ended with status {process.returncode} before it answered")
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{server} did not answer within {START_SECONDS} s")


def _environment(url: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "POSTGRES", "SECRET_KEY"))
    }
    return {**kept, "EMO_ENV": "dev", "EMO_DB_URL": url}


def _manage(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        check=True,
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip()


def measure(*, rounds: int, seconds: float, viewers: int) -> dict[str, Any]:
    """Answers a second, by page and server, of each round; after one round that is not counted."""
    from benchmarks.queries import database

    with database("postgresql") as url, ExitStack() as servers:
        environment = _environment(url)
        for arguments in (("migrate", "--verbosity", "0"), ("load_demo", "--month"), ("collectstatic", "--no-input")):
            _manage(environment, *arguments)
        cookie = f"sessionid={_manage(environment, 'shell', '--verbosity', '0', '-c', _VIEWER)}"
        ports = {server: servers.enter_context(running(server, environment)) for server in SERVERS}
        found: dict[str, list[dict[str, dict[str, float]]]] = {page: [] for page in PAGES}
        for number in range(rounds + 1):
            for page, path in PAGES.items():
                # Neither is always the first.
                order = SERVERS if number % 2 else SERVERS[::-1]
                answered = {server: _asked(ports[server], path, cookie, seconds, viewers) for server in order}
                if number:
                    found[page].append(answered)
                    _say(number, page, answered)
    return {
        "rounds": rounds,
        "seconds": seconds,
        "viewers": viewers,
        "pages": {p: _summed(r) for p, r in found.items()},
    }


def _say(number: int, page: str, answered: dict[str, dict[str, float]]) -> None:
    told = ", ".join(f"{server} {one['per_second']:.1f}/s" for server, one in sorted(answered.items()))
    print(f"  round {number}, {page}: {told}", file=sys.stderr, flush=True)


def _asked(port: int, path: str, cookie: str, seconds: float, viewers: int) -> dict[str, float]:
    """Answers a second, and milliseconds to the middle answer and to that of the slowest twentieth."""
    times: list[float] = []
    statuses: set[int] = set()
    ends = time.monotonic() + seconds

    def ask() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < ends:
            started = time.perf_counter()
            connection.request("GET", path, headers={"Cookie": cookie, "Host": "localhost"})
            response = connection.getresponse()
            response.read()
            times.append(time.perf_counter() - started)
            statuses.add(response.status)
        connection.close()

    began = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(viewers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if statuses != {200}:
        raise SystemExit(f"{path} was answered {sorted(statuses)}")
    times.sort()
    return {
        "per_second": len(times) / (time.monotonic() - began),
        "p50_ms": times[len(times) // 2] * 1000,
        "p95_ms": times[int(len(times) * 0.95)] * 1000,
    }


def _summed(rounds: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    ratios = sorted(each["granian"]["per_second"] / each["gunicorn"]["per_second"] for each in rounds)
    middle = {
        server: {name: round(statistics.median(each[server][name] for each in rounds), 1) for name in rounds[0][server]}
        for server in SERVERS
    }
    return {
        **middle,
        "ratio": round(statistics.median(ratios), 2),
        "spread": [round(ratios[0], 2), round(ratios[-1], 2)],
    }


def misses(result: dict[str, Any], goals: dict[str, float]) -> list[str]:
    """The desk stays with gunicorn while granian is not clearly faster: at both, since one alone is no reason."""
    ratios = {page: figures["ratio"] for page, figures in result["pages"].items()}
    if not all(ratio > goals["granian_to_gunicorn"] for ratio in ratios.values()):
        return []
    told = ", ".join(f"{page} {ratio}" for page, ratio in ratios.items())
    return [f"granian is clearly faster than gunicorn ({told}; {goals['granian_to_gunicorn']} at both): think again"]


def _shown(result: dict[str, Any]) -> str:
    lines = [f"{result['rounds']} rounds of {result['seconds']:g} s, {result['viewers']} viewers"]
    for page, figures in result["pages"].items():
        lines.append(
            f"{page}: granian to gunicorn {figures['ratio']} ({figures['spread'][0]} to {figures['spread'][1]})"
        )
        lines += [
            f"  {server}: {one['per_second']} answers/s, {one['p50_ms']} ms in the middle, p95 {one['p95_ms']} ms"
            for server, one in figures.items()
            if server in SERVERS
        ]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each server (default 7)")
    parser.add_argument("--seconds", type=float, default=5, help="length of a turn (default 5)")
    parser.add_argument("--viewers", type=int, default=8, help="how many ask at once (default 8)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 where granian is clearly faster, 2 where it did not run"
    )
    options = parser.parse_args(argv)
    from tests import servers

    try:
        result = measure(rounds=options.rounds, seconds=options.seconds, viewers=options.viewers)
    except servers.Unavailable as error:
        print(f"not run: {error}", file=sys.stderr)
        return EXIT_NOT_RUN if options.check else 0
    missed = misses(result, json.loads(GOALS.read_text())["servers"])
    print(json.dumps({**result, "missed": missed}, indent=2) if options.json else _shown(result))
    print("\n".join(missed), file=sys.stderr, end="\n" if missed else "")
    return EXIT_MISSED if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
