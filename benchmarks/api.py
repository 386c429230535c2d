"""python -m benchmarks.api: orders and market events over HTTP, on one PostgreSQL that waits for its disk.

The desk is served as `make run` serves it, by two workers of eight threads. Server, database and clients share the
machine.

  paced   fifty clients, each with a token and a connection of its own, stage an order every two seconds: how long one
          takes
  flat    eight of them stage one after the other as fast as they are answered: orders a second, beside
  inside  two processes that call `workflow.stage` with the same orders, without HTTP
  sent    100,000 market events as JSON lines over HTTP, in as few requests as their size allows, beside
  file    the same events by `ingest_events` from a file, in a process that has started before

`flat` and `inside`, `sent` and `file` take turns; what counts is the median of their ratios. Each answer is looked at:
an order that a rule blocks, an event that is not new, or any other status ends the run.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks import workflow as lives
from benchmarks.api_clients import order

GOALS = Path(__file__).with_name("goals.json")
EXIT_MISSED, EXIT_NOT_RUN = 1, 2
PACED, FLAT, INSIDE = 50, 8, 2
PAUSE = 2.0
EVENTS = 100_000
# Bytes of one request; the desk takes 16 MiB.
SENT_AT_ONCE = 15 * 1024 * 1024
PROJECT = Path(__file__).resolve().parent.parent


def main() -> int:
    arguments = _arguments()
    found = _measured(arguments)
    print(json.dumps(found) if arguments.json else _shown(found))
    if "not_run" in found:
        return EXIT_NOT_RUN
    missed = misses(found, json.loads(GOALS.read_text())["api"]) if arguments.check else []
    for line in missed:
        print(f"MISSED: {line}", file=sys.stderr)
    return EXIT_MISSED if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=15, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit status 1 where a goal of goals.json is missed")
    return parser.parse_args()


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests import servers

    try:
        with servers.postgresql(durable=True) as url, tempfile.TemporaryDirectory(prefix="emo-api-") as folder:
            policy = Path(folder) / "policy.yaml"
            policy.write_text(lives.POLICY)
            environment = {
                "EMO_ENV": "dev",
                "EMO_DB_URL": url,
                "EMO_POLICY_FILE": str(policy),
                "EMO_API_REQUESTS_PER_MINUTE": "60000",
            }
            os.environ.update(environment, DJANGO_SETTINGS_MODULE="emo_site.settings")
            return _on(environment, Path(folder), arguments)
    except servers.Unavailable as error:
        return {"not_run": str(error)}


def _on(environment: dict[str, str], folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.desk import served

    # In processes of their own: connections and settings must not be inherited.
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        server, tokens = pool.apply(_prepare, (PACED,))
    with served(environment, workers=2) as port, context.Pool(INSIDE, initializer=lives.start) as pool:
        _clients(port, tokens[:FLAT], seconds=2)
        # First, while the rules' windows of time hold no more orders than these clients make.
        calm = [_clients(port, tokens, seconds=arguments.seconds, pause=PAUSE) for _ in range(arguments.rounds)]
        rounds = []
        for number, paced in enumerate(calm):
            flat = _clients(port, tokens[:FLAT], seconds=arguments.seconds)
            inside = pool.map(_inside, [(place, arguments.seconds) for place in range(INSIDE)], chunksize=1)
            events = Path(pool.apply(_events, (str(folder), f"round {number}")))
            sent = EVENTS / _sent(port, tokens[0], events)
            from_file = EVENTS / pool.apply(_from_file, (str(events),))
            rounds.append({**_round(paced, flat, sum(inside)), **_rates(sent, from_file)})
            print(f"  round {number + 1}: {rounds[-1]}", file=sys.stderr, flush=True)
    names = rounds[0].keys()
    return {
        "server": server,
        **{name: round(statistics.median(each[name] for each in rounds), 3) for name in names},
        "rounds": rounds,
    }


def _round(paced: dict[str, Any], flat: dict[str, Any], inside: float) -> dict[str, float]:
    cuts = statistics.quantiles(paced["took"], n=100, method="inclusive")
    per_second = len(flat["took"]) / flat["seconds"]
    return {
        "paced_p50_ms": round(1000 * cuts[49], 1),
        "paced_p95_ms": round(1000 * cuts[94], 1),
        "paced_p99_ms": round(1000 * cuts[98], 1),
        "flat_p95_ms": round(1000 * statistics.quantiles(flat["took"], n=100, method="inclusive")[94], 1),
        "flat_per_second": round(per_second, 1),
        "inside_per_second": round(inside, 1),
        "flat_to_inside": round(per_second / inside, 3),
    }


def _rates(sent: float, from_file: float) -> dict[str, float]:
    return {
        "sent_per_second": round(sent),
        "file_per_second": round(from_file),
        "sent_to_file": round(sent / from_file, 3),
    }


def _sent(port: int, token: str, events: Path) -> float:
    """Seconds."""
    pieces: list[list[bytes]] = [[]]
    size = 0
    for line in events.read_bytes().splitlines(keepends=True):
        if size + len(line) > SENT_AT_ONCE:
            pieces.append([])
            size = 0
        pieces[-1].append(line)
        size += len(line)
    bodies = [b"".join(lines) for lines in pieces]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    new, started = 0, time.perf_counter()
    for body in bodies:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        connection.request("POST", "/api/v1/market-events", body, {**headers, **key})
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise SystemExit(f"{response.status}: {content[:500].decode()}")
        new += json.loads(content)["new"]
    seconds = time.perf_counter() - started
    connection.close()
    if new != EVENTS:
        raise SystemExit(f"{new} of {EVENTS} events are new on record")
    return seconds


def _clients(port: int, tokens: Sequence[str], *, seconds: float, pause: float = 0.0) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.api_clients", f"--port={port}", f"--seconds={seconds}"]
    ran = subprocess.run(
        [*command, f"--pause={pause}"],
        input="\n".join(tokens),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"the clients came to an end: {ran.stderr}")
    return dict(json.loads(ran.stdout))


# ---- inside a process that has a connection --------------------------------------------------------------------------


def _prepare(count: int) -> tuple[dict[str, str], list[str]]:
    """What the server is, and the tokens of so many clients."""
    server = lives.prepare()
    from django.contrib.auth.models import User

    from emo_site.api import tokens
    from emo_site.api.scopes import Scope

    now = datetime.now(UTC)
    issued = [
        tokens.create(
            name=f"client-{number}",
            owner=User.objects.get(username="trader"),
            scopes=(Scope.STAGE, Scope.INGEST),
            strategies=(),
            signed=False,
            expires_at=now + timedelta(days=1),
            created_by="benchmark",
            now=now,
        )
        for number in range(count)
    ]
    return server, [each.text for each in issued]


def _inside(task: tuple[int, float]) -> float:
    """Orders a second."""
    from orders import workflow
    from orders.choices import OrderType, Side
    from orders.ticket import Ticket

    place, seconds = task
    trader, number = lives.Desk().trader, 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        made = order(1000 + place, number)
        ticket = Ticket(
            **{
                **made,
                "side": Side(made["side"]),
                "order_type": OrderType(made["order_type"]),
                "quantity": Decimal(made["quantity"]),
                "price": Decimal(made["price"]),
            }
        )
        workflow.stage(ticket, created_by=trader, now=datetime.now(UTC))
        number += 1
    return number / (time.perf_counter() - started)


def _events(folder: str, source: str) -> str:
    """A file of events that are not on record yet."""
    from benchmarks import feed

    path = Path(folder) / f"{source}.jsonl"
    with path.open("w") as stream:
        for event in feed.feed(EVENTS):
            stream.write(json.dumps({**event, "source": source}) + "\n")
    return str(path)


def _from_file(path: str) -> float:
    """Seconds, of the same events from another source."""
    from django.core.management import call_command

    other = Path(path).with_suffix(".other.jsonl")
    other.write_text(Path(path).read_text().replace('"source": "round', '"source": "file, round'))
    told = io.StringIO()
    started = time.perf_counter()
    call_command("ingest_events", str(other), "--json", stdout=told)
    seconds = time.perf_counter() - started
    new = json.loads(told.getvalue())["files"][0]["new"]
    if new != EVENTS:
        raise SystemExit(f"{new} of {EVENTS} events are new on record")
    return seconds


# ---- what is shown ---------------------------------------------------------------------------------------------------


def misses(found: dict[str, Any], goals: dict[str, float]) -> list[str]:
    missed = []
    if found["paced_p95_ms"] > goals["paced_p95_ms"]:
        missed.append(f"staging took {found['paced_p95_ms']} ms at the 95th percentile, goal {goals['paced_p95_ms']}")
    if found["flat_to_inside"] < goals["flat_to_inside"]:
        missed.append(f"{found['flat_to_inside']} of the orders made in process, goal {goals['flat_to_inside']}")
    if found["sent_to_file"] < goals["sent_to_file"]:
        missed.append(f"{found['sent_to_file']} of the events of a file, goal {goals['sent_to_file']}")
    return missed


def _shown(found: dict[str, Any]) -> str:
    if "not_run" in found:
        return f"not run: {found['not_run']}"
    return "\n".join(
        (
            ", ".join(f"{name} {value}" for name, value in found["server"].items()),
            f"{PACED} clients, an order every two seconds each: {found['paced_p50_ms']} ms at the median,"
            f" {found['paced_p95_ms']} at the 95th percentile, {found['paced_p99_ms']} at the 99th",
            f"{FLAT} clients, as fast as they are answered: {found['flat_per_second']:,.0f} orders/s,"
            f" {found['flat_p95_ms']} ms at the 95th percentile",
            f"{INSIDE} processes without HTTP: {found['inside_per_second']:,.0f} orders/s;"
            f" over HTTP {found['flat_to_inside']:.2f} of it",
            f"market events: {found['sent_per_second']:,.0f} a second over HTTP, {found['file_per_second']:,.0f} from a"
            f" file; {found['sent_to_file']:.2f} of it",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
