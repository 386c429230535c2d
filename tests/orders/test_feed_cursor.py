"""Where a reader of the feed has come to, as text and back."""

from __future__ import annotations

from uuid import UUID

import pytest

from orders.feed_cursor import BEGINNING, Cursor, InvalidCursor

EVENT = UUID("019a4a4e-2b00-7000-8000-0123456789ab")


def test_cursor_comes_back_as_it_went_out() -> None:
    cursor = Cursor(1042, EVENT)
    assert str(cursor) == "1042.019a4a4e2b00700080000123456789ab"
    assert Cursor.parse(str(cursor)) == cursor


def test_beginning_is_zero() -> None:
    assert str(BEGINNING) == "0"
    assert Cursor.parse("0") == BEGINNING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "-1",
        "00",
        f"0.{EVENT.hex}",
        f"01.{EVENT.hex}",
        f"1.{EVENT.hex} ",
        f"1.{EVENT}",
        f"1.{EVENT.hex.upper()}",
        f"٣.{EVENT.hex}",
        f"{'9' * 19}.{EVENT.hex}",
        "1.now",
    ],
)
def test_what_no_feed_gave_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor, match=r"^after=.*: must be a cursor that the feed gave, or 0"):
        Cursor.parse(text)


def test_refusal_shows_no_more_than_the_beginning_of_a_long_text() -> None:
    with pytest.raises(InvalidCursor) as refused:
        Cursor.parse("x" * 10_000)
    assert len(str(refused.value)) < 200
