"""The shipped pgBackRest configuration brings a server back to the moment before a mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.run import PROJECT, in_ci

SHIPPED = PROJECT / "deploy/pgbackrest"
PASSPHRASE = "correct-horse-battery"

pytestmark = pytest.mark.cluster


def _server_programs() -> Path | None:
    """Debian's newest server: the embedded one is newer than what its pgBackRest knows."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


@dataclass(frozen=True)
class Machine:
    """A PostgreSQL server with its repository, all below one folder, run by an ordinary user."""

    folder: Path
    programs: Path
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def run(self, *command: str, check: bool = True) -> str:
        # Neither PostgreSQL nor pgBackRest likes to be root; chroot to / changes nothing but the user.
        become = ["chroot", "--userspec=nobody:", "/"] if os.geteuid() == 0 else []
        place = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "PGBACKREST_CONFIG": str(self.folder / "pgbackrest.conf"),
            # The shipped file, with the paths of this machine.
            "PGBACKREST_PG1_PATH": str(self.data),
            "PGBACKREST_PG1_PORT": str(self.port),
            "PGBACKREST_PG1_SOCKET_PATH": str(self.folder),
            "PGBACKREST_REPO1_PATH": str(self.folder / "repository"),
            "PGBACKREST_SPOOL_PATH": str(self.folder / "spool"),
            "PGBACKREST_LOCK_PATH": str(self.folder / "lock"),
            "PGBACKREST_LOG_PATH": str(self.folder / "log"),
            "PGBACKREST_REPO1_CIPHER_PASS": PASSPHRASE,
        }
        done = subprocess.run(
            [*become, *command],
            check=False,
            cwd="/",
            env=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def pgbackrest(self, *arguments: str) -> str:
        return self.run("pgbackrest", "--stanza=emo", *arguments)

    def start(self) -> None:
        log = self.folder / "server.log"
        self.run(str(self.programs / "pg_ctl"), "start", f"--pgdata={self.data}", f"--log={log}", "--wait", "-t", "60")

    def stop(self) -> None:
        self.run(str(self.programs / "pg_ctl"), "stop", f"--pgdata={self.data}", "--mode=fast", "--wait", check=False)

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname="postgres", autocommit=True
        )


@pytest.fixture
def machine() -> Iterator[Machine]:
    programs = _server_programs()
    if programs is None or shutil.which("pgbackrest") is None:
        missing = "pgbackrest and a PostgreSQL server from Debian are needed: apt-get install pgbackrest postgresql"
        if in_ci():
            pytest.fail(missing)
        pytest.skip(missing)
    # Not pytest's own folder, which only root may enter; and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="emo-pitr-"))
    for name in ("repository", "spool", "lock", "log"):
        (folder / name).mkdir()
    shutil.copy(SHIPPED / "pgbackrest.conf", folder)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "nobody:", str(folder)], check=True)
    made = Machine(folder, programs, servers._free_port())
    try:
        made.run(
            *(str(programs / "initdb"), f"--pgdata={made.data}", "--username=postgres", "--auth=trust"),
            *("--data-checksums", "--encoding=UTF8", "--locale=C", "--no-sync"),
        )
        _configure(made)
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


def _configure(machine: Machine) -> None:
    own = f"port = {machine.port}\nlisten_addresses = ''\nunix_socket_directories = '{machine.folder}'\n"
    with (machine.data / "postgresql.conf").open("a") as file:
        file.write((SHIPPED / "postgresql.conf").read_text() + own)


def test_server_comes_back_to_the_moment_before_a_destructive_statement(machine: Machine) -> None:
    machine.pgbackrest("stanza-create")
    machine.pgbackrest("check")
    with machine.connect() as desk:
        desk.execute("CREATE TABLE orders AS SELECT 1 AS id")
    machine.pgbackrest("--type=full", "backup")
    with machine.connect() as desk:
        desk.execute("INSERT INTO orders VALUES (2)")
        # pgBackRest counts a backup's end in whole seconds, and wants the target after it.
        time.sleep(1.1)
        moment = desk.execute("SELECT clock_timestamp()").fetchone()
        assert moment is not None
        time.sleep(0.2)
        desk.execute("INSERT INTO orders VALUES (3)")
        desk.execute("DROP TABLE orders")
        # The step of docs/backups.md that hands over the last, unfinished WAL file.
        desk.execute("SELECT pg_switch_wal()")
    machine.pgbackrest("check")
    machine.stop()

    machine.pgbackrest("--type=time", f"--target={moment[0]}", "--target-action=promote", "restore")
    machine.start()
    with machine.connect() as desk:
        deadline = time.monotonic() + 60
        while desk.execute("SELECT pg_is_in_recovery()").fetchone() == (True,) and time.monotonic() < deadline:
            time.sleep(0.1)
        # With what came after the backup, without what came after the moment.
        assert desk.execute("SELECT id FROM orders ORDER BY id").fetchall() == [(1,), (2,)]
        desk.execute("INSERT INTO orders VALUES (4)")
    machine.pgbackrest("check")


def test_repository_is_encrypted_and_says_what_it_holds(machine: Machine) -> None:
    with machine.connect() as desk:
        desk.execute("CREATE TABLE secrets AS SELECT repeat('the-secret-of-the-desk', 50) AS word")
    machine.pgbackrest("stanza-create")
    machine.pgbackrest("--type=full", "backup")
    machine.pgbackrest("--type=diff", "backup")
    [stanza] = json.loads(machine.pgbackrest("--output=json", "info"))
    assert (stanza["name"], stanza["cipher"], stanza["status"]["code"]) == ("emo", "aes-256-cbc", 0)
    assert [backup["type"] for backup in stanza["backup"]] == ["full", "diff"]
    assert not any(backup["error"] for backup in stanza["backup"])
    kept = [path for path in (machine.folder / "repository").rglob("*") if path.is_file()]
    assert len(kept) > 100
    for path in kept:
        # What openssl writes before its ciphertext.
        assert path.read_bytes().startswith(b"Salted__"), path


def test_shipped_files_name_the_same_stanza_and_no_passphrase() -> None:
    configuration = (SHIPPED / "pgbackrest.conf").read_text()
    assert re.findall(r"^\[(\w+)\]$", configuration, re.MULTILINE) == ["global", "emo"]
    assert "cipher-pass=" not in configuration
    for name in ("postgresql.conf", "pgbackrest.cron"):
        assert set(re.findall(r"--stanza=(\w+)", (SHIPPED / name).read_text())) == {"emo"}
