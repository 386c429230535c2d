"""What processes counted goes into the tables, and comes out as one value. The only writer of ErrorMinute and
RequestMinute.

Each process brings its own counts every few seconds, in a batch. While the database is away they wait in its memory.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F, Sum

from emo_site import tallies
from emo_site.db import deadline
from emo_site.db.aliases import database_of
from emo_site.db.fields import current_environment
from emo_site.db.outage import is_outage
from emo_site.tallies import ErrorTally, RequestTally
from monitoring.models import ErrorMinute, RequestMinute

logger = logging.getLogger(__name__)

KEEP = timedelta(days=7)
# A command must not be held up by the record of what it logged.
LAST_SECONDS = 0.5
# How many rows of errors are read at most; each is one kind of one process in one minute.
MOST_ROWS = 5000


@dataclass(frozen=True, kw_only=True)
class LastError:
    """All records of one kind and level since LastErrors.since; the last one's masked message, time and place."""

    kind: str
    level: str
    count: int
    message: str
    at: datetime
    host: str
    process: str


@dataclass(frozen=True, kw_only=True)
class LastErrors:
    """`kinds`: newest first. Of all processes and hosts of this environment that could reach the database."""

    since: datetime
    kinds: tuple[LastError, ...]

    @property
    def errors(self) -> int:
        return sum(each.count for each in self.kinds if each.level == "error")

    @property
    def warnings(self) -> int:
        return sum(each.count for each in self.kinds if each.level == "warning")


@dataclass(frozen=True, kw_only=True)
class WebRequests:
    """Requests since `since`, as counted by the workers of all hosts."""

    since: datetime
    requests: int
    failures: int
    slow: int

    @property
    def failed_percent(self) -> float | None:
        """None where nobody asked."""
        return 100 * self.failures / self.requests if self.requests else None


def write(now: datetime) -> int:
    """Takes what this process has counted into the tables, in one transaction; returns how many rows that touched.

    In an outage it keeps its counts for the next time and returns 0. Any other DatabaseError is raised, and the counts
    are kept too.
    """
    taken = tallies.of_process.take()
    if not taken:
        return 0
    try:
        with transaction.atomic(using=database_of("monitoring")):
            _add_errors(taken.errors)
            _add_requests(taken.requests)
            _forget(now)
    except BaseException as error:
        tallies.of_process.give_back(taken)
        if isinstance(error, Exception) and is_outage(error):
            # Whoever needs the database says so; this would only say it again.
            return 0
        raise
    return len(taken.errors) + len(taken.requests)


def write_at_the_end() -> None:
    """For a command's last moment: what can't be written is lost with the process, and the log has told it."""
    try:
        with deadline.within(LAST_SECONDS):
            write(datetime.now(UTC))
    except (DatabaseError, InterfaceError):
        logger.debug("the errors of this command are not on record", exc_info=True)


def last_errors(*, since: datetime, until: datetime | None = None) -> LastErrors:
    """To the minute. Raises DatabaseError where nobody can be asked."""
    rows = ErrorMinute.objects.filter(environment=current_environment(), minute__gte=_minute(since))
    if until is not None:
        rows = rows.filter(minute__lte=until)
    found: dict[tuple[str, str], LastError] = {}
    for row in rows.order_by("-minute", "-last_at")[:MOST_ROWS]:
        this = LastError(
            kind=row.kind,
            level=row.level,
            count=row.count,
            message=row.message,
            at=row.last_at,
            host=row.host,
            process=row.process,
        )
        known = found.get((row.kind, row.level))
        found[row.kind, row.level] = this if known is None else _together(known, this)
    newest_first = sorted(found.values(), key=lambda each: (-each.at.timestamp(), each.kind, each.level))
    return LastErrors(since=since, kinds=tuple(newest_first))


def web_requests(*, since: datetime) -> WebRequests:
    """Raises DatabaseError where nobody can be asked."""
    found = RequestMinute.objects.filter(environment=current_environment(), minute__gte=_minute(since)).aggregate(
        requests=Sum("requests", default=0), failures=Sum("failures", default=0), slow=Sum("slow", default=0)
    )
    return WebRequests(since=since, **found)


def _together(one: LastError, other: LastError) -> LastError:
    last = max(one, other, key=lambda each: each.at)
    return LastError(
        kind=last.kind,
        level=last.level,
        count=one.count + other.count,
        message=last.message,
        at=last.at,
        host=last.host,
        process=last.process,
    )


def _add_errors(found: Sequence[ErrorTally]) -> None:
    """In one order in every process, or two that write the same minutes would wait for each other."""
    ours = {"environment": current_environment(), "host": _host(), "process": settings.EMO_PROCESS.kind[:64]}
    ordered = sorted(found, key=lambda each: (each.minute, each.kind, each.level))
    ErrorMinute.objects.bulk_create(
        [
            ErrorMinute(**ours, kind=each.kind, level=each.level, minute=each.minute, last_at=each.at)
            for each in ordered
        ],
        ignore_conflicts=True,
    )
    for each in ordered:
        rows = ErrorMinute.objects.filter(**ours, kind=each.kind, level=each.level, minute=each.minute)
        rows.update(count=F("count") + each.count)
        rows.filter(last_at__lte=each.at).update(message=each.message, last_at=each.at)


def _add_requests(found: Sequence[RequestTally]) -> None:
    ours = {"environment": current_environment(), "host": _host()}
    ordered = sorted(found, key=lambda each: each.minute)
    RequestMinute.objects.bulk_create(
        [RequestMinute(**ours, minute=each.minute) for each in ordered], ignore_conflicts=True
    )
    for each in ordered:
        RequestMinute.objects.filter(**ours, minute=each.minute).update(
            requests=F("requests") + each.requests,
            failures=F("failures") + each.failures,
            slow=F("slow") + each.slow,
        )


def _forget(now: datetime) -> None:
    """Both tables begin their index with the minute: where nothing is old this finds nothing at once."""
    ErrorMinute.objects.filter(minute__lt=now - KEEP).delete()
    RequestMinute.objects.filter(minute__lt=now - KEEP).delete()


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _host() -> str:
    return socket.gethostname()[:255]
