"""Programs that ask the HTTP API, over Django's own client: each with a token made as a person would make it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from emo_site.api import tokens
from emo_site.api.models import ApiToken
from emo_site.api.scopes import Scope
from tests.factories import equity, person

ROOT = "/api/v1"


@dataclass
class Bot:
    """What it sends carries its token; what it posts a key of its own, unless one is given ("" for none)."""

    secret: str
    token: ApiToken
    signing_key: str = ""
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self.client.get(ROOT + path, headers=self._headers(headers))

    def post(
        self,
        path: str,
        document: Any = None,
        *,
        body: bytes | str | None = None,
        key: str | None = None,
        content_type: str = "application/json",
        **headers: str,
    ) -> HttpResponse:
        """`headers` with underscores for hyphens."""
        content = body if body is not None else b"" if document is None else json.dumps(document)
        given = uuid.uuid4().hex if key is None else key
        keyed = {"Idempotency-Key": given} if given else {}
        return self.client.generic(
            "POST", ROOT + path, content, content_type=content_type, headers={**keyed, **self._headers(headers)}
        )

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return {"Authorization": f"Bearer {self.secret}", **named}


def bot(
    owner: User,
    *scopes: Scope,
    strategies: Iterable[str] = (),
    signed: bool = False,
    days: int = 30,
    now: datetime | None = None,
) -> Bot:
    """With all scopes, where none is named."""
    now = now or datetime.now(UTC)
    issued = tokens.create(
        name="bot-1",
        owner=owner,
        scopes=scopes or tuple(Scope),
        strategies=strategies,
        signed=signed,
        expires_at=now + timedelta(days=days),
        created_by="a test",
        now=now,
    )
    return Bot(secret=issued.text, token=issued.token, signing_key=issued.signing_key)


def trading_bot(name: str = "trader", **options: Any) -> Bot:
    """Of a trader, on a desk that knows the account's equity, so that small orders are let through."""
    equity(at=datetime.now(UTC) - timedelta(minutes=1))
    return bot(person(name, "trader"), **options)


def order_body(**changes: Any) -> dict[str, Any]:
    """A small limit order that every rule lets through once there is equity on record."""
    document = {
        "symbol": "SPY",
        "side": "buy",
        "order_type": "limit",
        "quantity": "2",
        "price": "400.50",
        "strategy": "momentum",
    }
    return {**document, **changes}


def condor_body(**changes: Any) -> dict[str, Any]:
    """Short 460 call and 440 put, wings 5 outside, for a credit of 1.20."""
    expiry = (datetime.now(UTC) + timedelta(days=35)).date().isoformat()
    rows = [("buy", "put", 435), ("sell", "put", 440), ("sell", "call", 460), ("buy", "call", 465)]
    legs = [
        {
            "action": action,
            "instrument": instrument,
            "symbol": "SPY",
            "strike": str(strike),
            "expiry": expiry,
            "quantity": "1",
        }
        for action, instrument, strike in rows
    ]
    document = {"side": "as_defined", "quantity": 1, "price": "-1.20", "strategy": "iron_condor", "legs": legs}
    return order_body(**{**document, **changes})


def problem(response: HttpResponse) -> tuple[int, str]:
    """The status and the code; whatever is no success is a problem."""
    assert response["Content-Type"] == "application/problem+json", response.content
    document = response.json()
    assert document["status"] == response.status_code
    if "Idempotency-Replayed" not in response:
        assert document["instance"] == f"urn:emo-desk:request:{response['X-Request-ID']}"
    return response.status_code, document["code"]
