"""For how long a component was known to be well, from what was recorded of it. Pure.

A record speaks from its own time until the component's next one, and for HOLDS at most: what nobody looked at is not
known, and not healthy. Times are counted in whole microseconds, so that the parts of a stretch add up to the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from monitoring.choices import HealthStatus

HOLDS = timedelta(minutes=10)
# The desk as a whole is told from records that spoke at its own last record's time.
LOOK_BACK = 2 * HOLDS
HOUR = timedelta(hours=1)
# The name under which the desk as a whole is counted; no probe is called so.
SYSTEM = ""
# Of several statuses in one stretch the first of these is told.
WORST_FIRST = (HealthStatus.ERROR, HealthStatus.WARNING, HealthStatus.UNKNOWN, HealthStatus.HEALTHY)

_MICROSECOND = timedelta(microseconds=1)
_FIGURES = ("healthy", "warning", "error", "unknown", "score_sum", "records")
_PLACES = {status.value: _FIGURES.index(status.value) for status in WORST_FIRST}
_SCORE_SUM, _RECORDS = _FIGURES.index("score_sum"), _FIGURES.index("records")


class Record(NamedTuple):
    """What one probe said at one moment. `score` in hundredths of a point, from 0 to 10,000; 0 where unknown."""

    component: str
    at: datetime
    status: str
    score: int
    critical: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Microseconds in each status; `unknown` is what the probe itself did not know. `score_sum` adds up score times
    microseconds of the other three. `records` were made in the stretch.
    """

    healthy: int = 0
    warning: int = 0
    error: int = 0
    unknown: int = 0
    score_sum: int = 0
    records: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            healthy=self.healthy + other.healthy,
            warning=self.warning + other.warning,
            error=self.error + other.error,
            unknown=self.unknown + other.unknown,
            score_sum=self.score_sum + other.score_sum,
            records=self.records + other.records,
        )

    @property
    def known(self) -> int:
        return self.healthy + self.warning + self.error

    @property
    def up_share(self) -> float | None:
        """Of the known time, the share that was healthy or warning; None where nothing is known."""
        return (self.healthy + self.warning) / self.known if self.known else None

    @property
    def mean_score(self) -> float | None:
        """From 0 to 100, weighted by time, over the known time."""
        return self.score_sum / self.known / 100 if self.known else None

    @property
    def worst(self) -> HealthStatus | None:
        """None where nothing was recorded."""
        return next((status for status in WORST_FIRST if getattr(self, status.value)), None)

    def known_share(self, length: timedelta) -> float:
        """Of a stretch of that length."""
        return self.known / (length // _MICROSECOND)


# What the desk as a whole is while its components are so: status, and score in hundredths.
Judge = Callable[[Sequence[Record]], tuple[str, int]]


def full_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def tally(records: Iterable[Record], *, start: datetime, end: datetime, judge: Judge) -> dict[str, Tally]:
    """Component -> its tally of [start, end), and SYSTEM's.

    `records` are in order of time, from `start` - LOOK_BACK on.
    """
    sums: dict[str, list[int]] = {}
    for record, until in _spans(_with_system(records, judge)):
        first, last = max(record.at, start), min(until, end)
        length = (last - first) // _MICROSECOND if last > first else 0
        made = int(start <= record.at < end)
        if length or made:
            # Added up in place: there are millions of records.
            figures = sums.setdefault(record.component, [0] * len(_FIGURES))
            figures[_PLACES[record.status]] += length
            figures[_RECORDS] += made
            if record.status != HealthStatus.UNKNOWN:
                figures[_SCORE_SUM] += record.score * length
    return {name: Tally(**dict(zip(_FIGURES, figures, strict=True))) for name, figures in sums.items()}


def _spans(records: Iterable[Record]) -> Iterator[tuple[Record, datetime]]:
    """Each record with the moment until which it speaks."""
    speaking: dict[str, Record] = {}
    for record in records:
        before = speaking.get(record.component)
        if before is not None:
            yield before, min(record.at, before.at + HOLDS)
        speaking[record.component] = record
    for record in speaking.values():
        yield record, record.at + HOLDS


def _with_system(records: Iterable[Record], judge: Judge) -> Iterator[Record]:
    """The same, and after those of one moment what the desk as a whole was at that moment."""
    speaking: dict[str, Record] = {}
    for at, group in groupby(records, key=lambda record: record.at):
        for record in group:
            speaking[record.component] = record
            yield record
        current = [record for record in speaking.values() if record.at + HOLDS > at]
        status, score = judge(current)
        yield Record(SYSTEM, at, status, score, critical=True)
