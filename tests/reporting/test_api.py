"""The reports over HTTP are the documents of the pages, of the token's environment, and recorded."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from orders.models import OrderAccess, StagedOrder
from tests.api_client import Bot, problem
from tests.api_client import bot as bot_of
from tests.factories import equity, person, staged

pytestmark = pytest.mark.django_db

PATHS = ("/reports/orders", "/reports/system", "/reports/strategies", "/reports/strategies/momentum")


@pytest.fixture
def trader() -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def bot(trader: User) -> Bot:
    return bot_of(trader, "read")


def asked(bot: Bot, path: str, **parameters: str) -> HttpResponse:
    return bot.get(f"{path}?{urlencode(parameters)}")


def of_page(user: User, path: str, **parameters: str) -> dict[str, Any]:
    client = Client()
    client.force_login(user)
    found = client.get(path, {**parameters, "format": "json"})
    assert found.status_code == 200
    return dict(found.json())


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in ("as_of", "timestamp")}


def test_order_review_is_that_of_the_page(bot: Bot, trader: User) -> None:
    staged(trader)
    staged(trader, strategy="condors")
    page = of_page(trader, "/reports/orders/", period="all", environment="dev", strategy="condors")
    found = asked(bot, "/reports/orders", period="all", strategy="condors").json()
    assert without_times(found) == without_times(page)
    assert found["filters"] == {"strategy": "condors", "environment": "dev"}


def test_strategies_are_those_of_the_pages(bot: Bot, trader: User) -> None:
    staged(trader)
    page = of_page(trader, "/reports/strategies/")
    assert without_times(bot.get("/reports/strategies").json()) == without_times(page)
    days = {"from": "2025-11-01", "to": "2025-11-30"}
    page = of_page(trader, "/reports/strategies/momentum/", **days)
    found = asked(bot, "/reports/strategies/momentum", **days).json()
    assert without_times(found) == without_times(page)


def test_system_report_is_that_of_the_page(bot: Bot, trader: User) -> None:
    staged(trader)
    page = of_page(trader, "/reports/institutional/")
    found = bot.get("/reports/system").json()
    assert found.keys() == page.keys()
    assert (found["total_orders"], found["environment"]) == (1, "dev")


@pytest.mark.parametrize("path", PATHS)
def test_each_report_is_recorded_as_an_export(bot: Bot, trader: User, path: str) -> None:
    staged(trader)
    assert bot.get(path).status_code == 200
    row = OrderAccess.objects.get()
    assert (row.kind, row.actor) == ("exported", trader)
    assert row.what.endswith(f", by token {bot.token.prefix}")


def test_orders_of_another_environment_are_in_no_report(bot: Bot, trader: User) -> None:
    order = staged(trader)
    StagedOrder.objects.filter(pk=order.pk).update(environment="staging")
    assert problem(bot.get("/reports/strategies/momentum")) == (404, "UNKNOWN_STRATEGY")


def test_token_of_some_strategies_sees_theirs_only(trader: User) -> None:
    staged(trader)
    limited = bot_of(trader, "read", strategies=["momentum"])
    assert asked(limited, "/reports/orders", strategy="momentum").status_code == 200
    assert limited.get("/reports/strategies/momentum").status_code == 200
    for path, parameters in (
        ("/reports/orders", {}),
        ("/reports/orders", {"strategy": "condors"}),
        ("/reports/system", {}),
        ("/reports/strategies", {}),
        ("/reports/strategies/condors", {}),
        ("/reports/strategies/-", {}),
    ):
        assert problem(asked(limited, path, **parameters)) == (403, "STRATEGY_NOT_ALLOWED"), path
    assert OrderAccess.objects.count() == 2


REFUSED = {
    "no such period": ("/reports/orders", {"period": "1y"}, (422, "BAD_SCOPE")),
    "one day of two": ("/reports/orders", {"from": "2025-11-01"}, (422, "BAD_SCOPE")),
    "no such status": ("/reports/orders", {"status": "lost"}, (422, "BAD_SCOPE")),
    "no place": ("/reports/orders", {"older": "there"}, (422, "BAD_PLACE")),
    "no time": ("/reports/system", {"at": "noon"}, (422, "BAD_MOMENT")),
    "the future": ("/reports/system", {"at": "2999-01-01T00:00:00Z"}, (422, "BAD_MOMENT")),
    "no column": ("/reports/strategies", {"sort": "luck"}, (422, "BAD_SCOPE")),
    "no day": ("/reports/strategies/momentum", {"from": "today"}, (422, "BAD_SCOPE")),
    "no such strategy": ("/reports/strategies/luck", {}, (404, "UNKNOWN_STRATEGY")),
    "a long text": ("/reports/orders", {"symbol": "x" * 151}, (422, "INVALID")),
}


@pytest.mark.parametrize(("path", "parameters", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_asked_is_problem(
    bot: Bot, path: str, parameters: dict[str, str], expected: tuple[int, str]
) -> None:
    assert problem(asked(bot, path, **parameters)) == expected
    assert not OrderAccess.objects.exists()


@pytest.mark.parametrize("path", PATHS)
def test_token_without_the_scope_is_problem(trader: User, path: str) -> None:
    assert problem(bot_of(trader, "stage", "execute", "ingest", "admin").get(path)) == (403, "SCOPE_MISSING")
