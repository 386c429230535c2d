"""TimescaleDB with its Community licence, which no package of Debian has: a WebAssembly build from npm, run by node.

It serves one connection at a time and has no background workers: what a server does by itself is done by
`CALL run_job(…)` there. Start-up options are ignored, time-outs among them; encryption has to be turned off.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests import servers
from tests.run import has_node

SOURCES = Path(__file__).resolve().parent / "community"
# Seconds.
INSTALLED_WITHIN = 300.0


class CommunityServer(servers.Server):
    """Its rows are in memory: gone when it stops."""

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False


@contextmanager
def community_timescaledb() -> Iterator[str]:
    """The URL of a superuser and an empty database with the extension. Raises servers.Unavailable."""
    if not has_node():
        raise servers.Unavailable("node and npm are needed: apt-get install nodejs npm")
    modules = _installed()
    port = servers._free_port()
    # Any password is right, but one is asked for.
    url = f"postgresql://postgres:any@127.0.0.1:{port}/postgres?sslmode=disable"
    with servers._new_folder("community") as folder:
        server = CommunityServer(["node", str(SOURCES / "server.mjs"), str(modules), str(port)], url, folder)
        server.start()
    with server:
        yield server.url


def _installed() -> Path:
    """The folder that holds node_modules: in the cache, one for each package-lock.json."""
    lock = (SOURCES / "package-lock.json").read_bytes()
    return servers.built_once(f"community-{hashlib.sha256(lock).hexdigest()[:12]}", _install)


def _install(folder: Path, lock: int) -> None:
    building = folder.with_name(f"{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / name, building)
    install = ["npm", "ci", "--prefix", str(building), "--ignore-scripts", "--no-audit", "--no-fund"]
    servers._checked(install, timeout=INSTALLED_WITHIN, pass_fds=[lock])
    building.rename(folder)
