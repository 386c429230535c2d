"""Databases as earlier releases left them. `python -m tests.upgrades.dumps NAME [COMMIT]` adds that of a release.

It checks the commit out beside the project, lets that code migrate an empty database and load its own demo, on SQLite
and on PostgreSQL, and writes three files into tests/upgrades/dumps/: NAME.json (commit, rows by table), and both dumps.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests import servers
from tests.desk import postgresql_programs
from tests.run import PROJECT
from tests.upgrades.release import run

FOLDER = Path(__file__).with_name("dumps")
# A dump is read by every clone for ever.
MOST_BYTES = 100_000
# Those of them that a release has, in this order.
COMMANDS = ("load_demo", "rollup_performance", "summarise_orders")


@dataclass(frozen=True)
class Dump:
    """`rows`: by engine and table."""

    name: str
    commit: str
    rows: dict[str, dict[str, int]]

    def path(self, engine: str) -> Path:
        return FOLDER / f"{self.name}.{engine}.sql.gz"


def all_dumps() -> list[Dump]:
    """The oldest first: their names begin with numbers."""
    return [Dump(path.stem, **json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json"))]


def restore(dump: Dump, url: str) -> None:
    """Into an empty database."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite://"))) as file:
            file.executescript(gzip.decompress(dump.path("sqlite").read_bytes()).decode())
        return
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(gzip.decompress(dump.path("postgresql").read_bytes()))


def rows(url: str) -> dict[str, int]:
    """How many each table has."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite://"))) as file:
            names = file.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
            return {name: file.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in names.fetchall()}
    with psycopg.connect(url) as server:
        names = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {name: server.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in names}  # type: ignore[call-overload,index]


# ---- adding one -----------------------------------------------------------------------------------------------------


def add(name: str, commit: str) -> Dump:
    """Raises SystemExit where the release can't be made to fill its database, or its dump is too large."""
    FOLDER.mkdir(exist_ok=True)
    counted: dict[str, dict[str, int]] = {}
    texts: dict[str, bytes] = {}
    with checked_out(commit) as (place, full), tempfile.TemporaryDirectory(prefix="emo-dump-") as scratch:
        url = f"sqlite:///{scratch}/desk.sqlite"
        _fill(place, url)
        counted["sqlite"], texts["sqlite"] = rows(url), _dump_sqlite(url)
        with servers.postgresql() as url:
            _fill(place, url)
            counted["postgresql"], texts["postgresql"] = rows(url), _dump_postgresql(url)
    made = Dump(name, full, counted)
    for engine, text in texts.items():
        packed = gzip.compress(text, mtime=0)
        if len(packed) > MOST_BYTES:
            raise SystemExit(f"{made.path(engine).name}: {len(packed)} bytes, at most {MOST_BYTES} are kept")
        made.path(engine).write_bytes(packed)
    (FOLDER / f"{name}.json").write_text(json.dumps({"commit": full, "rows": counted}, indent=1, sort_keys=True) + "\n")
    return made


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[tuple[Path, str]]:
    """A tree of that commit, and its full name."""
    full = _git("rev-parse", "--verify", f"{commit}^{{commit}}")
    with tempfile.TemporaryDirectory(prefix="emo-release-") as folder:
        place = Path(folder) / "tree"
        _git("worktree", "add", "--detach", "--quiet", str(place), full)
        try:
            yield place, full
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=PROJECT, check=True, capture_output=True, text=True).stdout.strip()


def _fill(place: Path, url: str) -> None:
    environment = {"EMO_ENV": "dev", "EMO_DB_URL": url}
    _manage(place, "migrate", "--verbosity", "0", environment=environment)
    known = _manage(place, "help", "--commands", environment=environment).split()
    for command in COMMANDS:
        if command in known:
            _manage(place, command, environment=environment)


def _manage(place: Path, *arguments: str, environment: dict[str, str]) -> str:
    ran = run(place, "manage.py", *arguments, environment=environment)
    if ran.status != 0:
        raise SystemExit(f"{place}: manage.py {' '.join(arguments)}: exit status {ran.status}: {ran.err}")
    return ran.out


def _dump_sqlite(url: str) -> bytes:
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite://"))) as file:
        return "\n".join(file.iterdump()).encode()


def _dump_postgresql(url: str) -> bytes:
    """As INSERTs, so that it needs no psql; without what only psql, or only the newest server, understands."""
    program = str(postgresql_programs() / "pg_dump")
    options = ["--no-owner", "--no-privileges", "--rows-per-insert=200"]
    done = subprocess.run([program, *options, f"--dbname={url}"], check=True, capture_output=True)
    unwanted = (b"\\restrict", b"\\unrestrict", b"SET transaction_timeout", b"--")
    return b"\n".join(line for line in done.stdout.splitlines() if line and not line.startswith(unwanted)) + b"\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Adds the dump of a release, to be upgraded from in the tests.")
    parser.add_argument("name", help="such as 03-review-desk: a number, so that they are in order, and what came")
    parser.add_argument("commit", nargs="?", default="HEAD", help="of the release (default HEAD)")
    given = parser.parse_args()
    made = add(given.name, given.commit)
    for engine, counted in made.rows.items():
        path = made.path(engine)
        print(f"{path.name}: {path.stat().st_size} bytes, {sum(counted.values())} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
