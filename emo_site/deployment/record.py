"""What each deployment found and did, in a file beside the backups: the way back is read from it. Its only writer."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from emo_site.db.backup.shelf import Shelf

BEGUN, DONE, STOPPED, TAKEN_BACK = "begun", "done", "stopped", "taken back"
# Nobody goes back further than the last one; the others are history.
KEPT = 50


class NoRecord(Exception):
    """The file can't be read or written, or another deployment holds it; the message names it and says why."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployment. `before`: by database (alias) the migrations that were applied ("orders.0001_initial"), sorted.

    `code` is what was deployed, `code_before` what the last finished one had deployed ("" where none is on record).
    `backup`: the archive that holds the state before, "" until it is made. `step`: where a stopped one stopped.
    """

    started_at: datetime
    code: str
    code_before: str
    before: Mapping[str, tuple[str, ...]]
    backup: str = ""
    outcome: str = BEGUN
    step: str = ""


def place(shelf: Shelf) -> Path:
    # A dot in front: it is no backup.
    return shelf.folder / f".emo-{shelf.environment}-deployments.json"


def read(shelf: Shelf) -> list[Deployment]:
    """Oldest first. Raises NoRecord where the file is there and can't be read."""
    path = place(shelf)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return [_deployment(each) for each in told["deployments"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise NoRecord(f"{path}: can't be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoRecord(f"{path}: is not what deploy writes ({type(error).__name__}: {error})") from error


def last(shelf: Shelf) -> Deployment | None:
    found = read(shelf)
    return found[-1] if found else None


def begin(shelf: Shelf, deployment: Deployment) -> Deployment:
    """Writes the new one down. After one that stopped, the state before is still the one before that.

    Raises NoRecord.
    """
    known = read(shelf)
    if known and known[-1].outcome in (BEGUN, STOPPED):
        failed = known[-1]
        deployment = replace(deployment, before=failed.before, code_before=failed.code_before, backup=failed.backup)
    _write(shelf, [*known, deployment])
    return deployment


def change(shelf: Shelf, deployment: Deployment) -> None:
    """Writes the last one anew. Raises NoRecord."""
    _write(shelf, [*read(shelf)[:-1], deployment])


@contextlib.contextmanager
def locked(shelf: Shelf) -> Iterator[None]:
    """One deployment or way back at a time; the lock ends with its process. Raises NoRecord."""
    path = shelf.folder / ".deploying.lock"
    try:
        shelf.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise NoRecord(f"{shelf.folder}: can't be written ({error.strerror})") from error
    with os.fdopen(handle, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read(20).strip() or "unknown"
            raise NoRecord(f"another deployment is running on this host (process {holder})") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _write(shelf: Shelf, deployments: list[Deployment]) -> None:
    path = place(shelf)
    text = json.dumps({"deployments": [asdict(each) for each in deployments[-KEPT:]]}, default=_plain, indent=1)
    try:
        shelf.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise NoRecord(f"{path}: can't be written ({error.strerror})") from error


def _deployment(told: dict[str, Any]) -> Deployment:
    started_at = datetime.fromisoformat(told["started_at"])
    if started_at.tzinfo is None:
        raise ValueError(f"started_at={told['started_at']} has no time zone")
    before = {str(alias): tuple(map(str, names)) for alias, names in told["before"].items()}
    words = {name: str(told[name]) for name in ("code", "code_before", "backup", "outcome", "step")}
    return Deployment(started_at=started_at, before=before, **words)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a record")
