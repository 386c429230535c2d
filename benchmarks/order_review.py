"""python -m benchmarks.order_review: the order review of 10,000, 100,000 and a million orders of five hundred days, by

  raw        one hand-written SQL statement over the rows of orders and fills
  loop       the rows of orders and of fills as lists of dictionaries, and a loop over them, as the old bot did it
  pandas     frames of the columns that are needed, and what pandas has for them
  polars     the same with polars, which connectorx fills
  exact      reporting/order_sums.py over the facts that are stored with the orders
  summaries  reporting/order_totals.py from sums by day and month
  page       what /reports/orders/ makes when it is opened: the last thirty days, and the thirty before; all days; and
             the same while the newest day waits to be summed up, as it does when people trade
  cached     the first page for whoever comes next

All must come to the same. `exact` and `raw` take turns, and what counts is the median of their ratios. The loop and the
frames have a process each, so that their memory is their own. Orders are as the desk writes them, with the documents of
their assessments: a fifth waits or was refused, the rest went to a broker.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil

GOALS = Path(__file__).with_name("goals.json")
ENGINES = ("sqlite", "postgresql")
SIZES = (10_000, 100_000, 1_000_000)
EXIT_MISSED, EXIT_NOT_RUN = 1, 2
PERIOD = timedelta(days=500)
# What a million orders as dictionaries need, and some room beside them.
LOOP_BYTES_PER_ORDER = 14_000
WAYS = ("loop", "pandas", "polars")
BATCH = 100_000


def _measured(engine: str, orders: int, runs: int) -> dict[str, Any]:
    """What processes of their own find on a new database, or why there is none."""
    from benchmarks.queries import database
    from tests import servers

    try:
        with database(engine) as url:
            found = _in_process(url, f"--orders={orders}", f"--runs={runs}")
            ways = {
                way: {"not_run": "not enough memory"}
                if way == "loop" and psutil.virtual_memory().available < LOOP_BYTES_PER_ORDER * orders
                else _in_process(url, f"--orders={orders}", f"--way={way}")
                for way in WAYS
            }
    except (servers.Unavailable, subprocess.CalledProcessError) as error:
        return {"engine": engine, "orders": orders, "not_run": " ".join(str(error).split())}
    ran = {way: each for way, each in ways.items() if "not_run" not in each}
    exact = found["seconds"]["exact"]
    return {
        "engine": engine,
        **found,
        "ways": ways,
        "to_exact": {way: round(each["seconds"] / exact, 1) for way, each in ran.items()},
    }


def _in_process(url: str, *words: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="emo-review-") as folder:
        found = Path(folder) / "found.json"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "POSTGRES"))}
        subprocess.run(
            [sys.executable, "-m", "benchmarks.order_review", *words, f"--measure={found}"],
            check=True,
            cwd=Path(__file__).resolve().parent.parent,
            env={**kept, "EMO_ENV": "dev", "EMO_DB_URL": url},
            stdout=sys.stderr,
        )
        return dict(json.loads(found.read_text()))


# ---- inside the process that has the database ------------------------------------------------------------------------


def _set_up() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")
    django.setup()


def _measure_way(way: str) -> dict[str, Any]:
    _set_up()

    from benchmarks import order_review_ways
    from orders.models import OrderFacts
    from reporting import order_sums

    before = _peak_megabytes()
    run = order_review_ways.named(os.environ["EMO_DB_URL"])[way]
    started = time.perf_counter()
    found = run()
    seconds = time.perf_counter() - started
    grew = _peak_megabytes() - before
    different = order_review_ways.differences(order_sums.tally(OrderFacts.objects.all()), found)
    if different:
        raise SystemExit(f"{way} differs: {different[:3]}")
    return {"seconds": round(seconds, 3), "grew_megabytes": round(grew)}


def _measure(orders: int, runs: int) -> dict[str, Any]:
    _set_up()
    from django.core.management import call_command

    from benchmarks import order_review_rows, order_review_sql
    from benchmarks.queries import server
    from emo_site.db.snapshot import snapshot
    from orders.models import OrderFacts
    from reporting import order_scope, order_summaries, order_sums, order_totals
    from reporting.order_scope import Scope
    from reporting.shared_review import SharedReviews

    call_command("migrate", verbosity=0)
    now = datetime.now(UTC)
    started = time.perf_counter()
    for done in order_review_rows.fill(orders, start=now - PERIOD, period=PERIOD, batch=BATCH):
        print(f"  {done:,} orders, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    facts = OrderFacts.objects.all()
    before = _peak_megabytes()

    def exact() -> Any:
        with snapshot(facts.db, two=True) as beside:
            return replace(order_sums.tally(facts, beside=beside), overdue=order_sums.overdue(facts, now=now))

    def raw() -> Any:
        return order_review_sql.tally()

    ours, theirs = exact(), raw()
    peak = _peak_megabytes()
    if different := order_review_sql.differences(ours, theirs):
        raise SystemExit(f"the two ways differ: {different}")
    found = _alternated({"exact": exact, "raw": raw}, runs)
    order_summaries.distrust_all()
    found["summing_up"] = [_timed(order_summaries.sum_up)]

    def summaries() -> Any:
        with snapshot(facts.db):
            return order_totals.tally(Scope(), facts.db, now=now)

    if summaries() != ours:
        raise SystemExit("the summaries differ from the facts")
    scopes = {"page": order_scope.parse({}, now=now), "page_of_all": Scope()}
    looks = {name: partial(_look, scope, now) for name, scope in scopes.items()}
    shared = SharedReviews()
    shared.current(scopes["page"], now)
    found |= _alternated({"summaries": summaries, **looks, "cached": lambda: shared.current(scopes["page"], now)}, runs)
    _change_the_newest_day()
    found |= {f"{name}_while_trading": times for name, times in _alternated(looks, runs).items()}
    ratios = [ours / theirs for ours, theirs in zip(found["exact"], found["raw"], strict=True)]
    return {
        "orders": orders,
        "server": server(),
        "seconds": {name: round(statistics.median(times), 4) for name, times in found.items()},
        "exact_to_raw": {"median": round(statistics.median(ratios), 3), "all": [round(each, 3) for each in ratios]},
        "grew_megabytes": round(peak - before, 1),
    }


def _look(scope: Any, now: datetime) -> Any:
    from reporting.shared_review import SharedReviews

    return SharedReviews().current(scope, now)


def _change_the_newest_day() -> None:
    from orders import journal
    from orders.models import OrderFacts

    journal.days_changed(OrderFacts.objects.order_by("-day").values_list("day", "environment")[:1])


def _alternated(ways: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            found[name].append(_timed(way))
    return found


def _timed(way: Callable[[], Any]) -> float:
    gc.collect()
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- the verdict -----------------------------------------------------------------------------------------------------


def misses(results: Sequence[dict[str, Any]], goals: dict[str, Any]) -> list[str]:
    """What is worse than its goal, at the largest size of each engine; and that time grows no faster than orders."""
    missed = []
    for engine in ENGINES:
        of_engine = sorted((each for each in results if each["engine"] == engine), key=lambda each: each["orders"])
        if not of_engine:
            continue
        largest = of_engine[-1]
        ratio, goal = largest["exact_to_raw"]["median"], goals["exact_to_raw"][engine]
        if ratio > goal:
            missed.append(f"{engine}: exact takes {ratio} of the hand-written SQL, goal {goal}")
        missed += [
            f"{engine}: {name} takes {largest['seconds'][name]} s, goal {most}"
            for name, most in goals["seconds"].items()
            if largest["seconds"][name] > most
        ]
        if largest["grew_megabytes"] > goals["grew_megabytes"]:
            missed.append(f"{engine}: memory grew by {largest['grew_megabytes']} MB, goal {goals['grew_megabytes']}")
        looped = [each["to_exact"]["loop"] for each in of_engine if "loop" in each["to_exact"]]
        if looped and looped[-1] < goals["loop_to_exact"]:
            missed.append(f"{engine}: {looped[-1]} times as fast as the loop, goal {goals['loop_to_exact']}")
        missed += _not_linear(engine, of_engine, goals["linear_within"])
    return missed


def _not_linear(engine: str, results: Sequence[dict[str, Any]], within: float) -> list[str]:
    """Ten times the orders, ten times the time and not much more; below a tenth of a second other things count."""
    costs = [each["seconds"]["exact"] / each["orders"] for each in results if each["seconds"]["exact"] >= 0.1]
    if len(costs) < 2 or costs[-1] <= within * costs[0]:
        return []
    return [f"{engine}: an order costs {costs[0] * 1e6:.2f} to {costs[-1] * 1e6:.2f} µs, goal within {within}"]


def _shown(result: dict[str, Any]) -> str:
    if "not_run" in result:
        return f"{result['engine']}, {result['orders']:,} orders: not run: {result['not_run']}"
    ratio = result["exact_to_raw"]
    ways = {
        way: f"not run: {each['not_run']}"
        if "not_run" in each
        else f"{each['seconds']} s, {result['to_exact'][way]} times exact, memory grew by {each['grew_megabytes']} MB"
        for way, each in result["ways"].items()
    }
    return "\n".join(
        (
            f"{result['server']['version']}, {result['orders']:,} orders",
            f"  exact to raw {ratio['median']} {ratio['all']}, memory grew by {result['grew_megabytes']} MB",
            *(f"  {name} {seconds} s" for name, seconds in result["seconds"].items()),
            *(f"  {way} {said}" for way, said in ways.items()),
        )
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.order_review", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--orders", action="append", type=int, help="how many; may be repeated (default 10k, 100k, 1M)")
    parser.add_argument("--runs", type=int, default=5, help="how often each way runs (default 5)")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 where a goal is missed, 2 where an engine is missing"
    )
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    sizes = options.orders or list(SIZES)
    if min(sizes) < 1000 or options.runs < 1:
        parser.error("--orders must be at least 1000, --runs at least 1")
    if options.measure:
        found = _measure_way(options.way) if options.way else _measure(sizes[0], options.runs)
        options.measure.write_text(json.dumps(found))
        return 0
    results = [_measured(engine, size, options.runs) for engine in options.engine or ENGINES for size in sizes]
    ran = [each for each in results if "not_run" not in each]
    missed = misses(ran, json.loads(GOALS.read_text())["order_review"])
    print(
        json.dumps({"results": results, "missed": missed}, indent=2)
        if options.json
        else "\n".join(map(_shown, results))
    )
    print("\n".join(missed), file=sys.stderr, end="\n" if missed else "")
    if not options.check:
        return 0
    return EXIT_MISSED if missed else EXIT_NOT_RUN if len(ran) < len(results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
