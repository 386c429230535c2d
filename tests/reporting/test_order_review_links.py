"""Each number of the order review leads to the rows behind it: every link of a filled page is followed."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from monitoring import events
from monitoring.choices import EventType
from orders import unmatched, workflow
from orders.fill import Fill
from orders.models import StagedOrder
from orders.refusal import Refused
from tests.factories import NOW, equity, iron_condor, person, staged, ticket
from tests.reporting.test_order_review import quote

pytestmark = pytest.mark.django_db
D = Decimal
PAGE = "/reports/orders/"
# With a period before it that has orders too.
PERIOD = {"from": "2025-11-03", "to": "2025-11-03"}
EARLIER = NOW - timedelta(days=1)
MINUTE = timedelta(minutes=1)
POLICY = """
policy_version: "links"
risk:
  max_order_quantity: 9
  max_quote_age_seconds: 3600
  price_band_fraction: 0.05
"""


@pytest.fixture
def desk(tmp_path: Path, settings: Any) -> dict[str, User]:
    """Orders of every status, and of everything that the page tells something about."""
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text(POLICY, encoding="utf-8")
    for at in (EARLIER, NOW):
        equity(at=at - MINUTE)
        quote("400.40", at)
    events.record([events.Event(symbol="QQQ", event_type=EventType.TRADE, timestamp=NOW, price=D(300), source="test")])
    people = {
        "tom": person("tom", "trader"),
        "rob": person("rob", "reviewer"),
        "ann": person("ann", "reviewer", "trader"),
        "oli": person("oli", "risk officer"),
    }
    _stage_all(people)
    _refuse(people)
    report = Fill(execution_id="lost", price=D(400), quantity=D(1), executed_at=NOW)
    unmatched.receive("nobody-knows-it", report, actor=people["tom"], now=NOW)
    return people


def _stage_all(people: dict[str, User]) -> None:
    tom, rob, ann = people["tom"], people["rob"], people["ann"]
    staged(tom, now=EARLIER, client_order_id="of the day before")
    staged(tom, client_order_id="waiting")
    staged(tom, client_order_id="of no strategy", strategy="")
    staged(tom, client_order_id="dear", price=D("500"))
    for name in ("condor", "condor given up"):
        condor = workflow.stage(iron_condor(client_order_id=name), created_by=ann, now=NOW)
        workflow.approve(condor.pk, actor=rob, now=NOW)
        workflow.submit(condor.pk, actor=ann, now=NOW)
    workflow.cancel(condor.pk, actor=ann, now=NOW)
    filled = StagedOrder.objects.get(client_order_id="condor")
    _fill(filled, "c", "1", tom, price="-1.10")
    refused = staged(tom, client_order_id="rejected")
    workflow.reject(refused.pk, actor=ann, now=NOW + MINUTE, reason="no")
    withdrawn = staged(tom, client_order_id="withdrawn")
    workflow.cancel(withdrawn.pk, actor=tom, now=NOW)
    staged(tom, client_order_id="forgotten", expires_at=NOW + timedelta(hours=2))
    expired = staged(tom, client_order_id="expired", expires_at=NOW + MINUTE)
    workflow.expire(now=NOW + 2 * MINUTE)
    assert StagedOrder.objects.get(pk=expired.pk).status == "expired"
    filled = _sent(people, "filled", "2")
    _fill(filled, "f", "2", tom)
    over = _sent(people, "overfilled", "1")
    _fill(over, "o", "2", tom)
    given_up = _sent(people, "given up", "3")
    _fill(given_up, "g", "1", tom)
    quote("401", NOW + MINUTE)
    workflow.cancel(given_up.pk, actor=tom, now=NOW + 2 * MINUTE)
    _fill(_sent(people, "going on", "4"), "p", "1", tom)
    workflow.broker_reject(_sent(people, "bounced", "1").pk, actor=tom, now=NOW + 2 * MINUTE, reason="no margin")
    workflow.approve(
        staged(tom, client_order_id="approved", symbol="QQQ", price=D(300)).pk, actor=rob, now=NOW + MINUTE
    )


def _sent(people: dict[str, User], name: str, quantity: str) -> StagedOrder:
    order = staged(people["tom"], client_order_id=name, quantity=D(quantity))
    workflow.approve(order.pk, actor=people["rob"], now=NOW + timedelta(seconds=20))
    return workflow.submit(order.pk, actor=people["tom"], now=NOW + timedelta(seconds=30))


def _fill(order: StagedOrder, name: str, quantity: str, actor: User, price: str = "400.90") -> None:
    fill = Fill(
        execution_id=name,
        price=D(price),
        quantity=D(quantity),
        executed_at=NOW + timedelta(seconds=40),
        fees=D("0.65"),
    )
    workflow.record_execution(order.pk, fill, actor=actor, now=NOW + timedelta(seconds=41))


def _refuse(people: dict[str, User]) -> None:
    """Rules set aside, and decisions that were refused."""
    for name in ("large", "larger"):
        order = staged(people["tom"], client_order_id=name, quantity=D(10))
        workflow.override(
            order.pk,
            code="ORDER_QUANTITY",
            actor=people["oli"],
            now=NOW,
            reason="agreed",
            expires_at=NOW + timedelta(hours=1),
        )
    own = workflow.stage(ticket(client_order_id="own"), created_by=people["ann"], now=NOW)
    for actor in (people["ann"], people["ann"], people["tom"]):
        with suppress(Refused):
            workflow.approve(own.pk, actor=actor, now=NOW)


def links(html: str) -> list[tuple[str, str]]:
    """(address, text)"""
    return [
        (unescape(address), unescape(text).strip())
        for address, text in re.findall(r'<a(?: [^>]*?)? ?href="([^"]+)"[^>]*>([^<]*)</a>', html)
    ]


def figures(html: str) -> dict[str, int]:
    """Address -> n, of the figures at the top that are not numbers of orders themselves."""
    found = re.findall(r'<dd class="value"><a href="([^"]+)">[^<]*</a></dd>\s*<dd class="note">([^<]*)</dd>', html)
    told = ((unescape(address), re.search(r"n = ([\d,]+) of", note)) for address, note in found)
    return {address: number(match[1]) for address, match in told if match}


def number(text: str) -> int:
    return int(text.replace(",", ""))


def shown(client: Client, **asked: str) -> str:
    page = client.get(PAGE, asked)
    assert page.status_code == 200, page.content
    html = page.content.decode()
    return html[html.index("<main") :]


SCOPES: list[dict[str, str]] = [
    {"period": "all"},
    PERIOD,
    {**PERIOD, "strategy": "momentum", "environment": "dev"},
    {**PERIOD, "symbol": "SPY", "reviewer": "rob"},
    {"period": "all", "status": "cancelled"},
]


@pytest.mark.parametrize("asked", SCOPES, ids=lambda asked: "&".join(asked.values()))
def test_every_number_leads_to_as_many_rows_as_it_says(
    desk: dict[str, User], client: Client, asked: dict[str, str]
) -> None:
    client.force_login(person("ada", "auditor"))
    html = shown(client, **asked)
    counts = figures(html)
    followed = 0
    for address, text in links(html):
        page = client.get(address if address.startswith("/") else f"{PAGE}{address}")
        assert page.status_code == 200, address
        if not re.fullmatch(r"[\d,]+", text) and address not in counts:
            continue
        wanted = number(text) if re.fullmatch(r"[\d,]+", text) else counts[address]
        assert page.context["cl"].result_count == wanted, (text, address)
        followed += 1
    assert followed > 40


def test_others_in_one_row_lead_to_their_orders(
    desk: dict[str, User], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reporting.order_figures.NOTIONAL_ROWS", 1)
    client.force_login(person("ada", "auditor"))
    followed = {}
    for address, text in links(shown(client, **PERIOD)):
        if "strategy__in=" in address or "underlying__in=" in address:
            followed[address] = client.get(address).context["cl"].result_count
            assert followed[address] == number(text)
    # Of strategies and of underlyings; one of the strategies has no name.
    assert len(followed) == 2
    assert min(followed.values()) > 0


def test_no_number_of_orders_leads_nowhere(desk: dict[str, User], client: Client) -> None:
    client.force_login(person("ada", "auditor"))
    html = shown(client, **PERIOD)
    cells = [unescape(each).strip() for each in re.findall(r'<td class="number">(.*?)</td>', html)]
    assert [each for each in cells if re.fullmatch(r"[\d,]+", each)] == []
    assert [each for each in cells if re.search(r">[\d,]+</a>", each)]


def test_page_of_the_desk_tells_everything_that_it_can(desk: dict[str, User], client: Client) -> None:
    """So that the test above follows each kind of link."""
    client.force_login(person("ada", "auditor"))
    html = shown(client, **PERIOD)
    for told in (
        "What drove the risk score",
        "What blocked and warned",
        "Rules set aside, by whom",
        "Opportunity",
        "Middle of the quote at arrival",
        "filled beyond what was ordered",
        "filled at a worse price than their limit",
        "refused by the broker after the desk had let them through",
        "fills of brokers that no order was found for, of the whole desk",
        "open, though their own time has ended",
        "filled, and not in delay and execution",
        "given up at the broker, and not in the opportunity cost",
        "Compared with the period before",
    ):
        assert told in html
    rows = dict(re.findall(r'<th scope="row">(\w+)</th>(.*?)</tr>', html, re.DOTALL))
    assert re.findall(r">(\d+)</a>", rows["ann"]) == ["1", "0", "1", "2", "2"]
    assert re.findall(r">(\d+)</a>", rows["tom"]) == ["0", "0", "0", "1", "0"]


def test_file_of_the_review_leads_nowhere(desk: dict[str, User]) -> None:
    from reporting import order_review

    html = order_review.render(order_review.analyze_orders(StagedOrder.objects.all(), now=NOW))
    assert "Rules set aside, by whom" in html
    assert "href=" not in html
