"""The types of what requests and answers hold: exact numbers, aware times, days, and bodies that know their fields."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints, WithJsonSchema

_DIGITS = r"-?[0-9]{1,20}(\.[0-9]{1,20})?"
_NUMBER = re.compile(_DIGITS)
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Body(BaseModel):
    """What a request may say: these fields and no others."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=False, use_attribute_docstrings=True)


def plain(number: Decimal) -> str:
    """Without an exponent and without zeros that say nothing."""
    return f"{number.normalize():f}" if number else "0"


def moment_text(at: datetime) -> str:
    """RFC 3339 in UTC, with microseconds."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _exact(value: object) -> Decimal:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**20:
        return Decimal(value)
    if isinstance(value, Decimal) and _NUMBER.fullmatch(plain(value) if abs(value.adjusted()) <= 20 else ""):
        return value
    raise ValueError('must be a decimal number, as a text such as "400.50" or a number of JSON')


def _moment(value: object) -> datetime:
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be a time with its offset and at most microseconds, such as 2025-11-03T15:00:00.25Z")


def _day(value: object) -> date:
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("must be a day such as 2025-12-19")


def _storable(value: Any) -> Any:
    """A document whose numbers are those that a JSON column gives back."""
    if isinstance(value, dict):
        return {name: _storable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, Decimal):
        kept = float(value)
        if Decimal(repr(kept)) != value:
            raise ValueError(f"holds {value}, which a number of JSON does not keep: write it as a text")
        return kept
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("holds a whole number of more than 63 bits: write it as a text")
    return value


_NUMBER_SCHEMA = {
    "anyOf": [{"type": "string", "pattern": f"^{_DIGITS}$"}, {"type": "number"}],
    "description": 'Exact: a text such as "400.50", or a number of JSON, whose digits are taken as they stand.',
}

# In requests.
Number = Annotated[Decimal, BeforeValidator(_exact), WithJsonSchema(_NUMBER_SCHEMA)]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Document = Annotated[
    dict[str, Any], BeforeValidator(_storable), WithJsonSchema({"type": "object", "additionalProperties": True})
]
Reason = Annotated[str, StringConstraints(max_length=2000)]

# In answers.
Figure = Annotated[
    Decimal,
    PlainSerializer(plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}),
]
At = Annotated[
    datetime,
    PlainSerializer(moment_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
