"""Order reviews that somebody comes back to: saved under a name, renamed, deleted, by their owner alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client

from orders.choices import FilterPlace
from orders.models import SavedFilter
from tests.factories import NOW

pytestmark = pytest.mark.django_db

PAGE = "/reports/orders/"
QUERY = "period=7d&strategy=momentum&reviewer=rob"


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("rita")


@pytest.fixture
def rita(owner: User, client: Client) -> Client:
    client.force_login(owner)
    return client


def save(client: Client, name: str = "Momentum", query: str = QUERY) -> Any:
    return client.post(f"{PAGE}views/save/", {"name": name, "query": query})


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def rows() -> list[tuple[str, str]]:
    return list(SavedFilter.objects.filter(place=FilterPlace.REVIEW).order_by("name").values_list("name", "query"))


def links(client: Client, query: str = "") -> list[tuple[str, str]]:
    html = client.get(f"{PAGE}?{query}").content.decode()
    found = re.search(r'<nav aria-label="Saved reviews">(.*?)</nav>', html, re.DOTALL)
    return re.findall(r'<a href="([^"]+)"( aria-current="page")?>[^<]+</a>', found[1]) if found else []


def test_review_is_saved_and_one_click_away(rita: Client) -> None:
    response = save(rita)
    assert response.status_code == 302
    assert response["Location"] == f"{PAGE}?{QUERY}"
    assert told(response) == ["This review is saved as Momentum."]
    assert rows() == [("Momentum", QUERY)]
    assert links(rita) == [("?period=7d&amp;strategy=momentum&amp;reviewer=rob", "")]
    # The page says which one it shows.
    assert links(rita, QUERY)[0][1] == ' aria-current="page"'
    assert rita.get(f"{PAGE}?{QUERY}").status_code == 200


def test_what_was_done_is_told_on_the_page_once(rita: Client) -> None:
    save(rita)
    assert "This review is saved as Momentum." in rita.get(PAGE).content.decode()
    assert "This review is saved as Momentum." not in rita.get(PAGE).content.decode()


def test_the_form_works_without_a_script_and_carries_its_token(owner: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    assert save(client).status_code == 403
    html = client.get(f"{PAGE}?{QUERY}").content.decode()
    form = re.search(r'<form method="post" action="/reports/orders/views/save/">(.*?)</form>', html, re.DOTALL)
    assert form
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form[1])
    query = re.search(r'name="query" value="([^"]*)"', form[1])
    assert token
    assert query
    asked = {"name": "Mine", "query": query[1].replace("&amp;", "&"), "csrfmiddlewaretoken": token[1]}
    assert client.post(f"{PAGE}views/save/", asked).status_code == 302
    assert rows() == [("Mine", QUERY)]


def test_review_is_renamed_and_deleted(rita: Client) -> None:
    save(rita)
    view = SavedFilter.objects.get()
    response = rita.post(f"{PAGE}views/{view.pk}/rename/", {"name": " Of the week ", "query": "period=1d"})
    assert response["Location"] == f"{PAGE}?period=1d"
    assert told(response)[-1:] == ["The saved review is called Of the week now."]
    assert rows() == [("Of the week", QUERY)]
    assert told(rita.post(f"{PAGE}views/{view.pk}/delete/", {"query": QUERY}))[-1:] == [
        "Of the week is no saved review any more."
    ]
    assert rows() == []


def test_a_name_is_given_once(rita: Client) -> None:
    save(rita)
    save(rita, "Other")
    taken = "Refused: name='Momentum': you have saved a filter of that name."
    assert told(save(rita))[-1] == taken
    other = SavedFilter.objects.get(name="Other")
    assert told(rita.post(f"{PAGE}views/{other.pk}/rename/", {"name": "Momentum"}))[-1] == taken
    # Its own name is not taken by itself, and the queue's names are others.
    assert told(rita.post(f"{PAGE}views/{other.pk}/rename/", {"name": "Other"}))[-1].endswith("called Other now.")
    SavedFilter.objects.create(owner=other.owner, name="New", query="status=all", created_at=NOW)
    assert told(save(rita, "New"))[-1] == "This review is saved as New."


def test_there_is_room_for_twenty(rita: Client) -> None:
    for number in range(20):
        save(rita, f"view {number}")
    assert told(save(rita, "one more"))[-1] == "Refused: 20 filters are saved: delete one first."
    assert len(rows()) == 20


@pytest.mark.parametrize(
    ("name", "query", "why"),
    [
        ("x", "period=8d", "Refused: period='8d': allowed are "),
        ("x", "from=2025-11-03", "Refused: from and to: both are needed"),
        ("x", "status=sleeping", "Refused: status='sleeping': allowed are "),
        ("x", "strategy=%0A", "Refused: strategy='\\n': holds a control character."),
        ("x", "symbol=" + "y" * 151, "Refused: symbol="),
        (" ", QUERY, "Refused: name='': 1 to 64 printable characters are needed."),
        ("y" * 65, QUERY, "Refused: name="),
    ],
)
def test_what_the_review_does_not_understand_is_refused(rita: Client, name: str, query: str, why: str) -> None:
    (message,) = told(save(rita, name, query))
    assert message.startswith(why)
    assert rows() == []


def test_what_is_no_part_of_the_review_is_left_out(rita: Client) -> None:
    """Nothing leads elsewhere, and nothing but its filters is kept."""
    response = save(rita, "x", "period=1d&next=//example.org&format=csv&older=1")
    assert response["Location"] == f"{PAGE}?period=1d"
    assert rows() == [("x", "period=1d")]


def test_nobody_sees_or_changes_the_reviews_of_others(rita: Client) -> None:
    save(rita)
    view = SavedFilter.objects.get()
    other = Client()
    other.force_login(User.objects.create_user("tom", is_superuser=True))
    assert links(other) == []
    for what in ("rename", "delete"):
        answer = other.post(f"{PAGE}views/{view.pk}/{what}/", {"name": "Mine"})
        assert told(answer)[-1:] == [f"Refused: You have no saved filter {view.pk}."]
    assert rows() == [("Momentum", QUERY)]


def test_a_filter_of_the_queue_is_not_reached_from_here(rita: Client, owner: User) -> None:
    queue = SavedFilter.objects.create(owner=owner, name="Queue", query="status=all", created_at=NOW)
    assert links(rita) == []
    assert told(rita.post(f"{PAGE}views/{queue.pk}/delete/")) == [f"Refused: You have no saved filter {queue.pk}."]
    assert SavedFilter.objects.filter(pk=queue.pk).exists()


@pytest.mark.parametrize("what", ["save", "1/rename", "1/delete"])
def test_strangers_are_asked_to_log_in_and_nothing_is_done_by_a_link(client: Client, rita: Client, what: str) -> None:
    stranger = Client()
    response = stranger.post(f"{PAGE}views/{what}/", {"name": "x"})
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")
    assert rita.get(f"{PAGE}views/{what}/").status_code == 405


def test_names_are_no_markup(rita: Client) -> None:
    save(rita, '<script>alert("x")</script>')
    html = rita.get(PAGE).content.decode()
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(") >= 3
