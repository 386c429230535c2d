"""Numbers, times and documents in requests: what is taken, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from emo_site.api.fields import At, Day, Document, Figure, Moment, Number


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("400.50", Decimal("400.50")),
        ("-0.000001", Decimal("-0.000001")),
        (3, Decimal(3)),
        (Decimal("0.1"), Decimal("0.1")),
        (Decimal("1E+2"), Decimal(100)),
    ],
)
def test_numbers_that_are_taken(given: Any, taken: Decimal) -> None:
    found = TypeAdapter(Number).validate_python(given)
    assert isinstance(found, Decimal)
    assert found == taken


@pytest.mark.parametrize(
    "given",
    [
        0.1,
        True,
        None,
        "",
        " 1",
        "1 ",
        "1e3",
        "+1",
        "1_000",
        "٣",
        "NaN",
        "1.",
        ".5",
        "1" * 21,
        10**20,
        [],
        {},
        Decimal("1E+400000000"),
        Decimal("1E-30"),
        Decimal("NaN"),
    ],
)
def test_what_is_no_number_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match="must be a decimal number"):
        TypeAdapter(Number).validate_python(given)


def test_times_are_taken_with_their_offset() -> None:
    found = TypeAdapter(Moment).validate_python("2025-11-03T10:00:00.250-05:00")
    assert found == datetime(2025, 11, 3, 15, 0, 0, 250_000, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "given",
    [
        "2025-11-03T15:00:00",
        "2025-11-03",
        "2025-11-03 15:00:00Z",
        "2025-02-30T00:00:00Z",
        1762182000,
        None,
        "2025-11-03T15:00:00.1234567Z",
        "0001-01-01T00:00:00+23:59",
        "2025-11-03T24:00:01Z",
        "now",
    ],
)
def test_naive_and_other_times_are_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match="must be a time with its offset"):
        TypeAdapter(Moment).validate_python(given)


@pytest.mark.parametrize("given", ["2025-02-30", "20251219", "2025-12-19T00:00:00Z", 20251219, "2025-W01-1"])
def test_only_days_are_days(given: Any) -> None:
    assert TypeAdapter(Day).validate_python("2025-12-19") == date(2025, 12, 19)
    with pytest.raises(ValidationError, match="must be a day"):
        TypeAdapter(Day).validate_python(given)


def test_documents_hold_only_numbers_that_a_json_column_gives_back() -> None:
    taken = TypeAdapter(Document).validate_python({"a": Decimal("0.25"), "b": [1, {"c": Decimal("1.5")}]})
    assert taken == {"a": 0.25, "b": [1, {"c": 1.5}]}
    for number in (Decimal("0.12345678901234567890"), 2**63):
        with pytest.raises(ValidationError, match="write it as a text"):
            TypeAdapter(Document).validate_python({"a": [number]})


@pytest.mark.parametrize(
    ("number", "text"),
    [("400.500000", "400.5"), ("0E-8", "0"), ("-1.20", "-1.2"), ("1E+10", "10000000000"), ("-0.0", "0")],
)
def test_figures_are_told_plainly(number: str, text: str) -> None:
    assert TypeAdapter(Figure).dump_python(Decimal(number)) == text


def test_times_are_told_in_utc_with_microseconds() -> None:
    assert TypeAdapter(At).dump_python(datetime(2025, 11, 3, 15, tzinfo=UTC)) == "2025-11-03T15:00:00.000000Z"
