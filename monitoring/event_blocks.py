"""Pieces of a file become blocks of rows ready to be written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from monitoring.event import Fields, InvalidEvent
from monitoring.text_lines import LONGEST_LINE, Mark, Piece

# Characters of a row that are kept where it is too long to be kept.
EXCERPT = 1024

# An event as its writer wants it.
StoredRow = Any
# Of a line of a file; raises InvalidEvent.
Make = Callable[[bytes], StoredRow]


class Rows(Protocol):
    """Some rows of one writer."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a writer wants its rows. The first two raise InvalidEvent."""

    row: Callable[[Fields], StoredRow]
    # Of a line of JSON.
    row_of_json: Make
    together: Callable[[list[StoredRow]], Rows]


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
