"""No secret is left in a text, known or not, and ordinary words stay."""

from __future__ import annotations

import json
import time
from urllib.parse import quote, quote_plus

import pytest

from emo_site.known_secrets import as_written
from emo_site.logs.masking import Masker

AWKWARD = "p@ss/w\"rd'\\ 100%ü"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("connect to postgresql://emo:hush@db/desk", "connect to postgresql://emo:***@db/desk"),
        ("postgresql://emo:hu@sh:x@h1:5432,h2/desk failed", "postgresql://emo:***@h1:5432,h2/desk failed"),
        ("redis://:hush@cache:6379/0", "redis://:***@cache:6379/0"),
        ("host=db user=emo password=hush dbname=desk", "host=db user=emo password=*** dbname=desk"),
        ("password='hu sh' dbname=desk", "password=*** dbname=desk"),
        ('{"password": "hu \\" sh", "user": "emo"}', '{"password": ***, "user": "emo"}'),
        ("{'EMO_DB_PASSWORD': 'hush', 'x': 1}", "{'EMO_DB_PASSWORD': ***, 'x': 1}"),
        ('"{\\"api_key\\": \\"hush\\", \\"n\\": 1}"', '"{\\"api_key\\": ***, \\"n\\": 1}"'),
        ("GET /metrics?token=hush&page=2 HTTP/1.1", "GET /metrics?token=***&page=2 HTTP/1.1"),
        ("GET /x?access_token=hush;a=1", "GET /x?access_token=***;a=1"),
        ("Authorization: Bearer hush.hush-hush", "Authorization: ***"),
        ("sent Bearer hush.hush, then left", "sent Bearer ***, then left"),
        ("with basic dXNlcjpodXNoaHVzaA== it failed", "with basic *** it failed"),
        ("Cookie: sessionid=hush; csrftoken=hush", "Cookie: ***"),
        ("{'HTTP_COOKIE': 'sessionid=hush', 'HTTP_HOST': 'x'}", "{'HTTP_COOKIE': ***"),
        ("Set-Cookie: emo_written=hush\r\nServer: x", "Set-Cookie: ***\r\nServer: x"),
        ("sessionid=hush was refused", "sessionid=*** was refused"),
        ("csrfmiddlewaretoken=hush&next=/", "csrfmiddlewaretoken=***&next=/"),
        ("Key (session_key)=(hush) already exists.", "Key (session_key)=(***) already exists."),
        ("AGE-SECRET-KEY-1QQPQ0HUSH", "***"),
        ("-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\nafter", "***\nafter"),
        ("-----BEGIN RSA PRIVATE KEY-----\nhush, cut off", "***"),
        ("X-Api-Key: hush", "X-Api-Key: ***"),
    ],
)
def test_what_stands_where_a_secret_stands_is_masked(text: str, left: str) -> None:
    assert Masker(()).text(text) == left
    assert "hush" not in left


@pytest.mark.parametrize(
    "text",
    [
        "order 0198f0 was approved by ann",
        'password authentication failed for user "emo"',
        "Forbidden (CSRF token missing.): /admin/login/",
        "GET /reports/orders/?page=2&status=open HTTP/1.1",
        "postgresql://emo@db/desk at 12:30:01",
        "2026-11-26 01:00:00 basic strategy iron condor, bearers of risk",
        "monkey=banana keyboard=qwerty",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert Masker(()).text(text) == text


@pytest.mark.parametrize(
    "form",
    [
        AWKWARD,
        quote(AWKWARD),
        quote(AWKWARD, safe=""),
        quote_plus(AWKWARD),
        repr(AWKWARD)[1:-1],
        json.dumps(AWKWARD)[1:-1],
        json.dumps(AWKWARD, ensure_ascii=False)[1:-1],
    ],
)
def test_a_known_secret_is_masked_however_it_is_written(form: str) -> None:
    masked = Masker(as_written([AWKWARD])).text(f"before {form} after")
    assert masked == "before *** after"


def test_of_two_secrets_the_longer_one_is_masked_whole() -> None:
    assert Masker(["hush-hush", "hush-hush-hush"]).text("it is hush-hush-hush") == "it is ***"


def test_a_password_that_is_part_of_words_does_not_destroy_the_log() -> None:
    masker = Masker(as_written(["emo"]))
    assert masker.text("emo_site says: postgresql://emo:emo@db/emo") == "emo_site says: postgresql://emo:***@db/emo"


def test_values_keep_their_shape_and_lose_their_secrets() -> None:
    masker = Masker(["hush-hush"])
    value = {
        "count": 3,
        "ok": True,
        "none": None,
        "texts": ["hush-hush", ("x", 1.5)],
        "password": "short",
        "pin": {"api_key": 1234, "deep": {"cookie": "x", "say": "hush-hush"}},
    }
    assert masker.value(value) == {
        "count": 3,
        "ok": True,
        "none": None,
        "texts": ["***", ["x", 1.5]],
        "password": "***",
        "pin": {"api_key": "***", "deep": {"cookie": "***", "say": "***"}},
    }


def test_what_contains_itself_is_told_all_the_same() -> None:
    round_and_round: dict[str, object] = {"say": "hush-hush"}
    round_and_round["self"] = round_and_round
    assert "hush-hush" not in str(Masker(["hush-hush"]).value(round_and_round))


def test_what_can_not_be_told_says_so() -> None:
    class Untellable:
        def __str__(self) -> str:
            raise ValueError("no")

    assert Masker(()).value([Untellable()]) == ["<Untellable that can't be told: ValueError>"]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000,
        "password" * 12_000,
        "-" * 100_000,
        "://" * 30_000,
        "a:" * 50_000,
        '\\"' * 50_000,
        "bearer " * 15_000,
    ],
)
def test_a_long_text_takes_no_long_time(text: str) -> None:
    masker = Masker(as_written([AWKWARD]))
    started = time.perf_counter()
    masker.text(text)
    assert time.perf_counter() - started < 2
