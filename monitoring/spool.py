"""Health that could not be stored: kept in a file of this machine, in order, until the database is back.

Rows have their ids from the beginning, so that a file that is written back twice leaves each row once.
"""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from monitoring import health
from monitoring.models import SystemHealth

logger = logging.getLogger(__name__)

# About three days of forty components every 30 seconds.
MOST_BYTES = 256 * 1024 * 1024
_BATCH = 1000


class Spool:
    """One file, of the one process of this machine that claims it."""

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.path = path
        self._most = most_bytes
        self._claim: io.TextIOWrapper | None = None

    def __bool__(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def claim(self) -> bool:
        """Whether it is this process's, until `let_go` or its end. Raises OSError where there can be no file."""
        if self._claim is not None:
            return True
        # Beside it: the file itself comes and goes.
        file = open(self.path.with_suffix(".lock"), "a", encoding="utf-8", opener=_for_owner_only)  # noqa: SIM115  # held open: that is the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._claim = file
        return True

    def let_go(self) -> None:
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)

    def oldest(self) -> datetime | None:
        """When the oldest of what is kept was found; None where nothing is."""
        return next((row.timestamp for row in self._rows()), None) if self else None

    def add(self, rows: Sequence[SystemHealth]) -> None:
        """Appends the rows, and waits for the disk. Raises OSError.

        What is beyond the bound goes, oldest first, and is told in the log: a half at a time, so that this is rare.
        """
        text = "".join(f"{json.dumps(_document(row), separators=(',', ':'))}\n" for row in rows)
        with open(self.path, "a", encoding="utf-8", opener=_for_owner_only) as file:
            # A line that a crash cut off must not swallow the next one.
            if file.tell() and not _ends_with_line(self.path):
                file.write("\n")
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if self.path.stat().st_size > self._most:
            self._drop_oldest()

    def write_back(self) -> int:
        """Stores everything, oldest first; returns how many rows. Raises DatabaseError: the file is then as it was, and
        what was stored already is not stored again.
        """
        if not self:
            return 0
        stored, rows = 0, self._rows()
        while batch := list(islice(rows, _BATCH)):
            stored += health.store(batch)
        self.clear()
        return stored

    def _rows(self) -> Iterator[SystemHealth]:
        with self.path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    yield _row(json.loads(line))
                except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                    # The machine went down while it was written: what is not whole can't be stored.
                    logger.warning("%s, line %d, is no health record and is left out: %r", self.path, number, error)

    def _drop_oldest(self) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = self.path.with_suffix(".kept")
        with open(kept, "wb", opener=_for_owner_only) as file:
            file.writelines(lines[len(lines) // 2 :])
            file.flush()
            os.fsync(file.fileno())
        kept.replace(self.path)
        logger.error(
            "%s was full (%d bytes): its %d oldest health records are lost", self.path, self._most, len(lines) // 2
        )


def _for_owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _ends_with_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _document(row: SystemHealth) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "component_name": row.component_name,
        "health_score": str(row.health_score),
        "status": str(row.status),
        "timestamp": row.timestamp.isoformat(),
        "response_ms": row.response_ms,
        "environment": row.environment,
        "metrics": row.metrics,
        "metadata": row.metadata,
    }


def _row(document: dict[str, Any]) -> SystemHealth:
    return SystemHealth(
        **{
            **document,
            "id": UUID(document["id"]),
            "health_score": Decimal(document["health_score"]),
            "timestamp": datetime.fromisoformat(document["timestamp"]),
        }
    )
