"""The body of a request as JSON, exactly: no number passes a binary fraction, no key is there twice. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

from emo_site.problem import FieldError, Problem


def parse(body: bytes) -> Any:
    """Numbers with a point or an exponent become Decimal, others int. Raises Problem 400."""
    try:
        text = body.decode()
        document = json.loads(text, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Problem(400, "NOT_JSON", f"The body is no JSON: {error}.") from error
    # Neither comes without an escape.
    if "\\u" in text and any(_is_unstorable(each) for each in _texts(document)):
        raise Problem(400, "NOT_TEXT", "A text holds NUL or half of a surrogate pair, which no database keeps.")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            error = FieldError(field=name, value=value, rule="is there twice")
            raise Problem(400, "DUPLICATE_KEY", f"{name!r} is there twice in one object.", errors=[error])
        found[name] = value
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _is_unstorable(text: str) -> bool:
    return "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)
