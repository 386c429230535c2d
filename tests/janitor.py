"""Clears away what a cluster leaves behind when its test is killed. Standard library only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

# The servers' own guardians shut down in an orderly way first.
PATIENCE_SECONDS = 20.0


def processes_in(folder: Path) -> list[int]:
    """Every process that works inside `folder`, as all of a PostgreSQL server's do in its data; the oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            place = Path(os.readlink(entry / "cwd"))
            started = int((entry / "stat").read_text().rpartition(")")[2].split()[19])
        except (OSError, ValueError, IndexError):
            # It ended meanwhile.
            continue
        if place == folder or folder in place.parents:
            found.append((started, int(entry.name)))
    return [pid for _, pid in sorted(found)]


def signal_all(folder: Path, number: signal.Signals) -> int:
    """How many processes were there to take it. The oldest, which would start others, takes it first."""
    pids = processes_in(folder)
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    return len(pids)


def kill_all(folder: Path) -> None:
    """Return once none is left."""
    while signal_all(folder, signal.SIGKILL):
        time.sleep(0.01)


def remove_shared_memory(data: Path) -> None:
    """The segment by which a server locks its data: it outlives a server that was killed."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return
    if len(lines) > 6 and len(words := lines[6].split()) == 2:
        # Gone already is as good.
        subprocess.run(["ipcrm", "--shmem-id", words[1]], stderr=subprocess.DEVNULL, check=False)


def remove(folder: Path) -> None:
    """Whatever still works inside `folder` is killed."""
    kill_all(folder)
    for data in folder.glob("*/data"):
        remove_shared_memory(data)
    shutil.rmtree(folder, ignore_errors=True)


def main(folder: Path) -> None:
    """Wait until standard input ends, as it does even if the parent is killed."""
    sys.stdin.buffer.read()
    # A frozen server can't shut down.
    signal_all(folder, signal.SIGCONT)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while processes_in(folder) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    remove(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
