"""Which backups are kept: the newest of each of the last days, weeks and months that have one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Keep:
    """How many days, ISO weeks and months (UTC) keep their newest backup. Each at least 0."""

    daily: int
    weekly: int
    monthly: int


def kept(times: Iterable[datetime], keep: Keep) -> set[datetime]:
    """The times of the backups to keep; the newest of all is always among them.

    Periods without a backup don't count: after a month without one, the last seven days with one are kept still.
    """
    newest_first = sorted(set(times), reverse=True)
    chosen = set(newest_first[:1])
    for count, period in ((keep.daily, _day), (keep.weekly, _week), (keep.monthly, _month)):
        chosen.update(_newest_of_each(newest_first, period)[:count])
    return chosen


def _newest_of_each(newest_first: list[datetime], period: Callable[[datetime], Any]) -> list[datetime]:
    first: dict[Any, datetime] = {}
    for time in newest_first:
        first.setdefault(period(time.astimezone(UTC)), time)
    return list(first.values())


def _day(time: datetime) -> Any:
    return time.date()


def _week(time: datetime) -> Any:
    return time.isocalendar()[:2]


def _month(time: datetime) -> Any:
    return time.year, time.month
