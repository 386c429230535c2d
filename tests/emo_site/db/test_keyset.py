"""Pages by place: every row once, whichever way one walks, however many share a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from emo_site.db import keyset
from emo_site.db.keyset import BadPlace, Place
from emo_site.db.uuid7 import uuid7
from monitoring.models import MarketEvent
from tests.conftest import BACKEND

START = datetime(2025, 11, 3, tzinfo=UTC)
PLACE = Place(at=START + timedelta(microseconds=5), id=UUID(int=7))


def stored(offsets: list[int]) -> list[UUID]:
    """Events so many microseconds after START; their ids, newest first."""
    rows = [
        MarketEvent(id=uuid7(at, tail=number), event_type="trade", timestamp=at)
        for number, offset in enumerate(offsets)
        for at in [START + timedelta(microseconds=offset)]
    ]
    MarketEvent.objects.bulk_create(rows)
    return [row.id for row in sorted(rows, key=lambda row: (row.timestamp, row.id), reverse=True)]


class TestWalks(TestCase):
    @settings(max_examples=40, deadline=None)
    @given(offsets=st.lists(st.integers(0, 6), max_size=25), size=st.integers(1, 6))
    def test_walking_down_and_up_again_meets_every_row_once(self, offsets: list[int], size: int) -> None:
        ids, rows = stored(offsets), MarketEvent.objects.all()
        page = keyset.newest(rows, size)
        down = [page]
        while page.older:
            page = keyset.older_than(rows, page.older, size)
            down.append(page)
        assert [row.pk for each in down for row in each.rows] == ids
        assert down[0].newer is None

        page = keyset.newer_than(rows, None, size)
        assert [row.pk for row in page.rows] == ids[-size:]
        up = [page]
        while page.newer:
            page = keyset.newer_than(rows, page.newer, size)
            up.append(page)
        # The topmost page is a full one, so that it may repeat rows of the one below it.
        assert {row.pk for each in up for row in each.rows} == set(ids)
        assert [row.pk for row in page.rows] == ids[:size]


def test_a_place_is_written_and_read_back() -> None:
    assert PLACE.text == f"2025-11-03T00:00:00.000005Z_{7:032x}"
    assert Place.parse("older", PLACE.text) == PLACE
    tokyo = Place(at=PLACE.at.astimezone(timezone(timedelta(hours=9))), id=PLACE.id)
    assert tokyo.text == PLACE.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "_",
        "2025-11-03",
        f"2025-11-03T00:00:00_{7:032x}",
        "2025-11-03T00:00:00Z_7",
        f"0001-01-01T00:00:00+14:00_{7:032x}",
        f"2025-13-03T00:00:00Z_{7:032x}",
        "2025-11-03T00:00:00Z_" + "g" * 32,
        "2025-11-03T00:00:00Z_" + "\x00" * 32,
    ],
)
def test_what_is_no_place_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadPlace) as error:
        Place.parse("older", text)
    rule = "must be a time in ISO 8601 with its zone, _ and the id in 32 hexadecimal digits"
    assert str(error.value) == f"older={text!r}: {rule}"


@pytest.mark.django_db
def test_a_page_deep_in_the_list_is_found_through_an_index() -> None:
    stored([number * 86_400_000_000 // 10 for number in range(2_000)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE market_events")
    deep = Place(at=START + timedelta(days=100), id=UUID(int=0))
    plan = MarketEvent.objects.filter(deep.older()).order_by(*keyset.ORDER)[:101].explain()
    assert "market_events_timestamp" in plan or "market_events_pkey" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "SCAN market_events" not in plan, plan
    assert ("TEMP B-TREE" in plan or "Sort " in plan) is False, plan
    if BACKEND == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS sqlite_stat1")
