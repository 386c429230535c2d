"""The folder in which all workers of one gunicorn count together: made when it starts, removed when it ends.

Each gunicorn has its own, named after its pid: what an earlier one counted must not be told again, and two on one host
must not take away each other's files.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import psutil

_PREFIX = "emo-metrics-"
_NAME = re.compile(rf"{_PREFIX}([0-9]+)-")


def make(*, uid: int, gid: int) -> Path:
    """A new one below the folder for temporary files, for the workers' user alone. Those of the dead are removed."""
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    os.chown(folder, uid, gid)
    return folder


def remove(folder: Path) -> None:
    # A worker may still be ending in it.
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """After a kill -9 nobody has tidied up."""
    for folder in parent.glob(f"{_PREFIX}*"):
        found = _NAME.match(folder.name)
        # Our own pid was another's before: in a container everybody is number 1.
        if found and (int(found[1]) == os.getpid() or not psutil.pid_exists(int(found[1]))) and _is_own(folder):
            remove(folder)


def _is_own(folder: Path) -> bool:
    try:
        # A link that somebody else has put there leads elsewhere.
        state = folder.lstat()
    except OSError:
        return False
    return not folder.is_symlink() and state.st_uid == os.geteuid()
