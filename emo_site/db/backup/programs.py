"""Finds pg_dump and pg_restore of a version that fits the server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emo_site.db.backup.errors import CouldNot

DEBIAN = Path("/usr/lib/postgresql")
# From this version on the programs say SET transaction_timeout, which older servers refuse.
TRANSACTION_TIMEOUT = 17

_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")


@dataclass(frozen=True)
class Program:
    path: Path
    version: str
    major: int


def find(name: str, *, server: int, made_by: int = 0, configured: str) -> Program:
    """The first that fits: `configured` (a folder, EMO_PG_BIN), else PATH, else Debian's folders, the oldest first.

    It must be as new as the `server` (major version) and as the program that made the dump (`made_by`), and of an
    older server must not ask what that does not know. Raises CouldNot, which names what was found.
    """
    least = max(server, made_by)
    below = TRANSACTION_TIMEOUT if server < TRANSACTION_TIMEOUT else None
    seen = []
    for path in _candidates(name, configured):
        program = _look_at(path)
        if program is not None:
            if program.major >= least and (below is None or program.major < below):
                return program
            seen.append(f"{program.path} is {program.version}")
    needed = f"{name} of version {least}" + (f" to {below - 1}" if below and below - 1 > least else " or newer")
    if below is not None and least >= below:
        needed = f"{name} that both reads what version {made_by} wrote and serves PostgreSQL {server} (there is none)"
    where = f"EMO_PG_BIN={configured}" if configured else f"PATH and {DEBIAN}/*/bin"
    raise CouldNot(
        f"{needed} is needed, for a server of version {server}: {', '.join(seen) or f'no {name}'} found in {where};"
        " name the folder of the right one in EMO_PG_BIN"
    )


def _candidates(name: str, configured: str) -> Iterator[Path]:
    if configured:
        yield Path(configured) / name
        return
    if found := shutil.which(name):
        yield Path(found)
    folders = [folder for folder in DEBIAN.glob("*") if folder.name.isdecimal()]
    for folder in sorted(folders, key=lambda each: int(each.name)):
        yield folder / "bin" / name


def _look_at(path: Path) -> Program | None:
    try:
        done = subprocess.run(  # noqa: S603  # only asked for its version, without a shell
            [str(path), "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(done.stdout)
    return Program(path, found[1], int(found[2])) if found else None
