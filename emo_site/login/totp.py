"""Codes that a phone and the desk make from one secret and the time (RFC 6238: SHA-1, six digits, 30 seconds). Pure."""

from __future__ import annotations

import hmac
import secrets
import struct
from base64 import b32encode
from datetime import datetime
from urllib.parse import quote, urlencode

STEP_SECONDS = 30
DIGITS = 6
# As long as SHA-1's own output, which RFC 4226 recommends.
SECRET_BYTES = 20
# A phone's clock may be so many steps early or late, and typing takes a while.
TOLERANCE = 1


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def step_at(now: datetime) -> int:
    return int(now.timestamp()) // STEP_SECONDS


def code_at(secret: bytes, step: int) -> str:
    digest = hmac.new(secret, struct.pack(">Q", step), "sha1").digest()
    start = digest[-1] & 0xF
    number = struct.unpack_from(">I", digest, start)[0] & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def matching_step(secret: bytes, code: str, *, now: datetime, after: int) -> int | None:
    """The step whose code it is, if any. Steps up to `after` have been used: their codes are refused."""
    here = step_at(now)
    # All of them are compared, each in constant time: how long it takes tells nothing.
    found = [
        step
        for step in range(here - TOLERANCE, here + TOLERANCE + 1)
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode())
    ]
    return next((step for step in found if step > after), None)


def as_text(secret: bytes) -> str:
    """As it is typed into an app, without padding."""
    return b32encode(secret).decode().rstrip("=")


def address_of(secret: bytes, *, issuer: str, name: str) -> str:
    """The otpauth:// address that apps read from a QR code."""
    label = quote(f"{issuer}:{name}", safe=":@")
    return f"otpauth://totp/{label}?{urlencode({'secret': as_text(secret), 'issuer': issuer}, quote_via=quote)}"
