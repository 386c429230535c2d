"""Until when the desk may come in: its role's password, and the certificate that the server shows."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.urls import hosts_of

# Of PostgreSQL's protocol: "let us speak TLS" instead of a version; the server answers one letter.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_YES = b"S"
_PASSWORD = "SELECT nullif(rolvaliduntil, 'infinity') FROM pg_catalog.pg_roles WHERE rolname = session_user"  # noqa: S105


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What a host shows. `ends_at` None where that could not be told; `problem` then says why."""

    host: str
    ends_at: datetime | None
    problem: str = ""


def password_ends_at(connection: BaseDatabaseWrapper) -> datetime | None:
    """None: it holds for ever (or there is none). After that moment the server refuses the role."""
    with connection.cursor() as cursor:
        cursor.execute(_PASSWORD, [])
        row = cursor.fetchone()
    return None if row is None else row[0]


def certificates(settings: dict[str, Any], *, seconds: float) -> list[Certificate]:
    """Of each host of a database's settings that is reached by TCP and is verified; each has `seconds` to answer.

    Only a certificate that was verified can be read with what Python has, so sslrootcert must name a file.
    """
    authority = str(settings["OPTIONS"].get("sslrootcert") or "")
    if not authority or not Path(authority).is_file():
        return []
    return [
        _shown(host, int(port or 5432), authority, seconds)
        for host, port in hosts_of(settings)
        if host and not host.startswith(("/", "@"))
    ]


def _shown(host: str, port: int, authority: str, seconds: float) -> Certificate:
    place = f"{host}:{port}"
    # The name is the driver's to verify; a host may be asked by its address here.
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False
    try:
        with socket.create_connection((host, port), timeout=seconds) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != _YES:
                return Certificate(host=place, ends_at=None, problem="it speaks no TLS")
            with context.wrap_socket(plain, server_hostname=host) as secured:
                shown = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return Certificate(host=place, ends_at=None, problem=error.verify_message)
    except OSError as error:
        return Certificate(host=place, ends_at=None, problem=f"no answer ({error})")
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    return Certificate(host=place, ends_at=ends_at)
