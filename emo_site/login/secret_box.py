"""Secrets that the database keeps encrypted: whoever has a copy of it, but not SECRET_KEY, can't read them."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.crypto import salted_hmac


class CannotOpen(Exception):
    """It was closed with a key that is neither SECRET_KEY nor one of SECRET_KEY_FALLBACKS."""


def close(secret: bytes) -> str:
    return _box().encrypt(secret).decode()


def open_closed(closed: str) -> bytes:
    """Raises CannotOpen."""
    try:
        return _box().decrypt(closed.encode())
    except InvalidToken as error:
        raise CannotOpen(
            "a second factor was set up under another SECRET_KEY: name that in SECRET_KEY_FALLBACKS, or reset it"
        ) from error


def keyed_hashes(purpose: str, value: str) -> list[str]:
    """The value's hash under the newest key, and after it under each older one."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [salted_hmac(purpose, value, secret=key, algorithm="sha256").hexdigest() for key in keys]


def _box() -> MultiFernet:
    """Closes with the newest key, opens with any."""
    hashes = keyed_hashes("emo.login.secret_box", "")
    return MultiFernet([Fernet(urlsafe_b64encode(bytes.fromhex(each))) for each in hashes])
