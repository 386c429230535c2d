"""Waits for connections are counted where they happen."""

from __future__ import annotations

import threading
import time

import pytest

from emo_site.db import waits
from emo_site.db.waits import Waits


def test_each_wait_is_counted_with_its_time() -> None:
    counted = Waits()
    for seconds in (0.0, 0.05):
        with counted.one():
            time.sleep(seconds)
    found = counted.figures()
    assert (found.requests, found.failed, found.waiting) == (2, 0, 0)
    assert 50 <= found.longest_ms < 1000
    assert found.mean_ms == pytest.approx(found.total_ms / 2)


def test_nothing_asked_has_no_mean() -> None:
    assert Waits().figures().mean_ms is None


def test_a_wait_in_vain_is_a_failure_and_goes_on() -> None:
    counted = Waits()
    with pytest.raises(ValueError, match="none left"), counted.one():
        raise ValueError("none left")
    found = counted.figures()
    assert (found.requests, found.failed, found.recently_failed, found.waiting) == (1, 1, 1, 0)


def test_failures_are_news_for_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [6000.0]
    monkeypatch.setattr(waits, "monotonic", lambda: now[0])
    counted = Waits()
    for _ in range(2):
        with pytest.raises(ValueError, match="x"), counted.one():
            raise ValueError("x")
    now[0] += 599
    assert counted.figures().recently_failed == 2
    now[0] += 70
    assert (counted.figures().recently_failed, counted.figures().failed) == (0, 2)


def test_who_waits_now_is_seen() -> None:
    counted, release = Waits(), threading.Event()

    def wait() -> None:
        with counted.one():
            release.wait(10)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    give_up_at = time.monotonic() + 10
    while counted.figures().waiting < 3 and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert counted.figures().waiting == 3
    release.set()
    for thread in threads:
        thread.join()
    assert (counted.figures().waiting, counted.figures().requests) == (0, 3)
