"""A row that is no event is kept, whole, or the run ends."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitoring.event import InvalidEvent
from monitoring.event_blocks import Refused
from monitoring.quarantine import Quarantine

ROWS = [Refused(number, InvalidEvent("price", "x", "must be a number"), "y" * 50) for number in range(1, 101)]


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """As on a disk that gets full: a write takes what there is room for, and only the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def noted(path: Path) -> list[int]:
    return [json.loads(text)["line"] for text in path.read_text().splitlines()]


def test_disk_that_gets_full_is_said_and_no_half_record_is_left(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    quarantine = Quarantine(path, source="feed.jsonl")
    size = quarantine.add(ROWS[:5])
    with files_no_longer_than(size + 1000), pytest.raises(OSError, match="File too large"):
        quarantine.add(ROWS[5:])
    assert (quarantine.size, noted(path)) == (size, [1, 2, 3, 4, 5])
    assert quarantine.add(ROWS[5:]) == path.stat().st_size
    assert noted(path) == list(range(1, 101))


def test_record_that_was_cut_off_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    path.write_text('{"file": "feed.jsonl", "li')
    Quarantine(path, source="feed.jsonl").add(ROWS[:2])
    cut_off, *whole = path.read_text().splitlines()
    assert cut_off == '{"file": "feed.jsonl", "li'
    assert [json.loads(text)["line"] for text in whole] == [1, 2]
