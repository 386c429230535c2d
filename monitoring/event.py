"""One market event as values, the rules it must keep, and the form in which it is stored. No database here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]  # not in typeshed
from struct import Struct
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec

from emo_site.db.json_documents import problem
from emo_site.db.uuid7 import uuid7
from monitoring.choices import EventLevel, EventType

# A tenth of what the columns hold: SQLite keeps fifteen digits, and a figure rounded up to one more can't be read.
MAX_FIGURE = Decimal(10) ** 11
STEP = Decimal("1e-6")
# Long before any event; ids made from a time begin in 1970.
EARLIEST_YEAR = 1971
# Python knows no year 10000, and a row that can't be read stops every list that it is in. One year is left for zones.
LATEST_YEAR = 9998
SYMBOL_LENGTH = 32
SOURCE_LENGTH = 64
# Levels of metadata. Python gives up after some hundred, and sooner where it reads the row from deep inside a page.
DEEPEST = 100

_TOO_DEEP = f"is nested deeper than {DEEPEST} levels"
_LARGEST = MAX_FIGURE - STEP
_SMALLEST = -_LARGEST
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A time after this is not before 1971 in any zone.
_SAFE = 366 * 86400 * 1_000_000
_MICROSECOND = timedelta(microseconds=1)
_TOO_LATE = (datetime(LATEST_YEAR + 1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
# The two halves of a UUIDv7: its version stands in the first one, its variant in the second.
_VERSION = 0x7000
_VARIANT, _TAIL = 0b10 << 62, (1 << 62) - 1
_halves = Struct(">QQ").pack
_beginning_of_digest = Struct(">Q24x").unpack


def _not_json(value: object) -> str:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


# What json.dumps(…, sort_keys=True, allow_nan=False) runs inside; made once, it takes a third of the time. It does not
# look for a mapping that holds itself: that ends as RecursionError. Absent on interpreters without the C module.
_pieces: Callable[[object, int], Iterable[str]] = (
    c_make_encoder(None, _not_json, encode_basestring_ascii, None, ": ", ", ", True, False, False)
    if c_make_encoder is not None
    else lambda value, _indent: (json.dumps(value, sort_keys=True, allow_nan=False),)
)


class InvalidEvent(ValueError):
    """The message names field, value and rule; so do the attributes, the value as it is shown."""

    def __init__(self, field: str, value: str, rule: str) -> None:
        super().__init__(f"{field}={value}: {rule}")
        self.field = field
        self.value = value
        self.rule = rule


class Fields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The fields of an event, of the right types and not yet held against the rules: what a line of a file becomes."""

    symbol: str
    event_type: EventType
    timestamp: datetime
    price: Decimal | None = None
    volume: Decimal | None = None
    source: str = ""
    level: EventLevel = EventLevel.INFO
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    id: UUID | None = None


class Event(Fields, frozen=True, kw_only=True):
    """One market event as values. `price` and `volume` mean what `event_type` says. Raises InvalidEvent.

    `id` is for rows that have one already (an export of this table); else it is made from the other fields.
    """

    def __post_init__(self) -> None:
        row_of(self)

    @property
    def identity(self) -> UUID:
        """The same event from the same source has the same id, so that recording it twice changes nothing."""
        return UUID(bytes=row_of(self).id)


class Row(NamedTuple):
    """An event as it is stored: figures rounded to six places, as text; metadata as JSON with sorted keys."""

    id: bytes
    # Since 1970.
    microseconds: int
    symbol: str
    event_type: str
    price: str | None
    volume: str | None
    source: str
    level: str
    metadata: str


# ---- the rules, each once; they are written to be quick where all is well, for millions of rows come through ---------


def row_of(event: Fields) -> Row:
    """The event as it is stored. Raises InvalidEvent."""
    event_type, level = words(event.symbol, event.event_type, event.source, event.level)
    at = microseconds_of(event.timestamp)
    price = None if event.price is None else price_text(event.price)
    volume = None if event.volume is None else volume_text(event.volume)
    metadata = json_of(event.metadata)
    text = f"{event.source}\x1f{event.symbol}\x1f{event_type}\x1f{price}\x1f{volume}\x1f{metadata}"
    identity = identity_of(text.encode(), at) if event.id is None else given_identity(event.id, event.timestamp)
    return Row(identity, at, event.symbol, event_type, price, volume, event.source, level, metadata)


@lru_cache(maxsize=8192)
def words(symbol: str, event_type: str, source: str, level: str) -> tuple[str, str]:
    """Type and level as plain words."""
    for name, text, limit in (("symbol", symbol, SYMBOL_LENGTH), ("source", source, SOURCE_LENGTH)):
        if len(text) > limit or not text.isprintable():
            raise InvalidEvent(name, repr(text), f"must be at most {limit} printable characters")
    # The database refuses other words too, but only when the whole batch is written.
    for name, word, allowed in (("event_type", event_type, EventType), ("level", level, EventLevel)):
        if word not in allowed.values:
            raise InvalidEvent(name, repr(str(word)), f"must be one of {', '.join(allowed.values)}")
    return str(event_type), str(level)


def microseconds_of(timestamp: datetime) -> int:
    """Since 1970."""
    try:
        microseconds = (timestamp - _EPOCH) // _MICROSECOND
    except TypeError:
        raise InvalidEvent("timestamp", repr(timestamp), "needs a time zone") from None
    if microseconds < _SAFE and timestamp.year < EARLIEST_YEAR:
        raise InvalidEvent("timestamp", repr(timestamp), f"is before {EARLIEST_YEAR}")
    if microseconds >= _TOO_LATE:
        raise InvalidEvent("timestamp", repr(timestamp), f"is after {LATEST_YEAR}")
    return microseconds


def price_text(price: Decimal) -> str:
    return _rounded("price", price)


def volume_text(volume: Decimal) -> str:
    text = _rounded("volume", volume)
    if volume < 0:
        raise InvalidEvent("volume", str(volume), "must not be negative")
    return text


def _rounded(name: str, value: Decimal) -> str:
    """As it is stored: 400.5 and 400.50 are one price, and there is one zero."""
    if not value.is_finite() or not _SMALLEST <= value <= _LARGEST:
        raise InvalidEvent(name, str(value), f"must be a finite number below {MAX_FIGURE:f}")
    return str(value.quantize(STEP) + 0)


def json_of(metadata: dict[str, Any]) -> str:
    """With sorted keys: a mapping has no order."""
    if not metadata:
        return "{}"
    try:
        text = "".join(_pieces(metadata, 0))
    except RecursionError as error:
        # It can't be shown either.
        raise InvalidEvent("metadata", "{…}", _TOO_DEEP) from error
    except (TypeError, ValueError) as error:
        raise InvalidEvent("metadata", repr(metadata), problem(metadata) or str(error)) from error
    if len(text) > 2 * DEEPEST and text.count("{") + text.count("[") > DEEPEST and _is_too_deep(metadata):
        raise InvalidEvent("metadata", f"{text[:DEEPEST]}…", _TOO_DEEP)
    # All that a column can't hold is written with an escape here, so that most texts need no second look.
    if "\\u" in text and (found := problem(metadata)):
        raise InvalidEvent("metadata", repr(metadata), found)
    return text


def _is_too_deep(document: object) -> bool:
    level = [document]
    for _ in range(DEEPEST):
        level = [part for whole in level for part in _parts(whole) if isinstance(part, dict | list | tuple)]
        if not level:
            return False
    return True


def _parts(whole: object) -> Iterable[object]:
    return whole.values() if isinstance(whole, dict) else cast("Iterable[object]", whole)


def identity_of(said: bytes, microseconds: int) -> bytes:
    """As emo_site.db.uuid7 makes it, of the time and the digest of the rest; a test holds the two together."""
    (tail,) = _beginning_of_digest(sha256(said).digest())
    return _halves(microseconds // 1000 << 16 | _VERSION | microseconds % 1000, tail & _TAIL | _VARIANT)


def given_identity(identity: UUID, timestamp: datetime) -> bytes:
    """Partitions are made, and ids looked up, by the time in the id."""
    if identity != uuid7(timestamp, tail=identity.int):
        raise InvalidEvent("id", str(identity), "is not a UUIDv7 made from the row's timestamp")
    return identity.bytes


def time_at(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
