"""python -m benchmarks.backup: what a backup and its proof cost over plain pg_dump and pg_restore.

Reference: `pg_dump --format=custom --compress=1` into a file, and `pg_restore` of it into a new database, alternated
with `manage.py backup` and `manage.py verify_backup` on the same server. Medians of ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from emo_site.db.backup import keys
from tests import servers
from tests.desk import manage, postgresql_programs

EVENTS = """
INSERT INTO market_events (id, symbol, event_type, timestamp, price, volume, source, level, metadata)
SELECT gen_random_uuid(), 'S' || n % 200, 'trade', '2025-01-01'::timestamptz + n * interval '1 second',
       100 + (n::bigint * 7919 % 10000)::numeric / 100, n % 1000, 'benchmark', 'info', '{"seq": 1}'
  FROM generate_series(1, {rows}) n
"""


def timed(*command: str) -> float:
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # the benchmark's own commands
    return time.monotonic() - started


def managed(environment: dict[str, str], *arguments: str) -> float:
    ran = manage(*arguments, environment=environment, timeout=3600)
    if ran.status:
        raise SystemExit(ran.out + ran.err)
    return ran.seconds


def one_round(url: str, environment: dict[str, str], folder: Path) -> dict[str, float]:
    programs, dump = postgresql_programs(), folder / "plain.dump"
    plain = f"{url.rpartition('/')[0]}/plain"
    backup = managed(environment, "backup")
    dumped = timed(f"{programs}/pg_dump", "--format=custom", "--compress=1", f"--file={dump}", f"--dbname={url}")
    verify = managed(environment, "verify_backup")
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("CREATE DATABASE plain TEMPLATE template0")
        restored = timed(f"{programs}/pg_restore", f"--dbname={plain}", str(dump))
        server.execute("DROP DATABASE plain WITH (FORCE)")
    archive = max((folder / "backups").glob("emo-*"))
    return {
        "backup_seconds": backup,
        "pg_dump_seconds": dumped,
        "backup_ratio": backup / dumped,
        "verify_seconds": verify,
        "pg_restore_seconds": restored,
        "verify_ratio": verify / restored,
        "archive_bytes": archive.stat().st_size,
        "size_ratio": archive.stat().st_size / dump.stat().st_size,
    }


def measured(engine: str, rows: int, rounds: int) -> dict[str, Any]:
    start = servers.postgresql if engine == "postgresql" else servers.timescaledb
    with tempfile.TemporaryDirectory(prefix="emo-benchmark-") as name, start() as url:
        folder = Path(name)
        keys.make(folder / "key", now=datetime.now(UTC))
        environment = {
            "EMO_DB_URL": url,
            "EMO_BACKUP_DIR": str(folder / "backups"),
            "EMO_BACKUP_KEY_FILE": str(folder / "key"),
            "EMO_PG_BIN": str(postgresql_programs()),
        }
        managed(environment, "migrate_all", "--verbosity", "0")
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(EVENTS.replace("{rows}", str(rows)))
            row = server.execute("SELECT current_setting('server_version')").fetchone()
            server.execute("ANALYZE")
        runs = [one_round(url, environment, folder) for _ in range(rounds)]
    medians = {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
    return {"engine": engine, "server": row[0] if row else "", "rows": rows, "rounds": rounds, **medians}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backup", description=__doc__)
    parser.add_argument("--engine", choices=("postgresql", "timescaledb"), default="postgresql")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    found = measured(options.engine, options.rows, options.rounds)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for key, value in found.items():
        print(f"{key:<20}{value:>16}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
