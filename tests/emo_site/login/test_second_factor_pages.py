"""One's own second factor: setting it up takes password and code, ends other sessions, and is shown once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from emo_site.login import accounts, totp
from tests.factories import person

pytestmark = pytest.mark.django_db
PAGE, QUEUE = "/admin/second-factor/", "/admin/orders/stagedorder/"
PASSWORD = "correct horse battery"


@pytest.fixture
def ada() -> User:
    return person("ada", "reviewer")


@pytest.fixture
def client(ada: User) -> Client:
    client = Client()
    client.force_login(ada)
    return client


def secret_shown(client: Client) -> bytes:
    from base64 import b32decode

    groups = re.search(r'class="secret">([A-Z2-7 ]+)<', client.get(PAGE).content.decode())
    assert groups is not None
    return b32decode(groups[1].replace(" ", ""))


def code(secret: bytes, *, steps: int = 0) -> str:
    return totp.code_at(secret, totp.step_at(timezone.now()) + steps)


def set_up(client: Client) -> tuple[bytes, list[str]]:
    secret = secret_shown(client)
    answer = client.post(PAGE, {"password": PASSWORD, "code": code(secret)})
    return secret, re.findall(r"<li>(\w{4}-\w{4})</li>", answer.content.decode())


def errors(answer: Any) -> dict[str, list[str]]:
    return {field: list(said) for field, said in answer.context["form"].errors.items()}


def test_it_is_set_up_with_the_password_and_the_apps_code(client: Client, ada: User) -> None:
    secret, codes = set_up(client)
    assert len(codes) == 10
    assert accounts.accepts(ada, codes[0], now=timezone.now())
    assert accounts.accepts(ada, code(secret, steps=1), now=timezone.now())
    assert not re.search("<li>.{4}-.{4}</li>", client.get(PAGE).content.decode()), "they are shown once"


def test_the_same_secret_is_offered_until_it_is_set_up(client: Client) -> None:
    assert secret_shown(client) == secret_shown(client)


@pytest.mark.parametrize(
    ("password", "said"),
    [("wrong", {"password": ["That is not your password."]}), ("", {"password": ["This field is required."]})],
)
def test_a_session_alone_does_not_set_it_up(
    client: Client, ada: User, password: str, said: dict[str, list[str]]
) -> None:
    secret = secret_shown(client)
    assert errors(client.post(PAGE, {"password": password, "code": code(secret)})) == said
    assert not accounts.is_enrolled(User.objects.get(pk=ada.pk))


def test_guessing_the_password_there_is_locked_out(client: Client) -> None:
    answers = [client.post(PAGE, {"password": "wrong", "code": "000000"}) for _ in range(6)]
    assert errors(answers[4])["password"] == ["That is not your password."]
    assert errors(answers[5])["password"][0].startswith("Too many failed logins. Wait 1 minute")


def test_a_wrong_code_sets_nothing_up(client: Client, ada: User) -> None:
    answer = client.post(PAGE, {"password": PASSWORD, "code": "000000"})
    assert list(errors(answer)) == ["code"]
    assert not accounts.is_enrolled(User.objects.get(pk=ada.pk))


def test_other_sessions_end_with_it_and_this_one_goes_on_under_another_id(client: Client, ada: User) -> None:
    other = Client()
    other.force_login(ada)
    before = client.session.session_key
    set_up(client)
    assert client.get(QUEUE).status_code == 200
    assert client.session.session_key != before
    assert other.get(QUEUE).status_code == 302


def test_it_is_removed_with_a_code(client: Client, ada: User) -> None:
    secret, _ = set_up(client)
    assert list(errors(client.post(PAGE, {"remove": "", "code": "000000"}))) == ["code"]
    assert accounts.is_enrolled(User.objects.get(pk=ada.pk))
    client.post(PAGE, {"remove": "", "code": code(secret, steps=1)})
    assert not accounts.is_enrolled(User.objects.get(pk=ada.pk))
    assert client.get(QUEUE).status_code == 200


def test_new_backup_codes_take_a_code(client: Client, ada: User) -> None:
    _, old = set_up(client)
    answer = client.post(PAGE, {"renew": "", "code": old[0]})
    new = re.findall(r"<li>(\w{4}-\w{4})</li>", answer.content.decode())
    assert len(new) == 10
    assert not set(old) & set(new)
    assert "10 of 10 backup codes are left" in client.get(PAGE).content.decode()


def test_an_administrator_resets_it_in_the_admin_and_their_sessions_end(client: Client, ada: User) -> None:
    set_up(client)
    root, trader = Client(), Client()
    root.force_login(User.objects.create_superuser("root"))
    trader.force_login(person("tom", "trader"))
    reset = {"action": "reset", "_selected_action": str(ada.pk)}
    assert trader.post("/admin/login/account/", reset).status_code == 403
    assert accounts.is_enrolled(User.objects.get(pk=ada.pk))
    assert "ada" in root.get("/admin/login/account/").content.decode()
    root.post("/admin/login/account/", reset)
    assert not accounts.is_enrolled(User.objects.get(pk=ada.pk))
    assert client.get(QUEUE).status_code == 302
    history = root.get(f"/admin/auth/user/{ada.pk}/history/").content.decode()
    assert "Second factor set up." in history
    assert "Second factor reset." in history


def test_nobody_resets_their_own_in_the_admin() -> None:
    user = User.objects.create_superuser("root", password=PASSWORD)
    client = Client()
    client.force_login(user)
    set_up(client)
    answer = client.post("/admin/login/account/", {"action": "reset", "_selected_action": str(user.pk)}, follow=True)
    assert "Root can&#x27;t reset their own second factor" in answer.content.decode()
    assert accounts.is_enrolled(User.objects.get(pk=user.pk))


def test_it_is_for_whoever_is_logged_in(ada: User) -> None:
    assert Client().get(PAGE)["Location"] == f"/admin/login/?next={PAGE}"


def test_the_page_is_kept_by_no_cache(client: Client) -> None:
    assert "no-store" in client.get(PAGE)["Cache-Control"]
