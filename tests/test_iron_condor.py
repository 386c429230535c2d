"""The whole life of an iron condor with four people, each in a browser of their own: trader, risk officer, reviewer,
auditor. Production server, a real browser, and the engine this run is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browsing import PASSWORD, log_in
from tests.desk import empty_database, manage, served

pytestmark = pytest.mark.browser

# The quotes of this test are as old as the test is long.
POLICY = """
policy_version: "browser"
risk: { max_risk_pct_trade: 0.02, max_order_notional: 50000, max_quote_age_seconds: 3600, max_positions: 20 }
approval: { ttl_seconds: 3600, max_price_drift: 0.02 }
strategies:
  iron_condor: { ivr_min: 0.30, ivr_max: 0.80, dte_min: 30, dte_max: 45, qty_cap: 2 }
"""
# The bot stages three condors where its policy lets two through.
SETTING = f"""
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from django.contrib.auth.models import Group, User
from monitoring import events
from monitoring.choices import EventType
from orders import workflow
from orders.choices import Instrument, LegAction, OrderType, Side
from orders.options import format_osi
from orders.ticket import Ticket, TicketLeg

for name, group in (("tina", "trader"), ("otto", "risk officer"), ("rita", "reviewer"), ("ada", "auditor")):
    user = User.objects.create_user(name, password={PASSWORD!r}, is_staff=True)
    user.groups.add(Group.objects.get(name=group))
now = datetime.now(UTC)
for kind, symbol, price in (
    (EventType.EQUITY, "", "250000"), (EventType.QUOTE, "SPY", "450.20"), (EventType.IV_RANK, "SPY", "0.42")
):
    event = events.Event(symbol=symbol, event_type=kind, timestamp=now, price=Decimal(price), source="test")
    events.record([event])
expiry = (now + timedelta(days=37)).date()
legs = tuple(
    TicketLeg(
        action=action, instrument=instrument, strike=Decimal(strike), expiry=expiry, quantity=Decimal(3),
        symbol=format_osi("SPY", expiry, "C" if instrument == Instrument.CALL else "P", Decimal(strike)),
    )
    for action, instrument, strike in (
        (LegAction.BUY, Instrument.PUT, 430), (LegAction.SELL, Instrument.PUT, 435),
        (LegAction.SELL, Instrument.CALL, 465), (LegAction.BUY, Instrument.CALL, 470),
    )
)
ticket = Ticket(
    symbol="SPY", side=Side.AS_DEFINED, order_type=OrderType.LIMIT, quantity=Decimal(3), price=Decimal("-1.20"),
    strategy="iron_condor", legs=legs, client_order_id="bot-condor", source="bot",
)
print(workflow.stage(ticket, created_by=User.objects.get(username="tina"), now=now).pk)
"""


@pytest.fixture
def condor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The desk's address, the page of the staged condor, and the environment of the desk's commands."""
    folder = tmp_path_factory.mktemp("condor")
    (folder / "policy.yaml").write_text(POLICY)
    with empty_database(folder) as url:
        environment = {"EMO_DB_URL": url, "EMO_POLICY_FILE": str(folder / "policy.yaml")}
        ran = manage("migrate", "--verbosity", "0", environment=environment)
        assert ran.status == 0, ran.err
        ran = manage("shell", "-c", SETTING, environment=environment)
        assert ran.status == 0, ran.err
        with served(environment, workers=2) as port:
            desk = f"http://127.0.0.1:{port}"
            yield desk, f"{desk}/admin/orders/stagedorder/{ran.out.split()[-1]}/change/", environment


class Desk:
    """Four people, each with a session of their own, in front of one order."""

    def __init__(self, browser: Browser, desk: str, order: str) -> None:
        self._browser, self._desk, self._order = browser, desk, order
        self._contexts: dict[str, BrowserContext] = {}

    def at(self, name: str) -> Page:
        """The order's page, fetched anew, as that person sees it."""
        if name not in self._contexts:
            self._contexts[name] = self._browser.new_context()
            self._contexts[name].set_default_timeout(15_000)
            log_in(self._contexts[name], self._desk, name)
        page = self._contexts[name].pages[0]
        page.goto(self._order)
        return page

    def queue(self, name: str) -> Page:
        page = self.at(name)
        page.goto(f"{self._desk}/admin/orders/stagedorder/")
        return page


def _status(page: Page) -> str:
    return page.locator("h1 .badge").first.inner_text()


@pytest.mark.usefixtures("console")
def test_four_people_lead_an_iron_condor_through_its_life(
    browser: Browser,
    condor: tuple[str, str, dict[str, str]],
) -> None:
    desk, order, environment = condor
    people = Desk(browser, desk, order)

    # The trader sees what it is, what it can lose, and which rule spoke.
    page = people.at("tina")
    assert _status(page) == "blocked"
    expect(page.get_by_role("rowheader", name=re.compile("ORDER_QUANTITY")).first).to_be_visible()
    expect(
        page.get_by_role("img", name=re.compile("Profit and loss of this order by the price of SPY"))
    ).to_be_visible()
    expect(page.get_by_role("button", name="Override the rule")).to_have_count(0)

    # The risk officer sets that one rule aside.
    page = people.at("otto")
    page.get_by_text("Override a rule").click()
    form = page.locator("form", has=page.get_by_role("button", name="Override the rule"))
    form.locator("textarea, input[type=text]").first.fill("Hedged elsewhere today.")
    form.get_by_role("button", name="Override the rule").click()
    assert _status(people.at("otto")) == "pending review"

    # The reviewer asks, the trader answers, the reviewer approves. The trader can't.
    expect(people.queue("rita").get_by_role("link", name=re.compile("SPY"))).to_be_visible()
    page = people.at("rita")
    page.get_by_label(re.compile("What should change")).fill("Why three?")
    page.get_by_role("button", name="Request changes", exact=True).click()
    page = people.at("tina")
    expect(page.get_by_role("button", name="Approve", exact=True)).to_have_count(0)
    page.get_by_label(re.compile("Your answer")).fill("One for each account.")
    page.get_by_role("button", name="Answer and send back to review").click()
    page = people.at("rita")
    expect(page.get_by_text("One for each account.").first).to_be_visible()
    page.get_by_role("button", name="Approve", exact=True).click()
    assert _status(people.at("rita")) == "approved"

    # The trader submits, and records what the broker reported.
    page = people.at("tina")
    page.get_by_role("button", name="Submit to the broker").click()
    page = people.at("tina")
    assert _status(page) == "submitted"
    page.get_by_text("Record a fill").click()
    form = page.locator("form", has=page.get_by_role("button", name="Record the fill"))
    form.get_by_label("Execution id").fill("broker-1")
    form.get_by_label("Price", exact=True).fill("-1.18")
    form.get_by_label("Quantity", exact=True).fill("3")
    form.get_by_role("button", name="Record the fill").click()
    assert _status(people.at("tina")) == "executed"

    # The auditor sees all of it, may decide nothing, and takes the dossier along.
    page = people.at("ada")
    for words in ("rule overridden", "changes requested", "judged again", "approved", "submitted", "fill recorded"):
        expect(page.locator("#history").get_by_text(words).first).to_be_visible()
    expect(page.locator("form.decision, .decision-forms form")).to_have_count(0)
    page.get_by_role("link", name=re.compile("dossier", re.IGNORECASE)).first.click()
    expect(page.get_by_text("broker-1").first).to_be_visible()

    ran = manage("verify_audit", environment=environment)
    assert ran.status == 0, ran.out + ran.err
    ran = manage("review_as_of", "bot-condor", environment=environment)
    assert ran.status == 0, ran.out + ran.err
    ran = manage("positions", "check", environment=environment)
    assert ran.status == 0, ran.out + ran.err
