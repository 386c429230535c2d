"""The order review in a real Chromium: on paper, on a phone, and its saved reviews without a script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browsing import PASSWORD, log_in
from tests.desk import empty_database, manage, served

pytestmark = pytest.mark.browser

_PEOPLE = f"""
from django.contrib.auth.models import User
User.objects.create_superuser("ada", password={PASSWORD!r})
"""
PAGE = "/reports/orders/?period=all"
# What leads elsewhere, asks for something, or is for one person alone.
ON_SCREEN_ONLY = (".top nav", ".who", ".skip", "form.scope", ".files", ".saved-views")
# A row that lies on two pages would be cut in two.
_BREAKING = """() => [...document.querySelectorAll("main tr")]
  .filter(row => getComputedStyle(row).breakInside !== "avoid").length"""
_ADDRESSES = """() => [...document.querySelectorAll("main a")]
  .filter(link => ["::before", "::after"].some(each => getComputedStyle(link, each).content !== "none")).length"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with empty_database(tmp_path_factory.mktemp("database")) as url:
        environment = {"EMO_DB_URL": url}
        for arguments in (("migrate", "--verbosity", "0"), ("load_demo",), ("shell", "-c", _PEOPLE)):
            ran = manage(*arguments, environment=environment)
            assert ran.status == 0, ran.out + ran.err
        with served(environment) as port:
            yield f"http://127.0.0.1:{port}"


def test_paper_has_the_figures_and_nothing_that_only_a_screen_needs(browser: Browser, desk: str, console: None) -> None:
    with browser.new_context() as context:
        page = log_in(context, desk, "ada")
        page.goto(f"{desk}{PAGE}")
        for part in ON_SCREEN_ONLY:
            assert page.locator(part).count() > 0, part
        page.emulate_media(media="print")
        for part in ON_SCREEN_ONLY:
            assert not page.locator(part).first.is_visible(), part
        for heading in ("Order review", "How far orders came", "What it cost, from the decision to the fill"):
            expect(page.get_by_role("heading", name=heading)).to_be_visible()
        assert page.evaluate(_BREAKING) == 0
        assert page.evaluate(_ADDRESSES) == 0
        # A list that scrolls on the screen is whole on paper.
        assert page.locator(".scroll.tall").first.evaluate("each => getComputedStyle(each).maxHeight") == "none"


def test_a_review_is_saved_renamed_and_deleted_without_a_script_on_a_phone(browser: Browser, desk: str) -> None:
    with browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740}) as context:
        page = log_in(context, desk, "ada")
        page.goto(f"{desk}/reports/orders/?period=all&strategy=momentum")
        page.locator(".saved-views summary").click()
        page.get_by_label("Name", exact=True).fill("Momentum, ever")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_role("status")).to_have_text("This review is saved as Momentum, ever.")
        link = page.get_by_role("navigation", name="Saved reviews").get_by_role("link", name="Momentum, ever")
        expect(link).to_have_attribute("aria-current", "page")
        page.goto(f"{desk}{PAGE}")
        page.get_by_role("link", name="Momentum, ever").click()
        expect(page.locator("main")).to_contain_text("Only strategy momentum.")
        page.locator(".saved-views summary").click()
        page.get_by_label("New name of Momentum, ever").fill("Momentum")
        page.get_by_role("button", name="Rename Momentum, ever").click()
        expect(page.get_by_role("link", name="Momentum", exact=True)).to_be_visible()
        page.locator(".saved-views summary").click()
        page.get_by_role("button", name="Delete Momentum").click()
        expect(page.get_by_role("status")).to_have_text("Momentum is no saved review any more.")
        expect(page.get_by_role("navigation", name="Saved reviews")).to_have_count(0)
