"""A change of state is believed after a few results alike, later where it went to and fro."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.choices import HealthStatus
from monitoring.flapping import FLAPPING_WITHIN, TO_MEND, TO_MEND_FLAPPING, TO_WORSEN, State, after

NOW = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)
WORDS = {"h": HealthStatus.HEALTHY, "w": HealthStatus.WARNING, "e": HealthStatus.ERROR, "u": HealthStatus.UNKNOWN}


def believed(results: str) -> str:
    """One letter for each result: what is believed after it."""
    state, said = State(), ""
    for number, letter in enumerate(results):
        state = after(state, WORDS[letter], NOW + timedelta(seconds=number))
        said += next(key for key, status in WORDS.items() if status == state.status)
    return said


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ("hhhh", "hhhh"),
        # One bad result is a flicker, two are a state.
        ("ehhh", "hhhh"),
        ("ehehe", "hhhhh"),
        ("ee", "he"),
        ("ww", "hw"),
        ("uu", "hu"),
        # What both of them say at least.
        ("we", "hw"),
        ("ew", "hw"),
        ("wee", "hww"),
        ("weee", "hwwe"),
        # Well again after three.
        ("eehhh", "heeeh"),
        ("eehheehhh", "heeeeeeeh"),
        ("eewww", "heeew"),
        ("eewhh", "heeew"),
        ("eehhhh", "heeehh"),
        # Ill again soon after: ten good results are asked for, once.
        ("eehhhee" + "h" * 9, "heeehhe" + "e" * 9),
        ("eehhhee" + "h" * 10, "heeehhe" + "e" * 9 + "h"),
        ("eehhh" + "h" * FLAPPING_WITHIN + "ee" + "hhh", "heeeh" + "h" * FLAPPING_WITHIN + "heeeh"),
    ],
)
def test_state_follows_results_that_agree(results: str, expected: str) -> None:
    assert believed(results) == expected


def test_a_state_began_with_the_first_result_that_said_so() -> None:
    state = State()
    for number, letter in enumerate("hhee"):
        state = after(state, WORDS[letter], NOW + timedelta(seconds=number))
    assert (state.status, state.since) == (HealthStatus.ERROR, NOW + timedelta(seconds=2))


@settings(deadline=None)
@given(st.lists(st.sampled_from("hweu"), max_size=80).map("".join))
def test_nothing_is_believed_that_was_not_said_again_and_again(results: str) -> None:
    said = believed(results)
    for place, (before, now) in enumerate(zip("h" + said, said, strict=False)):
        if now == before:
            continue
        needed = {"h": (TO_MEND, TO_MEND_FLAPPING)}.get(now, (TO_WORSEN, TO_MEND_FLAPPING))[0]
        recent = results[max(0, place - needed + 1) : place + 1]
        assert len(recent) == needed
        assert before not in recent
        assert now in results[: place + 1]


@settings(deadline=None)
@given(st.lists(st.sampled_from("hweu"), max_size=40).map("".join), st.sampled_from("hweu"))
def test_what_lasts_is_believed_in_the_end(results: str, last: str) -> None:
    assert believed(results + last * (2 * TO_MEND_FLAPPING))[-1] == last
