"""When will a disk be full at this rate? Pure.

The rate is Theil and Sen's: the median of the slopes between all pairs of days, which a day of cleaning up or one bad
reading does not carry away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from statistics import median

# Two days make a slope, but say nothing of how steady it is.
LEAST_DAYS = 3
METHOD = "Theil-Sen slope (median over all pairs of days) of the free bytes, first reading of each day"
_LONG = 3650


@dataclass(frozen=True, kw_only=True)
class Reading:
    at: datetime
    free_bytes: int


@dataclass(frozen=True, kw_only=True)
class DiskTrend:
    """`bytes_per_day` below 0 where space is used up. `days_left` is None where `reason` says why."""

    readings: tuple[Reading, ...]
    n_days: int
    bytes_per_day: float | None
    days_left: float | None
    reason: str
    text: str
    method: str = METHOD


def disk_trend(readings: Sequence[Reading]) -> DiskTrend:
    """Of one reading a day, oldest first."""
    slope = _slope(readings) if len(readings) >= LEAST_DAYS else None
    left = None if slope is None or slope >= 0 else readings[-1].free_bytes / -slope
    reason = ""
    if slope is None:
        days = "1 day is" if len(readings) == 1 else f"{len(readings)} days are"
        reason = f"{days} on record, {LEAST_DAYS} are needed"
    elif left is None:
        reason = "free space is not shrinking"
    return DiskTrend(
        readings=tuple(readings),
        n_days=len(readings),
        bytes_per_day=slope,
        days_left=None if left is None else round(left, 1),
        reason=reason,
        text="n/a" if left is None else _days_text(left),
    )


def _slope(readings: Sequence[Reading]) -> float:
    day = timedelta(days=1)
    return median(
        (later.free_bytes - earlier.free_bytes) / ((later.at - earlier.at) / day)
        for earlier, later in combinations(readings, 2)
    )


def _days_text(days: float) -> str:
    if days > _LONG:
        return "over 10 years"
    return f"{days:.1f} days" if days < 10 else f"{days:,.0f} days"
