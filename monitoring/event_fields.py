"""What a file says about an event becomes the fields of one; what can't is refused by field, value and rule."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from monitoring.choices import EventLevel, EventType
from monitoring.event import Fields, InvalidEvent, Row, row_of

TYPES: dict[str, Any] = {
    "symbol": str,
    "event_type": EventType,
    "timestamp": datetime,
    "price": Decimal | None,
    "volume": Decimal | None,
    "source": str,
    "level": EventLevel,
    "metadata": dict[str, Any],
    "id": UUID | None,
}
REQUIRED = ("symbol", "event_type", "timestamp")
# What is shown of a value; the whole row stands beside it in the quarantine.
SHOWN = 100

_NUMBER = "must be a number"
_RULES = {
    "symbol": "must be a text",
    "event_type": f"must be one of {', '.join(EventType.values)}",
    "timestamp": "must be a date and time with its zone, as in 2025-11-03T15:00:00.123456Z",
    "price": _NUMBER,
    "volume": _NUMBER,
    "source": "must be a text",
    "level": f"must be one of {', '.join(EventLevel.values)}",
    "metadata": "must be a JSON object",
    "id": "must be a UUID",
}
_MISTAKES = (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError)

_decode = msgspec.json.Decoder(Fields).decode
_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decoders: dict[str, Callable[[bytes], Any]] = {name: msgspec.json.Decoder(kind).decode for name, kind in TYPES.items()}


def from_json(line: bytes) -> Fields:
    """One JSON object. Raises InvalidEvent."""
    try:
        return _decode(line)
    except _MISTAKES:
        # Field by field, which is slow but can tell the one that is wrong.
        return _from_raw(line)


def row_of_json(line: bytes) -> Row:
    """As it is stored. Raises InvalidEvent."""
    return row_of(from_json(line))


def from_values(values: Mapping[str, object]) -> Fields:
    """Values as another format holds them; None is a field that is not there. Raises InvalidEvent."""
    found = {}
    for name, value in values.items():
        if value is not None:
            found[name] = _from_value(name, value)
    return _complete(found)


def csv_reader(header: Sequence[str]) -> Callable[[bytes], Fields]:
    """A reader of the lines below this header; one row is one line."""
    return partial(_from_csv, tuple(header))


def _from_csv(header: tuple[str, ...], line: bytes) -> Fields:
    cells = csv_cells(line)
    if len(cells) != len(header):
        raise InvalidEvent("row", shown(line), f"has {len(cells)} cells, the header has {len(header)}")
    # An empty cell is a field that is not there; a symbol may be the empty text.
    return from_values({name: cell for name, cell in zip(header, cells, strict=True) if cell or name == "symbol"})


def csv_cells(line: bytes) -> list[str]:
    try:
        text = line.decode()
        return next(csv.reader([text.rstrip("\r\n")], strict=True), [])
    except UnicodeDecodeError as error:
        raise InvalidEvent("row", shown(line), "is not UTF-8") from error
    except csv.Error as error:
        raise InvalidEvent("row", shown(line), f"is not a line of CSV: {error}") from error


def unusable(columns: Sequence[str]) -> str:
    """Why a table with these columns can't hold events, or the empty string."""
    if missing := [name for name in REQUIRED if name not in columns]:
        return f"there is no column {', '.join(missing)}; there is {', '.join(map(repr, columns)) or 'none'}"
    if unknown := sorted(set(columns) - TYPES.keys()):
        return f"unknown column {', '.join(map(repr, unknown))}; known are {', '.join(TYPES)}"
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        return f"the column {', '.join(twice)} comes twice"
    return ""


def _from_raw(line: bytes) -> Fields:
    try:
        raw = _decode_raw(line)
    except UnicodeDecodeError as error:
        raise InvalidEvent("row", shown(line), "is not UTF-8") from error
    except msgspec.ValidationError as error:
        raise InvalidEvent("row", shown(line), "is not a JSON object") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEvent("row", shown(line), f"is not JSON: {error}") from error
    found = {}
    for name, text in raw.items():
        data = bytes(text)
        if name not in TYPES:
            raise _unknown(name, data)
        try:
            found[name] = _decoders[name](data)
        except UnicodeDecodeError as error:
            raise InvalidEvent(name, shown(data), "is not UTF-8") from error
        except _MISTAKES as error:
            raise InvalidEvent(name, shown(data), _RULES[name]) from error
    return _complete(found)


def _from_value(name: str, value: object) -> object:
    if name not in TYPES:
        raise _unknown(name, value)
    try:
        if name == "metadata" and isinstance(value, str):
            return _decoders[name](value.encode())
        return msgspec.convert(value, TYPES[name])
    except _MISTAKES as error:
        raise InvalidEvent(name, shown(value), _RULES[name]) from error


def _complete(found: dict[str, Any]) -> Fields:
    for name in REQUIRED:
        if name not in found:
            raise InvalidEvent(name, "(nothing)", "is required")
    return Fields(**found)


def _unknown(name: str, value: object) -> InvalidEvent:
    return InvalidEvent(ascii(name)[1:-1][:SHOWN], shown(value), f"is not a field; known are {', '.join(TYPES)}")


def shown(value: object) -> str:
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
