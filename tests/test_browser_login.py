"""Logging in with a second factor in a real Chromium: set up, asked for, lost, and refused."""

from __future__ import annotations

import re
from base64 import b32decode
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from emo_site.login import totp
from tests.browsing import PASSWORD, log_in
from tests.desk import empty_database, manage, served
from tests.test_pages import WIDTHS, faults

pytestmark = pytest.mark.browser

_PEOPLE = f"""
from django.contrib.auth.models import User
for name in ("ada", "bob", "eve"):
    User.objects.create_superuser(name, password={PASSWORD!r})
"""
PAGE = "/admin/second-factor/"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with empty_database(tmp_path_factory.mktemp("database")) as url:
        environment = {"EMO_DB_URL": url}
        for arguments in (("migrate", "--verbosity", "0"), ("shell", "-c", _PEOPLE)):
            ran = manage(*arguments, environment=environment)
            assert ran.status == 0, ran.out + ran.err
        with served(environment) as port:
            yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=["light", "dark"])
def context(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(color_scheme=request.param) as context:
        context.set_default_timeout(20_000)
        yield context


def code(secret: bytes, *, steps: int = 0) -> str:
    return totp.code_at(secret, totp.step_at(datetime.now(UTC)) + steps)


def give_password(page: Page, desk: str, name: str) -> None:
    page.goto(f"{desk}/admin/login/?next=/admin/orders/stagedorder/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def set_up(page: Page, desk: str) -> tuple[bytes, list[str]]:
    """By keyboard alone, from the link in the header."""
    page.get_by_role("link", name="Second factor").press("Enter")
    expect(page).to_have_url(f"{desk}{PAGE}")
    secret = b32decode(page.locator(".secret").inner_text().replace(" ", ""))
    page.get_by_label("Your password").press_sequentially(PASSWORD)
    page.keyboard.press("Tab")
    page.keyboard.type(code(secret))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your backup codes")).to_be_visible()
    return secret, page.locator(".backup-codes li").all_inner_texts()


def test_a_person_sets_it_up_and_logs_in_with_it(context: BrowserContext, desk: str, console: None) -> None:
    # Each colour scheme has a person of its own.
    name = "ada" if context.new_page().evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "bob"
    page = log_in(context, desk, name)
    page.goto(f"{desk}{PAGE}")
    found = {"enrol": faults(page)}
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    secret, backup = set_up(page, desk)
    found["codes"] = faults(page)
    assert len(backup) == 10
    page.goto(f"{desk}{PAGE}")
    found["change"] = faults(page)

    page.get_by_role("button", name="Log out").click()
    give_password(page, desk, name)
    expect(page).to_have_url(re.compile("/admin/login/code/"))
    expect(page.get_by_label("Code")).to_be_focused()
    found["code"] = faults(page)
    page.get_by_label("Code").fill("000000")
    page.keyboard.press("Enter")
    expect(page.get_by_text("That code is wrong, or was used before.")).to_be_visible()
    found["wrong code"] = faults(page)
    # The one of the step to come: that of this step may have set it up.
    page.get_by_label("Code").fill(code(secret, steps=1))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/admin/orders/stagedorder/"))

    page.get_by_role("button", name="Log out").click()
    give_password(page, desk, name)
    page.get_by_label("Code").fill(backup[0])
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/admin/orders/stagedorder/"))
    assert found == {place: [] for place in found}, found


def test_the_pages_fit_into_any_width(browser: Browser, desk: str, console: None) -> None:
    for width in WIDTHS:
        with browser.new_context(viewport={"width": width, "height": 900}) as context:
            page = log_in(context, desk, "eve")
            page.goto(f"{desk}{PAGE}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_whoever_is_locked_out_reads_for_how_long(context: BrowserContext, desk: str) -> None:
    page = context.new_page()
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    name = f"nobody in the {'dark' if dark else 'light'}"
    for _ in range(6):
        page.goto(f"{desk}/admin/login/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Too many failed logins. Wait 1 minute")).to_be_visible()
    assert faults(page) == []
