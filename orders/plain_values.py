"""Frozen dataclasses as JSON documents and back, exactly: numbers and times as texts. Pure."""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

_T = TypeVar("_T")


def as_plain(value: Any) -> Any:
    """A document of texts, whole numbers, booleans, None, lists and dictionaries."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [as_plain(item) for item in value]
    if is_dataclass(value):
        return {name: as_plain(getattr(value, name)) for name in _names(typing.cast(typing.Hashable, type(value)))}
    raise TypeError(f"{value!r} has no plain form")


def from_plain(kind: type[_T], document: Any) -> _T:
    """The dataclass that `as_plain` wrote. A field that the document lacks, since it was written by an older version,
    keeps its default; one that this version does not know is a KeyError.
    """
    hints = _hints(typing.cast(typing.Hashable, kind))
    return kind(**{name: _value(hints[name], item) for name, item in document.items()})


def _value(hint: Any, item: Any) -> Any:
    if isinstance(hint, types.UnionType):
        if item is None:
            return None
        (hint,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return tuple(_value(typing.get_args(hint)[0], each) for each in item)
    if is_dataclass(hint):
        return from_plain(typing.cast(type, hint), item)
    if hint in (datetime, date):
        return hint.fromisoformat(item)
    if hint is Decimal or (isinstance(hint, type) and issubclass(hint, StrEnum | str)):
        return hint(item)
    return item


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
