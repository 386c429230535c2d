"""python -m benchmarks.event_size: what a market event takes on the disk, on each server, and compressed.

The rows are those of benchmarks/rows.py: 200 symbols, seven of ten events a trade, prices and volumes without a pattern
(so that they compress badly), no metadata. Compression is set as apply_retention sets it: by symbol, newest first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
EXIT_NOT_RUN = 2
ENGINES = ("postgresql", "timescaledb", "community")
_FILL = "from benchmarks.rows import fill; list(fill({rows}))"
# Parts of a table; those of a hypertable are in its chunks.
_PARTS = """
SELECT sum(pg_table_size(part)), sum(pg_indexes_size(part)), count(*) FROM (
    SELECT c.oid AS part FROM pg_class c WHERE c.oid = 'market_events'::regclass
    UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'market_events'::regclass
) AS parts
"""
_WHOLE = "SELECT hypertable_size('market_events')"
_COMPRESS = "SELECT count(compress_chunk(chunk, true)) FROM show_chunks('market_events') AS chunk"


def database(engine: str) -> AbstractContextManager[str]:
    """The URL of an empty database; gone afterwards. Raises servers.Unavailable."""
    from tests import community_server, servers

    ways = {
        "postgresql": servers.postgresql,
        "timescaledb": servers.timescaledb,
        "community": community_server.community_timescaledb,
    }
    return ways[engine]()


def measured(engine: str, rows: int) -> dict[str, Any]:
    """Bytes of `rows` events in their table, in its indexes, and of all once compressed (None where there is none)."""
    from tests import servers

    try:
        with database(engine) as url:
            _manage(url, "migrate", "--verbosity", "0")
            _manage(url, "shell", "--verbosity", "0", "-c", _FILL.format(rows=rows))
            version, table, indexes, chunks = *_asked(url, "SELECT version()"), *_asked(url, _PARTS)
            found = {"engine": engine, "rows": rows, "version": version, "table": int(table), "indexes": int(indexes)}
            compressed = _compressed(url) if engine == "community" else None
            return {**found, "chunks": chunks - 1, "compressed": compressed}
    except (servers.Unavailable, subprocess.CalledProcessError) as error:
        return {"engine": engine, "not_run": " ".join(str(error).split())}


def _compressed(url: str) -> int:
    _manage(url, "apply_retention", "--yes", EMO_COMPRESS_AFTER_DAYS="1")
    _asked(url, _COMPRESS)
    return int(_asked(url, _WHOLE)[0])


def _asked(url: str, statement: str) -> tuple[Any, ...]:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
        assert row is not None
        return row


def _manage(url: str, *arguments: str, **settings: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "POSTGRES"))}
    # The Community server takes one connection at a time.
    own = {"EMO_ENV": "dev", "EMO_DB_URL": url, "EMO_DB_POOL_SIZE": "1", "EMO_DB_POOL_MIN": "0"}
    keep = {"EMO_RETAIN_MARKET_EVENTS_DAYS": "off", "EMO_RETAIN_SYSTEM_HEALTH_DAYS": "off"}
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        check=True,
        cwd=PROJECT,
        env={**kept, **own, **keep, **settings},
        stdout=sys.stderr,
    )


def shown(found: dict[str, Any]) -> str:
    if "not_run" in found:
        return f"{found['engine']}: not run ({found['not_run']})"
    rows, whole = found["rows"], found["table"] + found["indexes"]
    lines = [
        f"{found['engine']}: {found['version'].partition(' on ')[0]}, {rows:,} events, {found['chunks']} chunks",
        f"  {whole / rows:.0f} bytes an event (table {found['table'] / rows:.0f},"
        f" indexes {found['indexes'] / rows:.0f}): {whole / rows:.0f} GB per billion",
    ]
    if found["compressed"] is not None:
        small = found["compressed"] / rows
        lines.append(f"  compressed {small:.0f} bytes an event ({whole / rows / small:.1f} to 1): {small:.0f} GB")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.event_size", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="events (default 1,000,000)")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(argv)
    results = [measured(engine, options.rows) for engine in options.engine or ENGINES]
    print(json.dumps(results, indent=2) if options.json else "\n".join(map(shown, results)))
    return EXIT_NOT_RUN if any("not_run" in each for each in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
