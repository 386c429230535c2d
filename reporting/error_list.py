"""The last warnings and errors of the log, by kind: what every process of this desk wrote within a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from emo_site import display
from monitoring import tallies
from monitoring.choices import EventLevel, HealthStatus
from monitoring.tallies import LastError
from reporting.components import TONES

RECENT = timedelta(hours=24)
_SHORT = 300


@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """`count` of this kind and level within 24 h; `message`, masked, is the last one's, and so is where it was said."""

    kind: str
    level: str
    tone: str
    count: int
    message: str
    at: datetime
    host: str
    process: str
    count_text: str
    message_text: str
    at_text: str


def error_list(*, now: datetime) -> tuple[ErrorRow, ...]:
    """Newest first, one of each kind and level. Raises DatabaseError."""
    return tuple(_row(each) for each in tallies.last_errors(since=now - RECENT, until=now).kinds)


def _row(last: LastError) -> ErrorRow:
    bad = last.level == EventLevel.ERROR
    return ErrorRow(
        kind=last.kind,
        level=last.level,
        tone=TONES[HealthStatus.ERROR if bad else HealthStatus.WARNING],
        count=last.count,
        message=last.message,
        at=last.at,
        host=last.host,
        process=last.process,
        count_text=display.count(last.count),
        message_text=last.message if len(last.message) <= _SHORT else f"{last.message[:_SHORT]} …",
        at_text=display.moment(last.at),
    )
