"""A line of a file is taken and refused exactly as a caller's Event is, whichever way it is read."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emo_site.db.uuid7 import uuid7
from monitoring import event_copy
from monitoring.choices import EventLevel, EventType
from monitoring.event import Event, Fields, InvalidEvent, Row, row_of
from monitoring.event_fields import _from_raw, csv_reader, from_json, from_values

LINE = '{"symbol":"SPY","event_type":"trade","timestamp":"2025-11-03T15:00:00Z"%s}'
ZONES = [None, UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-5))]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["SPY", "", "S" * 33, "s" * 65])
FIGURES = (
    st.none()
    | st.decimals("-99999999999.9999999", "99999999999.9999999", allow_nan=False, places=7)
    | st.sampled_from(
        [*map(Decimal, ("NaN", "sNaN", "-Infinity", "1e11", "-0", "-0.0000001", "1e-30", "1E+5", "0.0000005"))]
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
VALUES = st.fixed_dictionaries(
    {
        "symbol": TEXTS,
        "event_type": st.sampled_from([*EventType.values, "rumour", ""]),
        "timestamp": st.datetimes(datetime(1970, 12, 30), datetime(2200, 1, 1), timezones=st.sampled_from(ZONES)),  # noqa: DTZ001
    },
    optional={
        "price": FIGURES,
        "volume": FIGURES,
        "source": TEXTS,
        "level": st.sampled_from([*EventLevel.values, "fatal"]),
        "metadata": st.dictionaries(TEXTS, JSON, max_size=3),
        "id": st.integers(0, 2**62 - 1),
    },
)


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def with_id(values: dict[str, Any]) -> dict[str, Any]:
    """A number becomes an id: an even one fits the time."""
    if "id" not in values:
        return values
    number, at = values["id"], values["timestamp"]
    fits = number % 2 == 0 and at.tzinfo is not None
    return {**values, "id": uuid7(at, tail=number) if fits else UUID(int=number)}


def said(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | UUID) else value


def outcome(make: Any) -> Row | None:
    try:
        return row_of(make())
    except InvalidEvent:
        return None


@settings(deadline=None)
@given(VALUES.map(with_id))
@example(
    {"symbol": "SPY", "event_type": "trade", "timestamp": datetime(2025, 1, 1, tzinfo=UTC), "price": Decimal("sNaN")}
)
@example(
    {"symbol": "SPY", "event_type": "trade", "timestamp": datetime(2025, 1, 1, tzinfo=UTC), "metadata": {"a": "\0"}}
)
def test_line_of_json_is_taken_and_refused_as_an_event_is(values: dict[str, Any]) -> None:
    wanted = outcome(lambda: Event(**values))
    line = json.dumps({name: said(value) for name, value in values.items()}).encode()
    assert outcome(lambda: from_json(line)) == wanted
    # The slow way, which finds the field that is wrong.
    assert outcome(lambda: _from_raw(line)) == wanted
    # As Parquet holds them.
    assert outcome(lambda: from_values(values)) == wanted


def identity(make: Any) -> tuple[bytes, str]:
    """Of the row, or why there is none."""
    try:
        row = make()
    except InvalidEvent as error:
        return b"", str(error)
    return row.id if isinstance(row, Row) else row[event_copy.IDENTITY], ""


@settings(deadline=None)
@given(VALUES.map(with_id))
def test_row_for_copy_is_the_row_that_is_stored_elsewhere(values: dict[str, Any]) -> None:
    fields = Fields(**values)
    assert identity(lambda: event_copy.packed(fields)) == identity(lambda: row_of(fields))


def made(make: Any) -> tuple[bytes, str]:
    """The whole row, or why there is none."""
    try:
        return make(), ""
    except InvalidEvent as error:
        return b"", str(error)


def both_ways(line: bytes) -> None:
    quick, slow = made(lambda: event_copy.packed_json(line)), made(lambda: event_copy.packed(from_json(line)))
    assert quick == slow


@settings(deadline=None)
@given(VALUES.map(with_id), st.booleans())
def test_quick_way_to_a_row_makes_the_row_of_the_long_way(values: dict[str, Any], as_text: bool) -> None:
    line = {name: said(value) for name, value in values.items()}
    text = json.dumps(line)
    if not as_text:
        # Numbers as they stand, not as texts.
        for name in ("price", "volume"):
            if isinstance(values.get(name), Decimal) and values[name].is_finite():
                text = text.replace(f'"{name}": "{line[name]}"', f'"{name}": {line[name]}')
    both_ways(text.encode())


FIGURE = st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
# Next to half a millionth, where one digit more decides how a figure is rounded.
EDGES = st.builds(
    "{}{}.{:06}{}".format,
    st.sampled_from(["", "-"]),
    st.integers(0, 10**11),
    st.integers(0, 999_999),
    st.sampled_from(["", "5", "49999999999999999", "50000000000000001", "5000000", "00000000000000001"]),
)


@settings(deadline=None, max_examples=500)
@given(FIGURE | EDGES, st.booleans())
@example("999999999.9999995", False)
@example("-0", False)
@example("-0.0000001", True)
@example("1e400", False)
@example("0.1234565000000000001", False)
def test_figure_is_rounded_as_its_text_says_whichever_way_it_is_read(figure: str, as_text: bool) -> None:
    for name in ("price", "volume"):
        both_ways((LINE % f',"{name}":{json.dumps(figure) if as_text else figure}').encode())


@given(st.text(max_size=40))
@example(" 1.5 ")
@example("1_000")
@example("\uff11")
@example("NaN")
@example("sNaN")
def test_text_of_a_figure_is_read_as_decimals_are(text: str) -> None:
    both_ways((LINE % f',"price":{json.dumps(text)}').encode())


@settings(deadline=None)
@given(VALUES.map(with_id))
def test_line_of_csv_is_taken_and_refused_as_an_event_is(values: dict[str, Any]) -> None:
    wanted = outcome(lambda: Event(**values))
    # An empty cell is a field that is not there.
    present = {name: value for name, value in values.items() if value is not None and (value != "" or name == "symbol")}
    if "event_type" not in present:
        wanted = None
    cells = [json.dumps(value) if name == "metadata" else said(value) for name, value in present.items()]
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    line = out.getvalue().encode()
    if b"\n" in line.removesuffix(b"\r\n"):
        # One row is one line.
        return
    assert outcome(lambda: csv_reader(list(present))(line)) == wanted


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LINE % ',"price":"cheap"', 'price="cheap": must be a number'),
        (LINE % ',"price":true', "price=true: must be a number"),
        (LINE % ',"price":NaN', None),
        (LINE % ',"volume":-1', "volume=-1: must not be negative"),
        (LINE % ',"metadata":[1]', "metadata=[1]: must be a JSON object"),
        (LINE % ',"source":7', "source=7: must be a text"),
        (LINE % ',"id":"7"', 'id="7": must be a UUID'),
        (LINE % ',"level":"fatal"', 'level="fatal": must be one of info, warning, error'),
        (LINE % ',"prise":1', "prise=1: is not a field; known are symbol, event_type, timestamp, price, volume, source, level, metadata, id"),  # noqa: E501
        ('{"symbol":"SPY","event_type":"trade"}', "timestamp=(nothing): is required"),
        ('{"symbol":"SPY","event_type":"trade","timestamp":1762182000}', "timestamp=1762182000: must be a date and time with its zone, as in 2025-11-03T15:00:00.123456Z"),  # noqa: E501
        ("[1]", "row=[1]: is not a JSON object"),
        ("{", "row={: is not JSON: Input data was truncated"),
        (b'{"symbol":"\xe9"}', 'symbol="\\xe9": is not UTF-8'),
        ('{"metadata":%s}' % ("[" * 100_000), None),
        (LINE % ',"metadata":{"a":1e999}', 'metadata={"a":1e999}: must be a JSON object'),
    ],
)  # fmt: skip
def test_line_that_is_no_event_is_refused_by_field(line: str | bytes, message: str | None) -> None:
    with pytest.raises(InvalidEvent) as error:
        row_of(from_json(line if isinstance(line, bytes) else line.encode()))
    if message is not None:
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"SPY,trade", "row=SPY,trade: has 2 cells, the header has 3"),
        (b'SPY,"trade,2025', None),
        (b"SPY,,2025-11-03T15:00:00Z", "event_type=(nothing): is required"),
        (b"SPY,trade,yesterday", "timestamp='yesterday': must be a date and time with its zone, as in 2025-11-03T15:00:00.123456Z"),  # noqa: E501
        (b"\xff,trade,2025-11-03T15:00:00Z", None),
    ],
)  # fmt: skip
def test_line_of_csv_that_is_no_event_is_refused_by_field(line: bytes, message: str | None) -> None:
    with pytest.raises(InvalidEvent) as error:
        row_of(csv_reader(["symbol", "event_type", "timestamp"])(line))
    if message is not None:
        assert str(error.value) == message


def test_number_of_json_keeps_all_its_digits() -> None:
    line = (LINE % ',"price":99999999999.9999985').encode()
    assert row_of(from_json(line)).price == "99999999999.999998"
    # A float would not have.
    assert msgspec.json.decode(line)["price"] == 100000000000.0


def test_metadata_are_taken_as_deep_as_any_reader_can_follow() -> None:
    flat = json.dumps({"a": [{}] * 500})
    for metadata in (nested(100), flat):
        line = (LINE % f',"metadata":{metadata}').encode()
        assert json.loads(row_of(from_json(line)).metadata) == json.loads(metadata)
    for metadata in (nested(101), '{"a":' + "[" * 100 + "]" * 100 + "}"):
        with pytest.raises(InvalidEvent, match="is nested deeper than 100 levels"):
            row_of(from_json((LINE % f',"metadata":{metadata}').encode()))
    # Where decoding, encoding or showing it gives up depends on how deep the caller is.
    for levels in range(102, 1100, 7):
        with pytest.raises(InvalidEvent):
            row_of(from_json((LINE % f',"metadata":{nested(levels)}').encode()))


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-12:00", "9999-01-01T00:00:00Z", "9998-12-31T23:30:00-01:00"])
def test_moment_that_no_datetime_can_be_is_refused(moment: str) -> None:
    """PostgreSQL would take the first one, and then no list with it could be read."""
    with pytest.raises(InvalidEvent, match="is after 9998"):
        row_of(from_json((LINE % "").replace("2025-11-03T15:00:00Z", moment).encode()))
    row_of(from_json((LINE % "").replace("2025-11-03T15:00:00Z", "9998-12-31T23:59:59.999999Z").encode()))
