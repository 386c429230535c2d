"""The admin's lists of market events and health: paged by place, with filters kept, and forgiving."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from emo_site.db.keyset import Place
from monitoring.admin import MarketEventAdmin
from monitoring.models import MarketEvent, RetentionRun, SystemHealth
from tests.factories import person

pytestmark = pytest.mark.django_db

START = datetime(2025, 11, 3, tzinfo=UTC)
LIST = "/admin/monitoring/marketevent/"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(MarketEventAdmin, "list_per_page", 10)
    MarketEvent.objects.bulk_create(
        MarketEvent(
            symbol="SPY" if number % 2 else "QQQ", event_type="trade", timestamp=START + timedelta(seconds=number)
        )
        for number in range(35)
    )
    client = Client()
    client.force_login(person("olga", "operator"))
    return client


def seconds(response: Any) -> list[int]:
    return [int((row.timestamp - START).total_seconds()) for row in response.context["cl"].result_list]


def links(response: Any) -> dict[str, str]:
    """What a person can follow below the list."""
    (nav,) = re.findall(
        r'<nav class="turns" aria-label="Pages of this list">(.*?)</nav>', response.content.decode(), re.S
    )
    return {label: url.replace("&amp;", "&") for url, label in re.findall(r'<a href="([^"]*)"[^>]*>(\w+)</a>', nav)}


def test_older_newer_oldest_and_newest_lead_through_the_list(client: Client) -> None:
    first = client.get(LIST)
    assert seconds(first) == list(range(34, 24, -1))
    assert set(links(first)) == {"Older", "Oldest"}
    second = client.get(LIST + links(first)["Older"])
    assert seconds(second) == list(range(24, 14, -1))
    assert set(links(second)) == {"Newest", "Newer", "Older", "Oldest"}
    assert seconds(client.get(LIST + links(second)["Newer"])) == seconds(first)
    last = client.get(LIST + links(second)["Oldest"])
    assert seconds(last) == list(range(9, -1, -1))
    assert set(links(last)) == {"Newest", "Newer"}
    assert seconds(client.get(LIST + links(last)["Newest"])) == seconds(first)
    assert "2025-11-03 00:00:09 UTC back to 2025-11-03 00:00:00 UTC" in last.content.decode()


def test_search_and_filters_are_kept_and_a_new_one_begins_at_the_top(client: Client) -> None:
    first = client.get(f"{LIST}?q=spy")
    second = client.get(LIST + links(first)["Older"])
    assert seconds(first) + seconds(second) == list(range(33, 0, -2))
    assert "q=spy" in links(second)["Newest"]
    assert "older" not in links(second)["Newest"]
    text = second.content.decode()
    filters = re.findall(r'href="(\?[^"]*within=[^"]*)"', text)
    assert filters
    assert not [each for each in filters if "older" in each]
    assert 'name="older"' not in text


def test_rows_that_come_in_meanwhile_do_not_move_the_page(client: Client) -> None:
    older = links(client.get(LIST))["Older"]
    MarketEvent.objects.create(symbol="SPY", event_type="trade", timestamp=START + timedelta(seconds=99))
    assert seconds(client.get(LIST + older)) == list(range(24, 14, -1))


@pytest.mark.parametrize("query", ["older=x", "newer=", "older=2025-11-03_1", "older=%00", "older=a&newer=b"])
def test_a_place_that_is_none_leads_to_the_top_with_a_word_and_the_filters(client: Client, query: str) -> None:
    response = client.get(f"{LIST}?q=spy&{query}", follow=True)
    assert response.redirect_chain == [(f"{LIST}?q=spy", 302)]
    assert "That place in the list is not understood, so this is its top." in response.content.decode()
    assert seconds(response) == list(range(33, 13, -2))


def test_a_place_that_no_row_has_is_as_good_as_any(client: Client) -> None:
    event = MarketEvent.objects.order_by("timestamp")[20]
    place = Place.of(event).text
    event.delete()
    assert seconds(client.get(f"{LIST}?older={place}")) == list(range(19, 9, -1))
    assert seconds(client.get(f"{LIST}?older=1999-01-01T00:00:00Z_{0:032x}")) == []
    assert seconds(client.get(f"{LIST}?newer=2999-01-01T00:00:00Z_{0:032x}")) == list(range(34, 24, -1))


def test_no_page_skips_rows_by_offset(client: Client) -> None:
    for url in (LIST, LIST + links(client.get(LIST))["Older"], f"{LIST}?newer=beginning", f"{LIST}?p=3"):
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        assert not [query["sql"] for query in captured if "OFFSET" in query["sql"]]


def test_an_empty_list_offers_no_ways_on(client: Client) -> None:
    response = client.get("/admin/monitoring/systemhealth/")
    assert links(response) == {}
    assert SystemHealth.objects.count() == 0


@pytest.mark.parametrize("group", ["trader", "reviewer", "operator", "auditor"])
def test_every_group_reads_what_retention_let_go_and_nobody_edits_it(group: str) -> None:
    run = RetentionRun.objects.create(
        table_name="market_events", way="batches", cutoff=START, rows=12_345, started_at=START, finished_at=START
    )
    client = Client()
    client.force_login(person("anna", group))
    text = client.get("/admin/monitoring/retentionrun/").content.decode()
    assert "12345" in text
    assert client.get(f"/admin/monitoring/retentionrun/{run.pk}/change/").status_code == 200
    client.force_login(User.objects.create_superuser("root"))
    assert client.get("/admin/monitoring/retentionrun/add/").status_code == 403
    assert client.post(f"/admin/monitoring/retentionrun/{run.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "marketevent/?q=%00",
        "marketevent/?within=%00",
        "systemhealth/?component_name=%00",
        "marketevent/%00/change/",
        "marketevent/ffffffff-ffff-7fff-bfff-ffffffffffff/change/",
        "marketevent/?older=9999-12-31T23:59:59.999999Z_ffffffffffffffffffffffffffffffff",
        "marketevent/?newer=0001-01-01T00:00:00Z_00000000000000000000000000000000",
    ],
)
def test_rubbish_in_the_address_is_no_error_of_the_desk(client: Client, path: str) -> None:
    assert client.get(f"/admin/monitoring/{path}", follow=True).status_code in (200, 404)
