"""JSON is taken exactly, or refused with the reason."""

from __future__ import annotations

from decimal import Decimal

import pytest

from emo_site.api import json_body
from emo_site.problem import Problem


def test_numbers_are_what_they_are_written_as() -> None:
    found = json_body.parse(b'{"a": 0.1, "b": 12345678901234567.123456789, "c": 3, "d": 1e2, "e": "0.1"}')
    assert found == {
        "a": Decimal("0.1"),
        "b": Decimal("12345678901234567.123456789"),
        "c": 3,
        "d": Decimal("1E+2"),
        "e": "0.1",
    }
    assert all(not isinstance(each, float) for each in found.values())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "NOT_JSON"),
        (b"{", "NOT_JSON"),
        (b"\xff{}", "NOT_JSON"),
        (b"NaN", "NOT_JSON"),
        (b'{"a": -Infinity}', "NOT_JSON"),
        (b'{"a": 1e999999999999999999999}', "NOT_JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "NOT_JSON"),
        (b"[" * 100_000, "NOT_JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "DUPLICATE_KEY"),
        (b'{"a": "x\\u0000"}', "NOT_TEXT"),
        (b'{"a": ["\\ud800"]}', "NOT_TEXT"),
        (b'{"\\udc00": 1}', "NOT_TEXT"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(Problem) as refused:
        json_body.parse(body)
    assert (refused.value.status, refused.value.code) == (400, code)


def test_whole_surrogate_pairs_and_escaped_backslashes_are_text() -> None:
    assert json_body.parse(b'["\\ud83d\\ude00", "\\\\u0000"]') == ["\U0001f600", "\\u0000"]
