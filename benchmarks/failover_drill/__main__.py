"""python -m benchmarks.failover_drill: something breaks while people work at the desk; what was lost, and for how long.

Exit status: 0 every goal met, 1 a goal missed, 2 the drill could not be held.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.failover_drill import desk, ingest, table
from benchmarks.failover_drill.cluster import Servers
from benchmarks.failover_drill.load import CLIENTS, Load
from benchmarks.failover_drill.variants import VARIANTS, Variant
from benchmarks.failover_drill.verdict import Figures, Moments, examined, on_record
from deploy.ha.cluster import Failed
from tests import servers

EXIT_MISSED, EXIT_NOT_HELD = 1, 2
WARM_CHANGES = 60
WARM_CHANGES_SHORT = 40
WRITTEN_WITHIN = 30.0


def main(argv: Sequence[str]) -> int:
    options = _arguments(argv)
    names = [*VARIANTS, ingest.NAME] if options.all else options.variants or ["kill"]
    missed, documents = False, []
    for name in names:
        try:
            met, document, text = _held(name, options)
        except (servers.Unavailable, desk.Broken, Failed) as error:
            print(f"{name}: not held: {error}", file=sys.stderr)
            return EXIT_NOT_HELD
        missed = missed or not met
        documents.append(document)
        if not options.json:
            print(text, end="\n\n", flush=True)
    if options.json:
        print(json.dumps({"met": not missed, "variants": documents}, indent=2))
    else:
        print(table.DEFINITIONS)
    return EXIT_MISSED if missed else 0


def _held(name: str, options: argparse.Namespace) -> tuple[bool, dict[str, Any], str]:
    """Whether its goals were met, its figures, and the same as text."""
    if name == ingest.NAME:
        return ingest.held(seed=options.seed)
    variant = VARIANTS[name]
    runs = _runs(variant, count=1 if options.short else options.runs, seed=options.seed, short=options.short)
    met = all(goal.met(goal.values(runs)) for goal in variant.goals)
    document = {"variant": name, "met": met, "runs": [asdict(run) for run in runs]}
    return met, document, table.shown(variant, runs)


def _runs(variant: Variant, *, count: int, seed: int, short: bool) -> list[Figures]:
    """One desk, which lives through all of them; what broke comes back as a standby in between."""
    figures = []
    with contextlib.ExitStack() as stack:
        under = stack.enter_context(variant.servers())
        variant.prepare(under.cluster)
        served = stack.enter_context(desk.served(under.settings()))
        people = desk.sessions(served.environment, CLIENTS)
        for number in range(1, count + 1):
            load = Load(served, people, f"drill-{number}", seed + number)
            figures.append(_one(variant, under, load, warm=WARM_CHANGES_SHORT if short else WARM_CHANGES))
            if number < count:
                under.mend()
    return figures


def _one(variant: Variant, under: Servers, load: Load, *, warm: int) -> Figures:
    load.start(at_least=warm)
    try:
        fault, relief = variant.fault(under.cluster)
        time.sleep(variant.afterwards)
        # A machine that was busy just then gets a figure that is late, not none.
        load.go_on_until_written(fault if relief is None else relief, within=WRITTEN_WITHIN)
    finally:
        end = time.monotonic()
        load.stop()
    found = on_record(under.record(), load.name, events_begin=load.feed.begin)
    return examined(load, found, Moments(fault=fault, relief=relief, end=end))


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.failover_drill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name:17} {variant.says}" for name, variant in VARIANTS.items())
        + f"\n{ingest.NAME:17} {ingest.SAYS}",
    )
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="default: kill; see below")
    parser.add_argument("--all", action="store_true", help="every variant")
    parser.add_argument("--runs", type=_count, default=1, help="runs of each variant (default 1)")
    parser.add_argument("--short", action="store_true", help="one run with a short warm-up, as in CI")
    parser.add_argument("--seed", type=int, default=1, help="of the clients' choices (default 1)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.variants if name not in (*VARIANTS, ingest.NAME)]:
        parser.error(f"no such variant: {', '.join(unknown)}; there are {', '.join((*VARIANTS, ingest.NAME))}")
    return options


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of runs from 1 to 100 is needed")
    return int(text)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
