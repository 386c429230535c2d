"""What became of the last proof of a backup, written down beside the backups: who watches can't prove one himself."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.shelf import Backup, Shelf


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One archive (by its file's name) was proven, or has `problems`. Times are aware."""

    archive: str
    made_at: datetime
    verified_at: datetime
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The last one, and the last one that proved a backup; None where there was none."""

    last: Verdict | None = None
    proven: Verdict | None = None


def place(shelf: Shelf) -> Path:
    # A dot in front: it is no backup.
    return shelf.folder / f".emo-{shelf.environment}-verdicts.json"


def read(shelf: Shelf) -> Verdicts:
    """Raises CouldNot where the file is there and can't be read."""
    path = place(shelf)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Verdicts(last=_verdict(told["last"]), proven=_verdict(told["proven"]))
    except FileNotFoundError:
        return Verdicts()
    except OSError as error:
        raise CouldNot(f"{path}: can't be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CouldNot(f"{path}: is not what verify_backup writes ({type(error).__name__}: {error})") from error


def keep(shelf: Shelf, backup: Backup, *, problems: Sequence[str], now: datetime) -> Verdicts:
    """Writes down what the proof of a backup of this shelf came to, whole or not at all. Raises CouldNot."""
    last = Verdict(archive=backup.path.name, made_at=backup.made_at, verified_at=now, problems=tuple(problems))
    proven = _known(shelf).proven if problems else last
    found = Verdicts(last=last, proven=proven)
    try:
        _write(place(shelf), json.dumps(asdict(found), default=_plain, indent=1))
    except OSError as error:
        raise CouldNot(f"{place(shelf)}: can't be written ({error.strerror})") from error
    return found


def _known(shelf: Shelf) -> Verdicts:
    try:
        return read(shelf)
    except CouldNot:
        # What can't be read is written anew: else no proof would ever count again.
        return Verdicts()


def _write(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _verdict(told: dict[str, Any] | None) -> Verdict | None:
    if told is None:
        return None
    return Verdict(
        archive=str(told["archive"]),
        made_at=_moment(told["made_at"]),
        verified_at=_moment(told["verified_at"]),
        problems=tuple(map(str, told["problems"])),
    )


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return at


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a verdict")
