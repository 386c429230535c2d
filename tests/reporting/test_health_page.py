"""The health page in a real browser: it renews itself and leaves alone what its reader does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from tests.browsing import PASSWORD, log_in
from tests.desk import empty_database, manage, served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("console")]

_PEOPLE = f"""
from django.contrib.auth.models import Group, User
rita = User.objects.create_user("rita", password={PASSWORD!r}, is_staff=True)
rita.groups.add(Group.objects.get(name="reviewer"))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with empty_database(tmp_path_factory.mktemp("desk")) as url:
        found = {"EMO_DB_URL": url, "EMO_POLICY_FILE": "tests/policy.yaml"}
        for command in (("migrate", "--verbosity", "0"), ("shell", "-c", _PEOPLE)):
            ran = manage(*command, environment=found)
            assert ran.status == 0, ran.err
        yield found


@pytest.fixture(scope="module")
def desk(environment: dict[str, str]) -> Iterator[str]:
    with served(environment) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 700, "height": 500}) as found:
        yield found


def a_round(environment: dict[str, str]) -> None:
    """What the monitor does; not healthy: there is no market data."""
    assert manage("healthcheck", environment=environment).status in (0, 1)


def opened(context: BrowserContext, desk: str) -> tuple[Page, list[int]]:
    """The page with a clock of its own, and the statuses of what its script is answered."""
    page = log_in(context, desk, "rita")
    page.clock.install()
    statuses: list[int] = []

    def heard(response: Response) -> None:
        if response.request.resource_type == "fetch":
            statuses.append(response.status)

    page.on("response", heard)
    page.goto(f"{desk}/reports/institutional/")
    return page, statuses


def shown(page: Page) -> str:
    return page.locator("time").first.get_attribute("datetime") or ""


def test_nothing_new_is_a_304_and_something_new_keeps_scroll_focus_and_what_is_unfolded(
    context: BrowserContext, desk: str, environment: dict[str, str]
) -> None:
    # The newest round has only just begun to count.
    a_round(environment)
    a_round(environment)
    page, statuses = opened(context, desk)
    before = shown(page)
    with page.expect_response(lambda response: response.status == 304):
        page.clock.run_for(31_000)
    assert shown(page) == before

    row = page.locator("tr", has=page.get_by_role("rowheader", name="disk"))
    summary = row.locator("summary")
    summary.click()
    summary.focus()
    row.evaluate("row => row.scrollIntoView({block: 'center'})")
    table = page.locator(".scroll", has=row)
    table.evaluate("box => { box.scrollLeft = 120 }")
    place = row.evaluate("row => row.getBoundingClientRect().top")
    # The table of errors comes above this one, where no slow answer brought it before.
    logged = "import logging; logging.getLogger('emo.audit').error('lost')"
    assert manage("shell", "-c", logged, environment=environment).status == 0
    a_round(environment)
    with page.expect_response(lambda response: response.status == 200):
        page.clock.run_for(31_000)
    expect(page.locator("time").first).not_to_have_attribute("datetime", before)
    expect(summary).to_be_focused()
    expect(row.locator("details")).to_have_attribute("open", "")
    assert abs(row.evaluate("row => row.getBoundingClientRect().top") - place) < 2
    assert table.evaluate("box => box.scrollLeft") == 120
    assert 304 in statuses


def test_a_pause_is_remembered(context: BrowserContext, desk: str, environment: dict[str, str]) -> None:
    a_round(environment)
    page, statuses = opened(context, desk)
    page.get_by_role("button", name="Pause refreshing").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume refreshing")).to_be_focused()
    page.reload()
    expect(page.get_by_role("button", name="Resume refreshing")).to_be_visible()
    page.clock.run_for(120_000)
    with page.expect_response(lambda response: response.status == 304):
        page.get_by_role("button", name="Resume refreshing").click()
    expect(page.get_by_role("button", name="Pause refreshing")).to_be_visible()
    # The one that the click asked for, and none while it was paused.
    assert len(statuses) == 1


def test_who_wants_less_motion_begins_paused(browser: Browser, desk: str, environment: dict[str, str]) -> None:
    a_round(environment)
    with browser.new_context(reduced_motion="reduce") as calm:
        page, statuses = opened(calm, desk)
        expect(page.get_by_role("button", name="Resume refreshing")).to_be_visible()
        page.clock.run_for(120_000)
        assert statuses == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_past_moment_is_chosen_on_the_page(
    browser: Browser, desk: str, environment: dict[str, str], width: int
) -> None:
    a_round(environment)
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page, _ = opened(context, desk)
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("A moment of the past.")).to_be_visible()
        expect(page.get_by_role("button", name="Pause refreshing")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_role("link", name="Back to now").click()
        expect(page.get_by_role("button", name="Pause refreshing")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
