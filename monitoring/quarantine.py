"""The file of rows that are no events: what they were, where they came from and why they were refused."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

from monitoring.event_blocks import Refused


class Quarantine:
    """JSON lines at `path`, added to and never rewritten. The file is made when the first row comes."""

    def __init__(self, path: Path, *, source: str) -> None:
        self.path = path
        self._source = source
        self._noted: set[int] = set()

    def go_on(self, size: int) -> None:
        """What a run that was killed has added behind `size` bytes was not counted, and is not to be added again."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(size)
            for line in file:
                self._noted.update(_line_of(line, self._source))

    def add(self, rows: Iterable[Refused]) -> int:
        """On the disk when this returns; the size of the file then."""
        records = [self._record(row) for row in rows if row.line not in self._noted]
        if not records:
            return self.size
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b", buffering=0) as file:
            # Another run may add to the same file; the lock ends with the file.
            fcntl.flock(file, fcntl.LOCK_EX)
            _append(file, b"".join(records))
        return self.size

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _record(self, row: Refused) -> bytes:
        record = {
            "file": self._source,
            "line": row.line,
            "field": row.problem.field,
            "value": row.problem.value,
            "reason": row.problem.rule,
            "row": row.text,
        }
        return json.dumps(record).encode() + b"\n"


def _append(file: FileIO, data: bytes) -> None:
    """All of it, on the disk, or nothing."""
    end = file.seek(0, os.SEEK_END)
    if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
        # What was killed in the middle of a record must not spoil the next one.
        data = b"\n" + data
    left = memoryview(data)
    try:
        # A disk that gets full takes a part, and says so only by the count.
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(end)
        raise


def _line_of(text: bytes, source: str) -> Iterable[int]:
    try:
        record = json.loads(text)
        return [record["line"]] if record["file"] == source else []
    except (ValueError, TypeError, KeyError):
        # The disk was full in the middle of it, or somebody else writes here too.
        return []
