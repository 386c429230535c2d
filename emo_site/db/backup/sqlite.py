"""A SQLite file: copied by the online backup, filled from a copy, exchanged by rename."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emo_site.db.backup import session
from emo_site.db.backup.archive import BLOCK_BYTES
from emo_site.db.backup.errors import CouldNot, NotProven
from emo_site.db.backup.facts import Heads, gather
from emo_site.db.backup.manifest import DatabaseFacts
from emo_site.db.backup.session import Settings
from emo_site.db.urls import sqlite as settings_of

SUFFIX = "sqlite.gz"
GZIP = 31
COMPANIONS = ("-wal", "-shm", "-journal")
_MAGIC = b"SQLite format 3\0"
# The byte of the -shm file that everybody who has the database open in WAL mode holds a lock on (SQLite's DMS lock).
_USERS_LOCK = 128


@dataclass(frozen=True)
class Source:
    """A copy as of one moment, with its facts."""

    facts: DatabaseFacts
    _copy: Path

    @property
    def name(self) -> str:
        return f"{self.facts.alias}.{SUFFIX}"

    def dump(self) -> Iterator[bytes]:
        packer = zlib.compressobj(1, wbits=GZIP)
        with self._copy.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield packer.compress(block)
        yield packer.flush()


@contextmanager
def source(alias: str, settings: Settings, *, heads: Heads, copy: Path) -> Iterator[Source]:
    """Copies the live file to `copy`, which is removed afterwards. Raises CouldNot."""
    live = Path(settings["NAME"])
    if not live.is_file():
        raise CouldNot(f"{alias}: there is no file {live}")
    try:
        _copy(alias, live, copy)
        with session.opened(alias, settings_of(copy)) as connection:
            facts = gather(connection, heads=heads)
        yield Source(facts, copy)
    finally:
        _remove(copy)


def _copy(alias: str, live: Path, copy: Path) -> None:
    try:
        os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with (
            # Read-only would not do for a file in WAL mode that nobody has open.
            contextlib.closing(sqlite3.connect(live.resolve().as_uri() + "?mode=rw", uri=True, timeout=10)) as reading,
            contextlib.closing(sqlite3.connect(copy)) as writing,
        ):
            # In one go: between steps a writer would make it begin again. In WAL mode nobody waits for it.
            reading.backup(writing)
    except (sqlite3.Error, OSError) as error:
        raise CouldNot(f"{alias}: {live} can't be copied to {copy} ({error})") from error


@dataclass(frozen=True)
class Copy:
    """A new file `name`, to be filled from a dump."""

    alias: str
    name: str

    @property
    def _path(self) -> Path:
        return Path(self.name)

    def create(self, facts: DatabaseFacts) -> None:
        """Raises CouldNot, also where something of that name exists."""
        try:
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise CouldNot(f"{self.alias}: {self.name} exists already; nothing is restored over it") from None
        except OSError as error:
            raise CouldNot(f"{self.alias}: {self.name} can't be written ({error.strerror})") from error

    def fill(self, facts: DatabaseFacts, dump: Iterator[bytes]) -> None:
        """Raises CouldNot, or NotProven where the dump does not go in."""
        unpacker = zlib.decompressobj(wbits=GZIP)
        try:
            with self._path.open("r+b") as file:
                for block in dump:
                    file.write(unpacker.decompress(block))
                file.write(unpacker.flush())
                file.flush()
                os.fsync(file.fileno())
        except zlib.error as error:
            raise NotProven([f"{self.alias}: the dump can't be unpacked ({error})"]) from error
        except OSError as error:
            raise CouldNot(f"{self.alias}: {self.name} can't be written ({error.strerror})") from error

    def connected(self) -> Any:
        return session.opened(self.alias, settings_of(self._path))

    def remove(self) -> None:
        _remove(self._path)

    def live_exists(self, live: str) -> bool:
        return Path(live).exists()

    def take_place_of(self, live: str, *, kept: str) -> None:
        """The live file stays under the name `kept`. Raises CouldNot where somebody has it open: stop the desk.

        The new one gets its owner and mode: who restores need not be the user that the desk runs as.
        """
        if Path(live).exists():
            _quiesce(self.alias, Path(live))
            _hand_over(self.alias, self._path, like=Path(live))
        _quiesce(self.alias, self._path)
        try:
            with contextlib.ExitStack() as undo:
                if Path(live).exists():
                    os.link(live, kept)
                    undo.callback(os.unlink, kept)
                # Of a file that is damaged or gone. SQLite would play them into the restored one.
                for companion in _companions_of(live):
                    os.rename(f"{live}{companion}", f"{kept}{companion}")
                    undo.callback(os.rename, f"{kept}{companion}", f"{live}{companion}")
                self._path.replace(live)
                undo.pop_all()
        except OSError as error:
            raise CouldNot(f"{self.alias}: the swap failed, {live} is as it was ({error.strerror})") from error

    def give_place_back(self, live: str, *, kept: str) -> None:
        """Undoes `take_place_of`."""
        if Path(kept).exists():
            os.link(live, self._path)
            Path(kept).replace(live)
        else:
            Path(live).rename(self._path)
        for companion in _companions_of(kept):
            os.rename(f"{kept}{companion}", f"{live}{companion}")

    def start(self, live: str) -> None:
        """A file has nothing that runs by itself."""


def _quiesce(alias: str, path: Path) -> None:
    """Puts everything into the one file. SQLite allows that only to the last who has it open."""
    try:
        in_use = _mode_of(path) != "delete" if _is_database(path) else _has_users(path)
    except sqlite3.OperationalError as error:
        raise CouldNot(f"{alias}: {path} is in use ({error}): stop the desk and run the command again") from error
    except OSError as error:
        raise CouldNot(f"{alias}: {path} can't be read ({error.strerror})") from error
    except sqlite3.DatabaseError:
        # Too damaged for SQLite to say.
        in_use = _has_users(path)
    if in_use:
        raise CouldNot(f"{alias}: {path} is in use: stop the desk and run the command again")


def _hand_over(alias: str, path: Path, *, like: Path) -> None:
    wanted, found = like.stat(), path.stat()
    try:
        if (found.st_uid, found.st_gid) != (wanted.st_uid, wanted.st_gid):
            os.chown(path, wanted.st_uid, wanted.st_gid)
        path.chmod(stat.S_IMODE(wanted.st_mode))
    except OSError as error:
        raise CouldNot(
            f"{alias}: the restored file can't be given to the owner of {like} ({error.strerror}): restore as that"
            " user, or as root"
        ) from error


def _is_database(path: Path) -> bool:
    """By how it begins. What is none must not be opened: SQLite would throw its log away."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) in (b"", _MAGIC)


def _mode_of(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path, timeout=2, isolation_level=None)) as connection:
        return str(connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0])


def _has_users(path: Path) -> bool:
    """Whether a process has the damaged file open in WAL mode, by the lock that each holds."""
    try:
        with Path(f"{path}-shm").open("r+b") as shared:
            fcntl.lockf(shared, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _USERS_LOCK)
    except FileNotFoundError:
        return False
    except (BlockingIOError, PermissionError):
        return True
    return False


def _companions_of(path: str) -> list[str]:
    return [companion for companion in COMPANIONS if Path(f"{path}{companion}").exists()]


def _remove(path: Path) -> None:
    for companion in ("", *COMPANIONS):
        Path(f"{path}{companion}").unlink(missing_ok=True)
