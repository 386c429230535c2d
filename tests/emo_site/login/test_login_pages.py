"""Logging in by the pages: who is let in, who waits, what is told, and what is not."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from emo_site.login import accounts, attempts, totp
from emo_site.login.models import FailedLogins
from emo_site.metrics import instruments
from tests.factories import person

pytestmark = pytest.mark.django_db
LOGIN, CODE, QUEUE = "/admin/login/", "/admin/login/code/", "/admin/orders/stagedorder/"
PASSWORD = "correct horse battery"
SECRET = b"12345678901234567890"
LOCKED = "Too many failed logins. Wait 1 minute, or ask an administrator to release you."


@pytest.fixture
def ada() -> User:
    return person("ada", "reviewer")


@pytest.fixture
def two_factors(ada: User) -> list[str]:
    """Ada's backup codes; her app was set up a few minutes ago."""
    before = timezone.now() - timedelta(minutes=5)
    return accounts.enrol(ada, SECRET, totp.code_at(SECRET, totp.step_at(before)), now=before)


def code() -> str:
    return totp.code_at(SECRET, totp.step_at(timezone.now()))


def log_in(client: Client, name: str = "ada", password: str = PASSWORD, **headers: Any) -> Any:
    return client.post(f"{LOGIN}?next={QUEUE}", {"username": name, "password": password}, **headers)


def is_in(client: Client) -> bool:
    return client.get(QUEUE).status_code == 200


def errors(answer: Any) -> list[str]:
    return [error for listed in answer.context["form"].errors.values() for error in listed]


def count(outcome: str) -> float:
    return instruments.PROCESS.get_sample_value("emo_logins_total", {"outcome": outcome}) or 0.0


def test_who_has_no_second_factor_is_in_by_password(client: Client, ada: User) -> None:
    before = count("logged_in")
    answer = log_in(client)
    assert (answer.status_code, answer["Location"]) == (302, QUEUE)
    assert is_in(client)
    assert count("logged_in") == before + 1
    assert not attempts.of_name("ada").exists()


def test_after_five_wrong_passwords_the_right_one_does_not_help_for_a_minute(client: Client, ada: User) -> None:
    for _ in range(5):
        assert log_in(client, password="wrong").status_code == 200
    before = count("locked")
    answer = log_in(client)
    assert (answer.status_code, errors(answer)) == (429, [LOCKED])
    assert 50 <= int(answer["Retry-After"]) <= 60
    assert not is_in(client)
    assert count("locked") == before + 1
    FailedLogins.objects.update(locked_until=timezone.now() - timedelta(seconds=1))
    assert log_in(client).status_code == 302


def test_pages_tell_nobody_which_names_are_known(client: Client, ada: User) -> None:
    """Unknown, inactive, without rights here: before the lock and after, the very same words and status."""
    person("left", "reviewer")
    User.objects.filter(username="left").update(is_active=False)
    User.objects.create_user("outsider", password=PASSWORD)
    told = {}
    for name, password in (("ada", "wrong"), ("nobody", "wrong"), ("left", PASSWORD), ("outsider", PASSWORD)):
        answers = [log_in(client, name, password, REMOTE_ADDR=f"203.0.113.{len(name)}") for _ in range(6)]
        told[name] = [(answer.status_code, errors(answer)) for answer in answers]
    assert told["ada"][0] != told["ada"][5] == (429, [LOCKED])
    assert told["nobody"] == told["left"] == told["outsider"] == told["ada"]


def test_a_password_is_looked_at_for_every_name_and_for_none_that_is_locked(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes time is the hash: as often for names that nobody has."""
    from django.contrib.auth.hashers import MD5PasswordHasher

    made: list[str] = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *args: (made.append("hash"), encode(*args))[1])
    hashes = {}
    for name in ("ada", "nobody"):
        for number in range(6):
            made.clear()
            log_in(client, name, "wrong")
            hashes[name, number] = len(made)
    assert [hashes["ada", number] for number in range(6)] == [1, 1, 1, 1, 1, 0]
    assert [hashes["nobody", number] for number in range(6)] == [1, 1, 1, 1, 1, 0]


def test_an_address_is_believed_from_a_trusted_proxy_only(client: Client, ada: User, settings: Any) -> None:
    settings.EMO_BEHIND_TLS_PROXY = True
    log_in(client, password="wrong", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.7")
    assert not FailedLogins.objects.filter(kind="address").exists(), "it may be the proxy's own"
    from ipaddress import ip_network

    settings.EMO_TRUSTED_PROXIES = [ip_network("10.0.0.1")]
    log_in(client, password="wrong", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="198.51.100.9, 203.0.113.7")
    log_in(client, password="wrong", REMOTE_ADDR="203.0.113.8", HTTP_X_FORWARDED_FOR="198.51.100.9")
    kept = FailedLogins.objects.filter(kind="address").order_by("key").values_list("key", flat=True)
    assert list(kept) == ["203.0.113.7", "203.0.113.8"]


def test_the_log_tells_of_attempts_and_no_name_that_nobody_has(
    client: Client, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="emo.login"):
        log_in(client, "my password", "oops", REMOTE_ADDR="203.0.113.7")
        log_in(client, password="wrong", REMOTE_ADDR="203.0.113.7")
        log_in(client, REMOTE_ADDR="203.0.113.7")
    assert caplog.messages == [
        "login of a name that nobody has from 203.0.113.7: wrong password",
        "login of ada from 203.0.113.7: wrong password",
        "login of ada from 203.0.113.7: logged in",
    ]


def test_an_administrator_releases_and_nobody_else(client: Client, ada: User) -> None:
    for _ in range(5):
        log_in(client, password="wrong")
    root, trader = Client(), Client()
    root.force_login(User.objects.create_superuser("root"))
    trader.force_login(person("tom", "trader"))
    page = root.get("/admin/login/failedlogins/").content.decode()
    assert "ada" in page
    assert "locked for 1 minute" in page
    row = attempts.of_name("ada").get()
    release = {"action": "release", "_selected_action": str(row.pk)}
    assert trader.post("/admin/login/failedlogins/", release).status_code == 403
    assert attempts.of_name("ada").exists()
    root.post("/admin/login/failedlogins/", release)
    assert log_in(client).status_code == 302


# ---- the second factor -----------------------------------------------------------------------------------------------


def test_who_has_a_second_factor_is_in_by_password_and_code(client: Client, two_factors: list[str]) -> None:
    answer = log_in(client)
    assert answer["Location"] == f"{CODE}?next={QUEUE.replace('/', '%2F')}"
    assert not is_in(client), "the password alone is not enough"
    before = client.session.session_key
    answer = client.post(answer["Location"], {"code": code(), "next": QUEUE})
    assert (answer.status_code, answer["Location"]) == (302, QUEUE)
    assert is_in(client)
    assert client.session.session_key != before


def test_a_backup_code_does_too_once(client: Client, two_factors: list[str]) -> None:
    for status in (302, 200):
        log_in(client)
        assert client.post(CODE, {"code": two_factors[0]}).status_code == status
        client.post("/admin/logout/")


def test_the_same_code_is_refused_the_second_time(client: Client, two_factors: list[str]) -> None:
    sent = code()
    log_in(client)
    assert client.post(CODE, {"code": sent}).status_code == 302
    client.post("/admin/logout/")
    log_in(client)
    answer = client.post(CODE, {"code": sent})
    assert errors(answer) == ["That code is wrong, or was used before. Wait for the next one."]
    assert not is_in(client)


def test_guessing_codes_is_locked_out_though_the_password_is_known(client: Client, two_factors: list[str]) -> None:
    statuses = []
    for _ in range(8):
        if log_in(client).status_code == 302:
            statuses.append(client.post(CODE, {"code": "000000"}).status_code)
    # The fifth password attempt after four wrong codes is let through once more, the fifth code locks.
    assert statuses == [200] * 5
    assert log_in(client).status_code == 429


def test_the_code_page_is_for_whoever_has_just_given_the_password(client: Client, two_factors: list[str]) -> None:
    assert client.get(CODE)["Location"] == LOGIN
    log_in(client)
    session = client.session
    session["login_waits_for_code"] = {**session["login_waits_for_code"], "at": timezone.now().timestamp() - 301}
    session.save()
    assert client.post(CODE, {"code": code()})["Location"] == LOGIN
    assert not is_in(client)


def test_a_password_that_was_changed_meanwhile_is_asked_for_again(
    client: Client, ada: User, two_factors: list[str]
) -> None:
    log_in(client)
    ada.set_password("another one altogether")
    ada.save()
    assert client.post(CODE, {"code": code()})["Location"] == LOGIN


def test_the_next_page_is_one_of_this_desk(client: Client, two_factors: list[str]) -> None:
    client.post(f"{LOGIN}?next=https://evil.example/", {"username": "ada", "password": PASSWORD})
    answer = client.post(f"{CODE}?next=https://evil.example/", {"code": code(), "next": "https://evil.example/"})
    assert answer["Location"] == "/"


def test_whoever_must_have_one_is_led_to_set_it_up(client: Client, ada: User, settings: Any) -> None:
    settings.EMO_SECOND_FACTOR = "required"
    assert log_in(client)["Location"] == "/admin/second-factor/"
    assert "The desk demands a second factor" in client.get("/admin/second-factor/").content.decode()
    person("ann", "auditor")
    assert log_in(Client(), "ann")["Location"] == QUEUE
