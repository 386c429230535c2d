"""Runs the desk's own commands as an operator would: in a process of its own, with an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.run import PROJECT


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str
    seconds: float


def manage(*arguments: str, environment: dict[str, str], timeout: float = 120) -> Ran:
    """`manage.py ARGUMENTS` with the given EMO_… variables and none of the caller's."""
    foreign = ("EMO_", "DATABASE", "POSTGRES", "PG", "SECRET_KEY", "ALLOWED_HOSTS", "DJANGO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        env={**kept, **environment},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def sqlite_desk(folder: Path) -> dict[str, str]:
    """The environment of a fresh, migrated desk on SQLite."""
    environment = {"EMO_ENV": "dev", "EMO_DB_URL": f"sqlite:///{folder}/desk.sqlite"}
    ran = manage("migrate", "--verbosity", "0", environment=environment)
    assert ran.status == 0, ran.err
    return environment
