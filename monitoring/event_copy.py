"""Events in PostgreSQL's binary COPY format, which the server reads with the least work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from math import copysign
from struct import Struct
from typing import Any
from uuid import UUID

import msgspec

from monitoring.event import (
    Fields,
    InvalidEvent,
    given_identity,
    identity_of,
    json_of,
    microseconds_of,
    price_text,
    row_of,
    volume_text,
)
from monitoring.event import words as checked_words
from monitoring.event_blocks import Form
from monitoring.event_fields import from_json

# The order in which rows hold them.
COLUMNS = ("id", "timestamp", "price", "volume", "symbol", "event_type", "source", "level", "metadata")
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# A row begins with the number of its columns and the length of its id.
IDENTITY = slice(6, 22)
_BEFORE_FIGURES = 34

# PostgreSQL counts its microseconds from 2000 on.
_EPOCH_2000 = 946_684_800_000_000
_NULL = b"\xff\xff\xff\xff"
# Number of columns; length and value of the id; length and value of the time.
_start = Struct(">hi16siq").pack
# Length; count of digits, weight, sign, decimals; five digits to the base of 10000, of which two are behind the point.
_digits = Struct(">ihhHhhhhhh").pack
_length = Struct(">i")
# A jsonb value begins with the version of its format.
_document = Struct(">ib").pack
_EMPTY = _document(3, 1) + b"{}"

# What a figure adds to the text that makes the id, and its column.
_Figure = tuple[bytes, bytes]
_NOTHING: _Figure = (b"None\x1f", _NULL)

# Below this a float has room for six decimals behind the point and more.
_EXACT_BELOW = 1e9
_LONGEST_PLAIN = 32
_FIGURES_KEPT = 49_152


class _Plain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A line of JSON read as quickly as it can be: no decimals, no enumerations. Like `Fields` in all else."""

    symbol: str
    event_type: str
    timestamp: datetime
    price: float | str | None = None
    volume: float | str | None = None
    source: str = ""
    level: str = "info"
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    id: UUID | None = None


_decode = msgspec.json.Decoder(_Plain).decode


@dataclass(frozen=True)
class CopyRows:
    """Rows of a COPY, one behind the other."""

    count: int
    data: bytes

    def __len__(self) -> int:
        return self.count

    def each(self) -> Iterator[bytes]:
        """Row by row, which takes its time: each column's length is read."""
        begin = 0
        while begin < len(self.data):
            end = begin + 2
            for _ in COLUMNS:
                (length,) = _length.unpack_from(self.data, end)
                end += 4 + max(length, 0)
            yield self.data[begin:end]
            begin = end


def symbol_of(row: bytes) -> str:
    """Of a row as `each` gives it: the first text behind id, time, price and volume."""
    at = _BEFORE_FIGURES
    for _ in ("price", "volume"):
        (length,) = _length.unpack_from(row, at)
        at += 4 + max(length, 0)
    (length,) = _length.unpack_from(row, at)
    return row[at + 4 : at + 4 + length].decode()


def together(rows: list[bytes]) -> CopyRows:
    return CopyRows(len(rows), b"".join(rows))


def packed(event: Fields) -> bytes:
    """The row of the event: what `row_of` says, by the same rules. Raises InvalidEvent."""
    price, volume = event.price, event.volume
    try:
        return _row(
            event,
            # A signalling NaN can't be looked up.
            _NOTHING if price is None else _price(price) if price.is_finite() else _figure(price_text(price)),
            _NOTHING if volume is None else _volume(volume) if volume.is_finite() else _figure(volume_text(volume)),
        )
    except InvalidEvent:
        # Of several mistakes everybody tells the same one.
        row_of(event)
        raise


def packed_json(line: bytes) -> bytes:
    """The row of a line of JSON: what `packed(from_json(line))` says, in half the time. Raises InvalidEvent.

    Whatever is not plain, and whatever is wrong, goes the long way.
    """
    try:
        event = _decode(line)
        price, volume = event.price, event.volume
        price_said = _NOTHING if price is None else _seen[price]
        volume_said = _NOTHING if volume is None else _seen[volume]
        # A negative volume is refused even where it is too small for a float and rounded to nothing.
        if price_said and volume_said and not (isinstance(volume, float) and copysign(1, volume) < 0):
            return _row(event, price_said, volume_said)
    except (msgspec.MsgspecError, InvalidEvent, ValueError, RecursionError):
        pass
    return packed(from_json(line))


def _row(event: Fields | _Plain, price: _Figure, volume: _Figure) -> bytes:
    start, words = _words(event.symbol, event.event_type, event.source, event.level)
    at = microseconds_of(event.timestamp)
    if event.metadata:
        said = json_of(event.metadata).encode()
        document = _document(len(said) + 1, 1) + said
    else:
        said, document = b"{}", _EMPTY
    if event.id is None:
        identity = identity_of(b"".join((start, price[0], volume[0], said)), at)
    else:
        identity = given_identity(event.id, event.timestamp)
    return b"".join((_start(9, 16, identity, 8, at - _EPOCH_2000), price[1], volume[1], words, document))


@lru_cache(maxsize=8192)
def _words(symbol: str, event_type: str, source: str, level: str) -> tuple[bytes, bytes]:
    """The beginning of what makes the id, and the columns. The same few words come again and again."""
    kind, grade = checked_words(symbol, event_type, source, level)
    columns = [word.encode() for word in (symbol, kind, source, grade)]
    start = f"{source}\x1f{symbol}\x1f{kind}\x1f".encode()
    return start, b"".join(_length.pack(len(data)) + data for data in columns)


@lru_cache(maxsize=32768)
def _price(price: Decimal) -> _Figure:
    return _figure(price_text(price))


@lru_cache(maxsize=16384)
def _volume(volume: Decimal) -> _Figure:
    return _figure(volume_text(volume))


class _Seen(dict[float | str, "_Figure | None"]):
    """What `_plain` says of figures, which come again and again; a hit costs less here than in lru_cache."""

    def __missing__(self, figure: float | str) -> _Figure | None:
        if len(self) >= _FIGURES_KEPT:
            self.clear()
        found = self[figure] = _plain(figure)
        return found


_seen = _Seen()


def _plain(figure: float | str) -> _Figure | None:
    """A figure that a float holds as the text said it, to six decimals; None where it may have been another one.

    A float from which millionths can be read and made again stands for texts that differ from these millionths by less
    than half its own last place, which below 10⁹ is far less than half a millionth: all of them are rounded to these.
    """
    if isinstance(figure, str):
        return _plain_text(figure)
    if not -_EXACT_BELOW < figure < _EXACT_BELOW:
        return None
    millionths = round(figure * 1e6)
    if millionths / 1e6 != figure:
        return None
    # There is one zero.
    return b"%.6f\x1f" % (figure + 0.0), _numeric(millionths)


def _plain_text(figure: str) -> _Figure | None:
    # Not such as would fill the cache with long texts; and whether a figure is negative is told from it as rounded.
    if len(figure) > _LONGEST_PLAIN or "-" in figure:
        return None
    try:
        return _figure(price_text(Decimal(figure)))
    except (InvalidEvent, InvalidOperation):
        return None


def _figure(text: str) -> _Figure:
    return f"{text}\x1f".encode(), _numeric(int(text.replace(".", "")))


def _numeric(millionths: int) -> bytes:
    """At most eleven digits before the point."""
    number, sign = (millionths * 100, 0) if millionths >= 0 else (-millionths * 100, 0x4000)
    number, fifth = divmod(number, 10000)
    number, fourth = divmod(number, 10000)
    number, third = divmod(number, 10000)
    first, second = divmod(number, 10000)
    # The server drops leading zeros.
    return _digits(18, 5, 2, sign, 6, first, second, third, fourth, fifth)


FORM = Form(row=packed, row_of_json=packed_json, together=together)
