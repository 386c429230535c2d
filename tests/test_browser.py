"""A person's way through the desk in a real Chromium: production server, and the engine this run is about."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.desk import empty_database, manage, served
from tests.run import browser_path

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
HOSTILE = "<script>document.title='taken'</script>\"'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser_path(),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with empty_database(tmp_path_factory.mktemp("database")) as url:
        yield {"EMO_DB_URL": url, "EMO_POLICY_FILE": "tests/policy.yaml"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[str]:
    """The address of a served desk with the bot's files imported and two people who may log in."""
    folder = tmp_path_factory.mktemp("desk")
    _run("migrate", "--verbosity", "0", environment=environment)
    _write_files(folder / "bot")
    _run("import_legacy", str(folder / "bot"), environment=environment)
    _run("shell", "-c", _PEOPLE, environment=environment)
    # Not healthy: the bot's files are old. What was found is recorded all the same.
    assert manage("healthcheck", environment=environment).status == 1
    with served(environment, workers=2) as port:
        yield f"http://127.0.0.1:{port}"


def _run(*arguments: str, environment: dict[str, str]) -> None:
    ran = manage(*arguments, environment=environment)
    assert ran.status == 0, ran.out + ran.err


# The bot's own account becomes a person, who happens to be a reviewer too.
_PEOPLE = f"""
from django.contrib.auth.models import Group, User
bot = User.objects.get(username="emo_stage_order_client")
rita = User.objects.create_user("rita")
for user in (bot, rita):
    user.is_staff = user.is_active = True
    user.set_password({PASSWORD!r})
    user.save()
    user.groups.add(Group.objects.get(name="reviewer"))
"""


def _write_files(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "bot.sqlite") as connection:
        connection.execute("CREATE TABLE equity_curve (ts TEXT PRIMARY KEY, equity REAL)")
        connection.execute("INSERT INTO equity_curve VALUES ('2025-10-25T00:00:00+00:00', 50000)")
    _write_draft(folder / "one.yaml", symbol="NVDA", strategy="profit_taking")
    _write_draft(folder / "hostile.yaml", symbol="MSFT", strategy=HOSTILE)


def _write_draft(path: Path, *, symbol: str, strategy: str) -> None:
    draft = {
        "schema": "emo_order_draft/v1",
        "created_ts": "2025-10-25T08:40:40.933317+00:00",
        "symbol": symbol,
        "side": "buy",
        "qty": 2,
        "order_type": "limit",
        "time_in_force": "day",
        "limit_price": 400.0,
        "strategy": strategy,
        "meta": {"note": HOSTILE},
        "status": "DRAFT",
        "created_by": "emo_stage_order_client",
    }
    text = json.dumps(draft, sort_keys=True, default=str)
    draft["signature"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    path.write_text(yaml.safe_dump(draft, sort_keys=False))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        context.set_default_timeout(10_000)
        yield context


def _log_in(context: BrowserContext, desk: str, name: str) -> Page:
    page = context.new_page()
    # A violation of the Content-Security-Policy, a missing file and a script's error all end up here.
    page.on("console", lambda message: _fail_on(message.type, message.text))
    page.on("pageerror", lambda error: _fail_on("error", str(error)))
    page.goto(f"{desk}/admin/login/?next=/admin/orders/stagedorder/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile("/admin/orders/stagedorder/"))
    return page


_troubles: list[str] = []


def _fail_on(kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        _troubles.append(text)


@pytest.fixture(autouse=True)
def _quiet_console() -> Iterator[None]:
    _troubles.clear()
    yield
    assert _troubles == []


def test_the_creator_is_refused_and_a_second_person_approves(context: BrowserContext, desk: str) -> None:
    page = _log_in(context, desk, "emo_stage_order_client")
    page.goto(f"{desk}/admin/orders/stagedorder/?status=open")
    page.get_by_role("link", name=re.compile("NVDA")).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("NVDA")
    expect(page.get_by_text("somebody else must decide").first).to_be_visible()
    order = page.url.partition("?")[0]
    page.context.clear_cookies()

    page = _log_in(context, desk, "rita")
    page.get_by_role("link", name=re.compile("NVDA")).first.click()
    assert page.url.partition("?")[0] == order
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("approved").first).to_be_visible()
    page.goto(order)
    expect(page.get_by_role("button", name="Approve", exact=True)).to_have_count(0)
    expect(page.get_by_text("rita").first).to_be_visible()


def test_hostile_texts_come_out_harmless_everywhere(context: BrowserContext, desk: str) -> None:
    page = _log_in(context, desk, "rita")
    page.get_by_role("link", name=re.compile("MSFT")).first.click()
    for path in (
        page.url,
        f"{desk}/admin/orders/stagedorder/",
        f"{desk}/reports/orders/",
        f"{desk}/reports/institutional/",
    ):
        page.goto(path)
        assert page.title() != "taken", path
        assert page.locator("script", has_text="taken").count() == 0


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("path", ["/reports/orders/", "/reports/institutional/", "/admin/orders/stagedorder/"])
def test_no_page_is_wider_than_its_window(browser: Browser, desk: str, path: str, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = _log_in(context, desk, "rita")
        page.goto(desk + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [360, 1280])
def test_an_order_and_its_dossier_fit_their_window_and_draw_one_diagram(
    browser: Browser, desk: str, width: int
) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = _log_in(context, desk, "rita")
        page.goto(f"{desk}/admin/orders/stagedorder/?status=all")
        page.get_by_role("link", name=re.compile("NVDA")).first.click()
        for heading in ("Profit and loss", "Who looked at it"):
            expect(page.get_by_role("heading", name=heading)).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            # Two are made, and the one for the other width is hidden, from screen readers too.
            diagram = page.get_by_role("img", name=re.compile("Profit and loss of this order by the price of NVDA"))
            expect(diagram).to_have_count(1)
            shown = diagram.locator("text", has_text="Price of NVDA").bounding_box()
            assert shown is not None
            assert shown["height"] >= 9
            if heading == "Profit and loss":
                page.get_by_role("link", name="Dossier", exact=True).click()


def test_an_order_that_moved_on_is_not_decided_from_an_old_page(context: BrowserContext, desk: str) -> None:
    page = _log_in(context, desk, "rita")
    page.goto(f"{desk}/admin/orders/stagedorder/?status=all")
    page.get_by_role("link", name=re.compile("MSFT")).first.click()
    order, other = page.url, context.new_page()
    other.goto(order)
    for each, words in ((other, "is cancelled"), (page, "rita cancelled it")):
        each.get_by_role("button", name="Cancel", exact=True).click()
        expect(each.get_by_text(re.compile(words)).first).to_be_visible()


def test_refreshing_can_be_paused_and_keeps_the_focus(
    context: BrowserContext, desk: str, environment: dict[str, str]
) -> None:
    page = _log_in(context, desk, "rita")
    page.clock.install()
    page.goto(f"{desk}/reports/institutional/")
    pause = page.get_by_role("button", name="Pause refreshing")
    pause.focus()
    before = page.locator("time").first.get_attribute("datetime")
    # The one round that is on record stays the newest: with another one there is something to renew.
    assert manage("healthcheck", environment=environment).status == 1
    page.clock.run_for(31_000)
    expect(page.locator("time").first).not_to_have_attribute("datetime", before or "")
    expect(page.get_by_role("button", name="Pause refreshing")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume refreshing")).to_be_focused()
    paused = page.locator("time").first.get_attribute("datetime")
    page.clock.run_for(120_000)
    expect(page.locator("time").first).to_have_attribute("datetime", paused or "")
