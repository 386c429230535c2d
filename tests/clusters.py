"""Streaming replication between real servers, and everything that may happen to one of them."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests import janitor, lan, servers, small_disks
from tests.servers import DATABASE, Installation, Server, Unavailable

SETTINGS = {
    # As in production: what is acknowledged is on the disks of two.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_keep_size": "512MB",
    # A standby that was cut off comes back within seconds, and a shutdown does not wait long for one that is gone.
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "300ms",
    # In the folder, where it goes away together with the data of a server that was killed.
    "dynamic_shared_memory_type": "mmap",
    # Written within the second, so that little is to be replayed.
    "wal_writer_delay": "50ms",
}
QUORUM = "ANY 1 (*)"
# Seconds.
STREAMING_WITHIN = 20.0
PROMOTED_WITHIN = 60


@dataclass
class Member:
    """One server of a cluster, whatever its present role."""

    name: str
    server: Server
    installation: Installation
    machine: lan.Machine | None = None
    frozen: bool = False
    small_disk_inside: Path | None = None
    """The small disk as the server sees it, where it was given one."""

    @property
    def url(self) -> str:
        """A superuser and the database, on this server alone."""
        return self.server.url

    @property
    def address(self) -> tuple[str, int]:
        return self.server.address

    @property
    def running(self) -> bool:
        return bool(janitor.processes_in(self.data))

    @property
    def data(self) -> Path:
        return self.server.folder / "data"

    @property
    def log(self) -> Path:
        return self.server.log

    def query(self, statement: str, parameters: Sequence[Any] = (), *, timeout: int = 5) -> tuple[Any, ...]:
        """The first row, in a transaction of its own; psycopg's errors as they are."""
        with psycopg.connect(self.url, connect_timeout=timeout, autocommit=True) as connection:
            row = connection.execute(statement, parameters).fetchone()
            assert row is not None, "no row"
            return row

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url, connect_timeout=5, autocommit=True) as connection:
            connection.execute(statement)

    def in_recovery(self) -> bool:
        return bool(self.query("SELECT pg_is_in_recovery()")[0])

    def kill(self) -> None:
        """kill -9 to the server and all its children; the data stay as they are."""
        janitor.kill_all(self.data)
        janitor.remove_shared_memory(self.data)
        self.frozen = False
        self.server.stop()

    def freeze(self) -> None:
        """Stop the whole server between two instructions; the kernel goes on acknowledging packets."""
        self.frozen = True
        janitor.signal_all(self.data, signal.SIGSTOP)

    def thaw(self) -> None:
        janitor.signal_all(self.data, signal.SIGCONT)
        self.frozen = False

    def stop(self) -> None:
        """An orderly shutdown, which cuts open connections."""
        self.thaw()
        self.server.stop()

    def start(self) -> None:
        """Return once it answers, as what it was."""
        self.server.start()

    def cut(self) -> None:
        """Let every packet to and from it vanish without a word. Only in a cluster with `network=True`."""
        assert self.machine is not None, "only in a cluster with network=True"
        self.machine.cut()

    def restore(self) -> None:
        assert self.machine is not None, "only in a cluster with network=True"
        self.machine.restore()

    def fill_disk(self) -> None:
        """Leave not one block free on its small disk."""
        block = b"\0" * 65536
        with self._ballast.open("ab", buffering=0) as ballast:
            while block:
                try:
                    ballast.write(block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    block = block[: len(block) // 2]

    def free_disk(self) -> None:
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        assert self.small_disk_inside is not None, "only in a cluster with small_disk"
        # The disk is mounted in the server's own name space only, and is seen through the server.
        seen_by = janitor.processes_in(self.data)[0]
        return Path(f"/proc/{seen_by}/root") / self.small_disk_inside.relative_to("/").parent / "ballast"

    def pause_replay(self) -> None:
        """Let this standby receive but no longer show what happens on the primary: it lags."""
        self.query("SELECT pg_wal_replay_pause()")
        while self.query("SELECT pg_get_wal_replay_pause_state()") != ("paused",):
            time.sleep(0.02)

    def resume_replay(self) -> None:
        self.query("SELECT pg_wal_replay_resume()")

    def close(self) -> None:
        if self.machine is not None:
            self.machine.restore()
        self.thaw()
        self.server.close()


@dataclass
class Cluster:
    """A primary, and the standbys that follow it."""

    folder: Path
    members: list[Member]
    synchronous: bool
    primary: Member = field(init=False)

    def __post_init__(self) -> None:
        self.primary = self.members[0]

    @property
    def standbys(self) -> list[Member]:
        """Every member but the primary, dead ones too."""
        return [member for member in self.members if member is not self.primary]

    def url(self, target_session_attrs: str = "read-write") -> str:
        """All hosts, in the order in which they were made."""
        first = self.members[0].url
        who = first.removeprefix("postgresql://").rpartition("@")[0]
        places = ",".join(f"{host}:{port}" for host, port in (member.address for member in self.members))
        return f"postgresql://{who}@{places}/{DATABASE}?target_session_attrs={target_session_attrs}"

    def promote(self, member: Member | None = None) -> Member:
        """Make it (or the standby that received most) the primary, and return once it takes writes.

        The other standbys that can be reached follow it. As with Patroni's synchronous mode, a primary whose last
        standby is gone goes on alone. The old primary is left as it is: fencing it is not the servers' affair.
        """
        reachable = [standby for standby in self.standbys if standby.running and not _out_of_reach(standby)]
        new = member or max(reachable, key=_received)
        followers = [standby for standby in reachable if standby is not new]
        for follower in followers:
            _follow(follower, new)
        if new.query("SELECT pg_promote(true, %s)", [PROMOTED_WITHIN], timeout=PROMOTED_WITHIN) != (True,):
            raise Unavailable(f"{new.name} did not become primary within {PROMOTED_WITHIN} s")
        self.primary = new
        if self.synchronous and followers:
            _set_quorum(new, QUORUM)
        return new

    def go_alone(self) -> None:
        """Acknowledge without a standby from now on, as Patroni decides when the last synchronous one is gone."""
        _set_quorum(self.primary, "")

    def rejoin(self, member: Member) -> None:
        """Make `member`, dead or alive, a standby of the present primary, from a new copy of its data."""
        assert member is not self.primary, "the primary can't follow itself"
        if member.machine is not None:
            member.machine.restore()
        if member.running:
            member.kill()
        else:
            member.server.stop()
        shutil.rmtree(member.data)
        member.server.preparation = _base_backup(member, self.primary)
        member.server.start()
        self.wait_until_streaming([member])
        if self.synchronous:
            _set_quorum(self.primary, QUORUM)

    def wait_until_streaming(self, standbys: Sequence[Member] | None = None) -> None:
        """Until each of them (all, if None) receives from the primary."""
        names = sorted(standby.name for standby in (self.standbys if standbys is None else standbys))
        asked = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = ANY(%s)"
        _wait(lambda: self.primary.query(asked, [names]) == (len(names),), f"{', '.join(names)} streaming")

    def wait_until_replayed(self, standby: Member) -> None:
        """Until it shows all that the primary holds now."""
        (position,) = self.primary.query("SELECT pg_current_wal_lsn()::text")
        asked = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        _wait(lambda: standby.query(asked, [position]) == (True,), f"{standby.name} at {position}")


def _out_of_reach(member: Member) -> bool:
    return member.frozen or (member.machine is not None and member.machine.cut_off)


def _received(standby: Member) -> int:
    return int(standby.query("SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')")[0])


def _wait(done: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + STREAMING_WITHIN
    while not done():
        if time.monotonic() > give_up_at:
            raise Unavailable(f"not within {STREAMING_WITHIN:g} s: {what}")
        time.sleep(0.02)


def _follow(standby: Member, primary: Member) -> None:
    conninfo = _conninfo(standby, primary).replace("'", "''")
    standby.execute(f"ALTER SYSTEM SET primary_conninfo = '{conninfo}'")
    standby.query("SELECT pg_reload_conf()")


def _set_quorum(primary: Member, names: str) -> None:
    primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    primary.query("SELECT pg_reload_conf()")
    _wait(lambda: primary.query("SELECT current_setting('synchronous_standby_names')") == (names,), names)
    if names:
        # Before the primary has noticed its first standby it would take a commit for a lonely one.
        asked = "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'quorum'"
        _wait(lambda: primary.query(asked) == (True,), "a synchronous standby")


def _conninfo(standby: Member, primary: Member) -> str:
    host, port = primary.address
    passwords = standby.installation.inside(standby.server.folder) / "pgpass"
    return (
        f"host={host} port={port} user=postgres passfile={passwords} application_name={standby.name} "
        "connect_timeout=2 tcp_user_timeout=3000 keepalives_idle=2 keepalives_interval=1 keepalives_count=2"
    )


def _base_backup(standby: Member, primary: Member) -> list[str]:
    command = standby.installation.command(
        "pg_basebackup",
        f"--pgdata={standby.installation.inside(standby.data)}",
        f"--dbname={_conninfo(standby, primary)}",
        "--checkpoint=fast",
        "--wal-method=stream",
        "--write-recovery-conf",
        "--no-sync",
        "--no-password",
    )
    return command if standby.machine is None else standby.machine.command(command)


@contextlib.contextmanager
def replicated(
    standbys: int = 1,
    *,
    synchronous: bool = True,
    timescale: bool = False,
    network: bool = False,
    small_disk: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """A primary and its standbys, all streaming; gone afterwards, even if this process is killed.

    `synchronous`: the primary acknowledges what one standby has on its disk. `timescale`: TimescaleDB, from the private
    Debian. `network`: every member on a machine of its own, so that `cut()` works. `small_disk`: each has
    one of that size ("96m"), gone when the server stops. `settings` are the servers'. Raises Unavailable.
    """
    with contextlib.ExitStack() as stack:
        machines = _machines(stack, standbys + 1) if network else [None] * (standbys + 1)
        installation, folder = _installed(stack, timescale=timescale)
        password = secrets.token_hex(8)
        wanted = {**servers.SETTINGS, **installation.settings, **SETTINGS, **(settings or {})}
        members = []
        for number, machine in enumerate(machines, start=1):
            member = _member(f"member{number}", installation, folder, wanted, password, machine)
            stack.callback(member.close)
            if small_disk is not None:
                member.small_disk_inside = small_disks.give(member.server, installation, small_disk)
            if members:
                member.server.preparation = _base_backup(member, members[0])
            member.server.start()
            members.append(member)
        cluster = Cluster(folder, members, synchronous)
        cluster.wait_until_streaming()
        if synchronous and standbys:
            _set_quorum(cluster.primary, QUORUM)
        yield cluster


def _machines(stack: contextlib.ExitStack, count: int) -> list[lan.Machine]:
    own = stack.enter_context(lan.network())
    return [own.attach() for _ in range(count)]


def _installed(stack: contextlib.ExitStack, *, timescale: bool) -> tuple[Installation, Path]:
    """An installation, and a folder inside its root that does not outlive this process."""
    if not timescale:
        folder = stack.enter_context(_folder(None))
        return servers._embedded_postgresql(folder), folder
    root = servers._debian_root()
    folder = stack.enter_context(_folder(root / "tmp"))
    programs = Path("/usr/lib/postgresql/17/bin")
    return Installation(programs, root=root, user="postgres", settings=servers.TIMESCALE_SETTINGS), folder


@contextlib.contextmanager
def _folder(inside: Path | None) -> Iterator[Path]:
    with servers._new_folder("cluster", inside=inside) as folder:
        # The servers' user must get at its own folders below.
        folder.chmod(0o711)
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", janitor.__file__, str(folder)],
            stdin=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
        try:
            yield folder
        finally:
            assert guard.stdin is not None
            guard.stdin.close()
            guard.wait()


def _member(
    name: str,
    installation: Installation,
    cluster: Path,
    settings: Mapping[str, str],
    password: str,
    machine: lan.Machine | None,
) -> Member:
    """Its server is not started yet; its preparation is that of a primary."""
    folder = cluster / name
    folder.mkdir()
    (folder / "password").write_text(password)
    passwords = folder / "pgpass"
    passwords.write_text(f"*:*:*:postgres:{password}\n")
    passwords.chmod(0o600)
    # Whoever reaches it may come with the password, standbys included.
    (folder / "hba").write_text(
        "".join(f"host {what} all 0.0.0.0/0 scram-sha-256\n" for what in ("all", "replication"))
    )
    installation.hand_over(folder)
    inside = installation.inside(folder)
    host = "127.0.0.1" if machine is None else machine.address
    port = servers._free_port()
    own = {**settings, "listen_addresses": host, "port": str(port), "unix_socket_directories": ""}
    own["hba_file"] = f"{inside}/hba"
    command = installation.command("postgres", "-D", f"{inside}/data", *servers._options(own))
    preparation = servers._initdb(installation, inside)
    url = f"postgresql://postgres:{password}@{host}:{port}/{DATABASE}"
    if machine is not None:
        command, preparation = machine.command(command), machine.command(preparation)
    return Member(name, Server(command, url, folder, preparation=preparation), installation, machine)
