"""The body of one request becomes market events on record: all that are events or, where it raises, none.

JSON lines are read as a file of them is (monitoring/ingest.py), a JSON array at once; both may be compressed by gzip.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Protocol, cast

import msgspec
from django.db import models

from monitoring.event import InvalidEvent
from monitoring.event_blocks import Block, Form, Refused, StoredRow, block_of
from monitoring.events import Writer
from monitoring.quarantine import Quarantine
from monitoring.text_lines import Lines, Mark

# Bytes after decompression, and as they are sent. An array is in memory as a whole, and once more in its parts.
LARGEST_LINES = 16 * 1024 * 1024
LARGEST_ARRAY = 4 * 1024 * 1024
# Whoever sends more of them sends something else than events.
MOST_REFUSED = 1000


class BodyKind(models.TextChoices):
    """By media type."""

    ARRAY = "application/json", "a JSON array"
    LINES = "application/x-ndjson", "JSON lines"

    @property
    def largest(self) -> int:
        return LARGEST_LINES if self == BodyKind.LINES else LARGEST_ARRAY


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class TooLarge(Exception):
    """The body is longer than is taken, as it was sent or once decompressed; the message says what is."""


class Unreadable(Exception):
    """The body as a whole is not what it says it is; the message says what is wrong."""


class NoEvents(Exception):
    """None of the rows is an event, or too many are not: nothing was taken in. `refused` says why, of each."""

    def __init__(self, message: str, refused: tuple[Refused, ...]) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of a body: rows that are new on record, rows that were known, and rows that are no events."""

    new: int
    known: int
    refused: tuple[Refused, ...]

    @property
    def received(self) -> int:
        return self.new + self.known + len(self.refused)


def take_in(stream: Stream, *, length: int, kind: BodyKind, gzipped: bool, source: str, quarantine: Path) -> Taken:
    """`length` is the one that the request states, in bytes. Rows that are no events are added to the file
    `quarantine`, as those of `source`. Raises TooLarge, Unreadable, NoEvents; Django's database errors, and OSError
    where the file can't be written: outside of a transaction the events are on record then.
    """
    writer = Writer()
    blocks = list(_bounded(_blocks(_opened(stream, length, kind, gzipped=gzipped), kind, writer.form)))
    refused = tuple(chain.from_iterable(block.refused for block in blocks))
    rows = [block.rows for block in blocks if len(block.rows)]
    if refused and not rows:
        raise NoEvents(f"none of the {len(refused):,} rows is an event", refused)
    written = writer.write(rows)
    Quarantine(quarantine, source=source).add(refused)
    return Taken(new=written.new, known=written.known, refused=refused)


def _bounded(blocks: Iterator[Block]) -> Iterator[Block]:
    refused: list[Refused] = []
    for block in blocks:
        refused += block.refused
        if len(refused) > MOST_REFUSED:
            raise NoEvents(f"more than {MOST_REFUSED:,} rows are no events", tuple(refused[:MOST_REFUSED]))
        yield block


def _blocks(stream: Stream, kind: BodyKind, form: Form) -> Iterator[Block]:
    try:
        if kind == BodyKind.LINES:
            for piece in Lines(cast("IO[bytes]", stream)).pieces():
                yield block_of(piece, form.row_of_json, form)
            return
        yield _block_of_array(_whole(stream), form)
    except EOFError as error:
        raise Unreadable("the gzip data ends in the middle") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Unreadable(f"the gzip data is damaged ({error})") from error


def _whole(stream: Stream) -> bytes:
    return b"".join(iter(lambda: stream.read(256 * 1024), b""))


def _block_of_array(text: bytes, form: Form) -> Block:
    try:
        items = msgspec.json.decode(text, type=list[msgspec.Raw])
    except msgspec.ValidationError as error:
        raise Unreadable("must be a JSON array of events") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"is not JSON: {error}") from error
    rows: list[StoredRow] = []
    lines: list[int] = []
    refused: list[Refused] = []
    for number, item in enumerate(items, start=1):
        line = bytes(item)
        try:
            rows.append(form.row_of_json(line))
            lines.append(number)
        except InvalidEvent as error:
            refused.append(Refused(number, error, line.decode(errors="backslashreplace")))
            if len(refused) > MOST_REFUSED:
                break
    return Block(form.together(rows), lines, refused, Mark(len(items), len(text)))


def _opened(stream: Stream, length: int, kind: BodyKind, *, gzipped: bool) -> Stream:
    largest = kind.largest
    if length > largest:
        raise TooLarge(f"{length:,} bytes: at most {largest:,} of {kind.label} are taken at a time")
    sent = _Sent(stream, length)
    if not gzipped:
        return sent
    # Decompressed some at a time: what a few bytes would become is never in memory.
    return _NoMore(cast("Stream", gzip.GzipFile(fileobj=cast("IO[bytes]", sent))), largest, kind.label)


class _Sent:
    """What the request states to send, and no less."""

    def __init__(self, stream: Stream, length: int) -> None:
        self._stream, self._left = stream, length

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._left))
        if self._left and not data:
            raise Unreadable(f"the body ends {self._left:,} bytes before the length that was stated")
        self._left -= len(data)
        return data


class _NoMore:
    def __init__(self, stream: Stream, largest: int, what: str) -> None:
        self._stream, self._left, self._largest, self._what = stream, largest, largest, what

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(f"more than {self._largest:,} bytes once decompressed: so many of {self._what} are taken")
        return data
