"""The queue in a real Chromium: keys, counts that refresh themselves, the halt, narrow windows, and no script."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.desk import empty_database, manage, served
from tests.run import browser_path

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
QUEUE = "/admin/orders/stagedorder/"

_SEED = f"""
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from django.contrib.auth.models import Group, User
from orders import workflow
from orders.fill import Fill
from orders.ticket import Ticket

def person(name, group):
    user = User.objects.create_user(name, password={PASSWORD!r}, is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user

tom, rita, olga = person("tom", "trader"), person("rita", "reviewer"), person("olga", "risk officer")
now = datetime.now(UTC)

def stage(symbol, minutes):
    ticket = Ticket(symbol=symbol, side="buy", order_type="limit", quantity=Decimal(1), price=Decimal(9), strategy="s")
    return workflow.stage(ticket, created_by=tom, now=now - timedelta(minutes=minutes))

for place, symbol in enumerate(("AAA", "BBB", "CCC")):
    stage(symbol, 30 - place)
sent = stage("SENT", 40)
workflow.approve(sent.pk, actor=rita, now=now)
workflow.submit(sent.pk, actor=tom, now=now)
fill = Fill(execution_id="X-1", price=Decimal(9), quantity=Decimal("0.5"), executed_at=now)
workflow.record_execution(sent.pk, fill, actor=tom, now=now)
"""
_ONE_MORE = """
from datetime import UTC, datetime
from decimal import Decimal
from django.contrib.auth.models import User
from orders import trading_state, workflow
from orders.choices import TradingState
from orders.ticket import Ticket
ticket = Ticket(symbol="NEW", side="buy", order_type="limit", quantity=Decimal(1), price=Decimal(9), strategy="s")
now = datetime.now(UTC)
order = workflow.stage(ticket, created_by=User.objects.get(username="tom"), now=now)
olga = User.objects.get(username="olga")
trading_state.change(TradingState.REDUCING, actor=olga, now=now, reason="The feed is late.")
"""
_BACK = """
from datetime import UTC, datetime
from django.contrib.auth.models import Group, User
from orders import trading_state, workflow
from orders.choices import TradingState
from orders.models import StagedOrder
otto, _ = User.objects.get_or_create(username="otto")
otto.groups.add(Group.objects.get(name="risk officer"))
now = datetime.now(UTC)
trading_state.change(TradingState.ACTIVE, actor=otto, now=now, reason="It is back.")
for order in StagedOrder.objects.open().filter(symbol="NEW"):
    workflow.cancel(order.pk, actor=User.objects.get(username="tom"), now=now)
"""


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
    folder = tmp_path_factory.mktemp("desk")
    policy = folder / "policy.yaml"
    policy.write_text('policy_version: "test"\n')
    with empty_database(folder) as url:
        environment = {"EMO_DB_URL": url, "EMO_POLICY_FILE": str(policy)}
        run(environment, "migrate", "--verbosity", "0")
        run(environment, "shell", "-c", _SEED)
        yield environment


@pytest.fixture(scope="module")
def desk(environment: dict[str, str]) -> Iterator[str]:
    with served(environment, workers=2) as port:
        yield f"http://127.0.0.1:{port}"


def run(environment: dict[str, str], *arguments: str) -> None:
    ran = manage(*arguments, environment=environment)
    assert ran.status == 0, ran.out + ran.err


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        context.set_default_timeout(10_000)
        yield context


_troubles: list[str] = []


@pytest.fixture(autouse=True)
def _quiet_console() -> Iterator[None]:
    _troubles.clear()
    yield
    assert _troubles == []


def log_in(context: BrowserContext, desk: str, name: str) -> Page:
    page = context.new_page()
    # A violation of the Content-Security-Policy, a missing file and a script's error all end up here.
    page.on("console", lambda message: _fail_on(message.type, message.text))
    page.on("pageerror", lambda error: _fail_on("error", str(error)))
    page.goto(f"{desk}/admin/login/?next={QUEUE}")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile(f"{QUEUE}$"))
    # The scripts are deferred.
    page.wait_for_load_state()
    return page


def _fail_on(kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        _troubles.append(text)


def highlighted(page: Page) -> str:
    row = page.locator("#result_list tbody tr[aria-current=true]")
    expect(row).to_have_count(1)
    # The focus is where the eye is.
    expect(row.locator("th a")).to_be_focused()
    return row.locator("th a").inner_text()


# ---- keys ------------------------------------------------------------------------------------------------------------


def test_j_and_k_move_the_focus_and_enter_opens(context: BrowserContext, desk: str) -> None:
    page = log_in(context, desk, "rita")
    moves = [("j", "AAA"), ("j", "BBB"), ("j", "CCC"), ("j", "CCC"), ("k", "BBB")]
    for key, symbol in moves:
        page.keyboard.press(key)
        assert highlighted(page) == f"buy 1 {symbol}"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("buy 1 BBB")


def test_x_selects_and_a_leads_to_the_confirmation_of_what_is_selected(context: BrowserContext, desk: str) -> None:
    page = log_in(context, desk, "rita")
    for key in "jxjjx":
        page.keyboard.press(key)
    page.keyboard.press("a")
    expect(page.get_by_role("heading", level=1)).to_have_text("Approve 2 orders?")
    expect(page.locator("tbody th a")).to_have_text(["buy 1 AAA", "buy 1 CCC"])


def test_r_without_a_selection_is_about_the_highlighted_order(context: BrowserContext, desk: str) -> None:
    page = log_in(context, desk, "rita")
    for key in "jj":
        page.keyboard.press(key)
    page.keyboard.press("r")
    expect(page.get_by_role("heading", level=1)).to_have_text("Reject 1 order?")
    expect(page.locator("tbody th a")).to_have_text(["buy 1 BBB"])


def test_nothing_happens_without_an_order_or_without_the_permission_but_it_is_said(
    context: BrowserContext, desk: str
) -> None:
    page = log_in(context, desk, "rita")
    page.keyboard.press("a")
    expect(page.locator("[data-shortcuts-told]")).to_have_text("No order is selected: j goes to the first one.")
    context.clear_cookies()
    trader = log_in(context, desk, "tom")
    trader.goto(f"{desk}{QUEUE}?status=open")
    trader.keyboard.press("j")
    trader.keyboard.press("a")
    expect(trader.locator("[data-shortcuts-told]")).to_have_text("You may not approve orders.")
    assert trader.url.endswith("?status=open")


def test_keys_of_an_order_lead_to_its_forms(context: BrowserContext, desk: str) -> None:
    page = log_in(context, desk, "rita")
    page.get_by_role("link", name="buy 1 AAA").click()
    expect(page.get_by_role("heading", name="Profit and loss")).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("a")
    expect(page.get_by_label("Note on the approval")).to_be_focused()
    # What is typed now is a note, and no key of the desk.
    page.keyboard.type("jar?")
    expect(page.get_by_label("Note on the approval")).to_have_value("jar?")
    expect(page.locator("dialog")).not_to_be_visible()
    page.get_by_label("Note on the approval").blur()
    page.keyboard.press("r")
    expect(page.get_by_label("Reason to reject")).to_be_focused()


def test_keys_with_a_modifier_and_in_fields_are_not_the_desks(context: BrowserContext, desk: str) -> None:
    page = log_in(context, desk, "rita")
    for chord in ("Control+j", "Alt+j", "Meta+j"):
        page.keyboard.press(chord)
    page.get_by_role("searchbox").fill("")
    page.get_by_role("searchbox").type("jxa?")
    expect(page.get_by_role("searchbox")).to_have_value("jxa?")
    expect(page.locator("tr[aria-current]")).to_have_count(0)
    expect(page.locator("dialog")).not_to_be_visible()


def test_help_opens_by_key_and_button_and_turns_the_keys_off(context: BrowserContext, desk: str) -> None:
    page = log_in(context, desk, "rita")
    help_ = page.get_by_role("dialog", name="Keyboard shortcuts")
    page.keyboard.press("?")
    expect(help_).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator("tr[aria-current]")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(help_).not_to_be_visible()
    opener = page.get_by_role("button", name="Keyboard shortcuts")
    opener.click()
    page.get_by_label("Shortcuts are on in this browser").uncheck()
    page.get_by_role("button", name="Close").click()
    expect(opener).to_be_focused()
    page.reload()
    page.keyboard.press("j")
    expect(page.locator("tr[aria-current]")).to_have_count(0)


# ---- counts ----------------------------------------------------------------------------------------------------------


def test_counts_title_and_banner_follow_what_happens_elsewhere(
    context: BrowserContext, desk: str, environment: dict[str, str]
) -> None:
    page = log_in(context, desk, "rita")
    page.clock.install()
    page.goto(f"{desk}{QUEUE}")
    expect(page).to_have_title(re.compile(r"^\(3\) Orders"))
    expect(page.get_by_role("alert")).to_be_empty()
    run(environment, "shell", "-c", _ONE_MORE)
    try:
        page.clock.run_for(16_000)
        expect(page).to_have_title(re.compile(r"^\(4\) Orders"))
        expect(page.locator('[data-count="needs_review"]')).to_have_text("4")
        expect(page.locator("[data-counts-told]")).to_have_text("4 orders need you.")
        expect(page.get_by_role("alert")).to_contain_text("Trading is reducing.")
        expect(page.get_by_role("alert")).to_contain_text("By olga")
    finally:
        run(environment, "shell", "-c", _BACK)
    page.clock.run_for(16_000)
    expect(page).to_have_title(re.compile(r"^\(3\) Orders"))
    expect(page.get_by_role("alert")).to_contain_text("Trading is active again.")


def test_a_page_that_nobody_looks_at_asks_nothing(context: BrowserContext, desk: str) -> None:
    page = log_in(context, desk, "rita")
    page.clock.install()
    page.goto(f"{desk}{QUEUE}")
    asked: list[str] = []
    page.on("request", lambda request: "/static/" in request.url or asked.append(request.url))
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.clock.run_for(60_000)
    assert asked == []
    with page.expect_response("**/counts/"):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    assert asked == [f"{desk}{QUEUE}counts/"]


# ---- without a script, narrow, and the halt --------------------------------------------------------------------------


def test_the_queue_works_without_scripts(browser: Browser, desk: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = log_in(context, desk, "rita")
        expect(page.get_by_role("button", name="Keyboard shortcuts")).to_have_count(0)
        page.get_by_role("row", name=re.compile("AAA")).get_by_role("checkbox").check()
        page.locator("select[name=action]").select_option("Approve selected orders")
        page.get_by_role("button", name="Go").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Approve 1 order?")


PATHS = (
    QUEUE,
    f"{QUEUE}?status=open",
    f"{QUEUE}add/",
    "/admin/orders/tradingstatechange/",
    "/admin/orders/tradingstatechange/add/",
    "/admin/orders/position/",
    "/admin/orders/unmatchedfill/",
    "/admin/orders/ruleoverride/",
)


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(browser: Browser, desk: str, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = log_in(context, desk, "tom")
        for path in PATHS:
            page.goto(desk + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.goto(f"{desk}{QUEUE}?status=at_broker")
        page.get_by_role("link", name="buy 1 SENT").click()
        page.get_by_role("link", name=re.compile("Correct")).click()
        expect(page.get_by_role("heading", name="Take it back")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_halt_takes_a_reason_and_a_confirmation_and_says_what_is_left(context: BrowserContext, desk: str) -> None:
    page = log_in(context, desk, "rita")
    page.get_by_role("link", name="Halt trading").click()
    expect(page.get_by_role("radio", name=re.compile("Halted"))).to_be_checked()
    expect(page.get_by_text("withdraws 3 orders now")).to_be_visible()
    page.get_by_label("Reason").fill("The feed shows prices from yesterday.")
    page.get_by_label("I have read what this does").check()
    page.get_by_role("button", name="Change the trading state").click()
    expect(page.get_by_role("heading", name="Withdrawn by the kill switch: 3")).to_be_visible()
    expect(page.get_by_role("heading", name="At the broker now: 1")).to_be_visible()
    for path in (QUEUE, "/reports/orders/"):
        page.goto(desk + path)
        expect(page.get_by_role("alert")).to_contain_text("Trading is halted.")
