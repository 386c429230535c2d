"""The whole cluster as processes on this machine, for tests and to try things out: etcd and three members.

    python -m deploy.ha.local                              reads commands, one a line, until `quit` or the end of input
    python -m deploy.ha.local list switchover list         does these and ends
    python -m deploy.ha.local --etcd 3 --programs /usr/lib/postgresql/17/bin

It runs the same templates as the hosts do, with certificates of its own; as root the servers run as `nobody`. Needs
requirements-dev.txt, etcd and openssl. Everything ends, and its folder goes, with this process, even if it is killed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from deploy.ha.cluster import Cluster, Failed
from deploy.ha.measure import report
from tests.servers import Unavailable

Command = Callable[[Cluster, str], str]


def _url(cluster: Cluster, name: str) -> str:
    # As files: what is printed is read by others.
    return "\n".join(f"{name}={path}" for name, path in cluster.settings().items())


def _list(cluster: Cluster, name: str) -> str:
    return cluster.patronictl("list").rstrip()


def _switchover(cluster: Cluster, name: str) -> str:
    return f"{cluster.switchover(name)} leads"


def _kill(cluster: Cluster, name: str) -> str:
    return f"killed {_and_then(cluster, cluster.kill, name)}; `start` brings it back"


def _and_then(cluster: Cluster, harm: Callable[[str], str], name: str) -> str:
    """Who was harmed and, if it led, who leads now."""
    leader = cluster.leader()
    harmed = harm(name or leader)
    if harmed != leader:
        return harmed
    began = time.monotonic()
    successor = cluster.leader(other_than=leader)
    return f"{harmed}, {successor} leads {time.monotonic() - began:.1f} s later"


def _start(cluster: Cluster, name: str) -> str:
    stopped = [member.name for member in cluster.members if not member.running]
    started = [name] if name else stopped
    for each in started:
        cluster.start_member(each)
    return f"started {', '.join(started) or 'nothing'}"


def _freeze(cluster: Cluster, name: str) -> str:
    return f"froze {_and_then(cluster, cluster.freeze, name)}; `thaw` wakes it"


def _thaw(cluster: Cluster, name: str) -> str:
    thawed = [name] if name else [member.name for member in cluster.members if member.frozen]
    for each in thawed:
        cluster.thaw(each)
    return f"thawed {', '.join(thawed) or 'nothing'}"


def _etcd_stop(cluster: Cluster, name: str) -> str:
    cluster.stop_etcd()
    return "etcd is gone; `etcd-start` brings it back"


def _etcd_start(cluster: Cluster, name: str) -> str:
    cluster.start_etcd()
    return "etcd is back"


def _measure(cluster: Cluster, name: str) -> str:
    if name and not (name.isdigit() and 1 <= int(name) <= 20):
        raise Failed(f"{name!r} is refused: how often, from 1 to 20, is needed")
    return report(cluster, int(name or 1))


def _help(cluster: Cluster, name: str) -> str:
    return "\n".join(f"{command:11} {text}" for command, (_, text) in COMMANDS.items())


COMMANDS: dict[str, tuple[Command, str]] = {
    "list": (_list, "patronictl list: who leads, who follows, how far behind"),
    "url": (_url, "the settings that lead the desk here"),
    "switchover": (_switchover, "hand the lead over in peace [to NAME]"),
    "kill": (_kill, "kill -9 everything of the leader [of NAME]"),
    "start": (_start, "start the members that were killed [NAME]"),
    "freeze": (_freeze, "stop every process of the leader where it is [of NAME]"),
    "thaw": (_thaw, "let frozen members go on [NAME]"),
    "etcd-stop": (_etcd_stop, "kill every etcd"),
    "etcd-start": (_etcd_start, "start every etcd again"),
    "measure": (
        _measure,
        "seconds without writes and reads in each kind of failover, as a table; takes minutes [TIMES]",
    ),
    "help": (_help, "this list"),
}


def _obey(cluster: Cluster, line: str) -> bool:
    """Whether the command was known and succeeded; `quit` is the caller's."""
    command, _, name = line.strip().partition(" ")
    if command not in COMMANDS:
        print(f"{command!r} is no command: allowed are {', '.join(COMMANDS)}, quit", file=sys.stderr, flush=True)
        return False
    try:
        print(COMMANDS[command][0](cluster, name.strip()), flush=True)
    except (Failed, Unavailable) as error:
        print(error, file=sys.stderr, flush=True)
        return False
    return True


def _interact(cluster: Cluster) -> int:
    print("Commands: " + ", ".join(COMMANDS) + ", quit", flush=True)
    failed = False
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        if line.strip():
            failed = not _obey(cluster, line) or failed
    return 1 if failed else 0


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.ha.local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commands", nargs="*", help="do these and end; a name is joined by a colon (kill:db2)")
    parser.add_argument("--etcd", type=int, choices=(1, 3), default=1, help="how many etcd (default: 1)")
    parser.add_argument("--programs", type=Path, help="a PostgreSQL's bin folder (default: the one from pip)")
    parser.add_argument("--preload", default="", help="timescaledb, where those programs have it (default: nothing)")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _end)
    try:
        with Cluster(etcd_count=arguments.etcd, programs=arguments.programs, preload=arguments.preload) as cluster:
            print(_url(cluster, ""), flush=True)
            if not arguments.commands:
                return _interact(cluster)
            obeyed = [_obey(cluster, each.replace(":", " ", 1)) for each in arguments.commands]
            return 0 if all(obeyed) else 1
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
