"""A release of the desk that does not exist yet: a copy of the project with other files in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.desk import Ran, environment_of
from tests.run import PROJECT

# Neither what is kept of a desk nor what tools leave behind.
_LEFT_OUT = shutil.ignore_patterns(
    "data", ".git", ".venv", ".*_cache", "__pycache__", ".env.dev", ".env.prod", ".hypothesis"
)


def release(folder: Path, files: Mapping[str, str]) -> Path:
    """The project copied to `folder`/release, with `files` (path inside it -> text) added or replaced."""
    place = folder / "release"
    shutil.copytree(PROJECT, place, ignore=_LEFT_OUT)
    (place / "data").mkdir()
    for path, text in files.items():
        (place / path).write_text(text)
    return place


def run(place: Path, *arguments: str, environment: dict[str, str], timeout: float = 180) -> Ran:
    """Python with these arguments inside the release, and none of the caller's variables of a desk."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        env=environment_of({**environment, "PYTHONPATH": str(place)}),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - started)
