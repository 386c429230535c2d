"""What PgBouncer costs: orders staged over HTTP by eight clients, with it between and without, in turn.

    python -m benchmarks.pooler [--seconds 10] [--rounds 3]

A gunicorn of two workers over one PostgreSQL that waits for its disk, PgBouncer by deploy/pgbouncer before it. Prints
orders a second and their p95 of each way, medians of the rounds, and the rounds' ratio: median, least, most. Exit
status 2 where it could not be run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import api
from benchmarks import workflow as lives

EXIT_NOT_RUN = 2
CLIENTS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    from tests import poolers, servers

    try:
        with servers.postgresql(durable=True) as url, poolers.pgbouncer(url) as pooler:
            print(json.dumps(_measured({"direct": url, "pooler": pooler.url}, arguments), indent=2))
    except servers.Unavailable as error:
        print(json.dumps({"not_run": str(error)}))
        return EXIT_NOT_RUN
    return 0


def _measured(urls: dict[str, str], arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.desk import served

    with tempfile.TemporaryDirectory(prefix="emo-pooler-") as folder:
        policy = Path(folder) / "policy.yaml"
        policy.write_text(lives.POLICY)
        common = {"EMO_ENV": "dev", "EMO_POLICY_FILE": str(policy), "EMO_API_REQUESTS_PER_MINUTE": "60000"}
        os.environ.update(common, EMO_DB_URL=urls["direct"], DJANGO_SETTINGS_MODULE="emo_site.settings")
        # In a process of its own: connections and settings must not be inherited.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            _, tokens = pool.apply(api._prepare, (CLIENTS,))
        found: dict[str, list[dict[str, float]]] = {way: [] for way in urls}
        for number in range(arguments.rounds):
            for way, url in urls.items():
                with served({**common, "EMO_DB_URL": url}, workers=2) as port:
                    api._clients(port, tokens, seconds=2)
                    found[way].append(_round(port, tokens, arguments.seconds))
                print(f"  round {number + 1}, {way}: {found[way][-1]}", file=sys.stderr, flush=True)
    pairs = zip(found["direct"], found["pooler"], strict=True)
    ratios = [through["orders_per_second"] / direct["orders_per_second"] for direct, through in pairs]
    return {
        **{
            way: {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
            for way, rounds in found.items()
        },
        "pooler_to_direct": [round(value, 2) for value in (statistics.median(ratios), min(ratios), max(ratios))],
    }


def _round(port: int, tokens: list[str], seconds: int) -> dict[str, float]:
    ran = api._clients(port, tokens, seconds=seconds)
    p95 = statistics.quantiles(ran["took"], n=100, method="inclusive")[94]
    return {"orders_per_second": round(len(ran["took"]) / ran["seconds"], 1), "p95_ms": round(1000 * p95, 1)}


if __name__ == "__main__":
    sys.exit(main())
