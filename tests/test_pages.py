"""Every page that a person is led to, in a real Chromium: for everybody, at every width, light, steady, without script.

axe-core tells what keeps people out: WCAG A and AA, and its best practices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.browsing import PASSWORD, log_in
from tests.desk import empty_database, manage, served

pytestmark = pytest.mark.browser

_PEOPLE = f"""
from django.contrib.auth.models import Group, User
ada = User.objects.create_superuser("ada", password={PASSWORD!r})
ada.groups.set(Group.objects.all())
"""
# Not the style sheets once more: axe would ask for what they import at the page's own address.
AXE = {"resultTypes": ["violations"], "preload": False}
# The icon beside the search of Django's own two lists to choose from has a name, but no role.
OURS = {"exclude": [[".selector .help-tooltip.search-label-icon"]]}
# As it comes over the wire.
LARGEST_SCRIPT = 60_000
# Milliseconds, and bytes a second.
SLOW_LINE = {"offline": False, "latency": 100, "downloadThroughput": 100_000, "uploadThroughput": 100_000}
WIDTHS = (360, 768, 1280, 3840)
_SHIFTED = """() => new Promise(resolve => {
  let sum = 0;
  new PerformanceObserver(list => list.getEntries().forEach(entry => { sum += entry.value; }))
    .observe({type: "layout-shift", buffered: true});
  setTimeout(() => resolve(sum), 500);
})"""
QUEUE = "/admin/orders/stagedorder/?status=all"
REPORTS = (
    "/reports/orders/?period=all",
    "/reports/strategies/",
    "/reports/strategies/momentum/",
    "/reports/institutional/",
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a served desk with the demo's month and somebody who may see everything."""
    with empty_database(tmp_path_factory.mktemp("database")) as url:
        environment = {"EMO_DB_URL": url}
        for arguments in (
            ("migrate", "--verbosity", "0"),
            ("load_demo", "--month"),
            ("rollup_performance",),
            ("shell", "-c", _PEOPLE),
        ):
            ran = manage(*arguments, environment=environment)
            assert ran.status == 0, ran.out + ran.err
        with served(environment) as port:
            yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=["light", "dark"])
def context(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(color_scheme=request.param) as context:
        context.set_default_timeout(20_000)
        yield context


# What a page looks like does not depend on the engine that its rows come from.
@pytest.mark.once
def test_no_page_has_a_fault_that_axe_knows(context: BrowserContext, desk: str, console: None) -> None:
    page = context.new_page()
    page.goto(f"{desk}/admin/login/")
    found = {"/admin/login/": faults(page)}
    page.close()

    page = log_in(context, desk, "ada")
    for path in _paths(page, desk):
        page.goto(f"{desk}{path}")
        found[path] = faults(page)

    assert len(found) > 30
    told = [f"{path}: {fault}" for path, faults in found.items() for fault in faults]
    assert not told, "\n".join(told)


@pytest.mark.once
@pytest.mark.parametrize("width", WIDTHS)
def test_reports_and_the_queue_fit_into_any_width(browser: Browser, desk: str, console: None, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = log_in(context, desk, "ada")
        for path in [*REPORTS, QUEUE]:
            page.goto(f"{desk}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.once
def test_scripts_are_light_and_nothing_moves_once_it_is_seen(context: BrowserContext, desk: str, console: None) -> None:
    scripts: dict[str, int] = {}
    page = log_in(context, desk, "ada")
    page.on("requestfinished", lambda request: _weigh(request, scripts))
    # On a slow machine and line a page comes in pieces, and each piece seen on its own would move what's there.
    page.set_default_navigation_timeout(90_000)
    slow = context.new_cdp_session(page)
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 10})
    slow.send("Network.emulateNetworkConditions", SLOW_LINE)
    for path in [*REPORTS, QUEUE]:
        page.goto(f"{desk}{path}")
        assert page.evaluate(_SHIFTED) == 0, path
    assert scripts
    assert {url: size for url, size in scripts.items() if size > LARGEST_SCRIPT} == {}


def test_reports_and_the_queue_say_the_same_without_script(browser: Browser, desk: str) -> None:
    texts = []
    for enabled in (True, False):
        with browser.new_context(java_script_enabled=enabled) as context:
            page = log_in(context, desk, "ada")
            page.goto(f"{desk}/reports/orders/?period=all")
            text = re.sub(r"\b\d+ (s|min|h|d) ago\b", "some time ago", page.locator("main").inner_text())
            texts.append(text.splitlines()[5:])
            page.goto(f"{desk}{QUEUE}")
            assert page.locator("#result_list tbody tr").count() > 0
    assert texts[0] == texts[1]


def _weigh(request: Request, scripts: dict[str, int]) -> None:
    if request.resource_type == "script":
        scripts[request.url] = request.sizes()["responseBodySize"]


def _paths(page: Page, desk: str) -> list[str]:
    """The reports, the admin's index, each list that it leads to, and of each the first row and the form to add."""
    page.goto(f"{desk}/admin/")
    lists = _linked(page, r"/admin/[a-z_]+/[a-z_]+/(\?.*)?")
    paths = [*REPORTS, "/admin/", "/admin/password_change/", *lists]
    for path in lists:
        page.goto(f"{desk}{path}")
        inside = _linked(page, re.escape(path.partition("?")[0]) + r"[^?]+/(\?.*)?")
        paths += [each for each in inside if not each.endswith("/add/")][:1]
        paths += [each for each in inside if each.endswith("/add/")]
    return list(dict.fromkeys(paths))


def _linked(page: Page, pattern: str) -> list[str]:
    found = page.locator("#content a[href]").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    return [href for href in dict.fromkeys(found) if re.fullmatch(pattern, href)]


def faults(page: Page) -> list[str]:
    """One line for each element at fault: rule, element, and what is wrong."""
    found = Axe().run(page, context=OURS, options=AXE).response["violations"]
    return [
        f"{rule['id']} at {' '.join(map(str, node['target']))}: {_message(node)}"
        for rule in found
        for node in rule["nodes"]
    ]


def _message(node: dict[str, list[dict[str, str]]]) -> str:
    return "; ".join(check["message"] for kind in ("any", "all", "none") for check in node[kind])


def test_strategies_are_sorted_by_keyboard_and_an_order_is_two_steps_away(
    context: BrowserContext, desk: str, console: None
) -> None:
    page = log_in(context, desk, "ada")
    page.goto(f"{desk}/reports/strategies/")
    sorted_by, names = page.locator("th[aria-sort]"), page.locator("table.strategies tbody th a")
    expect(sorted_by).to_have_text(re.compile("Net P&L"))
    for direction in ("descending", "ascending"):
        page.get_by_role("columnheader", name=re.compile("^Trades")).get_by_role("link").press("Enter")
        expect(sorted_by).to_have_text(re.compile("Trades"))
        expect(sorted_by).to_have_attribute("aria-sort", direction)
    expect(names.last).to_have_text("momentum")
    for drawing in page.locator("svg.spark").all():
        assert re.match(r"Cumulative net P&L: lowest -?\d", drawing.get_attribute("aria-label") or "")
    names.last.click()
    page.get_by_role("link", name=re.compile("^Order that opened SPY")).first.click()
    expect(page).to_have_url(re.compile("/admin/orders/stagedorder/.+/change/"))
