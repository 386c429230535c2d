"""What the settings ask of a hypertable (chunk interval, compression, the server's own retention) and what differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.timescale import chunks
from emo_site.db.timescale.chunks import COMPRESSION, RETENTION, Policy
from emo_site.db.timescale.hypertables import make_hypertable

TIME_COLUMN = "timestamp"


@dataclass(frozen=True, kw_only=True)
class Change:
    """Something of the server that is not as the settings ask; `make` mends it, inside a transaction."""

    text: str
    make: Callable[[], None]


def days(period: timedelta | None) -> str:
    """A period as the settings say it."""
    if period is None:
        return "none"
    return f"{period / timedelta(days=1):g} days"


def partition(alias: str, table: str) -> None:
    """Makes an ordinary table a hypertable, rows included and locked meanwhile. Raises HypertableRefused."""
    with transaction.atomic(using=alias):
        interval = f"{settings.EMO_CHUNK_DAYS} days"
        make_hypertable(connections[alias], table, time_column=TIME_COLUMN, chunk_interval=interval)


def interval_change(connection: BaseDatabaseWrapper, table: str) -> list[Change]:
    wanted, found = timedelta(days=settings.EMO_CHUNK_DAYS), chunks.chunk_interval(connection, table)
    if wanted == found:
        return []
    text = f"chunk interval: {days(found)} -> {days(wanted)}, for new chunks"
    return [Change(text=text, make=lambda: chunks.set_chunk_interval(connection, table, wanted))]


def compression_changes(connection: BaseDatabaseWrapper, table: str, *, segment_by: str) -> list[Change]:
    """On a server whose licence has compression."""
    wanted = _period(settings.EMO_COMPRESS_AFTER_DAYS)
    found = chunks.policy(connection, table, COMPRESSION)
    changes = []
    if wanted is not None and not chunks.is_compressible(connection, table):
        changes.append(
            Change(
                text=f"compression: by {segment_by}, newest first",
                make=lambda: chunks.make_compressible(
                    connection, table, segment_by=segment_by, time_column=TIME_COLUMN
                ),
            )
        )
    return [*changes, *_policy_change(connection, table, COMPRESSION, found, wanted)]


def retention_changes(connection: BaseDatabaseWrapper, table: str, keep: timedelta | None) -> list[Change]:
    """On a server whose licence has policies."""
    return _policy_change(connection, table, RETENTION, chunks.policy(connection, table, RETENTION), keep)


def unlicensed(table: str, licence: str | None) -> str:
    """The warning where compression is asked for and can't be had; empty where it is not asked for."""
    after = settings.EMO_COMPRESS_AFTER_DAYS
    if after is None:
        return ""
    why = "there is no TimescaleDB here" if licence is None else f"TimescaleDB's licence here is {licence!r}"
    return (
        f"{table}: EMO_COMPRESS_AFTER_DAYS={after} is not in effect: {why}, and compression needs its Community licence"
    )


def _period(wanted: int | None) -> timedelta | None:
    return None if wanted is None else timedelta(days=wanted)


def _policy_change(
    connection: BaseDatabaseWrapper, table: str, kind: str, found: Policy | None, wanted: timedelta | None
) -> list[Change]:
    before = found.period if found else None
    if before == wanted:
        return []
    name = {RETENTION: "retention policy", COMPRESSION: "compression policy"}[kind]
    text = f"{name}: {days(before)} -> {days(wanted)}"
    return [Change(text=text, make=lambda: chunks.set_policy(connection, table, kind, wanted))]
