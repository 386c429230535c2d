"""A standby without Patroni, made by the steps of the documentation, and promoted by hand."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.run import PROJECT

STANDBY = PROJECT / "deploy" / "standby"
pytestmark = pytest.mark.cluster


@dataclass
class Pair:
    """A primary, and room for its standby."""

    primary: servers.Server
    installation: servers.Installation
    folder: Path

    def run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """As the user that the servers run as."""
        programs = str(self.installation.programs)
        return subprocess.run(
            [*self.installation._become(), *command],
            env={"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", **environment},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def make_standby(self, data: Path, name: str) -> subprocess.CompletedProcess[str]:
        host, port = self.primary.address
        script = self.folder / "make-standby"
        return self.run(
            [str(script), f"postgresql://replicator@{host}:{port}/", str(data), name],
            PGPASSFILE=str(self.folder / "pgpass"),
        )


@pytest.fixture
def pair() -> Iterator[Pair]:
    with servers.postgresql_server() as primary:
        folder = primary.folder / "standby"
        folder.mkdir()
        installation = servers._embedded_postgresql(folder)
        host, port = primary.address
        (folder / "password").write_text("correct horse")
        (folder / "pgpass").write_text(f"{host}:{port}:*:replicator:correct horse\n")
        (folder / "pgpass").chmod(0o600)
        # The checkout may be closed to the servers' user.
        for name in ("make-standby", "primary.sql"):
            (folder / name).write_bytes((STANDBY / name).read_bytes())
        (folder / "make-standby").chmod(0o755)
        installation.hand_over(folder)
        yield Pair(primary, installation, folder)


def _until(look: Callable[[], bool], within: float = 30) -> None:
    give_up_at = time.monotonic() + within
    while not look():
        assert time.monotonic() < give_up_at
        time.sleep(0.1)


def test_a_standby_follows_confirms_commits_and_can_be_promoted(pair: Pair) -> None:
    prepared = pair.run(
        ["psql", "--no-psqlrc", f"--file={pair.folder}/primary.sql", pair.primary.url],
        STANDBY_PASSWORD_FILE=str(pair.folder / "password"),
    )
    assert prepared.returncode == 0, prepared.stderr
    assert "wal_log_hints" in prepared.stdout
    pair.primary.stop()
    pair.primary.start()

    made = pair.make_standby(pair.folder / "data", "standby1")
    assert made.returncode == 0, made.stderr
    assert "FIRST 1 (standby1)" in made.stdout
    assert "correct horse" not in (pair.folder / "data" / "postgresql.auto.conf").read_text()

    port = servers._free_port()
    # A standby must have room for as many connections and locks as its primary.
    settings = {**servers.SETTINGS, "port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    options = servers._options(settings)
    url = pair.primary.url.replace(f":{pair.primary.address[1]}/", f":{port}/")
    command = pair.installation.command("postgres", "-D", str(pair.folder / "data"), *options)
    with servers.Server(command, url, pair.folder) as standby:
        standby.start()
        with psycopg.connect(pair.primary.url, autocommit=True) as primary:
            primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby1)'")
            primary.execute("SELECT pg_reload_conf()")
            _until(lambda: primary.execute("SELECT sync_state FROM pg_stat_replication").fetchall() == [("sync",)])
            primary.execute("SET synchronous_commit = on")
            primary.execute("CREATE TABLE kept AS SELECT 7 AS number")
        # Nothing that was acknowledged is missing, whatever becomes of the primary.
        pair.primary.stop()
        with psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote(true, 30)").fetchone() == (True,)
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
            connection.execute("INSERT INTO kept VALUES (8)")


@pytest.mark.parametrize(
    ("url", "name", "reason"),
    [
        ("postgresql://replicator:secret@db1/", "standby1", "a password in PRIMARY_URL is refused"),
        ("postgresql://replicator@db1/", "Standby-1", "NAME='Standby-1' is refused"),
    ],
)
def test_what_would_show_a_password_or_break_a_setting_is_refused(
    tmp_path: Path, url: str, name: str, reason: str
) -> None:
    ran = subprocess.run(
        [str(STANDBY / "make-standby"), url, str(tmp_path / "data"), name], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert reason in ran.stderr
    assert "secret" not in ran.stderr


def test_data_that_are_there_already_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("18")
    ran = subprocess.run(
        [str(STANDBY / "make-standby"), "postgresql://replicator@db1/", str(tmp_path), "standby1"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert ran.returncode == 2
    assert "it is not empty" in ran.stderr
