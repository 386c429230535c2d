"""The probe of a SQLite file."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DatabaseError

from emo_site.db import sqlite_file
from emo_site.db.health import asked_within
from emo_site.db.sqlite_file import SqliteFile
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.probes import not_asked
from monitoring.time_series import size_text

_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class SqliteProbe:
    """Is the file whole, does its WAL come to an end, is most of it empty? Files below `small_mib` may be empty."""

    alias: str
    check_seconds: float = 2
    warn_wal_mib: float = 256
    warn_empty_percent: float = 50
    small_mib: float = 100
    critical = True

    @property
    def name(self) -> str:
        return f"sqlite:{self.alias}"

    def run(self) -> Finding:
        try:
            with asked_within(self.alias, self.check_seconds) as connection:
                found = sqlite_file.look_at(connection, seconds=self.check_seconds)
        except DatabaseError as error:
            return not_asked(self.alias, error)
        status, message, remedy = self._judged(found)
        metrics = {
            "size_bytes": found.size,
            "wal_bytes": found.wal,
            "empty_bytes": found.empty,
            "checked": found.problems is not None,
        }
        return Finding(status=status, message=message, remedy=remedy, metrics=metrics)

    def _judged(self, found: SqliteFile) -> tuple[HealthStatus, str, str]:
        size = f"{size_text(found.size)}, WAL {size_text(found.wal)}"
        if found.problems:
            return (
                HealthStatus.ERROR,
                f"The file is damaged: {'; '.join(found.problems)}",
                "Stop the desk, keep the file, and bring the last proven backup back (manage.py restore FILE).",
            )
        if found.wal > self.warn_wal_mib * _MIB:
            return (
                HealthStatus.WARNING,
                f"{size} (limit {self.warn_wal_mib:g} MiB): it is not taken into the file",
                "Find the process that keeps a reading transaction open, end it, and run PRAGMA"
                " wal_checkpoint(TRUNCATE).",
            )
        if found.size > self.small_mib * _MIB and found.empty_percent > self.warn_empty_percent:
            return (
                HealthStatus.WARNING,
                f"{size}; {found.empty_percent:.0f} % of it is empty (limit {self.warn_empty_percent:g} %)",
                "Stop the desk and run VACUUM; it needs as much room again while it runs.",
            )
        if found.problems is None:
            return (
                HealthStatus.UNKNOWN,
                f"{size}; too large to be checked within {self.check_seconds:g} s",
                "Raise check_seconds in settings.PROBES, or run PRAGMA integrity_check by night.",
            )
        return HealthStatus.HEALTHY, f"whole; {size}", ""
