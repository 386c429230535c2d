"""The keys that seal the audit trail: today's, and those that older events were sealed with."""

from __future__ import annotations

from django.conf import settings


def current() -> bytes:
    return str(settings.EMO_AUDIT_KEY).encode()


def every() -> tuple[bytes, ...]:
    """Newest first."""
    return (current(), *(str(key).encode() for key in settings.EMO_AUDIT_OLD_KEYS))
