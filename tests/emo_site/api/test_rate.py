"""A token that asks too often is told when to come again."""

from __future__ import annotations

from emo_site.api.rate import Rate


def test_a_minutes_requests_may_come_at_once_and_then_at_their_pace() -> None:
    rate = Rate()
    assert [rate.wait("a", per_minute=3, at=100.0) for _ in range(4)] == [0, 0, 0, 20]
    # Another token has its own.
    assert rate.wait("b", per_minute=3, at=100.0) == 0
    assert rate.wait("a", per_minute=3, at=110.0) == 10
    assert rate.wait("a", per_minute=3, at=120.0) == 0
    assert rate.wait("a", per_minute=3, at=120.0) == 20


def test_nobody_saves_up_more_than_a_minute() -> None:
    rate = Rate()
    assert rate.wait("a", per_minute=2, at=0.0) == 0
    assert [rate.wait("a", per_minute=2, at=3600.0) for _ in range(3)] == [0, 0, 30]
