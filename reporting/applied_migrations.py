"""Which migrations each database has had, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder

from emo_site import display
from emo_site.db.aliases import is_replica
from monitoring.choices import HealthStatus
from monitoring.health import ProbeResult
from reporting.figures import said_by

SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Applied:
    """One migration of one database; `name` is empty where `reason` says why none can be told."""

    database: str
    name: str
    at: datetime | None
    at_text: str
    reason: str


def applied_migrations(*, now: datetime, results: Sequence[ProbeResult]) -> tuple[Applied, ...]:
    """The newest five of each database that had been applied by then; a replica has those of its primary."""
    down = {result.name for result in results if result.finding.status == HealthStatus.ERROR}
    return tuple(
        row
        for alias in settings.DATABASES
        if not is_replica(alias)
        for row in _of(alias, now, down=f"database:{alias}" in down)
    )


def _of(alias: str, now: datetime, *, down: bool) -> Iterator[Applied]:
    if down:
        yield _none(alias, "the database can't be used")
        return
    try:
        recorder = MigrationRecorder(connections[alias])
        newest = list(recorder.migration_qs.filter(applied__lte=now).order_by("-applied", "-id")[:SHOWN])
    except DatabaseError as error:
        yield _none(alias, said_by(error))
        return
    if not newest:
        yield _none(alias, "none had been applied")
    for each in newest:
        yield Applied(
            database=alias,
            name=f"{each.app}.{each.name}",
            at=each.applied,
            at_text=display.moment(each.applied),
            reason="",
        )


def _none(alias: str, reason: str) -> Applied:
    return Applied(database=alias, name="", at=None, at_text="n/a", reason=reason)
