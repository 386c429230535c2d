"""Buckets of time: the same ones on SQLite, PostgreSQL and TimescaleDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# Buckets are counted from a Monday, as time_bucket counts them, so that weeks begin on Mondays.
ORIGIN = datetime(2000, 1, 3, tzinfo=UTC)
LONGEST = timedelta(days=366)


class InvalidBucket(ValueError):
    """The message names the argument, its value and the rule."""


def whole_seconds(bucket: timedelta) -> int:
    """The bucket's length in seconds; InvalidBucket where no bucket of that length can be made on every engine."""
    if not isinstance(bucket, timedelta):
        raise InvalidBucket(f"bucket={bucket!r}: must be a timedelta")
    if bucket % timedelta(seconds=1) or not timedelta(seconds=1) <= bucket <= LONGEST:
        raise InvalidBucket(f"bucket={str(bucket)!r}: must be whole seconds, from 1 second to {LONGEST.days} days")
    return bucket // timedelta(seconds=1)


def bucket_start(column: str, seconds: int) -> str:
    """PostgreSQL's SQL for the start of the bucket that a time is in: the last ORIGIN + n * seconds not after it."""
    return f"date_bin('{seconds:d} seconds', {column}, '{ORIGIN.isoformat()}')"
