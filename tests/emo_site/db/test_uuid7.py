"""Ids made from a row's own time."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_site.db.uuid7 import time_of, uuid7

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=14))])
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 12, 30), timezones=ZONES)  # noqa: DTZ001


@given(MOMENTS)
def test_time_comes_back_to_the_microsecond(at: datetime) -> None:
    assert time_of(uuid7(at)) == at


@given(MOMENTS, MOMENTS)
def test_ids_sort_as_their_times(first: datetime, second: datetime) -> None:
    if first != second:
        assert (uuid7(first) < uuid7(second)) == (first < second)


@given(MOMENTS, st.integers(min_value=0))
def test_id_is_a_version_7_of_the_rfc(at: datetime, tail: int) -> None:
    made = uuid7(at, tail=tail)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


@given(MOMENTS, st.integers(min_value=0, max_value=2**62 - 1))
def test_same_time_and_tail_are_the_same_id(at: datetime, tail: int) -> None:
    assert uuid7(at, tail=tail) == uuid7(at.astimezone(UTC), tail=tail)
    assert uuid7(at, tail=tail) != uuid7(at, tail=tail ^ 1)


def test_rows_of_one_moment_have_different_ids() -> None:
    at = datetime(2025, 11, 3, tzinfo=UTC)
    assert len({uuid7(at) for _ in range(1000)}) == 1000


def test_known_id() -> None:
    at = datetime(2025, 11, 3, 15, 0, 0, 123456, tzinfo=UTC)
    assert str(uuid7(at, tail=1)) == "019a4a3b-6dfb-71c8-8000-000000000001"


@pytest.mark.parametrize("at", [datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)])
def test_time_before_1970_is_refused(at: datetime) -> None:
    with pytest.raises(ValueError, match="outside the years that a UUIDv7 can hold"):
        uuid7(at)


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        uuid7(datetime(2025, 1, 1))  # noqa: DTZ001


def test_time_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a UUIDv7"):
        time_of(uuid.uuid4())
