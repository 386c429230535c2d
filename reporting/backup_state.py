"""The last backup, and whether one was proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from emo_site import display
from emo_site.db.backup import desk
from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.shelf import Backup
from monitoring.health import ProbeResult
from monitoring.time_series import size_text


@dataclass(frozen=True, kw_only=True)
class BackupState:
    """`made_at` of the newest one that is still kept; None, like the others, where its text says why."""

    folder: str
    kept: int | None
    name: str
    made_at: datetime | None
    size_bytes: int | None
    verified_at: datetime | None
    made_text: str
    kept_text: str
    verified_text: str


def backup_state(*, now: datetime, results: Sequence[ProbeResult]) -> BackupState:
    """From the names in the folder; nothing is opened."""
    shelf = desk.shelf()
    verified, text = _verified(results)
    try:
        backups, failure = [each for each in shelf.backups() if each.made_at <= now], ""
    except CouldNot as error:
        backups, failure = [], str(error)
    newest = backups[0] if backups else None
    return BackupState(
        folder=str(shelf.folder),
        kept=None if failure else len(backups),
        name=newest.path.name if newest else "",
        made_at=newest.made_at if newest else None,
        size_bytes=newest.bytes if newest else None,
        verified_at=verified,
        made_text=_made(newest, now) if newest else f"n/a: {failure or 'there is none'}",
        kept_text="n/a" if failure else display.count(len(backups)),
        verified_text=text,
    )


def _made(backup: Backup, now: datetime) -> str:
    return f"{display.moment(backup.made_at)}, {display.age(now - backup.made_at)} before, {size_text(backup.bytes)}"


def _verified(results: Sequence[ProbeResult]) -> tuple[datetime | None, str]:
    """As a probe of the backups tells it, which is on record for the past too."""
    for result in results:
        if isinstance(found := result.finding.metrics.get("verified_at"), str):
            at = datetime.fromisoformat(found)
            return at, display.moment(at)
    return None, "n/a: no probe tells of a proven backup"
