"""A stream of bytes as pieces of whole lines, with a mark to go on from. Memory does not grow with the stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

# Bytes.
BLOCK = 256 * 1024
LONGEST_LINE = 1024 * 1024


@dataclass(frozen=True)
class Mark:
    """How far a file was read: whole lines (rows of Parquet), bytes after decompression, and their SHA-256."""

    lines: int = 0
    offset: int = 0
    digest: str = ""


@dataclass(frozen=True)
class Piece:
    """Some lines, of which `first` is the number of the first one, from 1.

    `length` is that of a single line which is too long: then `data` is only its beginning. `before` is the mark in
    front of the piece, `after` the one behind it. `open_end`: the file ends without the end of this line.
    """

    first: int
    data: bytes
    before: Mark
    after: Mark
    length: int = 0
    open_end: bool = False


class Lines:
    """Reads from `stream`, which gives bytes and may raise whatever a stream raises."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._held = b""
        self._digest = hashlib.sha256()
        self._lines = 0
        self._offset = 0

    @property
    def mark(self) -> Mark:
        return Mark(self._lines, self._offset, self._digest.hexdigest())

    def head(self) -> bytes:
        """The first block, which stays to be read."""
        while len(self._held) < BLOCK and self._more():
            pass
        return self._held

    def skip(self, length: int) -> None:
        """Passes over that many bytes, or over all there are."""
        while length and (self._held or self._more()):
            length -= len(self._take(min(length, len(self._held))))

    def pieces(self) -> Iterator[Piece]:
        while self._held or self._more():
            end = self._held.rfind(b"\n") + 1
            if end:
                yield self._piece(end)
            elif len(self._held) > LONGEST_LINE:
                yield self._too_long()
            elif not self._more():
                yield self._piece(len(self._held), open_end=True)
                # Where the file has grown meanwhile, what follows is the rest of that line and no line.
                return

    def _piece(self, length: int, *, open_end: bool = False) -> Piece:
        before = self.mark
        data = self._take(length)
        return Piece(before.lines + 1, data, before, self.mark, open_end=open_end)

    def _too_long(self) -> Piece:
        before = self.mark
        start = self._take(len(self._held))
        length = len(start)
        while self._held or self._more():
            end = self._held.find(b"\n") + 1
            length += len(self._take(end or len(self._held)))
            if end:
                break
        return Piece(before.lines + 1, start, before, self.mark, length=length)

    def _more(self) -> bool:
        read = self._stream.read(BLOCK)
        self._held += read
        return bool(read)

    def _take(self, length: int) -> bytes:
        taken, self._held = self._held[:length], self._held[length:]
        self._digest.update(taken)
        self._lines += taken.count(b"\n")
        self._offset += length
        return taken
