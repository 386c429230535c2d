"""The database is killed and started again in the middle of `manage.py ingest_events`; the run is resumed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.failover_drill import desk
from benchmarks.failover_drill.cluster import replicated
from tests.clusters import Cluster

NAME = "ingest-restart"
SAYS = "the database is killed and started again in the middle of a bulk ingest, which is then resumed"
ROWS = 300_000
SOURCE = "drill-ingest"
# Rows that must be on record before the server is killed.
KILLED_AFTER = 60_000


def held(*, seed: int) -> tuple[bool, dict[str, Any], str]:
    """Whether nothing was lost or doubled and the run was really interrupted, the figures, and the same as text."""
    with (
        tempfile.TemporaryDirectory(prefix="emo-drill-") as folder,
        replicated(standbys=0, synchronous=False) as under,
    ):
        cluster = under.cluster
        env = desk.environment(under.settings())
        desk.manage("migrate_all", "--verbosity", "0", env=env)
        file = _file(Path(folder), seed)
        first = _interrupted(cluster, file, env)
        with psycopg.connect(cluster.primary.url) as connection:
            before = _count(connection)[0]
        attempts = 0
        while (status := _ingest(file, env, resume=True).wait()) != 0 and attempts < 3:
            attempts += 1
        with psycopg.connect(cluster.primary.url) as connection:
            rows, distinct = _count(connection)
    figures = {
        "rows sent": ROWS,
        "exit status of the run that was interrupted": first,
        "rows on record after the restart": before,
        "exit status of the resumed run": status,
        "rows found afterwards": distinct,
        "rows lost": ROWS - distinct,
        "rows on record twice": rows - distinct,
    }
    met = first != 0 and 0 < before < ROWS and status == 0 and rows == distinct == ROWS
    lines = [f"{NAME}: {SAYS}", *(f"{name:45} {value:>9}" for name, value in figures.items())]
    lines.append("goal: interrupted, resumed, 0 lost, 0 twice: " + ("met" if met else "MISSED"))
    return met, {"variant": NAME, "met": met, "figures": figures}, "\n".join(lines)


def _interrupted(cluster: Cluster, file: Path, env: dict[str, str]) -> int:
    process = _ingest(file, env, resume=False)
    while process.poll() is None:
        with psycopg.connect(cluster.primary.url) as connection:
            if _count(connection)[0] >= KILLED_AFTER:
                break
        time.sleep(0.02)
    cluster.primary.kill()
    cluster.primary.start()
    return process.wait()


def _ingest(file: Path, env: dict[str, str], *, resume: bool) -> subprocess.Popen[bytes]:
    quarantine = file.with_name("quarantine.jsonl")
    command = [sys.executable, "manage.py", "ingest_events", str(file), "--quarantine", str(quarantine)]
    return subprocess.Popen(
        [*command, *(["--resume"] if resume else [])],
        cwd=desk.PROJECT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _count(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    row = connection.execute(
        "SELECT count(*), count(DISTINCT id) FROM market_events WHERE source = %s", [SOURCE]
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _file(folder: Path, seed: int) -> Path:
    path = folder / "events.jsonl"
    begin = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
    with path.open("w") as lines:
        for number in range(ROWS):
            price = 100 + (number * 7919 + seed) % 1000 / 100
            row = {
                "symbol": f"S{number % 200}",
                "event_type": "trade",
                "timestamp": (begin + timedelta(milliseconds=10 * number)).isoformat(),
                "price": f"{price:.2f}",
                "volume": "10",
                "source": SOURCE,
            }
            lines.write(json.dumps(row) + "\n")
    return path
