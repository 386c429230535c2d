"""python -m benchmarks.ingest: a file of market events goes in, beside psql's \\copy of the finished table, which is
the limit, Django's bulk_create, and one INSERT after another as the old bot did it.

All ways take turns in one run, each in a process of its own on an emptied table; what is judged are the medians of the
ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import psycopg

from tests import servers

GOALS = Path(__file__).with_name("goals.json")
PROJECT = Path(__file__).resolve().parent.parent
SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "postgresql": servers.postgresql,
    "timescaledb": servers.timescaledb,
}
# The tests' servers skip what keeps rows when the machine stops; here each side pays for it, as in production.
UNSAFE = ("fsync", "synchronous_commit", "full_page_writes")
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers", "max_wal_size")
COPIED = "id, symbol, event_type, timestamp, price, volume, source, level, metadata"
# The slow ways take as many of the rows as they need to show their pace.
FEWER = {"row_by_row": 20_000, "bulk_create": 50_000}
EXIT_MISSED, EXIT_NOT_RUN = 1, 2


@dataclass(frozen=True)
class Files:
    lines: Path
    table: Path
    half: Path


@contextmanager
def _safe_server(engine: str) -> Iterator[str]:
    kept = {name: value for name, value in servers.SETTINGS.items() if name not in UNSAFE}
    with patch.object(servers, "SETTINGS", kept), SERVERS[engine]() as url:
        yield url


class Bench:
    """One server with the desk's tables, and the ways to fill them."""

    def __init__(self, url: str, files: Files, rows: int) -> None:
        self.url = url
        self.files = files
        self.rows = rows
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "POSTGRES", "PG"))}
        self.env = {**kept, "EMO_ENV": "dev", "EMO_DB_URL": url, "DJANGO_SETTINGS_MODULE": "emo_site.settings"}
        self._run([sys.executable, "manage.py", "migrate", "--verbosity", "0"])

    def server(self) -> dict[str, str]:
        with psycopg.connect(self.url) as connection:
            asked = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)"
            settings: dict[str, str] = dict(connection.execute(asked, [list(SETTINGS)]).fetchall())
            extension = connection.execute(
                "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
            ).fetchone()
            version = connection.execute("SELECT current_setting('server_version')").fetchone()
        assert version is not None
        return {
            "version": f"PostgreSQL {version[0].split()[0]}" + (f", TimescaleDB {extension[0]}" if extension else ""),
            "psql": self._run(["psql", "--version"]).strip(),
            **settings,
        }

    def empty(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("TRUNCATE market_events, ingest_checkpoints")
            # So that nobody's run pays for what another has left to be written.
            connection.execute("CHECKPOINT")

    def limit(self) -> float:
        """Seconds that `psql \\copy` takes for the finished table, on the same indexes and constraints."""
        self.empty()
        return self._copy(self.files.table)

    def way(self, name: str, *, half: bool = False) -> dict[str, float]:
        """`half`: every second row is on record before."""
        self.empty()
        if half:
            self._copy(self.files.half)
        rows = min(self.rows, FEWER.get(name, self.rows))
        command = [sys.executable, "-m", "benchmarks.ingest_ways", name, str(self.files.lines), str(rows)]
        found: dict[str, float] = json.loads(self._run(command))
        with psycopg.connect(self.url) as connection:
            stored = connection.execute("SELECT count(*) FROM market_events").fetchone()
        if stored != (rows,):
            raise SystemExit(f"{name}: {stored} rows are on record, not {rows}")
        return {
            "rows_per_second": rows / found["seconds"],
            "client_microseconds": 1e6 * found["worked"] / rows,
            "peak_megabytes": found["peak_megabytes"],
        }

    def _copy(self, table: Path) -> float:
        started = time.perf_counter()
        self._run(
            [
                "psql",
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                *_place(self.url)[0],
                "-c",
                f"\\copy market_events ({COPIED}) from '{table}' csv",
            ]
        )
        return time.perf_counter() - started

    def _run(self, command: Sequence[str]) -> str:
        env = {**self.env, "PGPASSWORD": _place(self.url)[1]}
        done = subprocess.run(command, cwd=PROJECT, env=env, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command[:4])}: exit status {done.returncode}")
        return done.stdout


def _place(url: str) -> tuple[list[str], str]:
    """psql's arguments, and the password, which must not be one of them."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    names = {"host": "-h", "port": "-p", "user": "-U", "dbname": "-d"}
    return [word for name, flag in names.items() for word in (flag, str(parts[name]))], str(parts["password"])


def rounds(bench: Bench, count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        steps: list[tuple[str, Callable[[], Any]]] = [
            ("limit", lambda: {"rows_per_second": bench.rows / bench.limit()}),
            ("error", lambda: bench.way("error")),
            ("skip", lambda: bench.way("skip")),
            ("skip_half_known", lambda: bench.way("skip", half=True)),
            ("bulk_create", lambda: bench.way("bulk_create")),
            ("row_by_row", lambda: bench.way("row_by_row")),
        ]
        found = {name: step() for name, step in (steps if number % 2 == 0 else reversed(steps))}
        paces = ", ".join(f"{name} {each['rows_per_second']:,.0f}" for name, each in found.items())
        print(f"  round {number + 1}, rows/s: {paces}", file=sys.stderr, flush=True)
        yield found


def judged(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians and spread of the paces, and of their ratios within a round."""
    ways = found[0].keys()
    ratios = {f"{way}_to_limit": [_pace(each, way) / _pace(each, "limit") for each in found] for way in ways}
    ratios["error_to_row_by_row"] = [_pace(each, "error") / _pace(each, "row_by_row") for each in found]
    return {
        "rows_per_second": {way: round(statistics.median(_pace(each, way) for each in found)) for way in ways},
        "ratios": {name: _spread(values) for name, values in ratios.items() if name != "limit_to_limit"},
        "client_microseconds": round(statistics.median(each["error"]["client_microseconds"] for each in found), 2),
        "peak_megabytes": round(max(each[way]["peak_megabytes"] for each in found for way in ("error", "skip"))),
    }


def _pace(found: dict[str, Any], way: str) -> float:
    return float(found[way]["rows_per_second"])


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "lowest": round(min(values), 3),
        "highest": round(max(values), 3),
    }


def scaled(engine: str, url_rows: Sequence[int], folder: Path) -> dict[str, Any]:
    """Microseconds and peak memory for one row, at each size of file, each on a new server."""
    from benchmarks import feed

    found = {}
    for rows in url_rows:
        lines = folder / f"scale-{rows}.jsonl"
        feed.write(rows, lines=lines)
        with _safe_server(engine) as url:
            result = Bench(url, Files(lines, lines, lines), rows).way("error")
        lines.unlink()
        found[f"{rows}"] = {
            "microseconds_per_row": round(1e6 / result["rows_per_second"], 2),
            "peak_megabytes": round(result["peak_megabytes"]),
        }
        print(f"  {rows:,} rows: {found[f'{rows}']}", file=sys.stderr, flush=True)
    return found


def misses(result: dict[str, Any], goals: dict[str, float]) -> list[str]:
    """What of one engine's figures is worse than its goal."""
    engine, ratios = result["engine"], result["ratios"]
    at_least = {
        "error_to_limit": "error_to_limit",
        "skip_to_limit": "skip_to_limit",
        "skip_half_known_to_limit": "skip_to_limit",
        "error_to_row_by_row": "error_to_row_by_row",
    }
    found = [
        f"{engine}: {name} is {ratios[name]['median']}, goal {goals[goal]}"
        for name, goal in at_least.items()
        if ratios[name]["median"] < goals[goal]
    ]
    scale = result.get("scale", {}).values()
    peak = max([result["peak_megabytes"], *(each["peak_megabytes"] for each in scale)])
    if peak >= goals["peak_megabytes"]:
        found.append(f"{engine}: peak memory is {peak} MB, goal below {goals['peak_megabytes']}")
    costs = [each["microseconds_per_row"] for each in scale]
    if costs and max(costs) > min(costs) * goals["flat_within"]:
        found.append(f"{engine}: a row costs {min(costs)} to {max(costs)} µs, goal within {goals['flat_within']}")
    return found


def _shown(result: dict[str, Any]) -> str:
    if "not_run" in result:
        return f"{result['engine']}: not run: {result['not_run']}"
    server = ", ".join(f"{name} {value}" for name, value in result["server"].items() if name != "version")
    lines = [f"{result['server']['version']} ({server}), {result['rows']:,} rows, {result['rounds']} rounds"]
    for name, pace in result["rows_per_second"].items():
        fewer = f" (of {min(FEWER[name], result['rows']):,} rows)" if name in FEWER else ""
        lines.append(f"  {name}: {pace:,} rows/s{fewer}")
    for name, each in result["ratios"].items():
        lines.append(f"  {name}: {each['median']} ({each['lowest']} to {each['highest']})")
    lines.append(f"  processor time of the client for a row: {result['client_microseconds']} µs")
    lines.append(f"  peak memory: {result['peak_megabytes']} MB")
    for rows, each in result.get("scale", {}).items():
        cost, peak = each["microseconds_per_row"], each["peak_megabytes"]
        lines.append(f"  {int(rows):,} rows: {cost} µs a row, peak memory {peak} MB")
    return "\n".join(lines)


def measured(engine: str, files: Files, options: argparse.Namespace) -> dict[str, Any]:
    """One engine's figures, or why there are none."""
    if shutil.which("psql") is None:
        return {"engine": engine, "not_run": "psql is not on PATH"}
    try:
        with _safe_server(engine) as url:
            bench = Bench(url, files, options.rows)
            result = {"engine": engine, "rows": options.rows, "rounds": options.rounds, "server": bench.server()}
            print(f"{engine}: {result['server']['version']}", file=sys.stderr, flush=True)
            result |= judged(list(rounds(bench, options.rounds)))
        if options.scale:
            result["scale"] = scaled(engine, options.scale, files.lines.parent)
    except servers.Unavailable as error:
        return {"engine": engine, "not_run": " ".join(str(error).split())}
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the file (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="each way once in each (default 5)")
    parser.add_argument("--engine", action="append", choices=list(SERVERS), help="only this one; may be repeated")
    parser.add_argument("--scale", type=int, nargs="+", metavar="ROWS", help="also the cost of a row at these sizes")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--check", action="store_true", help="exit 1 where a goal is missed, 2 where nothing was run")
    return parser


def main(argv: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.rows < 1000 or options.rounds < 1:
        parser.error("--rows must be at least 1000, --rounds at least 1")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")
    import django

    django.setup()
    from benchmarks import feed

    with tempfile.TemporaryDirectory(prefix="emo-ingest-") as name:
        folder = Path(name)
        files = Files(folder / "feed.jsonl", folder / "table.csv", folder / "half.csv")
        feed.write(options.rows, lines=files.lines, table=files.table, half=files.half)
        results = [measured(engine, files, options) for engine in options.engine or SERVERS]
    goals = json.loads(GOALS.read_text())["ingest"]
    missed = [miss for result in results if "not_run" not in result for miss in misses(result, goals)]
    document = {"results": results, "missed": missed}
    print(json.dumps(document, indent=2) if options.json else "\n".join(map(_shown, results)))
    print("\n".join(missed), file=sys.stderr, end="\n" if missed else "")
    if not options.check:
        return 0
    return EXIT_MISSED if missed else EXIT_NOT_RUN if any("not_run" in result for result in results) else 0


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    # Servers and files are removed on the way out, which the default action would skip.
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
