"""Who is let in to the API, over HTTP; whatever is no success is a problem that says why."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from emo_site.api import rate, signing, tokens
from emo_site.api.models import ApiCall, UsedNonce
from emo_site.api.rate import Rate
from emo_site.api.scopes import Scope
from emo_site.api.tasks import prune_api
from orders.models import StagedOrder
from tests.api_client import ROOT, Bot, bot, order_body, problem, trading_bot
from tests.factories import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def trader() -> User:
    return person("trader", "trader")


def test_without_a_token_nothing_is_told(trader: User) -> None:
    for header in ({}, {"Authorization": "Basic dHJhZGVyOng="}, {"Authorization": "Bearer"}):
        response = Client().get(f"{ROOT}/orders", headers=header)
        assert problem(response)[0] == 401
        assert response["WWW-Authenticate"] == "Bearer"
    client = Client()
    client.force_login(trader)
    assert problem(client.get(f"{ROOT}/orders")) == (401, "TOKEN_MISSING")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda each: tokens.revoke(each.token.pk, by="ada", now=datetime.now(UTC)), (401, "TOKEN_REVOKED")),
        (lambda each: User.objects.filter(pk=each.token.owner_id).update(is_active=False), (401, "OWNER_INACTIVE")),
        (lambda each: setattr(each, "secret", each.secret[:-1]), (401, "TOKEN_UNKNOWN")),
    ],
)
def test_a_token_that_is_not_in_force_is_refused_at_once(trader: User, spoil: Any, expected: tuple[int, str]) -> None:
    reader = bot(trader)
    assert reader.get("/orders").status_code == 200
    spoil(reader)
    assert problem(reader.get("/orders")) == expected


def test_a_copy_for_another_environment_is_not_operated_with_the_originals_tokens(trader: User, settings: Any) -> None:
    reader = bot(trader)
    settings.EMO_ENV = "staging"
    assert problem(reader.get("/orders")) == (403, "WRONG_ENVIRONMENT")


@pytest.mark.parametrize("scope", [each for each in Scope if each != Scope.STAGE])
def test_another_scope_is_not_enough(trader: User, scope: Scope) -> None:
    assert problem(bot(trader, scope).post("/orders", order_body())) == (403, "SCOPE_MISSING")
    assert ApiCall.objects.get().code == "SCOPE_MISSING"
    assert not StagedOrder.objects.exists()


def test_a_scope_does_not_give_what_its_owner_may_not() -> None:
    auditor = bot(person("ada", "auditor"))
    assert problem(auditor.post("/orders", order_body())) == (403, "NOT_PERMITTED")
    nobody = bot(person("nobody"))
    assert problem(nobody.get("/orders")) == (403, "NOT_PERMITTED")


def test_too_many_requests_are_told_when_to_come_again(trader: User, settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(rate, "of_process", Rate())
    settings.EMO_API_REQUESTS_PER_MINUTE = 2
    one, other = bot(trader), bot(trader)
    assert [one.get("/orders").status_code for _ in range(2)] == [200, 200]
    response = one.get("/orders")
    assert problem(response) == (429, "TOO_FAST")
    assert 1 <= int(response["Retry-After"]) <= 30
    assert other.get("/orders").status_code == 200


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"body": "{"}, (400, "NOT_JSON")),
        ({"body": '{"symbol": "SPY", "symbol": "QQQ"}'}, (400, "DUPLICATE_KEY")),
        ({"body": "[]"}, (422, "INVALID")),
        ({"body": b""}, (422, "INVALID")),
        ({"document": {}}, (422, "INVALID")),
        ({"document": {"symbol": "SPY"}, "content_type": "text/plain"}, (415, "MEDIA_TYPE")),
        ({"body": b"x" * (256 * 1024 + 1)}, (413, "TOO_LARGE")),
        ({"document": {}, "key": ""}, (400, "IDEMPOTENCY_KEY")),
        ({"document": {}, "key": "k" * 256}, (400, "IDEMPOTENCY_KEY")),
        ({"document": {}, "key": "schlüssel"}, (400, "IDEMPOTENCY_KEY")),
    ],
)
def test_what_can_not_be_read_is_refused_by_name(trader: User, sent: dict[str, Any], expected: tuple[int, str]) -> None:
    response = bot(trader).post("/orders", **sent)
    assert problem(response) == expected
    assert not StagedOrder.objects.exists()


def test_a_body_of_unstated_length_is_refused(trader: User) -> None:
    asking = bot(trader)
    headers = {"Authorization": f"Bearer {asking.secret}", "Idempotency-Key": "k", "Transfer-Encoding": "chunked"}
    response = Client().generic("POST", f"{ROOT}/orders", b"", headers=headers)
    assert problem(response) == (411, "LENGTH_REQUIRED")


def test_wrong_places_and_methods_are_problems_too(trader: User) -> None:
    asking = bot(trader)
    assert problem(asking.get("/nowhere")) == (404, "NO_SUCH_ROUTE")
    assert problem(Client().get("/api/v2/orders")) == (404, "NO_SUCH_ROUTE")
    assert problem(Client(enforce_csrf_checks=True).post("/api/v1/nowhere")) == (404, "NO_SUCH_ROUTE")
    response = asking.client.delete(f"{ROOT}/orders")
    assert problem(response) == (405, "METHOD_NOT_ALLOWED")
    assert set(response["Allow"].split(", ")) == {"GET", "POST"}
    assert problem(asking.get("/orders?strategi=momentum")) == (422, "INVALID")
    assert problem(asking.get("/orders?strategy=a&strategy=b")) == (422, "INVALID")


def test_a_fault_of_the_desk_is_a_problem_that_tells_nothing(trader: User, monkeypatch: Any) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr("orders.access.record_export", fail)
    response = bot(trader).get("/orders")
    assert problem(response) == (500, "FAILED")
    assert b"secret" not in response.content


# ---- signed requests -------------------------------------------------------------------------------------------------


def signed(each: Bot, path: str, body: bytes = b"", *, method: str = "GET", **changes: str) -> dict[str, str]:
    told = {"timestamp": str(int(time.time())), "nonce": uuid.uuid4().hex, **changes}
    signature = signing.signature(each.signing_key, method=method, path=ROOT + path, body=body, **told)
    return {"X_EMO_Timestamp": told["timestamp"], "X_EMO_Nonce": told["nonce"], "X_EMO_Signature": signature}


def test_a_signed_request_is_let_in_once(trader: User) -> None:
    careful = bot(trader, signed=True)
    headers = signed(careful, "/orders?limit=2")
    assert careful.get("/orders?limit=2", **headers).status_code == 200
    assert problem(careful.get("/orders?limit=2", **headers)) == (401, "NONCE_REUSED")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"X_EMO_Timestamp": ""}, "STALE_TIMESTAMP"),
        ({"X_EMO_Timestamp": "1762182000"}, "STALE_TIMESTAMP"),
        ({"X_EMO_Nonce": "short"}, "BAD_NONCE"),
        ({"X_EMO_Nonce": "another-nonce-of-mine"}, "BAD_SIGNATURE"),
        ({"X_EMO_Signature": ""}, "BAD_SIGNATURE"),
        ({"X_EMO_Signature": "é"}, "BAD_SIGNATURE"),
    ],
)
def test_a_bad_signature_is_refused(trader: User, changes: dict[str, str], code: str) -> None:
    careful = bot(trader, signed=True)
    assert problem(careful.get("/orders", **{**signed(careful, "/orders"), **changes})) == (401, code)
    # And uses up no nonce of somebody else's.
    assert not UsedNonce.objects.exists()


def test_a_signature_is_for_this_body_and_this_query() -> None:
    careful = trading_bot(signed=True)
    body = b'{"reason": "no"}'
    headers = signed(careful, "/orders", body, method="POST")
    assert problem(careful.post("/orders", body=body + b" ", **headers)) == (401, "BAD_SIGNATURE")
    assert problem(careful.get("/orders?limit=3", **signed(careful, "/orders?limit=2"))) == (401, "BAD_SIGNATURE")
    assert problem(careful.get("/orders")) == (401, "STALE_TIMESTAMP")


def test_nonces_are_forgotten_once_their_time_is_too_old_anyway(trader: User) -> None:
    careful = bot(trader, signed=True)
    careful.get("/orders", **signed(careful, "/orders"))
    assert prune_api.call()["nonces"] == 0
    UsedNonce.objects.update(at=datetime.now(UTC) - timedelta(seconds=121))
    assert prune_api.call()["nonces"] == 1


def test_the_server_does_not_let_a_token_into_the_log(trader: User, caplog: Any) -> None:
    asking = bot(trader)
    asking.get("/nowhere?token=" + asking.secret)
    asking.get("/orders?cursor=" + asking.secret)
    from emo_site.logs.masking import Masker

    assert asking.secret not in Masker(()).text(caplog.text)
