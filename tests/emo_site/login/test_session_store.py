"""Sessions end: unused, after a day's work, with the password, with the powers they began with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import DatabaseError, OperationalError, connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

# The API's schemas are made of datetime's own classes: they can't be made once a test has stopped the clock.
import emo_site.urls  # noqa: F401
from tests.factories import person

pytestmark = pytest.mark.django_db
PAGE = "/admin/"
NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"


@pytest.fixture
def ada() -> User:
    return person("ada", "reviewer")


def logged_in(user: User, *, now: datetime = NOON) -> Client:
    client = Client()
    with freeze_time(now):
        client.force_login(user)
    return client


def is_in(client: Client, *, now: datetime = NOON, **headers: Any) -> bool:
    with freeze_time(now):
        return client.get(PAGE, **headers).status_code == 200


def test_a_session_ends_an_hour_after_its_last_use(ada: User) -> None:
    assert is_in(logged_in(ada), now=NOON + timedelta(minutes=59))
    assert not is_in(logged_in(ada), now=NOON + timedelta(minutes=61))


def test_use_prolongs_it_until_twelve_hours_after_the_login(ada: User) -> None:
    client = logged_in(ada)
    for minutes in range(50, 12 * 60, 50):
        assert is_in(client, now=NOON + timedelta(minutes=minutes))
    assert not is_in(client, now=NOON + timedelta(hours=12, seconds=1))


def test_the_settings_say_how_long(ada: User, settings: Any) -> None:
    settings.SESSION_COOKIE_AGE, settings.EMO_SESSION_HOURS = 5 * 60, 1
    assert not is_in(logged_in(ada), now=NOON + timedelta(minutes=6))
    client = logged_in(ada)
    for minutes in range(4, 60, 4):
        assert is_in(client, now=NOON + timedelta(minutes=minutes))
    assert not is_in(client, now=NOON + timedelta(minutes=61))


def test_a_page_that_refreshes_itself_is_no_use(ada: User) -> None:
    client = logged_in(ada)
    for minutes in range(10, 60, 10):
        assert is_in(client, now=NOON + timedelta(minutes=minutes), HTTP_SEC_FETCH_MODE="cors")
    assert not is_in(client, now=NOON + timedelta(minutes=61))


def test_use_is_written_once_a_minute_at_most(ada: User) -> None:
    client = logged_in(ada)
    writes = []
    for seconds in (30, 61, 90, 122):
        with CaptureQueriesContext(connection) as queries:
            assert is_in(client, now=NOON + timedelta(seconds=seconds))
        writes.append(sum(query["sql"].startswith("UPDATE") for query in queries))
    assert writes == [0, 1, 0, 1]


def test_a_page_is_shown_though_its_session_can_not_be_prolonged(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = logged_in(ada)
    update = QuerySet.update

    def read_only(rows: Any, **values: Any) -> int:
        if rows.model is Session:
            raise DatabaseError("cannot execute UPDATE in a read-only transaction")
        return update(rows, **values)

    monkeypatch.setattr(QuerySet, "update", read_only)
    assert is_in(client, now=NOON + timedelta(minutes=30))
    assert not is_in(client, now=NOON + timedelta(minutes=61))


def test_a_session_that_can_not_be_read_is_waited_for_once(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose request is refused for it has waited seconds: not another time for the sake of being prolonged."""
    client = logged_in(ada)
    client.raise_request_exception = False
    asked = []

    def away(session: Any) -> None:
        asked.append(session.session_key)
        raise OperationalError("no server") from psycopg.OperationalError("no server")

    monkeypatch.setattr("emo_site.login.session_store.SessionStore._get_session_from_db", away)
    with freeze_time(NOON):
        assert client.post(PAGE).status_code == 503
    assert len(asked) == 1


def test_a_login_has_another_session_id_and_keeps_nothing_of_somebody_elses(ada: User) -> None:
    client = Client()
    session = client.session
    session["planted"] = "yes"
    session.save()
    client.cookies["sessionid"] = planted = session.session_key
    client.post("/admin/login/", {"username": "ada", "password": PASSWORD})
    assert client.session.session_key != planted
    assert not Session.objects.filter(session_key=planted).exists()
    client.force_login(person("bob", "reviewer"))
    assert "planted" not in client.session


def test_a_changed_password_ends_every_other_session(ada: User) -> None:
    here, elsewhere = Client(), Client()
    here.force_login(ada)
    elsewhere.force_login(ada)
    before = here.session.session_key
    new = "a better horse battery"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post("/admin/password_change/", form).status_code == 302
    assert here.get(PAGE).status_code == 200
    assert here.session.session_key != before
    assert elsewhere.get(PAGE).status_code == 302


def change(root: Client, user: User, **changed: Any) -> None:
    values = {"username": user.username, "is_active": "on", "is_staff": "on", "groups": [1], **changed}
    values = {name: value for name, value in values.items() if value != ""}
    answer = root.post(f"/admin/auth/user/{user.pk}/change/", values)
    assert answer.status_code == 302, answer.context["errors"]


@pytest.fixture
def root() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_whoever_is_deactivated_is_out_and_stays_out(ada: User, root: Client) -> None:
    client = Client()
    client.force_login(ada)
    groups = list(ada.groups.values_list("pk", flat=True))
    change(root, ada, groups=groups, is_active="")
    change(root, ada, groups=groups)
    assert User.objects.get(pk=ada.pk).is_active
    assert client.get(PAGE).status_code == 302, "the session of before is over"


@pytest.mark.parametrize("changed", [{"is_superuser": "on"}, {"groups": []}])
def test_whoever_gets_other_powers_logs_in_anew(ada: User, root: Client, changed: dict[str, Any]) -> None:
    client = Client()
    client.force_login(ada)
    groups = list(ada.groups.values_list("pk", flat=True))
    change(root, ada, groups=groups, first_name="Ada")
    assert client.get(PAGE).status_code == 200, "a name is no power"
    change(root, ada, **{"groups": groups, "first_name": "Ada", **changed})
    assert client.get(PAGE).status_code == 302


def test_whoever_changes_their_own_powers_goes_on_under_another_id(root: Client) -> None:
    me = User.objects.get(username="root")
    before = root.session.session_key
    change(root, me, is_superuser="on", groups=[Group.objects.get(name="reviewer").pk])
    assert root.get(PAGE).status_code == 200
    assert root.session.session_key != before
