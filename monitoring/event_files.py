"""Files of events: JSON lines, CSV and Parquet, from the disk or from standard input, also compressed by gzip."""

from __future__ import annotations

import gzip
import hashlib
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from os import SEEK_END
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast

import arro3.core
import arro3.io
from django.db import models

from monitoring.event import Fields, InvalidEvent
from monitoring.event_blocks import Block, Form, Make, Refused, StoredRow, block_of
from monitoring.event_fields import csv_cells, csv_reader, from_values, shown, unusable
from monitoring.text_lines import Lines, Mark, Piece

STDIN = "-"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"


class FileFormat(models.TextChoices):
    JSONL = "jsonl", "JSON lines"
    CSV = "csv", "CSV"
    PARQUET = "parquet", "Parquet"


SUFFIXES = {
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".parquet": FileFormat.PARQUET,
}


class Unusable(Exception):
    """The file as a whole can't be read, or not on from here; the message names it."""


class EventFile(Protocol):
    """One input. `fraction` is how much of it was read, where that can be known."""

    @property
    def name(self) -> str: ...

    @property
    def format(self) -> FileFormat: ...

    @property
    def fraction(self) -> float | None: ...

    def check(self) -> None:
        """Raises Unusable where the file can't be read at all."""

    def blocks(self, after: Mark, form: Form) -> Iterator[Block]:
        """The rows behind the mark. Raises Unusable, also where what is before the mark has changed."""


def event_file(name: str, file_format: FileFormat | None = None) -> EventFile:
    """The file of that name (`-`: standard input). The format comes from the name where it is not given."""
    if not name.isprintable():
        # Bytes that are no UTF-8 among them; no database could record where the rows came from.
        raise Unusable(f"{ascii(name)[1:-1]}: the name holds characters that can't be printed; rename the file")
    chosen = file_format or _format_of(name)
    if chosen is None:
        raise Unusable(f"{name}: its name does not tell the format; say --format {'|'.join(FileFormat.values)}")
    if chosen == FileFormat.PARQUET:
        return ParquetFile(name)
    return TextFile(name, chosen)


def _format_of(name: str) -> FileFormat | None:
    if name == STDIN:
        return FileFormat.JSONL
    plain = name.lower().removesuffix(".gz")
    return next((known for suffix, known in SUFFIXES.items() if plain.endswith(suffix)), None)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turns what may happen while a file is read into Unusable."""
    try:
        yield
    except EOFError as error:
        raise Unusable(f"{name}: the gzip file ends in the middle") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Unusable(f"{name}: the gzip file is damaged ({error})") from error
    except OSError as error:
        raise Unusable(f"{name}: can't be read ({error.strerror or error})") from error


def _changed(name: str, after: Mark) -> Unusable:
    return Unusable(
        f"{name}: its first {after.lines:,} lines are not those that were taken in before. Run it without --resume:"
        " what is on record already is known by its id."
    )


@dataclass
class TextFile:
    """JSON lines or CSV: one row a line, in UTF-8."""

    name: str
    format: FileFormat
    _raw: BinaryIO | None = field(default=None, repr=False)
    _size: int = 0

    @property
    def fraction(self) -> float | None:
        return min(1.0, self._raw.tell() / self._size) if self._raw and self._size else None

    def check(self) -> None:
        # What comes through a pipe comes once.
        if self.name == STDIN or (Path(self.name).exists() and not Path(self.name).is_file()):
            return
        with _reading(self.name), self._open() as stream:
            self._header(Lines(stream).head())

    def blocks(self, after: Mark, form: Form) -> Iterator[Block]:
        with _reading(self.name), self._open() as stream:
            lines = Lines(stream)
            head = lines.head()
            make = self._maker(self._header(head), form)
            if after.offset:
                # It must be there still, byte for byte: else a line is not the row that it was.
                lines.skip(after.offset)
                if lines.mark != after:
                    raise _changed(self.name, after)
            elif self.format == FileFormat.CSV:
                lines.skip(head.find(b"\n") + 1 or len(head))
                if not lines.head().strip():
                    raise Unusable(f"{self.name}: has a header and no rows")
            elif head.startswith(BYTE_ORDER_MARK):
                lines.skip(len(BYTE_ORDER_MARK))
            for piece in lines.pieces():
                if piece.open_end and self.format == FileFormat.CSV:
                    yield _cut_off(piece, form)
                else:
                    yield block_of(piece, make, form)

    def _header(self, head: bytes) -> list[str]:
        """The columns of a table; none of JSON lines. Raises Unusable where such a file does not begin so."""
        if reason := _other_kind(head):
            raise Unusable(f"{self.name}: {reason}")
        if self.format == FileFormat.JSONL:
            return []
        first = head.removeprefix(BYTE_ORDER_MARK).partition(b"\n")[0]
        try:
            header = [name.strip() for name in csv_cells(first)]
        except InvalidEvent as error:
            raise Unusable(f"{self.name}: the header can't be read: {error}") from error
        if reason := unusable(header):
            raise Unusable(f"{self.name}: {reason}")
        return header

    def _maker(self, header: list[str], form: Form) -> Make:
        if self.format == FileFormat.JSONL:
            return form.row_of_json
        return partial(_row_of_csv, csv_reader(header), form.row)

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        if self.name == STDIN:
            if sys.stdin is None:
                raise Unusable("-: standard input is closed")
            yield self._plain(sys.stdin.buffer)
            return
        path = Path(self.name)
        if path.is_dir():
            raise Unusable(f"{self.name}: is a folder; name the files in it")
        with path.open("rb") as raw:
            self._raw, self._size = cast("BinaryIO", raw), path.stat().st_size
            try:
                yield self._plain(raw)
            finally:
                self._raw = None

    @staticmethod
    def _plain(raw: IO[bytes]) -> IO[bytes]:
        # By what is in it: names of compressed files vary. Looking takes nothing out of the buffer.
        if cast("Peekable", raw).peek(2)[:2] == GZIP:
            return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        return raw


def _cut_off(piece: Piece, form: Form) -> Block:
    """A last line of CSV that has no end: half a figure is a figure, and nothing tells that 400.5 was to be 400.55."""
    problem = InvalidEvent("row", shown(piece.data), "has no line end, so that it may be cut off")
    refused = Refused(piece.first, problem, piece.data.decode(errors="backslashreplace"))
    return Block(form.together([]), [], [] if piece.data.isspace() else [refused], piece.before)


class Peekable(Protocol):
    def peek(self, size: int, /) -> bytes: ...


def _row_of_csv(read: Callable[[bytes], Fields], row: Callable[[Fields], StoredRow], line: bytes) -> StoredRow:
    return row(read(line))


def _other_kind(head: bytes) -> str:
    """Why this beginning is not one of a text file with rows in it, or the empty string."""
    if not head.removeprefix(BYTE_ORDER_MARK).strip():
        return "is empty"
    if head.startswith(PARQUET):
        return "is a Parquet file; say --format parquet"
    if head[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "is text in UTF-16; UTF-8 is needed"
    return "is not text: it holds NUL bytes" if b"\0" in head else ""


@dataclass
class ParquetFile:
    """A table of events, read a thousand rows at a time. Its lines are its rows, from 1."""

    name: str
    format: FileFormat = FileFormat.PARQUET
    _rows: int = 0

    @property
    def fraction(self) -> float | None:
        # The number of rows stands at the end of the file, where the reader does not show it.
        return None

    def check(self) -> None:
        with _reading(self.name):
            self._table()

    def blocks(self, after: Mark, form: Form) -> Iterator[Block]:
        with _reading(self.name):
            table = self._table()
            columns = table.schema.names
            digest, size = self._digest()
            if after.offset and (size, digest) != (after.offset, after.digest):
                raise _changed(self.name, after)
            done = 0
            for batch in self._batches(table):
                first, done = done + 1, done + batch.num_rows
                if done > after.lines:
                    values = [_values(batch.column(place)) for place in range(len(columns))]
                    cells = list(zip(*values, strict=True))
                    skipped = max(0, after.lines - first + 1)
                    yield _table_block(columns, cells[skipped:], first + skipped, Mark(done, size, digest), form)
            if not done:
                raise Unusable(f"{self.name}: is empty")

    def _table(self) -> arro3.core.RecordBatchReader:
        path = Path(self.name)
        if self.name == STDIN:
            raise Unusable("-: Parquet is read from its end; it can't come from standard input")
        if path.is_dir():
            raise Unusable(f"{self.name}: is a folder; name the files in it")
        _refuse_incomplete(path)
        with _damage_refused(self.name):
            table = arro3.io.read_parquet(path)
        if reason := unusable(table.schema.names):
            raise Unusable(f"{self.name}: {reason}")
        return table

    def _batches(self, table: arro3.core.RecordBatchReader) -> Iterator[arro3.core.RecordBatch]:
        batches = iter(table)
        while True:
            with _damage_refused(self.name):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _digest(self) -> tuple[str, int]:
        with Path(self.name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def _refuse_incomplete(path: Path) -> None:
    """Here, because the package ends with a stack trace on standard error where the end of the file is missing."""
    with path.open("rb") as file:
        head = file.read(len(PARQUET))
        file.seek(0, SEEK_END)
        if head != PARQUET:
            raise Unusable(f"{path}: is {'not a Parquet file' if file.tell() else 'empty'}")
        file.seek(-len(PARQUET), SEEK_END)
        if file.read() != PARQUET:
            raise Unusable(f"{path}: the Parquet file ends in the middle")


@contextmanager
def _damage_refused(name: str) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit, OSError, Unusable):
        raise
    except BaseException as error:
        # The package raises plain Exception, and where its Rust code panics something that is none.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise Unusable(f"{name}: the Parquet file is damaged ({reason})") from error


class _NoValue:
    """A cell that Python has no value for, such as a day in the year 26059: no field of an event takes it."""

    def __init__(self, reason: Exception) -> None:
        self._reason = reason

    def __repr__(self) -> str:
        return f"({self._reason})"


def _values(column: arro3.core.Array) -> list[object]:
    try:
        return list(column.to_pylist())
    except Exception:  # noqa: BLE001  # what the package raises, for instance where it does not know the zone
        return [_value(column[place]) for place in range(len(column))]


def _value(cell: arro3.core.Scalar) -> object:
    try:
        return cast("object", cell.as_py())
    except Exception as error:  # noqa: BLE001  # as above
        return _NoValue(error)


def _table_block(columns: list[str], cells: list[tuple[object, ...]], first: int, mark: Mark, form: Form) -> Block:
    rows: list[StoredRow] = []
    lines: list[int] = []
    refused: list[Refused] = []
    for number, values in enumerate(cells, start=first):
        named = dict(zip(columns, values, strict=True))
        try:
            rows.append(form.row(from_values(named)))
            lines.append(number)
        except InvalidEvent as error:
            text = ", ".join(f"{name}={value}" for name, value in named.items())
            refused.append(Refused(number, error, text))
    return Block(form.together(rows), lines, refused, mark)
