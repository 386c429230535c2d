"""python -m benchmarks.statement_counting: SELECT 1 with and without the counter of statements, alternating.

On each engine one process, one open connection; what is judged is the median of the ratios of neighbouring rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOALS = Path(__file__).with_name("goals.json")
ENGINES = ("sqlite", "postgresql")
EXIT_MISSED, EXIT_NOT_RUN = 1, 2


def _measure(rounds: int, statements: int) -> dict[str, Any]:
    """In the process whose environment names the database."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "emo_site.settings"
    import django

    django.setup()
    from django.db import connection

    from emo_site.db import statements as counter

    with connection.cursor() as cursor:
        around = counter._tally("default").around
        assert connection.execute_wrappers == [around]

        def ask() -> float:
            started = time.perf_counter()
            for _ in range(statements):
                cursor.execute("SELECT 1")
                cursor.fetchone()
            return time.perf_counter() - started

        def counted(wrapped: bool) -> Callable[[], float]:
            def run() -> float:
                connection.execute_wrappers[:] = [around] if wrapped else []
                return ask()

            return run

        pairs = _alternated(counted(True), counted(False), rounds)
    ratios = [with_it / without for with_it, without in pairs]
    bare = statistics.median(without for _, without in pairs) / statements * 1e6
    extra = statistics.median(with_it - without for with_it, without in pairs) / statements * 1e6
    spread = statistics.quantiles(ratios, n=4)
    return {
        "ratio": round(statistics.median(ratios), 4),
        "quartiles": [round(spread[0], 4), round(spread[2], 4)],
        "bare_us": round(bare, 1),
        "extra_us": round(extra, 2),
    }


def _alternated(a: Callable[[], float], b: Callable[[], float], rounds: int) -> list[tuple[float, float]]:
    """(a, b) of each round; who begins changes, so that a slow start is nobody's."""
    a(), b()
    pairs = []
    for number in range(rounds):
        if number % 2:
            second, first = b(), a()
        else:
            first, second = a(), b()
        pairs.append((first, second))
    return pairs


def _on(engine: str, url: str, arguments: argparse.Namespace) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "POSTGRES"))}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.statement_counting",
            "--measure",
            f"--rounds={arguments.rounds}",
            f"--statements={arguments.statements}",
        ],
        check=True,
        cwd=Path(__file__).resolve().parent.parent,
        env={**kept, "EMO_ENV": "dev", "EMO_DB_URL": url},
        stdout=subprocess.PIPE,
        text=True,
    )
    return {"engine": engine, **json.loads(done.stdout)}


def _measured(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    import tempfile

    from tests import servers

    found = []
    with tempfile.TemporaryDirectory(prefix="emo-statements-") as folder:
        found.append(_on("sqlite", f"sqlite:///{folder}/x.sqlite", arguments))
    try:
        with servers.postgresql() as url:
            found.append(_on("postgresql", url, arguments))
    except servers.Unavailable as error:
        found.append({"engine": "postgresql", "not_run": str(error)})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--statements", type=int, default=500, help="in each round, with and without")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit 1 where a goal is missed")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(_measure(arguments.rounds, arguments.statements)))
        return 0
    goals = json.loads(GOALS.read_text())["statement_counting"]
    found = _measured(arguments)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        for each in found:
            told = (
                f"not run: {each['not_run']}"
                if "not_run" in each
                else "with/without {ratio} (quartiles {quartiles}), {bare_us} µs without, {extra_us} µs more".format(
                    **each
                )
            )
            print(f"{each['engine']:<11} {told}, goal {goals[each['engine']]}")
    if not arguments.check:
        return 0
    if any("not_run" in each for each in found):
        return EXIT_NOT_RUN
    return EXIT_MISSED if any(each["ratio"] > goals[each["engine"]] for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
