"""The probe of backups: how old is the newest, and when was one last proven?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings

from emo_site.db.backup import desk, verdicts
from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.shelf import CLOCKS_APART, Backup
from emo_site.db.backup.verdicts import Verdicts
from monitoring.choices import HealthStatus
from monitoring.health import Finding

_NIGHTLY = "Let manage.py backup --prune && manage.py verify_backup run every night"


@dataclass(frozen=True, kw_only=True)
class BackupsProbe:
    """Is there a backup from last night, and is it proven? While developing nobody needs one."""

    warn_age_hours: float = 26
    error_age_hours: float = 72
    name = "backups"
    critical = False

    def run(self) -> Finding:
        now, shelf = datetime.now(UTC), desk.shelf()
        try:
            # One that is dated in the future says nothing about last night.
            backups = [each for each in shelf.backups() if each.made_at <= now + CLOCKS_APART]
            said = verdicts.read(shelf)
        except CouldNot as error:
            return Finding(
                status=HealthStatus.UNKNOWN,
                message=f"Can't be looked at: {error}",
                remedy="Let the desk's user read EMO_BACKUP_DIR.",
            )
        if not backups:
            return _none(str(shelf.folder))
        status, message, remedy = self._judged(backups, said, now)
        return Finding(status=status, message=message, remedy=remedy, metrics=_metrics(backups, said, now))

    def _judged(self, backups: Sequence[Backup], said: Verdicts, now: datetime) -> tuple[HealthStatus, str, str]:
        if said.last and said.last.problems:
            return (
                HealthStatus.ERROR,
                f"{said.last.archive} was not proven {_hours(said.last.verified_at, now):.1f} h ago:"
                f" {'; '.join(said.last.problems[:3])}",
                "Make another with manage.py backup, and run manage.py verify_backup; keep the older ones until it is"
                " proven.",
            )
        if said.proven is None:
            return (
                HealthStatus.ERROR,
                f"{len(backups)} backups, and none was ever proven",
                f"Run manage.py verify_backup. {_NIGHTLY}.",
            )
        newest, proven = _hours(backups[0].made_at, now), _hours(said.proven.made_at, now)
        # A proven one counts for the other's age too, though it may have been taken away since.
        age, what = max((newest, "newest backup"), (proven, "newest proven backup"))
        message = f"the newest is {newest:.1f} h old, the newest that was proven {proven:.1f} h"
        limit = self.error_age_hours if age > self.error_age_hours else self.warn_age_hours
        if age <= limit:
            return HealthStatus.HEALTHY, message, ""
        return (
            HealthStatus.ERROR if limit == self.error_age_hours else HealthStatus.WARNING,
            f"the {what} is {age:.1f} h old (limit {limit:g} h); {message}",
            f"See why last night's run failed. {_NIGHTLY}.",
        )


def _none(folder: str) -> Finding:
    message = f"no backup of this desk lies in {folder}"
    if settings.EMO_ENV == "dev":
        return Finding(status=HealthStatus.HEALTHY, message=f"dev: {message}", metrics={"backups": 0})
    return Finding(status=HealthStatus.WARNING, message=message, remedy=f"{_NIGHTLY}.", metrics={"backups": 0})


def _hours(at: datetime, now: datetime) -> float:
    return max(timedelta(), now - at) / timedelta(hours=1)


def _metrics(backups: Sequence[Backup], said: Verdicts, now: datetime) -> dict[str, Any]:
    return {
        "backups": len(backups),
        "newest": backups[0].made_at.isoformat(),
        "newest_age_hours": round(_hours(backups[0].made_at, now), 3),
        "newest_bytes": backups[0].bytes,
        "proven": said.proven.made_at.isoformat() if said.proven else None,
        "verified_at": said.proven.verified_at.isoformat() if said.proven else None,
        "last_verdict": None if said.last is None else "not proven" if said.last.problems else "proven",
    }
