"""How far a database's clock is from that of this process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.backends.base.base import BaseDatabaseWrapper

# The quickest answer tells most: what it took is the most by which the offset may be wrong, to either side by half.
QUESTIONS = 3


@dataclass(frozen=True, kw_only=True)
class ClockOffset:
    """Seconds. Positive: the database is ahead. The true offset is within `uncertainty_seconds` of it."""

    offset_seconds: float
    uncertainty_seconds: float


def compare(connection: BaseDatabaseWrapper) -> ClockOffset:
    """Asks a PostgreSQL server for its clock_timestamp()."""
    with connection.cursor() as cursor:
        asked = []
        for _ in range(QUESTIONS):
            before, started = datetime.now(UTC), time.perf_counter()
            cursor.execute("SELECT clock_timestamp()")
            there = cursor.fetchone()[0]
            took = time.perf_counter() - started
            asked.append((took, (there - before).total_seconds() - took / 2))
    took, offset = min(asked)
    return ClockOffset(offset_seconds=round(offset, 4), uncertainty_seconds=round(took / 2, 4))


def now_of(connection: BaseDatabaseWrapper) -> datetime:
    """The database's own time, by which several hosts can agree; SQLite has none but this machine's."""
    if connection.vendor != "postgresql":
        return datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
        return moment
