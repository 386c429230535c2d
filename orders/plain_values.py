"""Frozen dataclasses as JSON documents and back, exactly: numbers and times as texts. Pure."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T")


def as_plain(value: Any) -> Any:
    """A document of texts, whole numbers, booleans, None, sequences and dictionaries; times in UTC end in Z."""
    # Through its text: every sequence is a list then, as it comes back from the database.
    return msgspec.json.decode(msgspec.json.encode(value))


def from_plain(kind: type[_T], document: Any) -> _T:
    """The dataclass that `as_plain` wrote. A field that the document lacks, since it was written by an older version,
    keeps its default. Raises msgspec.ValidationError for what is not of its field's type.
    """
    return msgspec.convert(document, kind)
