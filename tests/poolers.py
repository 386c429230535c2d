"""PgBouncer in transaction mode before a server of the tests, by the example of deploy/pgbouncer as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests import servers
from tests.lan import Machine
from tests.run import PROJECT

EXAMPLE = PROJECT / "deploy" / "pgbouncer" / "pgbouncer.ini"
# Seconds.
READY_WITHIN = 10.0
_SECRETS = 'SELECT format(\'"%s" "%s"\', rolname, rolpassword) FROM pg_authid WHERE rolpassword IS NOT NULL'


@dataclass
class Pooler:
    """`folder` holds its configuration, its certificate and its log."""

    host: str
    port: int
    server_url: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """What pages are given."""
        return url_of([self])

    @property
    def certificate(self) -> Path:
        return self.folder / "host.crt"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def url_of(poolers: Sequence[Pooler], *options: str, authority: Path | None = None) -> str:
    """For pages: all of them, as the hosts of one database; `authority` holds the certificates of several."""
    server = urlsplit(poolers[0].server_url)
    places = ",".join(f"{each.host}:{each.port}" for each in poolers)
    checked = ["sslmode=verify-full", f"sslrootcert={authority or poolers[0].certificate}"]
    query = "&".join([*checked, *options, "pooler=transaction"])
    return f"postgresql://{server.username}:{server.password}@{places}{server.path}?{query}"


@contextmanager
def pgbouncer(server_url: str, *, machine: Machine | None = None, text: str = "") -> Iterator[Pooler]:
    """Before the server (with password, one host), on the server's machine. `text` is its configuration, if not the
    example. Ends with the block.
    """
    host, port = (machine.address if machine else "127.0.0.1"), servers._free_port()
    folder = Path(tempfile.mkdtemp(prefix="emo-pgbouncer-"))
    try:
        with psycopg.connect(server_url) as connection:
            lines = [line for (line,) in connection.execute(_SECRETS)]
        (folder / "userlist.txt").write_text("\n".join(lines) + "\n")
        _certify(folder, host)
        placed = _placed(text or EXAMPLE.read_text(), folder, server=server_url, host=host, port=port)
        (folder / "pgbouncer.ini").write_text(placed)
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            for path in folder.iterdir():
                shutil.chown(path, "nobody")
            # Its certificate is read by everybody who is to believe it.
            folder.chmod(0o755)
        pooler = Pooler(host, port, server_url, folder, _started(folder, machine))
        try:
            _wait_until_ready(pooler)
            yield pooler
        finally:
            pooler.process.terminate()
            pooler.process.wait(timeout=10)
    finally:
        shutil.rmtree(folder)


def without_timeouts() -> str:
    """The example, but for what the desk can't do without."""
    return re.sub(r" connect_query='[^']*'", "", EXAMPLE.read_text())


def swallowing_options() -> str:
    """The example, but for what tells a desk that was not told of it."""
    return f"{EXAMPLE.read_text()}\nignore_startup_parameters = options\n"


def driver_url(url: str) -> str:
    """The same for a program that is not the desk: libpq knows nothing of poolers."""
    return url.replace("&pooler=transaction", "")


def _placed(text: str, folder: Path, *, server: str, host: str, port: int) -> str:
    """The example with the places of this test; every other line stands."""
    parts = urlsplit(server)
    name = parts.path.removeprefix("/")
    changes = {
        "emo = host=127.0.0.1 port=5432 dbname=emo": f"{name} = host={parts.hostname} port={parts.port} dbname={name}",
        "listen_addr = 10.0.0.11": f"listen_addr = {host}",
        "listen_port = 6432": f"listen_port = {port}",
        "/etc/pgbouncer": str(folder),
        "/run/postgresql": str(folder),
    }
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


def _certify(folder: Path, host: str) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pgbouncer"]
    made += ["-addext", f"subjectAltName=IP:{host}", "-out", f"{folder}/host.crt", "-keyout", f"{folder}/host.key"]
    servers._checked(made)


def _started(folder: Path, machine: Machine | None) -> subprocess.Popen[bytes]:
    user = ["--user", "nobody"] if os.geteuid() == 0 else []
    command = ["pgbouncer", *user, str(folder / "pgbouncer.ini")]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(machine.command(command) if machine else command, stdout=log, stderr=log)


def _wait_until_ready(pooler: Pooler) -> None:
    give_up_at = time.monotonic() + READY_WITHIN
    while time.monotonic() < give_up_at and pooler.process.poll() is None:
        with suppress(psycopg.OperationalError), psycopg.connect(driver_url(pooler.url), connect_timeout=2):
            return
        time.sleep(0.05)
    raise servers.Unavailable(f"pgbouncer did not come up: {servers._last_lines(pooler.log, 5)}")
