"""Tokens in the admin: made there with the secret shown once, by whom it may be; and the auditor's list of calls."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from emo_site.api import tokens
from emo_site.api.models import ApiCall, ApiToken
from tests.api_client import bot, order_body, trading_bot
from tests.factories import person

pytestmark = pytest.mark.django_db

TOKENS = "/admin/api/apitoken/"
CALLS = "/admin/api/apicall/"
FORM = {"name": "bot-1", "scopes": ["read", "stage"], "strategies": "Momentum, iron_condor", "days": "90"}


def as_user(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def maker() -> User:
    """Somebody who may make tokens, and is no superuser."""
    user = person("oscar", "operator")
    user.user_permissions.add(Permission.objects.get(codename="add_apitoken"))
    return user


def secret_on(page: str) -> str:
    found = re.search(r'id="token-secret">(emo_[^<]+)<', page)
    assert found is not None, page
    return found[1]


def test_a_token_is_made_and_its_secret_shown_once(root: User) -> None:
    trader = person("trader", "trader")
    client = as_user(root)
    response = client.post(f"{TOKENS}add/", {**FORM, "owner": trader.pk, "signed": "on"})
    page = response.content.decode()
    secret = secret_on(page)
    token, _ = tokens.prove(secret, now=timezone.now())
    assert (token.owner, token.scopes, token.strategies) == (trader, ["read", "stage"], ["iron_condor", "momentum"])
    assert (token.created_by, token.signed) == ("root", True)
    assert tokens.signing_keys(token, 1)[0] in page
    assert "no-store" in response["Cache-Control"]
    shown = [client.get(path).content.decode() for path in (TOKENS, f"{TOKENS}{token.pk}/change/", "/admin/")]
    assert all(secret not in each and token.secret_digest not in each for each in shown)
    assert all(token.prefix in each for each in shown[:2])
    assert LogEntry.objects.get().change_message == "Made."


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"days": "400"}, "less than or equal to 366"),
        ({"scopes": []}, "This field is required"),
        ({"name": ""}, "This field is required"),
        ({"strategies": "a" * 65}, "Each has 1 to 64 printable characters."),
    ],
)
def test_what_can_be_no_token_is_told_on_its_field(root: User, changes: dict[str, Any], said: str) -> None:
    page = as_user(root).post(f"{TOKENS}add/", {**FORM, "owner": root.pk, **changes}).content.decode()
    assert said in page
    assert not ApiToken.objects.exists()


def test_nobody_makes_or_changes_tokens_of_others_but_a_superuser(maker: User) -> None:
    trader = person("trader", "trader")
    client = as_user(maker)
    page = client.post(f"{TOKENS}add/", {**FORM, "owner": trader.pk}).content.decode()
    assert "Select a valid choice" in page
    secret_on(client.post(f"{TOKENS}add/", {**FORM, "owner": maker.pk}).content.decode())
    other = bot(trader).token
    for verb in ("rotate", "revoke"):
        assert client.post(f"{TOKENS}{other.pk}/{verb}/", {"days": 1, "overlap_hours": 0}).status_code == 403
    assert "Revoke the token" not in client.get(f"{TOKENS}{other.pk}/change/").content.decode()
    other.refresh_from_db()
    assert (other.generation, other.revoked_at) == (1, None)


@pytest.mark.parametrize(("group", "status"), [("auditor", 200), ("operator", 200), ("trader", 403)])
def test_who_sees_tokens_and_calls(group: str, status: int) -> None:
    token = bot(person("owner", "trader")).token
    client = as_user(person("ada", group))
    for path in (TOKENS, f"{TOKENS}{token.pk}/change/", CALLS):
        assert client.get(path).status_code == status
    assert client.get(f"{TOKENS}add/").status_code == 403
    assert client.post(f"{TOKENS}{token.pk}/revoke/").status_code == 403
    assert client.post(f"{TOKENS}{token.pk}/change/", {}).status_code in (403, 405)
    assert client.post(f"{TOKENS}{token.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_token_is_rotated_and_revoked(root: User) -> None:
    asking = bot(person("trader", "trader"))
    client = as_user(root)
    path = f"{TOKENS}{asking.token.pk}/"
    page = client.post(f"{path}rotate/", {"days": "10", "overlap_hours": "1"}).content.decode()
    token, generation = tokens.prove(secret_on(page), now=timezone.now())
    assert (token.pk, generation) == (asking.token.pk, 2)
    assert asking.get("/orders").status_code == 200
    assert "The secret before is good until" in client.get(f"{path}change/").content.decode()
    assert client.post(f"{path}rotate/", {"days": "0", "overlap_hours": "1"}).status_code == 302
    assert client.get(f"{path}revoke/").status_code == 405
    client.post(f"{path}revoke/")
    assert asking.get("/orders").status_code == 401
    shown = client.get(f"{path}change/").content.decode()
    assert "revoked" in shown
    assert "Revoke the token" not in shown
    assert [each.change_message for each in LogEntry.objects.order_by("id")] == ["Rotated.", "Revoked."]


def test_the_auditor_finds_the_calls_of_an_order_and_of_a_person() -> None:
    asking = trading_bot()
    order_id = asking.post("/orders", order_body()).json()["id"]
    client = as_user(person("ada", "auditor"))
    for term, rows in ((order_id, 1), ("trader", 1), ("nobody", 0)):
        page = client.get(CALLS, {"q": term}).content.decode()
        assert page.count('class="field-actor_name"') == rows, term
    assert f"{order_id}, event 1" in client.get(CALLS).content.decode()
    call = ApiCall.objects.get()
    assert client.get(f"{CALLS}{call.pk}/change/").status_code == 200


def test_nobody_changes_what_was_asked() -> None:
    trading_bot().post("/orders", order_body())
    with pytest.raises(Exception, match="append-only"):
        ApiCall.objects.update(status=200)
