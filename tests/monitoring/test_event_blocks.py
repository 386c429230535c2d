"""A piece of a file becomes rows with their lines, and what is no event is told with its own."""

from __future__ import annotations

import io
import json

import pytest

from monitoring import event_copy, events
from monitoring.event_blocks import Block, Form, block_of
from monitoring.text_lines import Lines

FORMS = pytest.mark.parametrize("form", [event_copy.FORM, events._STATEMENTS], ids=["copy", "statements"])


def lines(count: int) -> bytes:
    """Every hundredth is no event, every thousandth is blank."""

    def line(number: int) -> str:
        if number % 1000 == 7:
            return ""
        price = "much" if number % 100 == 3 else number / 100
        event = {"symbol": "SPY", "event_type": "trade", "price": price, "metadata": {"n": number}}
        return json.dumps({**event, "timestamp": f"2025-11-03T15:00:00.{number:06}Z"})

    return "\n".join(map(line, range(count))).encode()


def blocks(data: bytes, form: Form) -> list[Block]:
    return [block_of(piece, form.row_of_json, form) for piece in Lines(io.BytesIO(data)).pieces()]


@FORMS
def test_each_row_has_its_line_and_so_has_what_is_no_event(form: Form) -> None:
    found = blocks(lines(20_000), form)
    assert len(found) > 6
    assert [line for block in found for line in block.lines] == [
        number + 1 for number in range(20_000) if number % 1000 != 7 and number % 100 != 3
    ]
    refused = [row for block in found for row in block.refused]
    assert [row.line for row in refused] == list(range(4, 20_000, 100))
    assert {str(row.problem) for row in refused} == {'price="much": must be a number'}
    assert json.loads(refused[1].text)["metadata"] == {"n": 103}
    assert [len(block.rows) for block in found] == [len(block.lines) for block in found]
    assert found[-1].mark.offset == len(lines(20_000))


def test_rows_of_a_copy_come_apart_as_they_were() -> None:
    form = event_copy.FORM
    [block] = blocks(lines(100) + b"\n", form)
    assert isinstance(block.rows, event_copy.CopyRows)
    good = [line for number, line in enumerate(lines(100).split(b"\n"), start=1) if number in block.lines]
    assert len(good) == 98
    assert list(block.rows.each()) == [form.row_of_json(line) for line in good]
