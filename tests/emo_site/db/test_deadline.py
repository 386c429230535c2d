"""Waits end: the nearest deadline holds, and none where nobody set one."""

from __future__ import annotations

import pytest

from emo_site.db import deadline


def test_without_a_deadline_nothing_ends() -> None:
    assert deadline.remaining() is None
    assert deadline.at_most(3600) == 3600


def test_nearest_deadline_holds_and_the_outer_one_comes_back() -> None:
    with deadline.within(50):
        with deadline.within(5):
            assert 4 < (deadline.remaining() or 0) <= 5
        with deadline.within(500):
            assert 49 < (deadline.remaining() or 0) <= 50
        assert deadline.at_most(10) == 10
    assert deadline.remaining() is None


def test_deadline_that_is_over_leaves_nothing() -> None:
    with deadline.within(0):
        assert deadline.remaining() == 0
        assert deadline.at_most(5) == 0


def test_patience_shortens_the_wait_for_a_connection_alone() -> None:
    with deadline.within(9), deadline.patience(1):
        assert deadline.to_connect(5) == 1
        assert deadline.at_most(5) == 5
    assert deadline.to_connect(5) == 5


def test_patience_is_for_the_whole_block() -> None:
    with deadline.patience(1):
        deadline.waited_in_vain(0.3)
        assert deadline.to_connect(5) == pytest.approx(0.7)
        deadline.waited_in_vain(0.7)
        # Whoever has none left still takes a connection that is to be had.
        assert deadline.to_connect(5) == deadline.LEAST_SECONDS
        assert deadline.to_connect(0.1) == 0.1
    deadline.waited_in_vain(5)
    with deadline.patience(1):
        assert deadline.to_connect(5) == 1


def test_deadline_is_lifted_even_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), deadline.within(1):
        raise ZeroDivisionError
    assert deadline.remaining() is None
