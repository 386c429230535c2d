"""The body of a request becomes events on record, whole or not at all, and in bounded memory."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError

from monitoring import event_intake
from monitoring.event_intake import (
    LARGEST_ARRAY,
    LARGEST_LINES,
    BodyKind,
    NoEvents,
    Taken,
    TooLarge,
    Unreadable,
    take_in,
)
from monitoring.events import Writer
from monitoring.models import MarketEvent

pytestmark = pytest.mark.django_db

LINES, ARRAY = BodyKind.LINES, BodyKind.ARRAY


def event(number: int = 0, **changes: Any) -> dict[str, Any]:
    values = {"symbol": "SPY", "event_type": "trade", "timestamp": "2025-11-03T15:00:00Z", "price": f"400.{number:04}"}
    return {**values, **changes}


def body(rows: list[Any], kind: BodyKind) -> bytes:
    if kind == ARRAY:
        # Laid out over several lines, as people do.
        return json.dumps(rows, indent=2).encode()
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def quarantine(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "api.jsonl"


def taken(data: bytes, quarantine: Path, kind: BodyKind = LINES, *, gzipped: bool = False, length: int = -1) -> Taken:
    length = len(data) if length < 0 else length
    return take_in(io.BytesIO(data), length=length, kind=kind, gzipped=gzipped, source="api:bot", quarantine=quarantine)


@pytest.mark.parametrize("gzipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", BodyKind)
def test_events_are_on_record_once_however_often_they_are_sent(quarantine: Path, kind: BodyKind, gzipped: bool) -> None:
    data = body([event(number) for number in range(500)], kind)
    data = gzip.compress(data) if gzipped else data
    assert taken(data, quarantine, kind, gzipped=gzipped) == Taken(new=500, known=0, refused=())
    assert taken(data, quarantine, kind, gzipped=gzipped) == Taken(new=0, known=500, refused=())
    assert MarketEvent.objects.count() == 500
    assert not quarantine.exists()


@pytest.mark.parametrize("kind", BodyKind)
def test_rows_that_are_no_events_go_to_quarantine_with_their_reasons(quarantine: Path, kind: BodyKind) -> None:
    rows = [event(1), event(2, volume="-1"), 7, event(3), event(4, colour="red"), {"symbol": "SPY"}]
    found = taken(body(rows, kind), quarantine, kind)
    assert (found.new, found.known, found.received) == (2, 0, 6)
    told = [(row.line, row.problem.field, row.problem.value, row.problem.rule) for row in found.refused]
    assert told[0] == (2, "volume", "-1", "must not be negative")
    assert [(line, field) for line, field, _, _ in told] == [
        (2, "volume"),
        (3, "row"),
        (5, "colour"),
        (6, "event_type"),
    ]
    kept = [json.loads(line) for line in quarantine.read_text().splitlines()]
    assert [(row["file"], row["line"], row["field"]) for row in kept] == [
        ("api:bot", 2, "volume"),
        ("api:bot", 3, "row"),
        ("api:bot", 5, "colour"),
        ("api:bot", 6, "event_type"),
    ]
    assert json.loads(kept[0]["row"])["volume"] == "-1"


@pytest.mark.parametrize(("data", "kind"), [(b"[]", ARRAY), (b"", LINES), (b"\n\n", LINES)])
def test_nothing_is_nothing_wrong(quarantine: Path, data: bytes, kind: BodyKind) -> None:
    assert taken(data, quarantine, kind) == Taken(new=0, known=0, refused=())


@pytest.mark.parametrize("kind", BodyKind)
def test_body_without_one_event_is_refused(quarantine: Path, kind: BodyKind) -> None:
    with pytest.raises(NoEvents, match=r"^none of the 2 rows is an event") as refused:
        taken(body([{"a": 1}, event(price="much")], kind), quarantine, kind)
    assert [row.line for row in refused.value.refused] == [1, 2]
    assert not quarantine.exists()


@pytest.mark.parametrize("kind", BodyKind)
def test_body_of_something_else_is_refused_before_all_of_it_is_judged(
    quarantine: Path, kind: BodyKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_intake, "MOST_REFUSED", 3)
    with pytest.raises(NoEvents, match=r"^more than 3 rows are no events") as refused:
        taken(body([event(), *[{"a": 1}] * 4], kind), quarantine, kind)
    assert len(refused.value.refused) == 3
    assert not MarketEvent.objects.exists()
    assert not quarantine.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"symbol": "SPY"}', "must be a JSON array of events"),
        (b"[1, 2", "is not JSON"),
        (b"", "is not JSON"),
        (b"[\xff]", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_array_is_refused(quarantine: Path, data: bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        taken(data, quarantine, ARRAY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-20], "ends in the middle"),
        (lambda data: data[:40] + b"\0\0\0\0" + data[44:], "is damaged"),
        (lambda data: b"[]" + data, "is damaged"),
    ],
    ids=["cut off", "changed", "not gzip"],
)
@pytest.mark.parametrize("kind", BodyKind)
def test_gzip_that_is_not_whole_leaves_nothing(quarantine: Path, kind: BodyKind, change: Any, message: str) -> None:
    data = gzip.compress(body([event(number) for number in range(2000)], kind))
    with pytest.raises(Unreadable, match=message):
        taken(change(data), quarantine, kind, gzipped=True)
    assert not MarketEvent.objects.exists()


@pytest.mark.parametrize("kind", BodyKind)
def test_body_that_is_cut_off_leaves_nothing(quarantine: Path, kind: BodyKind) -> None:
    """Its last line may look whole."""
    data = body([event(1), event(2)], kind)
    with pytest.raises(Unreadable, match=r"^the body ends 10 bytes before the length that was stated"):
        taken(data, quarantine, kind, length=len(data) + 10)
    assert not MarketEvent.objects.exists()


@pytest.mark.parametrize(("kind", "largest"), [(LINES, LARGEST_LINES), (ARRAY, LARGEST_ARRAY)])
def test_body_that_is_too_large_is_refused_unread(quarantine: Path, kind: BodyKind, largest: int) -> None:
    stream = io.BytesIO(b"x")
    with pytest.raises(TooLarge, match=f"^{largest + 1:,} bytes: at most {largest:,} of"):
        take_in(stream, length=largest + 1, kind=kind, gzipped=False, source="api:bot", quarantine=quarantine)
    assert stream.tell() == 0


@pytest.mark.parametrize("kind", BodyKind)
def test_bomb_is_refused_before_it_goes_off(quarantine: Path, kind: BodyKind) -> None:
    """A quarter of a megabyte that would become 256."""
    bomb = gzip.compress(b" " * (256 * 1024 * 1024), compresslevel=9)
    assert len(bomb) < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="once decompressed"):
            taken(bomb, quarantine, kind, gzipped=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * kind.largest


def test_database_that_fails_leaves_nothing_in_quarantine(quarantine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends it again would find the same rows there twice."""

    def fail(*args: Any) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(Writer, "write", fail)
    with pytest.raises(DatabaseError):
        taken(body([event(), {"a": 1}], LINES), quarantine)
    assert not quarantine.exists()
