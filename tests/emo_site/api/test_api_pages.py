"""The pages on the API in a real Chromium, light and dark: a token is made there, and every route is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browsing import PASSWORD, log_in
from tests.desk import manage, served, sqlite_desk
from tests.test_pages import faults

pytestmark = [pytest.mark.browser, pytest.mark.once]

_PEOPLE = f"""
from django.contrib.auth.models import User
User.objects.create_superuser("ada", password={PASSWORD!r})
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environment = sqlite_desk(tmp_path_factory.mktemp("desk"))
    assert manage("shell", "-c", _PEOPLE, environment=environment).status == 0
    with served(environment) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=["light", "dark"])
def context(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(color_scheme=request.param, viewport={"width": 1000, "height": 900}) as context:
        context.set_default_timeout(20_000)
        yield context


def test_a_token_is_made_by_hand_on_pages_without_a_fault(
    context: BrowserContext, desk: str, console: None, tmp_path: Path
) -> None:
    page = log_in(context, desk, "ada")
    found = {}
    page.goto(f"{desk}/admin/api/apitoken/add/")
    found["add"] = faults(page)
    page.get_by_label("Name").fill("bot-1")
    page.get_by_label("read orders, events, policy and reports").check()
    page.get_by_label("Every request must be signed, too").check()
    page.screenshot(path=tmp_path / "add.png", full_page=True)
    page.get_by_role("button", name="Make the token").click()
    expect(page.locator("#token-secret")).to_have_text(re.compile(r"^emo_[0-9a-f]{8}_[\w-]{43}$"))
    found["issued"] = faults(page)
    page.screenshot(path=tmp_path / "issued.png", full_page=True)
    page.get_by_role("link", name="I have copied it: to the token").click()
    expect(page.locator("#token-secret")).to_have_count(0)
    found["token"] = faults(page)
    page.screenshot(path=tmp_path / "token.png", full_page=True)
    page.get_by_role("button", name="Revoke the token").click()
    expect(page.get_by_text("is revoked.")).to_be_visible()
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize("width", [360, 1280])
def test_every_route_is_told_on_a_page_without_a_fault(
    context: BrowserContext, desk: str, console: None, width: int, tmp_path: Path
) -> None:
    page = log_in(context, desk, "ada")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{desk}/api/v1/docs")
    page.get_by_role("link", name="POST /api/v1/orders/bulk").click()
    expect(page.get_by_role("heading", name="Stage orders")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / "reference.png")
    assert faults(page) == []
