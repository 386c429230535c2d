"""Market events and the health of components over HTTP."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from monitoring.component_probes import ComponentsProbe
from monitoring.event_intake import LARGEST_ARRAY, LARGEST_LINES
from monitoring.models import ComponentState, MarketEvent
from tests.api_client import Bot, problem
from tests.api_client import bot as bot_of
from tests.factories import person

LINES = {"content_type": "application/x-ndjson"}
GZIP = {"Content_Encoding": "gzip"}


@pytest.fixture
def owner(db: None) -> User:
    return person("trader", "trader")


@pytest.fixture
def bot(owner: User, settings: Any, tmp_path: Path) -> Bot:
    settings.EMO_DATA_DIR = tmp_path
    return bot_of(owner, "ingest")


def event(number: int = 0, **changes: Any) -> dict[str, Any]:
    values = {"symbol": "SPY", "event_type": "trade", "timestamp": "2025-11-03T15:00:00Z", "price": f"400.{number:04}"}
    return {**values, **changes}


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


SENT = {
    "array": (lambda rows: json.dumps(rows).encode(), {}),
    "lines": (lambda rows: lines(*rows), LINES),
    "gzipped array": (lambda rows: gzip.compress(json.dumps(rows).encode()), GZIP),
    "gzipped lines": (lambda rows: gzip.compress(lines(*rows)), {**LINES, **GZIP}),
}


@pytest.mark.parametrize(("made", "headers"), SENT.values(), ids=SENT.keys())
def test_events_are_taken_in_once(bot: Bot, made: Any, headers: dict[str, str]) -> None:
    data = made([event(number) for number in range(3)])
    first = bot.post("/market-events", body=data, **headers)
    assert (first.status_code, first.json()) == (200, {"received": 3, "new": 3, "known": 0, "quarantined": []})
    assert bot.post("/market-events", body=data, **headers).json()["known"] == 3
    assert MarketEvent.objects.count() == 3


def test_rows_that_are_no_events_are_told_and_kept(bot: Bot, tmp_path: Path) -> None:
    found = bot.post("/market-events", body=lines(event(), event(1, volume="-1")), **LINES)
    assert found.status_code == 200
    assert found.json() == {
        "received": 2,
        "new": 1,
        "known": 0,
        "quarantined": [{"line": 2, "field": "volume", "value": "-1", "rule": "must not be negative"}],
    }
    [kept] = (tmp_path / "quarantine" / f"api-{bot.token.prefix}.jsonl").read_text().splitlines()
    assert json.loads(kept)["file"] == f"api:{bot.token.prefix}"


def test_same_key_gives_the_same_answer(bot: Bot) -> None:
    key = {"key": "once"}
    first = bot.post("/market-events", [event()], **key)
    again = bot.post("/market-events", [event()], **key)
    assert first.json() == again.json()
    assert again.json()["new"] == 1
    assert problem(bot.post("/market-events", [event(1)], **key)) == (409, "IDEMPOTENCY_KEY_REUSED")


REFUSED = {
    "no events": (lines({"a": 1}), LINES, (422, "NO_EVENTS")),
    "no array": (b"{}", {}, (400, "UNREADABLE")),
    "no JSON": (b"[", {}, (400, "UNREADABLE")),
    "no gzip": (b"[]", GZIP, (400, "UNREADABLE")),
    "another encoding": (b"[]", {"Content_Encoding": "br"}, (415, "ENCODING")),
    "another type": (b"[]", {"content_type": "text/csv"}, (415, "MEDIA_TYPE")),
    "a large array": (b" " * (LARGEST_ARRAY + 1), {}, (413, "TOO_LARGE")),
    "many lines": (b" " * (LARGEST_LINES + 1), LINES, (413, "TOO_LARGE")),
    "a bomb": (gzip.compress(b" " * (LARGEST_LINES + 1)), {**LINES, **GZIP}, (413, "TOO_LARGE")),
}


@pytest.mark.parametrize(("data", "headers", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_body_of_events_is_problem(
    bot: Bot, data: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    found = bot.post("/market-events", body=data, **headers)
    assert problem(found) == expected
    assert not MarketEvent.objects.exists()


def test_refusal_of_all_rows_names_the_first_with_their_reasons(bot: Bot) -> None:
    rows = [event(volume="-1")] * 30
    errors = bot.post("/market-events", rows).json()["errors"]
    assert len(errors) == 20
    assert errors[0] == {"field": "1.volume", "value": "-1", "rule": "must not be negative"}


def test_component_reports_and_the_health_report_has_it(bot: Bot) -> None:
    body = {"status": "healthy", "latency_ms": 40, "message": "up", "next_within_seconds": 60, "metrics": {"a": 1}}
    found = bot.post("/components/broker%20gateway/health", body)
    assert found.status_code == 200
    assert (found.json()["name"], found.json()["status"]) == ("broker gateway", "healthy")
    assert ComponentsProbe().run().message == "broker gateway: healthy, 40 ms: up"
    row = ComponentState.objects.get()
    assert (row.reported_by, row.metrics) == ("trader (bot-1)", {"a": 1})


def test_component_that_is_gone_is_forgotten(bot: Bot) -> None:
    bot.post("/components/gateway/health", {"status": "error", "next_within_seconds": 60})
    assert bot.post("/components/gateway/forget").json() == {"forgotten": True}
    assert bot.post("/components/gateway/forget").json() == {"forgotten": False}
    assert ComponentsProbe().run().message == "no component reports"


WRONG = {
    "another word": ("gateway", {"status": "up", "next_within_seconds": 60}, "status"),
    "no interval": ("gateway", {"status": "healthy"}, "next_within_seconds"),
    "less than one": ("gateway", {"status": "healthy", "next_within_seconds": 0}, "next_within_seconds"),
    "a negative time": ("gateway", {"status": "healthy", "next_within_seconds": 9, "latency_ms": -1}, "latency_ms"),
    "an unknown field": ("gateway", {"status": "healthy", "next_within_seconds": 9, "mood": "good"}, "mood"),
    "a strange name": ("gate*way", {"status": "healthy", "next_within_seconds": 9}, "name"),
}


@pytest.mark.parametrize(("name", "body", "field"), WRONG.values(), ids=WRONG.keys())
def test_report_that_breaks_a_rule_is_refused_by_field(bot: Bot, name: str, body: dict[str, Any], field: str) -> None:
    found = bot.post(f"/components/{name}/health", body)
    assert problem(found) == (422, "INVALID")
    assert [each["field"] for each in found.json()["errors"]] == [field]
    assert not ComponentState.objects.exists()


@pytest.mark.parametrize("path", ["/market-events", "/components/gateway/health", "/components/gateway/forget"])
def test_token_without_the_scope_is_problem(owner: User, path: str) -> None:
    assert problem(bot_of(owner, "read", "stage", "execute", "admin").post(path, [])) == (403, "SCOPE_MISSING")
