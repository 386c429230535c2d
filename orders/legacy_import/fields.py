"""Reads single values of the bot's files: numbers, times, days, words. Pure; raises InvalidTicket naming the field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from numbers import Integral, Rational, Real
from typing import Any, TypeVar

from orders.ticket import InvalidTicket

T = TypeVar("T")

MAX_TEXT = 100_000
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Times of a trading bot. Seconds and milliseconds of these years do not overlap, so that the size tells which it is.
_FIRST_YEAR, _LAST_YEAR = 1980, 2099
_SECONDS = (Decimal(315_532_800), Decimal(4_102_444_800))
_TIME_RULE = f"must be a time from {_FIRST_YEAR} to {_LAST_YEAR}: ISO 8601, or epoch seconds or milliseconds"


def first(values: Mapping[str, Any], *names: str) -> tuple[str, Any]:
    """The first of the names that is stated, with its value; the first name with None where none is."""
    return next(((name, values[name]) for name in names if values.get(name) is not None), (names[0], None))


def number(name: str, value: object) -> Decimal:
    """Exactly what the source says. A float (SQLite's REAL, NumPy's) is taken by its shortest decimal spelling."""
    found = _exact(value)
    if found is None:
        raise InvalidTicket(name, value, "must be a number")
    if not found.is_finite():
        raise InvalidTicket(name, value, "must be a finite number")
    return found


def _exact(value: object) -> Decimal | None:
    if isinstance(value, str):
        return Decimal(value.strip()) if _PLAIN_NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, Decimal):
        return value
    if isinstance(value, Integral) and not isinstance(value, bool):
        return Decimal(int(value))
    # A third has no decimal spelling, and True is no number.
    return Decimal(str(value)) if isinstance(value, Real) and not isinstance(value, Rational) else None


def optional_number(name: str, value: object) -> Decimal | None:
    return None if value is None or value == "" else number(name, value)


def text(name: str, value: object) -> str:
    """The text without blanks around it, empty where none is stated."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise InvalidTicket(name, value, f"must be a text of at most {MAX_TEXT} characters")
    problem = unstorable(value)
    if problem:
        raise InvalidTicket(name, value, f"contains {problem}")
    return value.strip()


def unstorable(value: str) -> str:
    """What a database would not take in this text, empty where nothing."""
    if "\x00" in value:
        return "a NUL character"
    return "half of a surrogate pair" if any("\ud800" <= sign <= "\udfff" for sign in value) else ""


def symbol(name: str, value: object) -> str:
    """Upper case; the empty text is left to the ticket to refuse."""
    if value is None:
        raise InvalidTicket(name, None, "is missing")
    return text(name, value).upper()


def word(name: str, value: object, words: Mapping[str, T]) -> T | None:
    """The meaning of a word, whatever its case, with blanks and dashes as underscores; None where none is stated."""
    said = text(name, value).lower().replace(" ", "_").replace("-", "_")
    if not said:
        return None
    if said not in words:
        raise InvalidTicket(name, value, f"must be one of {', '.join(words)}")
    return words[said]


def moment(name: str, value: object) -> datetime:
    """A time as aware UTC. What names no zone is UTC, as everywhere in the bot."""
    try:
        found = _moment(value)
    except (ValueError, OverflowError) as error:
        raise InvalidTicket(name, value, f"{_TIME_RULE} ({error})") from error
    if found is None or not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise InvalidTicket(name, value, _TIME_RULE)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def optional_moment(name: str, value: object) -> datetime | None:
    return None if value is None or value == "" else moment(name, value)


def day(name: str, value: object) -> date | None:
    """An expiry: a date, or the text of one; None where none is stated."""
    if value is None or value == "":
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value.strip()) if isinstance(value, str) else _no_day(name, value)
    except ValueError as error:
        raise InvalidTicket(name, value, f"must be a date, year-month-day ({error})") from error


def _no_day(name: str, value: object) -> date:
    raise InvalidTicket(name, value, "must be a date, year-month-day")


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{9,}(\.[0-9]+)?", value.strip()):
        return datetime.fromisoformat(value.strip())
    if isinstance(value, bool) or not isinstance(value, str | Real | Decimal):
        return None
    return _of_epoch(number("epoch", value))


def _of_epoch(value: Decimal) -> datetime | None:
    low, high = _SECONDS
    for unit in (1, 1000):
        if low * unit <= value < high * unit:
            return _EPOCH + timedelta(microseconds=round(value * 1_000_000 / unit))
    return None
