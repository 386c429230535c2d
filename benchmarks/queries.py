"""python -m benchmarks.queries: the desk's reads of many market events beside the best SQL written by hand for each
engine, and how long the admin lists of both time series take to open.

A and B take turns in one process; what is judged is the median of the ratios. Both give the same values (Decimals,
aware times), and the run stops where they differ. On SQLite the bars are also measured beside trades that are fetched
and summed up by hand, outside SQL, for minutes alone: that is shown and not judged.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GOALS = Path(__file__).with_name("goals.json")
ENGINES = ("sqlite", "postgresql", "timescaledb")
EXIT_MISSED, EXIT_NOT_RUN = 1, 2
FROM_TRADES = "ohlcv beside trades summed up by hand"
SETTINGS = ("shared_buffers", "work_mem", "effective_cache_size", "random_page_cost", "jit", "fsync")


@contextmanager
def database(engine: str) -> Iterator[str]:
    """The URL of an empty database; gone afterwards."""
    from tests import servers

    if engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="emo-queries-") as folder:
            yield f"sqlite:///{folder}/queries.sqlite"
        return
    with (servers.postgresql if engine == "postgresql" else servers.timescaledb)() as url:
        yield url


def _measured(engine: str, rows: int, runs: int) -> dict[str, Any]:
    """What a process of its own finds on a new database, or why there is none."""
    from tests import servers

    try:
        with database(engine) as url, tempfile.TemporaryDirectory(prefix="emo-queries-") as folder:
            found = Path(folder) / "found.json"
            command = [sys.executable, "-m", "benchmarks.queries", f"--rows={rows}", f"--runs={runs}"]
            kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "POSTGRES"))}
            subprocess.run(
                [*command, f"--measure={found}"],
                check=True,
                cwd=Path(__file__).resolve().parent.parent,
                env={**kept, "EMO_ENV": "dev", "EMO_DB_URL": url},
                stdout=sys.stderr,
            )
            return {"engine": engine, **json.loads(found.read_text())}
    except (servers.Unavailable, subprocess.CalledProcessError) as error:
        return {"engine": engine, "not_run": " ".join(str(error).split())}


# ---- inside the process that has the database --------------------------------------------------------------------


def _measure(rows: int, runs: int) -> dict[str, Any]:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")
    django.setup()
    from django.core.management import call_command

    from benchmarks.rows import fill

    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    for done in fill(rows):
        print(f"  {done:,} rows in each table, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return {
        "rows": rows,
        "server": server(),
        "load_seconds": round(time.perf_counter() - started, 1),
        "latest_prices": _latest_prices(runs),
        **_ohlcv(runs),
        "admin_lists": _admin_lists(),
    }


def server() -> dict[str, str]:
    from django.db import connection

    from emo_site.db.timescale.capabilities import look_up

    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT sqlite_version()")
            (version,) = cursor.fetchone()
            cursor.execute("PRAGMA cache_size")
            return {"version": f"SQLite {version}", "cache_size": str(cursor.fetchone()[0])}
    capabilities = look_up(connection)
    timescale = f", TimescaleDB {capabilities.installed} ({capabilities.licence})" if capabilities.installed else ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version')")
        version = cursor.fetchone()[0].split()[0]
        cursor.execute("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(SETTINGS)])
        return {"version": f"PostgreSQL {version}{timescale}", **dict(cursor.fetchall())}


def _compare(ours: Callable[[int], Any], reference: Callable[[int], Any], runs: int) -> dict[str, Any]:
    for number in range(3):
        if ours(number) != reference(number):
            raise SystemExit(f"run {number}: the two ways give different answers")
    a: list[float] = []
    b: list[float] = []
    for number in range(runs):
        # Untimed first: else whoever comes first reads the pages from the disk for both.
        reference(number)
        for way, times in ((ours, a), (reference, b)) if number % 2 else ((reference, b), (ours, a)):
            started = time.perf_counter()
            way(number)
            times.append((time.perf_counter() - started) * 1000)
    ratios = sorted(mine / theirs for mine, theirs in zip(a, b, strict=True))
    return {
        "ms": round(statistics.median(a), 2),
        "reference_ms": round(statistics.median(b), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_quartiles": [round(ratios[len(ratios) // 4], 3), round(ratios[len(ratios) * 3 // 4], 3)],
    }


def _latest_prices(runs: int) -> dict[str, Any]:
    from benchmarks import rows
    from benchmarks.by_hand import latest_prices
    from monitoring.models import MarketEvent

    symbols = [f"S{number:03}" for number in range(rows.SYMBOLS)]
    return _compare(
        lambda number: MarketEvent.objects.latest_prices(symbols, at=rows.moment(number)),
        lambda number: latest_prices(symbols, rows.moment(number)),
        runs,
    )


def _ohlcv(runs: int) -> dict[str, Any]:
    from datetime import timedelta

    from django.db import connection

    from benchmarks import rows
    from benchmarks.by_hand import minute_bars, minute_bars_from_trades
    from monitoring.models import MarketEvent

    day, minute = timedelta(days=1), timedelta(minutes=1)

    def asked(number: int) -> tuple[str, Any, Any]:
        start = rows.START + number % 29 * day
        return f"S{number % rows.SYMBOLS:03}", start, start + day

    def compared(reference: Callable[..., Any]) -> dict[str, Any]:
        return _compare(
            lambda number: MarketEvent.objects.ohlcv(*asked(number), minute),
            lambda number: reference(*asked(number)),
            runs,
        )

    found = {"ohlcv": compared(minute_bars)}
    if connection.vendor == "sqlite":
        found[FROM_TRADES] = compared(minute_bars_from_trades)
    return found


def _admin_lists() -> dict[str, float]:
    """Seconds until the page is there, the worst of three, as a signed-in person gets it."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    from benchmarks import rows

    # The hashed names exist only after collectstatic.
    plain = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    settings.STORAGES = {**settings.STORAGES, **plain}
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("benchmark"))
    # As in a process that has served a page before.
    client.get("/admin/")
    middle = f"{rows.moment(0):%Y-%m-%dT%H:%M:%S.%f}Z_{'0' * 32}"
    pages = {
        "market events, newest": "marketevent/",
        "market events, in the middle": f"marketevent/?older={middle}",
        "market events, oldest": "marketevent/?newer=beginning",
        "market events of one symbol": "marketevent/?q=S007",
        "market events of one symbol, in the middle": f"marketevent/?q=S007&older={middle}",
        "health, newest": "systemhealth/",
        "health, in the middle": f"systemhealth/?older={middle}",
        "health, oldest": "systemhealth/?newer=beginning",
        "health of one component": "systemhealth/?component_name=component+7",
    }
    found = {}
    for name, path in pages.items():
        times = []
        for _ in range(3):
            started = time.perf_counter()
            response = client.get(f"/admin/monitoring/{path}")
            times.append(time.perf_counter() - started)
            if response.status_code != 200 or response.content.count(b'class="field-') < 100:
                raise SystemExit(f"{name}: status {response.status_code}, and no full page of rows")
        found[name] = round(max(times), 3)
    return found


# ---- the verdict -------------------------------------------------------------------------------------------------


def misses(result: dict[str, Any], goals: dict[str, Any]) -> list[str]:
    """What of one engine's figures is worse than its goal."""
    found = [
        f"{result['engine']}: {name} takes {result[name]['ratio']} of the SQL by hand, goal {goals[f'{name}_ratio']}"
        for name in ("latest_prices", "ohlcv")
        if result[name]["ratio"] > goals[f"{name}_ratio"]
    ]
    limit = goals["admin_list_seconds"]
    slow = (
        f"{result['engine']}: {name}: {took} s, goal {limit}"
        for name, took in result["admin_lists"].items()
        if took > limit
    )
    return [*found, *slow]


def _shown(result: dict[str, Any]) -> str:
    if "not_run" in result:
        return f"{result['engine']}: not run: {result['not_run']}"
    server = ", ".join(f"{name} {value}" for name, value in result["server"].items() if name != "version")
    lines = [f"{result['server']['version']}, {result['rows']:,} rows in each table ({server})"]
    for name in ("latest_prices", "ohlcv", FROM_TRADES):
        if (each := result.get(name)) is None:
            continue
        low, high = each["ratio_quartiles"]
        lines.append(
            f"  {name}: {each['ms']} ms, by hand {each['reference_ms']} ms, ratio {each['ratio']} ({low} to {high})"
        )
    lines += [f"  admin list, {name}: {took} s" for name, took in result["admin_lists"].items()]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queries", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="in each of the two tables (default 10,000,000)")
    parser.add_argument("--runs", type=int, default=41, help="pairs of runs of each read (default 41)")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 where a goal is missed, 2 where an engine is missing"
    )
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.rows < 1000 or options.runs < 5:
        parser.error("--rows must be at least 1000, --runs at least 5")
    if options.measure:
        options.measure.write_text(json.dumps(_measure(options.rows, options.runs)))
        return 0
    results = [_measured(engine, options.rows, options.runs) for engine in options.engine or ENGINES]
    goals = json.loads(GOALS.read_text())["queries"]
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
