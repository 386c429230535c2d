"""Passwords and certificates that end soon are told while there is time; real certificates of a real server."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from freezegun import freeze_time

from emo_site.db import expiry
from emo_site.db.expiry import Certificate
from monitoring import expiry_probes
from monitoring.expiry_probes import ExpiryProbe
from monitoring.health import Finding
from tests.servers import black_hole, postgresql_server

NOW = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


def shown(days: float | None, problem: str = "") -> list[Certificate]:
    return [Certificate(host="db:5432", ends_at=None if days is None else NOW + days * DAY, problem=problem)]


@pytest.mark.parametrize(
    ("password", "certificates", "expected"),
    [
        (None, [], ("healthy", "nothing that ends is known")),
        (NOW + 90 * DAY, [], ("healthy", "the role's password ends in 90 d, on 2026-02-01 15:00 UTC")),
        (NOW + 29 * DAY, [], ("warning", "the role's password ends in 29 d, on 2025-12-02 15:00 UTC")),
        (NOW + 2 * DAY, [], ("error", "the role's password ends in 2 d, on 2025-11-05 15:00 UTC")),
        (NOW - DAY, [], ("error", "the role's password ended on 2025-11-02 15:00 UTC")),
        (
            NOW + 90 * DAY,
            shown(20),
            ("warning", "the certificate of db:5432 ends in 20 d, on 2025-11-23 15:00 UTC"),
        ),
        (None, shown(None, "certificate has expired"), ("error", "db:5432: certificate has expired")),
        (None, shown(None, "no answer (timed out)"), ("unknown", "db:5432: no answer (timed out)")),
        (OperationalError("refused"), [], ("unknown", "Can't be asked: refused")),
    ],
)
def test_expiry(monkeypatch: pytest.MonkeyPatch, password: Any, certificates: Any, expected: tuple[str, str]) -> None:
    @contextmanager
    def nothing(alias: str, seconds: float) -> Iterator[SimpleNamespace]:
        if isinstance(password, Exception):
            raise password
        yield SimpleNamespace(alias=alias)

    monkeypatch.setattr(expiry_probes, "asked_within", nothing)
    monkeypatch.setattr(expiry, "certificates", lambda settings, seconds: certificates)
    monkeypatch.setattr(expiry, "password_ends_at", lambda connection: password)
    with freeze_time(NOW):
        finding = ExpiryProbe(alias="default").run()
    assert said(finding) == expected
    assert bool(finding.remedy) == (finding.status != "healthy")


@pytest.mark.postgresql
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("until", "expected"),
    [("'2030-01-02 03:04:05+00'", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)), ("'infinity'", None)],
)
def test_a_real_password_says_until_when(until: str, expected: datetime | None) -> None:
    assert expiry.password_ends_at(connection) is None
    with connection.cursor() as cursor:
        # Rolled back with the test.
        cursor.execute(f"ALTER ROLE CURRENT_USER VALID UNTIL {until}")
    assert expiry.password_ends_at(connection) == expected


def _openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def certificate(folder: Path, days: int) -> tuple[Path, Path]:
    """One that has signed itself, and its key."""
    shown, key, request = folder / "server.crt", folder / "server.key", folder / "server.csr"
    _openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", request)
    _openssl("x509", "-req", "-in", request, "-signkey", key, "-days", days, "-out", shown)
    return shown, key


@contextmanager
def tls_server(shown: Path, key: Path) -> Iterator[tuple[str, int]]:
    """Answers as PostgreSQL does where it has TLS, up to the handshake. (The tests' own server was built without.)"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, key)

    def answer(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                assert plain.recv(8) == b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
                plain.sendall(b"S")
                # Who does not trust it hangs up.
                with suppress(OSError), context.wrap_socket(plain, server_side=True) as secured:
                    secured.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        yield listener.getsockname()


def asked(address: tuple[str, int], authority: Path) -> Certificate:
    host, port = address
    settings = {"HOST": host, "PORT": str(port), "OPTIONS": {"sslrootcert": str(authority)}}
    [found] = expiry.certificates(settings, seconds=5)
    return found


def test_a_real_certificate_says_until_when(tmp_path: Path) -> None:
    shown, key = certificate(tmp_path, 12)
    with tls_server(shown, key) as address:
        found = asked(address, shown)
    assert (found.host, found.problem) == (f"127.0.0.1:{address[1]}", "")
    assert found.ends_at is not None
    assert timedelta(days=11) < found.ends_at - datetime.now(UTC) <= timedelta(days=12)


def test_a_certificate_that_has_ended_and_one_of_another_authority_are_told(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shown, key = certificate(tmp_path, -1)
    other, _ = certificate(tmp_path / "other", 5)
    with tls_server(shown, key) as address:
        assert asked(address, shown).problem == "certificate has expired"
        assert asked(address, other).problem == "self-signed certificate"


@pytest.mark.cluster
def test_a_real_server_without_tls_is_told(tmp_path: Path) -> None:
    with postgresql_server() as server:
        assert asked(server.address, certificate(tmp_path, 5)[0]).problem == "it speaks no TLS"


def test_a_host_that_swallows_packets_does_not_hold_it_up(tmp_path: Path) -> None:
    shown, _ = certificate(tmp_path, 5)
    with black_hole() as (host, port):
        settings = {"HOST": host, "PORT": str(port), "OPTIONS": {"sslrootcert": str(shown)}}
        [found] = expiry.certificates(settings, seconds=0.5)
    assert found.problem == "no answer (timed out)"


@pytest.mark.parametrize(
    ("host", "options"),
    [("db", {}), ("db", {"sslrootcert": "system"}), ("/var/run/postgresql", {"sslrootcert": __file__})],
)
def test_without_an_authority_or_over_a_socket_there_is_nothing_to_read(host: str, options: dict[str, str]) -> None:
    assert expiry.certificates({"HOST": host, "PORT": "", "OPTIONS": options}, seconds=1) == []
