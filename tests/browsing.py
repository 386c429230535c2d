"""A real Chromium in front of a served desk, and a console that must stay quiet."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.run import browser_path

PASSWORD = "correct horse battery"
_troubles: list[str] = []
# Five seconds are short where two cores run a browser, its server and other tests.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser_path(),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def console() -> Iterator[None]:
    """A violation of the Content-Security-Policy, a missing file and a script's error all end up in it."""
    _troubles.clear()
    yield
    assert _troubles == []


def log_in(context: BrowserContext, desk: str, name: str) -> Page:
    page = context.new_page()
    page.on("console", lambda message: _fail_on(message.type, message.text))
    page.on("pageerror", lambda error: _fail_on("error", str(error)))
    page.goto(f"{desk}/admin/login/?next=/admin/orders/stagedorder/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile("/admin/orders/stagedorder/"))
    return page


def _fail_on(kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        _troubles.append(text)
