"""Pieces of a file become blocks of rows ready to be written; a large file's in a process beside this one."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, Protocol

from monitoring.event import Fields, InvalidEvent
from monitoring.text_lines import LONGEST_LINE, Mark, Piece

# Characters of a row that are kept where it is too long to be kept.
EXCERPT = 1024
# Pieces that are read here before it is worth starting a process: about 4 MB, a tenth of a second. One is enough: the
# server's part of the work takes longer.
BEFORE_PROCESS = 16

# An event as its writer wants it.
StoredRow = Any
# Of a line of a file; raises InvalidEvent.
Make = Callable[[bytes], StoredRow]


class Rows(Protocol):
    """Some rows of one writer."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a writer wants its rows. All are functions that pickle knows by name; the first two raise InvalidEvent."""

    row: Callable[[Fields], StoredRow]
    # Of a line of JSON.
    row_of_json: Make
    together: Callable[[list[StoredRow]], Rows]


class ReaderLost(Exception):
    """The process that validates rows has ended; what was not handed over is not on record."""


@dataclass(frozen=True)
class Refused:
    """A row that is no event."""

    line: int
    problem: InvalidEvent
    text: str


@dataclass(frozen=True)
class Block:
    """The next rows of a file. `lines` has the line of each row; `mark` is where the block ends."""

    rows: Rows
    lines: Sequence[int]
    refused: list[Refused]
    mark: Mark


def blocks_of(pieces: Iterator[Piece], make: Make, form: Form) -> Iterator[Block]:
    """The blocks in the order of the pieces. `make` must be such that pickle knows it by name."""
    for piece in islice(pieces, BEFORE_PROCESS):
        yield block_of(piece, make, form)
    more = next(pieces, None)
    if more is not None:
        yield from _by_process(more, pieces, make, form)


def block_of(piece: Piece, make: Make, form: Form) -> Block:
    rows: list[StoredRow] = []
    lines: list[int] = []
    refused: list[Refused] = []
    if piece.length:
        problem = InvalidEvent("row", f"{piece.length:,} bytes", f"is longer than {LONGEST_LINE:,} bytes")
        refused.append(Refused(piece.first, problem, piece.data[:EXCERPT].decode(errors="backslashreplace")))
        return Block(form.together(rows), lines, refused, piece.after)
    whole = piece.data.removesuffix(b"\n").split(b"\n")
    try:
        # Nearly always all of them are events.
        good = [make(line) for line in whole]
        return Block(form.together(good), range(piece.first, piece.first + len(good)), refused, piece.after)
    except InvalidEvent:
        pass
    for number, line in enumerate(whole, start=piece.first):
        try:
            rows.append(make(line))
            lines.append(number)
        except InvalidEvent as error:
            # Blank lines are none of anybody's rows; nearly all lines are not, so this is asked last.
            if line and not line.isspace():
                refused.append(Refused(number, error, line.decode(errors="backslashreplace")))
    # A last line that is cut off may be whole the next time.
    mark = piece.before if piece.open_end and refused else piece.after
    return Block(form.together(rows), lines, refused, mark)


def _by_process(first: Piece, rest: Iterator[Piece], make: Make, form: Form) -> Iterator[Block]:
    """It has one piece at a time: who only ever answers can't block the one who asks."""
    with _Reader(make, form) as reader:
        reader.ask(first)
        more: Piece | None = first
        while more is not None:
            more = next(rest, None)
            block = reader.answer()
            if more is not None:
                reader.ask(more)
            yield block


class _Reader:
    def __init__(self, make: Make, form: Form) -> None:
        # Not forked: this process has threads and connections.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(theirs, make, form), daemon=True, name="read rows")
        self._process.start()
        # Kept open here it would hide that the process has ended.
        theirs.close()

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def ask(self, piece: Piece) -> None:
        with _lost():
            self._pipe.send(piece)

    def answer(self) -> Block:
        with _lost():
            block: Block = self._pipe.recv()
            return block


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise ReaderLost("the process that validates rows has ended") from error


def _answer(pipe: Connection, make: Make, form: Form) -> None:
    """What the process does. It ends with the one that asks, even if that was killed."""
    # Ctrl-C goes to all of a terminal's processes; the one that asks decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            pipe.send(block_of(pipe.recv(), make, form))
    except (EOFError, OSError):
        return
