"""The desk as `make run` serves it, pointed at some servers, and everything around it that must end with the drill."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests import servers

PROJECT = Path(__file__).resolve().parent.parent.parent
# Settings of another desk must not lead the drill to its database.
FOREIGN = ("EMO_", "DATABASE", "POSTGRES", "PG", "SECRET_KEY", "ALLOWED_HOSTS", "DJANGO_")
UP_WITHIN = 60.0


class Broken(Exception):
    """The drill itself can't go on; the text says what was tried."""


@dataclass(frozen=True)
class Desk:
    port: int
    environment: Mapping[str, str]
    log: Path

    def command(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """A process in the desk's environment, talking through pipes; ends when its input does."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
            text=True,
            cwd=PROJECT,
            env=self.environment,
        )

    def errors(self) -> list[str]:
        """What the desk logged as an error."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if " ERROR " in line]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Whose only settings of a desk are these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    # As many alike as the drill stages, without quotes: the limits of the tests let them through.
    return {**kept, "EMO_ENV": "dev", "EMO_POLICY_FILE": "tests/policy.yaml", **settings}


def manage(*arguments: str, env: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Broken(f"manage.py {' '.join(arguments)}: exit status {done.returncode}: {done.stderr[-2000:]}")


def sessions(env: Mapping[str, str], count: int) -> dict[str, list[str]]:
    """People of the drill, by group: the session keys of `count` of each."""
    command = [sys.executable, "-m", "benchmarks.failover_drill.people", str(count)]
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Broken(f"{command[2]}: exit status {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def served(settings: Mapping[str, str]) -> Iterator[Desk]:
    """Migrated, and answering on a free port; gone afterwards, even if this process is killed."""
    env = environment(settings)
    manage("migrate_all", "--verbosity", "0", env=env)
    manage("collectstatic", "--no-input", "--verbosity", "0", env=env)
    with tempfile.TemporaryDirectory(prefix="emo-drill-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        log = Path(folder) / "desk.log"
        free.close()
        with _guarded(_gunicorn(port), folder, env, log):
            _wait_until_alive(port, log)
            yield Desk(port, env, log)


def _gunicorn(port: int) -> list[str]:
    """The very line of `make run`, on another port."""
    lines = (PROJECT / "Makefile").read_text().splitlines()
    line = next((line for line in lines if "/gunicorn emo_site.wsgi" in line), None)
    if line is None:
        raise Broken("Makefile: no line of `make run` starts gunicorn")
    command = line.partition("/gunicorn ")[2].partition(" &")[0]
    words = shlex.split(command.replace("$(ADDRESS)", f"127.0.0.1:{port}"))
    return [sys.executable, "-m", "gunicorn", *words]


@contextlib.contextmanager
def _guarded(command: Sequence[str], folder: str, env: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", servers.__file__, folder, json.dumps([command])],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=PROJECT,
            env=env,
            start_new_session=True,
        )
    try:
        yield
    finally:
        assert guardian.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            guardian.stdin.write(servers.KEEP_FOLDER)
            guardian.stdin.close()
        guardian.wait()


def _wait_until_alive(port: int, log: Path) -> None:
    give_up_at = time.monotonic() + UP_WITHIN
    while time.monotonic() < give_up_at:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise Broken(f"the desk did not answer within {UP_WITHIN:g} s: {log.read_text(errors='replace')[-2000:]}")
