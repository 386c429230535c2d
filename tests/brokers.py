"""RabbitMQ on a machine of its own, and the workers of docs/broker.md, as the page has them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import amqp

from tests.lan import Machine
from tests.run import PROJECT

PAGE = PROJECT / "docs" / "broker.md"
MODULE = "desk_work"
PORT = 5672
# Debian's wrapper in /usr/sbin would become another user, and go to another folder.
_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_USER, _PASSWORD = "emo", "rabbit"
# Seconds.
READY_WITHIN = 60.0


@dataclass
class Broker:
    """Without TLS, which is its and the client's affair. Everything that it keeps is in `folder`."""

    machine: Machine
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"amqp://{_USER}:{_PASSWORD}@{self.machine.address}:{PORT}//"

    def start(self) -> None:
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {self.machine.address}:{PORT}\n"
            f"default_user = {_USER}\ndefault_pass = {_PASSWORD}\nloopback_users = none\n"
        )
        (self.folder / "plugins").write_text("[].\n")
        # Its register of names, which it would else start as a daemon of everybody's.
        self._run("epmd")
        self._run(_SERVER)
        give_up_at = time.monotonic() + READY_WITHIN
        while time.monotonic() < give_up_at:
            try:
                self.waiting()
            except (OSError, amqp.exceptions.AMQPError):
                time.sleep(0.2)
            else:
                return
        raise AssertionError(f"RabbitMQ does not answer: {(self.folder / 'output').read_text()[-2000:]}")

    def _run(self, command: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": "emo@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "kept"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
        }
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                self.machine.command([command]),
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.processes.append(process)

    def kill(self) -> None:
        """kill -9."""
        while self.processes:
            _killed(self.processes.pop())

    def waiting(self, queue: str = "") -> int:
        """Messages that nobody has taken; 0 of a queue that was never used."""
        with amqp.Connection(f"{self.machine.address}:{PORT}", _USER, _PASSWORD, connect_timeout=5) as connection:
            if not queue:
                return 0
            try:
                return int(connection.channel().queue_declare(queue, passive=True).message_count)
            except amqp.exceptions.NotFound:
                return 0


@dataclass
class Work:
    """`folder` holds the page's program, and what its workers print."""

    folder: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def worker(self, machine: Machine, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", MODULE, "worker", "--concurrency", "2", "--loglevel", "INFO"]
        with self.log(machine).open("ab") as log:
            process = subprocess.Popen(
                machine.command([*command, "--hostname", machine.address, *options]),
                cwd=self.folder,
                env={**self.environment, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def log(self, machine: Machine) -> Path:
        return self.folder / f"worker-{machine.address}.log"

    def put(self, orders: Sequence[dict[str, Any]]) -> None:
        """What a program with ideas does."""
        calls = f"import json, sys, {MODULE}\nfor order in json.load(sys.stdin): {MODULE}.stage.delay(order)"
        document = json.dumps(orders).encode()
        subprocess.run([sys.executable, "-c", calls], cwd=self.folder, env=self.environment, input=document, check=True)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """kill -9 to a worker and the processes that work for it."""
        self.processes.remove(process)
        _killed(process)


@contextmanager
def broker(machine: Machine, folder: Path) -> Iterator[Broker]:
    folder.mkdir()
    made = Broker(machine, folder)
    try:
        made.start()
        yield made
    finally:
        made.kill()


@contextmanager
def work(folder: Path, **environment: str) -> Iterator[Work]:
    (source,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    (folder / f"{MODULE}.py").write_text(source)
    made = Work(folder, {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **environment})
    try:
        yield made
    finally:
        for process in list(made.processes):
            made.kill(process)


def _killed(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
