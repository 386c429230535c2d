"""Time-ordered ids (UUIDv7, RFC 9562) made from the row's own time."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TAIL_BITS = 62


def uuid7(at: datetime, *, tail: int | None = None) -> uuid.UUID:
    """The id of a row whose time is `at` (aware): sorts by time to the microsecond, 62 random bits behind it.

    The 12 bits after the version hold the microseconds (RFC 9562 method 3), so that `time_of` gives `at` back.
    `tail` replaces the random bits where the same row must get the same id again (an import).
    """
    if at.tzinfo is None:
        raise ValueError(f"at={at!r} has no time zone")
    microseconds = (at - _EPOCH) // _MICROSECOND
    if not 0 <= microseconds < 1000 << 48:
        raise ValueError(f"at={at!r} is outside the years that a UUIDv7 can hold (1970 to 10889)")
    milliseconds, fraction = divmod(microseconds, 1000)
    rest = secrets.randbits(_TAIL_BITS) if tail is None else tail & ((1 << _TAIL_BITS) - 1)
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | rest)


def time_of(identifier: uuid.UUID) -> datetime:
    """The time a UUIDv7 of ours was made from; ValueError for any other version."""
    if identifier.version != 7:
        raise ValueError(f"{identifier} is not a UUIDv7")
    milliseconds, fraction = identifier.int >> 80, identifier.int >> 64 & 0xFFF
    return _EPOCH + timedelta(milliseconds=milliseconds, microseconds=fraction)
