"""The folder where backups lie: their names, one writer at a time, and what is thrown away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.retention import Keep, kept

_STAMP = "%Y%m%dT%H%M%SZ"
_SUFFIX = ".tar.age"
LOCK = ".lock"
# Between the machine that makes backups and the one that proves them.
CLOCKS_APART = timedelta(minutes=5)


@dataclass(frozen=True)
class Backup:
    """One archive on the shelf, by its name alone."""

    path: Path
    made_at: datetime
    bytes: int


@dataclass(frozen=True)
class Shelf:
    """The backups of one environment in one folder; what has another name is not looked at and not touched."""

    folder: Path
    environment: str

    def path_for(self, now: datetime) -> Path:
        return self.folder / f"emo-{self.environment}-{now.astimezone(UTC):{_STAMP}}{_SUFFIX}"

    def backups(self) -> list[Backup]:
        """Newest first. Raises CouldNot where the folder can't be read."""
        try:
            found = [self._backup(path) for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CouldNot(f"{self.folder}: can't be read ({error.strerror})") from error
        return sorted((backup for backup in found if backup), key=lambda backup: backup.made_at, reverse=True)

    def newest(self, now: datetime) -> Backup:
        """Raises CouldNot where there is none, and where one is from the future: it would hide all that follow."""
        backups = self.backups()
        if not backups:
            raise CouldNot(f"{self.folder}: there is no backup of {self.environment}")
        if backups[0].made_at > now + CLOCKS_APART:
            raise CouldNot(
                f"{backups[0].path} is dated in the future, so which backup is the newest can't be told: rename it,"
                " or name the file that is meant"
            )
        return backups[0]

    def doomed(self, keep: Keep, now: datetime) -> list[Backup]:
        """Those that retention no longer wants, newest first.

        Those from the future neither go nor count: a clock that was ahead once must not cost the real ones.
        """
        backups = [backup for backup in self.backups() if backup.made_at <= now]
        wanted = kept((backup.made_at for backup in backups), keep)
        return [backup for backup in backups if backup.made_at not in wanted]

    def prune(self, keep: Keep, now: datetime) -> list[Path]:
        """Removes them; returns what was removed. Raises CouldNot."""
        removed = []
        for backup in self.doomed(keep, now):
            try:
                backup.path.unlink()
            except OSError as error:
                raise CouldNot(f"{backup.path}: can't be removed ({error.strerror})") from error
            removed.append(backup.path)
        return removed

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One backup or restore at a time; the lock ends with its process. Raises CouldNot."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CouldNot(f"{self.folder}: can't be written ({error.strerror})") from error
        with os.fdopen(handle, "r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = file.read(20).strip() or "unknown"
                raise CouldNot(f"{self.folder}: another backup or restore is running (process {holder})") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def clear_leftovers(self) -> list[Path]:
        """Removes what killed backups left; call it with the lock, when none can be running."""
        found = [path for path in self.folder.iterdir() if self._is_leftover(path.name)]
        for path in found:
            path.unlink(missing_ok=True)
        return found

    def scratch_for(self, path: Path, alias: str) -> Path:
        """Where a SQLite file is copied to while the archive `path` is made."""
        return path.with_name(f".{path.name}.{alias}.partial")

    def _backup(self, path: Path) -> Backup | None:
        match = re.fullmatch(rf"emo-{re.escape(self.environment)}-(\d{{8}}T\d{{6}}Z){re.escape(_SUFFIX)}", path.name)
        if match is None or path.is_symlink() or not path.is_file():
            return None
        try:
            made_at = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
        except ValueError:
            return None
        return Backup(path, made_at, path.stat().st_size)

    def _is_leftover(self, name: str) -> bool:
        own = rf"\.emo-{re.escape(self.environment)}-\d{{8}}T\d{{6}}Z{re.escape(_SUFFIX)}"
        return re.fullmatch(rf"{own}(\.\w+)?\.partial(-wal|-shm|-journal)?", name) is not None
