"""Policy, trading state and kill switch over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from orders import policy_versions, trading_state
from orders.choices import TradingState
from orders.models import StagedOrder, TradingStateChange
from tests.api_client import Bot, problem
from tests.api_client import bot as bot_of
from tests.factories import equity, person, staged

pytestmark = pytest.mark.django_db


@pytest.fixture
def trader() -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def bot(trader: User) -> Bot:
    return bot_of(trader, "read", "admin")


def test_policy_is_told_word_by_word(bot: Bot) -> None:
    found = bot.get("/policy").json()
    document = settings.EMO_POLICY_FILE.read_text()
    assert found["document"] == document
    assert (found["number"], found["checksum"]) == (1, policy_versions.checksum_of(document))
    assert found["effective_from"] == "1970-01-01T00:00:00.000000Z"


def test_trading_that_was_never_restricted_is_active(bot: Bot) -> None:
    assert bot.get("/trading-state").json() == {
        "state": "active",
        "number": 0,
        "changed_by": "",
        "changed_at": None,
        "reason": "",
        "restricted_by": "",
    }


def test_one_person_restricts_and_another_one_releases(bot: Bot) -> None:
    halted = bot.post("/trading-state", {"state": "halted", "reason": "volatility"})
    assert halted.status_code == 200
    assert (halted.json()["state"], halted.json()["restricted_by"]) == ("halted", "trader")
    assert bot.get("/trading-state").json() == halted.json()
    release = {"state": "active", "reason": "over"}
    assert problem(bot.post("/trading-state", release)) == (403, "NOT_PERMITTED")
    officer = bot_of(person("officer", "risk officer"), "admin")
    assert officer.post("/trading-state", release).json()["state"] == "active"


def test_who_restricted_trading_does_not_release_it_by_token_either() -> None:
    officer = bot_of(person("officer", "risk officer"), "admin")
    officer.post("/trading-state", {"state": "halted", "reason": "volatility"})
    found = officer.post("/trading-state", {"state": "active", "reason": "over"})
    assert problem(found) == (403, "SELF_RELEASE")
    assert trading_state.current().state == TradingState.HALTED


def test_state_that_changed_meanwhile_is_a_conflict(bot: Bot) -> None:
    bot.post("/trading-state", {"state": "reducing", "reason": "volatility", "expected_number": 0})
    late = bot.post("/trading-state", {"state": "halted", "reason": "volatility", "expected_number": 0})
    assert problem(late) == (409, "CHANGED_MEANWHILE")
    assert TradingStateChange.objects.count() == 1


def test_kill_switch_halts_and_withdraws(bot: Bot, trader: User) -> None:
    for name in ("one", "two"):
        staged(trader, client_order_id=name)
    halted, withdrawn = bot.post("/kill-switch", {"reason": "runaway"}).json()["results"]
    assert (halted["status"], halted["body"]["state"]) == (200, "halted")
    assert sorted(withdrawn["body"]["cancelled"]) == ["one", "two"]
    assert withdrawn["body"]["left_at_broker"] == []
    assert set(StagedOrder.objects.values_list("status", flat=True)) == {"cancelled"}
    # Once more: nothing is left to do, and nothing is wrong with that.
    again = bot.post("/kill-switch", {"reason": "runaway"}).json()["results"]
    assert [each["status"] for each in again] == [200, 200]
    assert again[1]["body"]["cancelled"] == []


REFUSED = {
    "no reason": ("/trading-state", {"state": "halted", "reason": " "}, (422, "REASON_REQUIRED")),
    "no such state": ("/trading-state", {"state": "off", "reason": "x"}, (422, "INVALID")),
    "the same state": ("/trading-state", {"state": "active", "reason": "x"}, (409, "SAME_STATE")),
    "kill without a reason": ("/kill-switch", {"reason": ""}, (422, "REASON_REQUIRED")),
}


@pytest.mark.parametrize(("path", "body", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_is_problem(bot: Bot, path: str, body: dict[str, Any], expected: tuple[int, str]) -> None:
    assert problem(bot.post(path, body)) == expected
    assert trading_state.current().number == 0


@pytest.mark.parametrize("path", ["/trading-state", "/kill-switch"])
def test_wrong_people_and_tokens_are_problem(trader: User, path: str) -> None:
    order = staged(trader)
    body = {"reason": "x", **({"state": "halted"} if path == "/trading-state" else {})}
    assert problem(bot_of(person("auditor", "auditor"), "admin").post(path, body)) == (403, "NOT_PERMITTED")
    assert problem(bot_of(trader, "read", "stage", "execute").post(path, body)) == (403, "SCOPE_MISSING")
    limited = bot_of(trader, "admin", strategies=["momentum"])
    assert problem(limited.post(path, body)) == (403, "STRATEGY_NOT_ALLOWED")
    order.refresh_from_db()
    assert (order.status, trading_state.current().number) == ("pending_review", 0)
