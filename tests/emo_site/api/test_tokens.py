"""Tokens: kept as a hash, good for a while, rotated, revoked at once."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import serializers
from django.core.management import CommandError, call_command

from emo_site.api import signing, token_text, tokens
from emo_site.api.models import ApiToken
from emo_site.api.tokens import BadToken, Issued, NotProved
from emo_site.logs.masking import Masker
from tests.factories import NOW, person

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def owner() -> User:
    return person("trader", "trader")


def made(owner: User, **changes: Any) -> Issued:
    values = {"name": "bot-1", "owner": owner, "scopes": ["read", "stage"], "expires_at": NOW + 30 * DAY}
    return tokens.create(**{**values, "created_by": "ada", "now": NOW, **changes})


def refusal_of(text: str, **at: Any) -> str:
    with pytest.raises(NotProved) as refused:
        tokens.prove(text, now=at.get("now", NOW))
    return refused.value.code


def test_only_a_hash_of_the_secret_is_kept(owner: User) -> None:
    issued = made(owner, signed=True)
    secret = token_text.parse(issued.text).secret
    kept = serializers.serialize("json", ApiToken.objects.all())
    assert secret not in kept
    assert issued.signing_key not in kept
    assert secret not in repr(issued)
    assert issued.text not in Masker(()).text(f"asked with {issued.text} today")
    assert issued.token.prefix in Masker(()).text(f"asked with {issued.text} today")


def test_a_token_is_proved_by_its_secret_alone(owner: User) -> None:
    issued = made(owner)
    token, generation = tokens.prove(issued.text, now=NOW)
    assert (token.pk, token.owner, generation) == (issued.token.pk, owner, 1)
    other = made(owner)
    mixed = issued.text[:13] + other.text[13:]
    for text in ("", "emo_", issued.text[:-1], issued.text + "a", mixed, issued.text.upper(), "é" * 56):
        assert refusal_of(text) == "TOKEN_UNKNOWN"


def test_it_ends_when_it_expires_is_revoked_or_its_owner_leaves(owner: User) -> None:
    issued = made(owner)
    assert refusal_of(issued.text, now=NOW + 30 * DAY) == "TOKEN_EXPIRED"
    owner.is_active = False
    owner.save()
    assert refusal_of(issued.text) == "OWNER_INACTIVE"
    tokens.revoke(issued.token.pk, by="ada", now=NOW)
    assert refusal_of(issued.text) == "TOKEN_REVOKED"
    with pytest.raises(BadToken, match="was revoked before"):
        tokens.revoke(issued.token.pk, by="ada", now=NOW)


def test_it_is_of_no_use_on_a_copy_for_another_environment(owner: User, settings: Any) -> None:
    issued = made(owner)
    settings.EMO_ENV = "staging"
    assert refusal_of(issued.text) == "WRONG_ENVIRONMENT"


def test_rotated_the_old_secret_is_good_for_the_overlap(owner: User) -> None:
    old = made(owner, signed=True)
    new = tokens.rotate(old.token.pk, expires_at=NOW + 60 * DAY, overlap=timedelta(hours=1), now=NOW)
    assert new.text[:13] == old.text[:13]
    assert new.text != old.text
    assert new.signing_key != old.signing_key
    assert tokens.prove(new.text, now=NOW + 40 * DAY)[1] == 2
    token, generation = tokens.prove(old.text, now=NOW + timedelta(minutes=59))
    assert tokens.signing_keys(token, generation) == [old.signing_key]
    assert refusal_of(old.text, now=NOW + timedelta(hours=1)) == "TOKEN_UNKNOWN"


def test_rotated_twice_the_first_secret_is_gone(owner: User) -> None:
    first = made(owner)
    for _ in range(2):
        tokens.rotate(first.token.pk, expires_at=NOW + DAY, overlap=timedelta(hours=1), now=NOW)
    assert refusal_of(first.text) == "TOKEN_UNKNOWN"


def test_an_expired_secret_is_not_brought_back_by_an_overlap(owner: User) -> None:
    issued = made(owner)
    later = NOW + 31 * DAY
    tokens.rotate(issued.token.pk, expires_at=later + DAY, overlap=timedelta(hours=1), now=later)
    assert refusal_of(issued.text, now=later) == "TOKEN_UNKNOWN"


def test_a_revoked_token_is_not_rotated(owner: User) -> None:
    issued = made(owner)
    tokens.revoke(issued.token.pk, by="ada", now=NOW)
    with pytest.raises(BadToken, match="is revoked"):
        tokens.rotate(issued.token.pk, expires_at=NOW + DAY, overlap=timedelta(0), now=NOW)


def test_its_use_is_noted_once_a_minute(owner: User) -> None:
    issued = made(owner)
    for seconds in (0, 30, 59, 61):
        token, _ = tokens.prove(issued.text, now=NOW)
        tokens.note_use(token, now=NOW + timedelta(seconds=seconds))
    assert ApiToken.objects.get().last_used_at == NOW + timedelta(seconds=61)
    token.refresh_from_db()
    tokens.note_use(token, now=NOW + timedelta(seconds=100))
    assert ApiToken.objects.get().last_used_at == NOW + timedelta(seconds=61)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": " "}, "name="),
        ({"name": "a\nb"}, "name="),
        ({"scopes": []}, "scopes=: at least one of"),
        ({"scopes": ["read", "rule"]}, "scopes=rule: allowed are"),
        ({"strategies": ["momentum", " "]}, "strategies="),
        ({"expires_at": NOW}, "must be from now to 366 days ahead"),
        ({"expires_at": NOW + 367 * DAY}, "must be from now to 366 days ahead"),
    ],
)
def test_what_can_be_no_token_is_refused(owner: User, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadToken) as refused:
        made(owner, **changes)
    assert said in str(refused.value)
    assert not ApiToken.objects.exists()


def test_strategies_are_kept_as_tickets_write_them(owner: User) -> None:
    assert made(owner, strategies=["Momentum", "iron_condor "]).token.strategies == ["iron_condor", "momentum"]


def test_a_signature_is_over_everything_that_is_asked() -> None:
    one = {"timestamp": "1762182000", "nonce": "n" * 16, "method": "POST", "path": "/a?b=1", "body": b"{}"}
    first = signing.signature("key", **one)
    others = [{"timestamp": "1762182001"}, {"nonce": "m" * 16}, {"method": "PUT"}, {"path": "/a?b=2"}, {"body": b"{ }"}]
    told = {signing.signature("key", **{**one, **each}) for each in others} | {signing.signature("yek", **one)}
    assert len(told) == 6
    assert first not in told


@pytest.mark.parametrize("timestamp", ["", "-1", "1.5", "1762182000000", "²", str(int(NOW.timestamp()) - 61)])
def test_a_stale_timestamp_is_none(timestamp: str) -> None:
    assert signing.is_recent(str(int(NOW.timestamp()) - 60), NOW)
    assert not signing.is_recent(timestamp, NOW)


# ---- by command ------------------------------------------------------------------------------------------------------


def command(*arguments: str) -> Any:
    out = StringIO()
    call_command("api_token", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_a_token_is_made_listed_rotated_and_revoked_by_command(owner: User) -> None:
    found = command("create", "bot-1", "--owner", "trader", "--scope", "read", "--days", "7", "--strategy", "momentum")
    assert (found["owner"], found["scopes"], found["strategies"], found["state"]) == (
        "trader",
        "read",
        "momentum",
        "in force",
    )
    now = ApiToken.objects.get().created_at
    assert tokens.prove(found["secret"], now=now)[0].name == "bot-1"
    (listed,) = command("list")
    assert "secret" not in listed
    rotated = command("rotate", found["prefix"], "--days", "7", "--overlap-hours", "2")
    assert tokens.prove(rotated["secret"], now=ApiToken.objects.get().created_at)[1] == 2
    assert command("revoke", found["prefix"])["state"] == "revoked"
    assert refusal_of(rotated["secret"], now=now) == "TOKEN_REVOKED"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "b", "--owner", "nobody", "--scope", "read", "--days", "7"), "--owner=nobody: there is no active"),
        (("create", "b", "--owner", "trader", "--scope", "read", "--days", "400"), "--days=400: must be from 1 to 366"),
        (("rotate", "00000000", "--days", "7"), "token=00000000: there is none"),
        (("revoke", "emo_0000"), "token=emo_0000: there is none"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(owner: User, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("api_token", *arguments)
    assert said in str(refused.value)
