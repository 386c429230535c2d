"""After how many failures who waits for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emo_site.login import lockout
from emo_site.login.lockout import Limit


def minutes(limit: Limit, failures: range) -> list[int | None]:
    waits = [limit.wait_after(each) for each in failures]
    return [None if wait is None else wait // timedelta(minutes=1) for wait in waits]


def test_a_name_waits_ever_longer_from_the_fifth_failure_on() -> None:
    assert minutes(lockout.NAME, range(1, 14)) == [None, None, None, None, 1, 2, 4, 8, 15, 30, 60, 60, 60]


def test_an_address_waits_a_quarter_of_an_hour_from_the_twentieth_on() -> None:
    assert minutes(lockout.ADDRESS, range(18, 23)) == [None, None, 15, 15, 15]


def test_who_guesses_a_name_gets_some_thirty_guesses_a_day() -> None:
    spent, guesses = timedelta(0), 0
    while spent < timedelta(days=1):
        guesses += 1
        spent += lockout.NAME.wait_after(guesses) or timedelta(0)
    assert guesses <= 35


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "1 minute"), (60, "1 minute"), (61, "2 minutes"), (3600, "60 minutes")]
)
def test_the_wait_is_rounded_up(seconds: int, words: str) -> None:
    assert lockout.told(timedelta(seconds=seconds)) == words
