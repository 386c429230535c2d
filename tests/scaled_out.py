"""A desk on several hosts: two of pages through PgBouncer, two of databases, each a machine (tests/lan.py) of its own.

Machines are network name spaces: what is sent between them goes over the network, through TLS where it would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests import clusters, poolers
from tests.clusters import Cluster
from tests.desk import environment_of, manage
from tests.lan import Lan, Machine
from tests.run import PROJECT

# What people call it, whichever host a load balancer sends them to.
NAME = "desk.test"
PORT = 8000
PASSWORD = "correct horse battery"
# Seconds.
SERVES_WITHIN = 30.0

_PEOPLE = f"""
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from django.contrib.auth.models import Group, User
from emo_site.api import tokens
from emo_site.api.scopes import Scope
from monitoring import events
from monitoring.choices import EventType
now = datetime.now(UTC)
secrets = {{}}
for name, group in (("tom", "trader"), ("rita", "reviewer"), ("olga", ""), ("omar", "")):
    user = User.objects.create_user(name, password={PASSWORD!r}, is_staff=True, is_superuser=not group)
    if group:
        user.groups.add(Group.objects.get(name=group))
    issued = tokens.create(name=name, owner=user, scopes=tuple(Scope), strategies=(), signed=False,
                           expires_at=now + timedelta(days=1), created_by="a test", now=now)
    secrets[name] = issued.text
equity = events.Event(symbol="", event_type=EventType.EQUITY, timestamp=now, price=Decimal(1_000_000), source="a test")
events.record([equity])
print(json.dumps(secrets))
"""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class WebHost:
    """gunicorn on a machine, as deploy/web's unit starts it."""

    machine: Machine
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "emo_site.wsgi", "--config", "emo_site/gunicorn_conf.py"]
        command += ["--bind", f"{self.machine.address}:{PORT}", "--workers", "1", "--threads", "8"]
        self.process = _started(self.machine, [*command, "--no-control-socket"], self.environment, self.log)
        give_up_at = time.monotonic() + SERVES_WITHIN
        while time.monotonic() < give_up_at:
            try:
                if self.ask("GET", "/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{self.machine.address} does not serve: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """kill -9 to master and workers."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> Reply:
        """`headers` with underscores for hyphens. Raises OSError where nobody answers, HTTPException where an answer
        breaks off.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection(self.machine.address, PORT, timeout=20)
        try:
            connection.request(method, path, body or None, {"Host": NAME, **named})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()


@dataclass
class Bot:
    """A program with a token, which asks whichever host it is told to."""

    secret: str

    def get(self, host: WebHost, path: str) -> Reply:
        return host.ask("GET", f"/api/v1{path}", Authorization=f"Bearer {self.secret}")

    def post(self, host: WebHost, path: str, document: Any = None, *, key: str = "", **headers: str) -> Reply:
        named = {"Authorization": f"Bearer {self.secret}", "Content_Type": "application/json", **headers}
        body = json.dumps(document or {})
        return host.ask("POST", f"/api/v1{path}", body, Idempotency_Key=key or uuid.uuid4().hex, **named)


@dataclass
class Person:
    """A browser: its cookies go to every host, since all of them have one name."""

    name: str
    cookies: dict[str, str] = field(default_factory=lambda: {"csrftoken": "c" * 32})

    def get(self, host: WebHost, path: str) -> Reply:
        return self._kept(host.ask("GET", path, Cookie=self._sent()))

    def post(self, host: WebHost, path: str, **values: str) -> Reply:
        form = urlencode({**values, "csrfmiddlewaretoken": self.cookies["csrftoken"]})
        kind = "application/x-www-form-urlencoded"
        return self._kept(host.ask("POST", path, form, Cookie=self._sent(), Content_Type=kind))

    def log_in(self, host: WebHost, password: str = PASSWORD) -> Reply:
        return self.post(host, "/admin/login/", username=self.name, password=password, next="/admin/")

    def _sent(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _kept(self, reply: Reply) -> Reply:
        for line in reply.headers.get_all("Set-Cookie") or ():
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.coded_value
        return reply


@dataclass
class Site:
    """`environment` is that of commands and workers, who reach the servers themselves; tokens by their owners."""

    cluster: Cluster
    poolers: list[poolers.Pooler]
    web: list[WebHost]
    environment: dict[str, str]
    tokens: dict[str, str]
    folder: Path
    stack: ExitStack

    def bot(self, owner: str = "tom") -> Bot:
        return Bot(self.tokens[owner])

    def machine(self) -> Machine:
        """One more."""
        return _lan_of(self.cluster).attach()

    def worker(self) -> subprocess.Popen[bytes]:
        """On a machine of its own; ends with the site."""
        machine = self.machine()
        command = [sys.executable, "manage.py", "worker", "--interval", "0.1"]
        process = _started(machine, command, self.environment, self.folder / f"worker-{machine.address}.log")
        self.stack.callback(_ended, process)
        return process


@contextmanager
def site(folder: Path, *, sessions: int) -> Iterator[Site]:
    """Migrated, with people, tokens and equity. `sessions`: of each server, for the pages of both hosts together."""
    example = poolers.EXAMPLE.read_text()
    text = example.replace("default_pool_size = 20", f"default_pool_size = {sessions}")
    assert text != example
    with ExitStack() as stack:
        cluster = stack.enter_context(clusters.replicated(standbys=1, network=True))
        common = {"EMO_ENV": "dev", "EMO_POLICY_FILE": str(_policy(folder))}
        environment = {**common, "EMO_DB_URL": cluster.url()}
        ran = manage("migrate_all", "--verbosity", "0", environment=environment)
        assert ran.status == 0, ran.err
        ran = manage("shell", "--no-imports", "-c", _PEOPLE, environment=environment)
        assert ran.status == 0, ran.err
        cluster.wait_until_replayed(cluster.standbys[0])
        before = [
            stack.enter_context(poolers.pgbouncer(member.url, machine=member.machine, text=text))
            for member in cluster.members
        ]
        authority = folder / "authority.crt"
        authority.write_text("".join(each.certificate.read_text() for each in before))
        machines = [_lan_of(cluster).attach() for _ in range(2)]
        pages = {
            **common,
            "ALLOWED_HOSTS": ",".join((NAME, *(machine.address for machine in machines))),
            "EMO_DB_URL": poolers.url_of(before, "target_session_attrs=read-write", authority=authority),
            "EMO_REPLICA_URLS": poolers.url_of(before, authority=authority),
        }
        web = [WebHost(machine, pages, folder / f"web-{machine.address}.log") for machine in machines]
        for host in web:
            host.start()
            stack.callback(lambda host=host: _ended(host.process))
        yield Site(cluster, before, web, environment, json.loads(ran.out.splitlines()[-1]), folder, stack)


def _policy(folder: Path) -> Path:
    """Limits under which a small order passes, however many are open."""
    text = (PROJECT / "tests" / "policy.yaml").read_text()
    assert "max_positions: 20 " in text
    file = folder / "policy.yaml"
    file.write_text(text.replace("max_positions: 20 ", "max_positions: 100000 "))
    return file


def _lan_of(cluster: Cluster) -> Lan:
    assert cluster.primary.machine is not None
    return cluster.primary.machine.lan


def _started(machine: Machine, command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            machine.command(command),
            cwd=PROJECT,
            env=environment_of(environment),
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def _ended(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        process.terminate()
        process.wait(timeout=30)
