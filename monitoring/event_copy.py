"""Events in PostgreSQL's binary COPY format, which the server reads with the least work."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from struct import Struct

from monitoring.event import Fields, given_identity, identity_of, json_of, microseconds_of, price_text, volume_text
from monitoring.event import words as checked_words

# The order in which `packed` writes them.
COLUMNS = ("id", "timestamp", "price", "volume", "symbol", "event_type", "source", "level", "metadata")
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

# PostgreSQL counts its microseconds from 2000 on.
_EPOCH_2000 = 946_684_800_000_000
_NULL = b"\xff\xff\xff\xff"
# Number of columns; length and value of the id; length and value of the time.
_start = Struct(">hi16siq").pack
# Length; count of digits, weight, sign, decimals; five digits to the base of 10000, of which two are behind the point.
_digits = Struct(">ihhHhhhhhh").pack
_length = Struct(">i").pack
# A jsonb value begins with the version of its format.
_document = Struct(">ib").pack
_NOTHING = ("None", _NULL)
_EMPTY = _document(3, 1) + b"{}"


def packed(event: Fields) -> tuple[bytes, bytes]:
    """The id of the event, and its row: what `row_of` says, by the same rules. Raises InvalidEvent."""
    start, words = _words(event.symbol, event.event_type, event.source, event.level)
    at = microseconds_of(event.timestamp)
    price, volume = event.price, event.volume
    # A signalling NaN can't be looked up; the rule for it is in price_text and volume_text.
    price_said, price_data = _NOTHING if price is None else _price(price if price.is_finite() else price_text(price))
    volume_said, volume_data = (
        _NOTHING if volume is None else _volume(volume if volume.is_finite() else volume_text(volume))
    )
    if event.metadata:
        said = json_of(event.metadata)
        data = said.encode()
        document = _document(len(data) + 1, 1) + data
    else:
        said, document = "{}", _EMPTY
    if event.id is None:
        identity = identity_of(f"{start}{price_said}\x1f{volume_said}\x1f{said}", at)
    else:
        identity = given_identity(event.id, event.timestamp)
    start_data = _start(9, 16, identity, 8, at - _EPOCH_2000)
    return identity, b"".join((start_data, price_data, volume_data, words, document))


@lru_cache(maxsize=8192)
def _words(symbol: str, event_type: str, source: str, level: str) -> tuple[str, bytes]:
    """The beginning of what makes the id, and the columns. The same few words come again and again."""
    kind, grade = checked_words(symbol, event_type, source, level)
    columns = [word.encode() for word in (symbol, kind, source, grade)]
    return f"{source}\x1f{symbol}\x1f{kind}\x1f", b"".join(_length(len(data)) + data for data in columns)


@lru_cache(maxsize=32768)
def _price(price: Decimal) -> tuple[str, bytes]:
    text = price_text(price)
    return text, _figure(text)


@lru_cache(maxsize=16384)
def _volume(volume: Decimal) -> tuple[str, bytes]:
    text = volume_text(volume)
    return text, _figure(text)


def _figure(text: str) -> bytes:
    """A number with six decimals and at most eleven digits before them."""
    number = int(text.replace(".", "")) * 100
    sign = 0
    if number < 0:
        number, sign = -number, 0x4000
    number, fifth = divmod(number, 10000)
    number, fourth = divmod(number, 10000)
    number, third = divmod(number, 10000)
    first, second = divmod(number, 10000)
    # The server drops leading zeros.
    return _digits(18, 5, 2, sign, 6, first, second, third, fourth, fifth)
