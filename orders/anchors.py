"""Anchors: the heads of all trails, written down outside the database: its key is not enough to rewrite them unseen.

One line of JSON holds up to 1000 orders whose trail has grown since the line before: (id, number of events, seal of
the last). Each line is sealed, and names the seal of the line before it; the last of a run says how many there are.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from django.db import transaction

from emo_site.db.aliases import PRIMARY_ALIAS
from orders import audit_keys
from orders.models import StagedOrder
from orders.seals import seal_anchor

logger = logging.getLogger("emo.audit")

_PER_LINE = 1000
_READ_AT_ONCE = 5000
_COUNTED_AT_ONCE = 1 << 20

_Head = tuple[UUID, int, str]


class NotAnchored(Exception):
    """The file is not as it was written, and nothing was added to it; the message says what and where."""


@dataclass(frozen=True, kw_only=True)
class Anchored:
    """What was written down of one order: its trail had `events` events, and `head` was the seal of the last."""

    order_id: UUID
    events: int
    head: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Anchoring:
    """One run. `seal` is the last line's: with it at hand, no line up to there can be changed or cut off."""

    at: datetime
    orders: int
    events: int
    changed: int
    seal: str


@dataclass(kw_only=True)
class Anchors:
    """A file of anchors that was read. What it names lies in a database of its own, on disk: it may be a million."""

    path: Path
    heads: sqlite3.Connection = field(repr=False)
    problems: list[str] = field(default_factory=list)
    """What is wrong with the file itself."""
    seal: str = ""
    """The last line's."""
    last_at: str = ""
    _unread: int = 0

    def in_order(self, of: Iterable[UUID] | None = None) -> Iterator[Anchored]:
        """By order, then by number of events."""
        wanted = None if of is None else set(of)
        for identifier, events, head, at in self.heads.execute("SELECT * FROM heads ORDER BY order_id, events"):
            if wanted is None or UUID(identifier) in wanted:
                yield Anchored(order_id=UUID(identifier), events=events, head=head, at=at)

    def latest(self) -> Iterator[_Head]:
        """What was written down last, of each order, by order."""
        # SQLite takes the other columns from the row that has the maximum.
        latest = "SELECT order_id, events, head, max(rowid) FROM heads GROUP BY order_id ORDER BY order_id"
        for identifier, events, head, _ in self.heads.execute(latest):
            yield UUID(identifier), events, head

    def take(self, number: int, text: str, keys: Sequence[bytes]) -> None:
        try:
            line = json.loads(text)
            told = {name: line[name] for name in line if name != "seal"}
            seal, previous, at = str(line["seal"]), str(line["previous"]), str(line["at"])
            heads = [(UUID(each).hex, int(events), str(head), at) for each, events, head in line["changed"]]
        except (ValueError, TypeError, KeyError, AttributeError):
            # Cut off by a loss of power, if the next line follows from the one before.
            self._unread = self._unread or number
            return
        if not any(seal_anchor(key, told) == seal for key in keys):
            self.problems.append(f"line {number}: its seal does not follow from what it says")
            return
        if previous != self.seal:
            self.problems.append(f"line {number}: it does not follow from the line before it")
        self._unread, self.seal, self.last_at = 0, seal, at
        self.heads.executemany("INSERT INTO heads VALUES (?, ?, ?, ?)", heads)

    def believe(self, text: str) -> None:
        """Takes the line's word for the seal of the one before it, which is not read."""
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            self.seal = str(json.loads(text)["previous"])

    def end(self) -> None:
        if self._unread:
            self.problems.append(f"line {self._unread}: it can't be read")


@contextmanager
def read(path: Path, *, last_bytes: int | None = None) -> Iterator[Anchors]:
    """Raises OSError where the file can't be read. A last line without its end is still being written: it is left.

    With `last_bytes` only the end of the file is read, and its first line is believed to follow from what is not read.
    """
    heads = sqlite3.connect("")
    try:
        heads.execute("CREATE TABLE heads (order_id TEXT, events INTEGER, head TEXT, at TEXT)")
        anchors, keys = Anchors(path=path, heads=heads), audit_keys.every()
        with path.open("rb") as file:
            before = _skip(file, last_bytes)
            for number, line in enumerate(file, start=before + 1):
                text = line.decode("utf-8", errors="replace")
                if not text.endswith("\n"):
                    continue
                if before and number == before + 1:
                    anchors.believe(text)
                anchors.take(number, text, keys)
        anchors.end()
        yield anchors
    finally:
        heads.close()


def _skip(file: IO[bytes], last_bytes: int | None) -> int:
    """Goes to the first whole line of the last bytes; returns how many lines lie before it."""
    size = os.fstat(file.fileno()).st_size
    if last_bytes is None or size <= last_bytes:
        return 0
    lines, left = 0, size - last_bytes
    while left:
        # Counted, so that a line is named by the number that it has in the file.
        part = file.read(min(left, _COUNTED_AT_ONCE))
        lines, left = lines + part.count(b"\n"), left - len(part)
    file.readline()
    return lines + 1


def append(path: Path, *, now: datetime) -> Anchoring:
    """Writes down every order whose trail has grown since the file's last line. Raises NotAnchored, and OSError.

    The file is only ever added to, and is on disk when this returns.
    """
    with _opened(path) as file, read(path) as anchors:
        if anchors.problems:
            raise NotAnchored(f"{path}: {anchors.problems[0]}. Keep it, move it away, and anchor into a new file.")
        # What a loss of power left of a line must not become part of the next.
        size = os.fstat(file.fileno()).st_size
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
            file.write("\n")
        done = _write(file, anchors, now=now)
        file.flush()
        os.fsync(file.fileno())
    logger.info("anchored %d orders with %d events, %d changed: %s", done.orders, done.events, done.changed, done.seal)
    return done


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """The file, one writer at a time, made readable for its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if is_new:
            _sync_folder(path.parent)
        yield file


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(file: IO[str], anchors: Anchors, *, now: datetime) -> Anchoring:
    orders, events, changed, seal = 0, 0, 0, anchors.seal
    pending: list[_Head] = []
    for head, is_new in _compared(_heads(), anchors.latest()):
        orders, events = orders + 1, events + head[1]
        if not is_new:
            continue
        changed += 1
        pending.append(head)
        if len(pending) == _PER_LINE:
            seal = _line(file, pending, at=now, previous=seal)
            pending = []
    seal = _line(file, pending, at=now, previous=seal, orders=orders, events=events)
    return Anchoring(at=now, orders=orders, events=events, changed=changed, seal=seal)


def _line(file: IO[str], heads: Iterable[_Head], *, at: datetime, previous: str, **totals: int) -> str:
    line: dict[str, Any] = {
        "at": at.astimezone(UTC).isoformat(),
        "changed": [[str(identifier), events, head] for identifier, events, head in heads],
        "previous": previous,
        **totals,
    }
    seal = seal_anchor(audit_keys.current(), line)
    file.write(json.dumps({**line, "seal": seal}) + "\n")
    return seal


def _heads() -> Iterator[_Head]:
    """Of every order, as of one moment, by order."""
    orders = StagedOrder.objects.using(PRIMARY_ALIAS).order_by("pk").values_list("pk", "event_count", "audit_head")
    # A server's cursor outside a transaction would first copy all of it.
    with transaction.atomic(using=PRIMARY_ALIAS):
        yield from orders.iterator(chunk_size=_READ_AT_ONCE)


def _compared(heads: Iterator[_Head], latest: Iterator[_Head]) -> Iterator[tuple[_Head, bool]]:
    """Each head, and whether it is not what was written down last. Both come by order."""
    known = next(latest, None)
    for head in heads:
        while known is not None and known[0] < head[0]:
            known = next(latest, None)
        yield head, head != known
