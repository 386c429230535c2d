"""A PostgreSQL or TimescaleDB database: dumped from one snapshot, filled from a dump, exchanged by its name."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, OperationalError, ProgrammingError
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege, ObjectInUse

from emo_site.db.backup import programs, session
from emo_site.db.backup.archive import BLOCK_BYTES
from emo_site.db.backup.errors import CouldNot, NotProven
from emo_site.db.backup.facts import Heads, gather
from emo_site.db.backup.manifest import DatabaseFacts
from emo_site.db.backup.programs import Program
from emo_site.db.backup.server import (
    MAINTENANCE,
    NAME_BYTES,
    create_statement,
    described,
    execute,
    inherited,
    one,
    quoted,
    rename,
)
from emo_site.db.backup.session import Settings

SUFFIX = "pgdump"
DROP_ATTEMPTS = 6

# ---- dumping --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A database held at one moment: its facts, and its dump as of the same moment."""

    facts: DatabaseFacts
    _connection: BaseDatabaseWrapper
    _program: Program
    _snapshot: str

    @property
    def name(self) -> str:
        return f"{self.facts.alias}.{SUFFIX}"

    def dump(self) -> Iterator[bytes]:
        """pg_dump's custom format, as it comes. Raises CouldNot."""
        arguments = ["--format=custom", "--compress=1", "--no-password", f"--snapshot={self._snapshot}"]
        with tempfile.TemporaryFile() as said:
            started = _run(self._program, arguments, self._connection, stdout=subprocess.PIPE, stderr=said)
            with _ended(started) as process:
                while block := process.stdout.read(BLOCK_BYTES):
                    yield block
                process.wait()
            if process.returncode:
                raise CouldNot(f"{self.facts.alias}: pg_dump ended with {process.returncode}: {_last_words(said)}")


@contextmanager
def source(alias: str, settings: Settings, *, heads: Heads, programs_in: str) -> Iterator[Source]:
    with session.opened(alias, settings, one_snapshot=True) as connection:
        snapshot = str(one(connection, "SELECT pg_export_snapshot()"))
        facts = gather(connection, heads=heads)
        program = programs.find("pg_dump", server=facts.server_major, configured=programs_in)
        facts = replace(facts, client_version=program.version, client_major=program.major)
        yield Source(facts, connection, program, snapshot)


def _run(program: Program, arguments: list[str], connection: BaseDatabaseWrapper, **streams: Any) -> Any:
    """The program, led to the very server that this connection has reached. Passwords go through its environment."""
    parameters = connection.get_connection_params()
    secrets = sorted(name for name in parameters if "password" in name and name != "password")
    if secrets:
        raise CouldNot(f"{connection.alias}: {program.path.name} can't be given {secrets[0]} without showing it")
    connection.ensure_connection()
    info = connection.connection.info
    kept = {"user", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile", "connect_timeout"}
    place = {name: value for name, value in parameters.items() if name in kept}
    # Of several hosts the snapshot exists on this one only.
    place |= {"host": info.host, "port": info.port, "dbname": info.dbname, "application_name": "emo-backup"}
    # Of libpq's variables those that say how to sign in and encrypt; the others could lead elsewhere.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PG") or name.startswith(("PGSSL", "PGPASSFILE"))
    }
    if parameters.get("password"):
        environment["PGPASSWORD"] = str(parameters["password"])
    return subprocess.Popen(  # noqa: S603  # a program that programs.find chose, and no shell
        [str(program.path), f"--dbname={make_conninfo(**place)}", *arguments],
        env={**environment, "LC_ALL": "C.UTF-8"},
        **streams,
    )


@contextmanager
def _ended(process: Any) -> Iterator[Any]:
    """The process does not outlive the block, however it is left."""
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def _last_words(said: IO[bytes]) -> str:
    said.seek(0)
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-3:]) or "it said nothing"


# The server went away, or is full: that says nothing about the backup.
_SERVER_AT_FAULT = ("server closed the connection", "terminating connection", "No space left on device")

# ---- a database made from a dump ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """A database to be made on the server that `settings` name, under a name of its own.

    `like` is the database whose owner, locale, grants and settings it takes over; "" for a scratch copy, in which
    everything belongs to whoever makes it.
    """

    alias: str
    settings: Settings
    name: str
    programs_in: str
    like: str = ""
    keep_owners: bool = False

    def create(self, facts: DatabaseFacts) -> None:
        """Makes it, empty. Raises CouldNot, also where something of that name exists or no program can fill it."""
        if len(self.name.encode()) > NAME_BYTES:
            raise CouldNot(f"{self.alias}: {self.name}: a database's name has at most {NAME_BYTES} bytes")
        with self._maintenance() as server:
            self._program(server, facts)
            if described(server, self.name) is not None:
                raise CouldNot(f"{self.alias}: a database {self.name} exists already; nothing is restored over it")
            execute(server, create_statement(server, self.name, like=self.like))

    def fill(self, facts: DatabaseFacts, dump: Iterator[bytes]) -> None:
        """Raises CouldNot, or NotProven where the dump does not go in."""
        with self._maintenance() as server:
            for statement in inherited(server, self.name, like=self.like):
                execute(server, statement)
        with self.connected() as connection:
            if facts.extension_version:
                _before_restore(connection, facts.extension_version)
            self._restore(self._program(connection, facts), connection, dump)
            if facts.extension_version:
                _after_restore(connection)
            execute(connection, "ANALYZE")

    def _program(self, connection: BaseDatabaseWrapper, facts: DatabaseFacts) -> Program:
        major = connection.connection.info.server_version // 10000
        return programs.find("pg_restore", server=major, made_by=facts.client_major, configured=self.programs_in)

    def _restore(self, program: Program, connection: BaseDatabaseWrapper, dump: Iterator[bytes]) -> None:
        arguments = ["--exit-on-error", "--no-password"]
        if not self.keep_owners:
            arguments += ["--no-owner", "--no-privileges"]
        with tempfile.TemporaryFile() as said:
            started = _run(
                program, arguments, connection, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
            )
            with _ended(started) as process:
                try:
                    for block in dump:
                        process.stdin.write(block)
                    process.stdin.close()
                except BrokenPipeError:
                    # It gave up; its exit status and its words say why.
                    pass
                process.wait()
            if process.returncode:
                reason = f"{self.alias}: pg_restore ended with {process.returncode}: {_last_words(said)}"
                if any(words in reason for words in _SERVER_AT_FAULT):
                    raise CouldNot(reason)
                raise NotProven([reason])

    def connected(self) -> Any:
        return session.opened(self.alias, {**self.settings, "NAME": self.name})

    def remove(self) -> None:
        """Raises CouldNot, naming it, where somebody is still connected whom this user may not end."""
        with self._maintenance() as server:
            name = quoted(server, self.name)
            in_the_way = _refusal(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            # FORCE gives up at once where a superuser's worker is there, an autovacuum or one of TimescaleDB's; without
            # it the server sends an autovacuum away and waits 5 s for the others, who come and go.
            for _ in range(DROP_ATTEMPTS):
                if in_the_way:
                    in_the_way = _refusal(server, f"DROP DATABASE IF EXISTS {name}")
        if in_the_way:
            raise CouldNot(
                f"{self.alias}: the scratch copy {self.name} is left on the server, drop it by hand ({in_the_way})"
            )

    def take_place_of(self, live: str, *, kept: str) -> None:
        """Renames the live database to `kept` and this one to `live`: both, or neither. Ends their connections."""
        with self._maintenance() as server:
            renames = [(self.name, live)]
            if described(server, live) is not None:
                renames.insert(0, (live, kept))
            rename(server, self.alias, renames)

    def give_place_back(self, live: str, *, kept: str) -> None:
        """Undoes `take_place_of`."""
        with self._maintenance() as server:
            renames = [(live, self.name)]
            if described(server, kept) is not None:
                renames.append((kept, live))
            rename(server, self.alias, renames)

    def live_exists(self, live: str) -> bool:
        with self._maintenance() as server:
            return described(server, live) is not None

    def start(self, live: str) -> None:
        """What the extension does by itself was stopped until the copy is the live database."""
        with session.opened(self.alias, {**self.settings, "NAME": live}) as connection:
            if one(connection, "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"):
                execute(connection, "SELECT _timescaledb_functions.start_background_workers()")

    def _maintenance(self) -> Any:
        return session.opened(self.alias, {**self.settings, "NAME": MAINTENANCE})


def _refusal(server: BaseDatabaseWrapper, drop: str) -> str:
    """Why a database can't be dropped: somebody is connected to it. "" once it is gone."""
    try:
        execute(server, drop)
    except (OperationalError, ProgrammingError) as error:
        if not isinstance(error.__cause__, InsufficientPrivilege | ObjectInUse):
            raise
        return str(error).strip().splitlines()[0]
    return ""


def _before_restore(connection: BaseDatabaseWrapper, version: str) -> None:
    known = one(
        connection,
        "SELECT count(*) FROM pg_available_extension_versions WHERE name = 'timescaledb' AND version = %s",
        [version],
    )
    if not known:
        raise CouldNot(
            f"{connection.alias}: the backup is from TimescaleDB {version}, which this server does not have. Install"
            " that version and update the extension after the restore; or, to prove backups, name a server that has it"
            " in EMO_BACKUP_SCRATCH_URL"
        )
    execute(connection, f"CREATE EXTENSION timescaledb VERSION {quoted(connection, version)}")
    try:
        execute(connection, "SELECT timescaledb_pre_restore()")
    except DatabaseError as error:
        raise CouldNot(
            f"{connection.alias}: TimescaleDB lets only a superuser restore ({str(error).strip().splitlines()[0]}): use"
            " a superuser's URL, to prove backups in EMO_BACKUP_SCRATCH_URL"
        ) from error


def _after_restore(connection: BaseDatabaseWrapper) -> None:
    # Its jobs would compress and drop chunks of a copy that is still to be compared; they start after the swap.
    execute(connection, "SELECT timescaledb_post_restore(); SELECT _timescaledb_functions.stop_background_workers()")
