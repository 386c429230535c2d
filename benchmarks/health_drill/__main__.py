"""python -m benchmarks.health_drill: real parts of a desk break, one after the other; who is told, when, how often.

Fifty people look at the page all the while. For each fault: seconds until the page shows it and until the alert
arrives, by mail and by webhook; whether it arrived once; seconds from the remedy to the message that it is over; and
what is on record afterwards.

Exit status: 0 everything as promised, 1 something was not, 2 the drill could not be held.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise

from benchmarks.failover_drill.desk import Broken
from benchmarks.health_drill import viewers
from benchmarks.health_drill.desk import Desk, drilled
from benchmarks.health_drill.faults import FAULTS, Fault
from benchmarks.health_drill.watching import PAGE, Told, seconds_until
from tests.servers import Unavailable

EXIT_MISSED, EXIT_NOT_HELD = 1, 2
IN_A_NAME_SPACE = "EMO_DRILL_IN_A_NAME_SPACE"
ONCE = Told(begun=1, over=1)
# Two rounds in a row make a state, three mend it, ten what was ill a short while ago; the rest is for a busy machine.
ROUNDS_TO_TELL, ROUNDS_TO_MEND, SLACK_SECONDS = 4, 12, 15.0
# In which somebody who is told twice would be.
ROUNDS_AFTERWARDS = 3
WELL_WITHIN = 180.0
LONGEST_GAP_ROUNDS = 2
SHOWN, MAILED, POSTED = "shown on the page", "told by mail", "told by webhook"
MAILED_OVER, POSTED_OVER = "recovery told by mail", "recovery told by webhook"


@dataclass(frozen=True, kw_only=True)
class Held:
    """One fault. `seconds` since it began, or since it was undone where that is what was waited for."""

    fault: str
    says: str
    component: str
    seconds: dict[str, float]
    incident: str
    records: int
    longest_gap_seconds: float
    problems: tuple[str, ...]


def main(argv: Sequence[str]) -> int:
    options = _arguments(argv)
    _in_own_name_space(argv)
    held = []
    try:
        with (
            drilled(options.interval) as desk,
            viewers.watching(desk.page.port, PAGE, desk.page.session) as views,
        ):
            for fault in [each for each in FAULTS if not options.faults or each.name in options.faults]:
                held.append(_held(desk, fault, options.interval))
                if not options.json:
                    print(_text(held[-1]), flush=True)
    except (Unavailable, Broken) as error:
        print(f"not held: {error}", file=sys.stderr)
        return EXIT_NOT_HELD
    if options.json:
        answers = {"answers": dict(views.answers), "longest_seconds": round(views.longest, 1)}
        document = {"interval": options.interval, "faults": [asdict(each) for each in held], "viewers": answers}
        print(json.dumps(document, indent=2))
    else:
        print(f"{views}{'; NOT AS PROMISED' if views.failed else ''}")
    return EXIT_MISSED if views.failed or any(each.problems for each in held) else 0


def _held(desk: Desk, fault: Fault, interval: float) -> Held:
    if not seconds_until({"well": lambda: _is_well(desk, fault.component)}, within=WELL_WITHIN):
        status = desk.page.status_of(fault.component)
        raise Broken(f"{fault.component} is not well before anything was done to it: {status}\n{desk.last_words()}")
    before = desk.receivers.told_of(fault.component)

    def told() -> dict[str, Told]:
        return {way: each - before[way] for way, each in desk.receivers.told_of(fault.component).items()}

    began = datetime.now(UTC)
    fault.begin(desk)
    seconds = seconds_until(
        {
            SHOWN: lambda: desk.page.shows_ill(fault.component),
            MAILED: lambda: told()["mail"].begun > 0,
            POSTED: lambda: told()["webhook"].begun > 0,
        },
        within=fault.limit + ROUNDS_TO_TELL * interval + SLACK_SECONDS,
    )
    time.sleep(ROUNDS_AFTERWARDS * interval)
    fault.end(desk)
    ended = datetime.now(UTC)
    seconds |= seconds_until(
        {MAILED_OVER: lambda: told()["mail"].over > 0, POSTED_OVER: lambda: told()["webhook"].over > 0},
        within=ROUNDS_TO_MEND * interval + SLACK_SECONDS,
    )
    time.sleep(ROUNDS_AFTERWARDS * interval)
    problems = [f"not {each}" for each in (SHOWN, MAILED, POSTED, MAILED_OVER, POSTED_OVER) if each not in seconds]
    problems += [
        f"by {way}: told {each.begun} times that it began and {each.over} times that it is over"
        for way, each in told().items()
        if each != ONCE
    ]
    incidents, times = desk.record_of(fault.component, since=began)
    if len(incidents) != 1 or not incidents[0].ended:
        problems.append(f"{len(incidents)} incidents on record: {incidents}")
    gap = max((later - earlier).total_seconds() for earlier, later in pairwise([began, *times, ended]))
    if gap > LONGEST_GAP_ROUNDS * interval + SLACK_SECONDS:
        problems.append(f"{gap:.1f} s without a record of its health")
    return Held(
        fault=fault.name,
        says=fault.says,
        component=fault.component,
        seconds={name: round(each, 1) for name, each in seconds.items()},
        incident="; ".join(map(str, incidents)),
        records=len(times),
        longest_gap_seconds=round(gap, 1),
        problems=tuple(problems),
    )


def _is_well(desk: Desk, component: str) -> bool:
    """Also by the word of the watch, which takes its time."""
    return desk.is_recorded_well(component) and desk.page.status_of(component) == "healthy"


def _text(held: Held) -> str:
    lines = [f"{held.fault}: {held.says}; component {held.component}"]
    lines += [f"  {name:28} {seconds:6.1f} s" for name, seconds in held.seconds.items()]
    lines += [f"  on record                    {held.incident}; {held.records} results, {held.longest_gap_seconds} s"]
    lines += [f"  NOT AS PROMISED: {problem}" for problem in held.problems]
    if not held.problems:
        lines += ["  told once by each way, and once that it is over"]
    return "\n".join(lines)


def _in_own_name_space(argv: Sequence[str]) -> None:
    """Starts this program anew where a mount is seen by nobody else, and goes away with it."""
    if IN_A_NAME_SPACE in os.environ or os.geteuid() != 0:
        return
    os.environ[IN_A_NAME_SPACE] = "1"
    os.execvp("unshare", ["unshare", "--mount", sys.executable, "-m", "benchmarks.health_drill", *argv])


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    names = [each.name for each in FAULTS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.health_drill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{each.name:10} {each.says}" for each in FAULTS),
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="default: all, in this order")
    parser.add_argument("--interval", type=float, default=3.0, help="seconds between rounds of the watch (default 3)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(argv)
    if unknown := sorted(set(options.faults) - set(names)):
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(names)}")
    if not 1 <= options.interval <= 60:
        parser.error(f"--interval={options.interval:g}: from 1 to 60 seconds")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
