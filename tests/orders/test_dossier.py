"""The dossier: everything about one order, in one file that needs nothing else, and harmless."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries

from orders import dossier, workflow
from orders.choices import AccessKind
from orders.dossier import Dossier
from orders.fill import Fill
from orders.models import OrderAccess, StagedOrder
from tests.factories import NOW, equity, person, staged, ticket

pytestmark = pytest.mark.django_db

EVIL = "<script>alert('x\")</script>"


@pytest.fixture(autouse=True)
def _policy(tmp_path: Path, settings: Any) -> None:
    """Limits that need no quotes: what the rules say is not what is tested here."""
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text(
        'policy_version: "2025-10-27"\nrisk: {max_order_notional: 50000, max_risk_pct_trade: 0.02}\n'
    )


@pytest.fixture
def order() -> StagedOrder:
    """Staged, approved, sent, filled, and looked at."""
    equity()
    tom, rita = person("tom", "trader"), person("rita", "reviewer")
    order = staged(tom, client_order_id="bot-17")
    workflow.approve(order.pk, actor=rita, now=NOW + timedelta(minutes=2), note="Inside the limits.")
    workflow.submit(order.pk, actor=tom, now=NOW + timedelta(minutes=3))
    fill = Fill(execution_id="B-1", price=D("400.61"), quantity=D(2), executed_at=NOW + timedelta(minutes=4))
    workflow.record_execution(order.pk, fill, actor=tom, now=NOW + timedelta(minutes=4))
    OrderAccess.objects.create(
        at=NOW, kind=AccessKind.VIEWED, actor=rita, actor_name="rita", order=order, what="order page", environment="dev"
    )
    return order


def made(order: StagedOrder) -> Dossier:
    found = dossier.build(order.pk, now=NOW + timedelta(minutes=9), by="ada")
    assert found is not None
    return found


def test_it_holds_every_assessment_decision_event_and_access(order: StagedOrder) -> None:
    found = made(order)
    assert [each.title for each in found.assessments] == [
        "1. staged by tom, 2025-11-03 15:00:00 UTC",
        "2. approved by rita, 2025-11-03 15:02:00 UTC",
        "3. submitted by tom, 2025-11-03 15:03:00 UTC",
    ]
    assert all(assessment.policy.startswith("2025-10-27") for assessment in found.assessments)
    assert [(row.actor, row.kind, row.reason) for row in found.decisions] == [
        ("rita", "approved", "Inside the limits."),
        ("tom", "submitted", ""),
    ]
    assert [row.sequence for row in found.trail] == ["1", "2", "3", "4"]
    assert '"execution_id": "B-1"' in found.trail[3].kept
    assert [(row.actor, row.kind, row.what) for row in found.accesses] == [("rita", "viewed", "order page")]


def test_the_seals_are_those_on_record(order: StagedOrder) -> None:
    StagedOrder.objects.filter(pk=order.pk).update(audit_head="ab" * 32)
    found = made(order)
    assert [row.seal for row in found.trail] == list(order.events.order_by("sequence").values_list("seal", flat=True))
    assert found.trail_head == f"4 events by the order's row, 4 on record; last seal {'ab' * 32}"


def test_a_trail_that_is_shorter_than_the_row_says_is_told(order: StagedOrder) -> None:
    StagedOrder.objects.filter(pk=order.pk).update(event_count=6, audit_head="")
    assert made(order).trail_head == "6 events by the order's row, 4 on record; not sealed"


def test_it_says_when_by_whom_and_with_which_code_it_was_made(order: StagedOrder, settings: Any) -> None:
    text = dossier.html_file(made(order))
    assert f"Generated at 2025-11-03 15:09:00 UTC by ada, EMO Desk {settings.EMO_VERSION}." in text
    assert f'content: "EMO Desk, dossier of order {order.pk}"' in text


def test_a_file_needs_nothing_else(order: StagedOrder) -> None:
    text = dossier.html_file(made(order))
    assert not re.search(r"<link|<script|<img|\ssrc=|url\((?!#)|@import|action=|<form", text)
    # What it links to is inside it.
    assert all(target.startswith("#") for target in re.findall(r'\shref="([^"]*)"', text))
    assert "--accent" in text
    assert ".payoff" in text


def test_it_takes_as_many_queries_for_ten_events_as_for_one(
    order: StagedOrder, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    fresh = staged(User.objects.get(username="tom"), quantity=D(1))
    for each in (fresh, order):
        with django_assert_num_queries(12):
            made(each)


def test_nobodys_text_becomes_markup_in_it() -> None:
    equity()
    tom = person("tom", "trader")
    evil = ticket(symbol=EVIL[:32], strategy=EVIL, source=EVIL, source_file=EVIL, metadata={"note": EVIL, EVIL: EVIL})
    order = workflow.stage(evil, created_by=tom, now=NOW)
    workflow.cancel(order.pk, actor=tom, now=NOW, reason=EVIL)
    text = dossier.html_file(made(order))
    assert "<script" not in text
    assert html.escape(EVIL) in text


# ---- the page and the file -------------------------------------------------------------------------------------------


def get(order_id: object, user: User, query: str = "") -> Any:
    client = Client()
    client.force_login(user)
    return client.get(reverse("admin:orders_stagedorder_dossier", args=[order_id]) + query)


def test_whoever_may_see_orders_may_read_it_and_nobody_else(order: StagedOrder, client: Client) -> None:
    assert get(order.pk, person("ada", "auditor")).status_code == 200
    assert OrderAccess.objects.filter(order=order, actor_name="ada", what="dossier", kind=AccessKind.VIEWED).exists()
    assert get(order.pk, person("stranger")).status_code == 403
    assert client.get(reverse("admin:orders_stagedorder_dossier", args=[order.pk])).status_code == 302
    assert get(uuid4(), User.objects.get(username="ada")).status_code == 404


def test_the_page_obeys_the_strict_policy(order: StagedOrder) -> None:
    response = get(order.pk, User.objects.get(username="rita"))
    text = response.content.decode()
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=\"|<script(?![^>]*\bsrc=)", text)
    assert "desk/order" in text


def test_the_download_is_the_file(order: StagedOrder) -> None:
    response = get(order.pk, User.objects.get(username="rita"), "?download")
    assert response["Content-Disposition"] == f'attachment; filename="dossier-{order.pk}.html"'
    assert "<style>" in response.content.decode()
    exported = OrderAccess.objects.get(kind=AccessKind.EXPORTED)
    assert (exported.order, exported.actor_name, exported.what) == (order, "rita", f"dossier-{order.pk}.html")


def test_the_order_page_leads_to_both(order: StagedOrder) -> None:
    client = Client()
    client.force_login(User.objects.get(username="rita"))
    text = client.get(reverse("admin:orders_stagedorder_change", args=[order.pk])).content.decode()
    url = reverse("admin:orders_stagedorder_dossier", args=[order.pk])
    assert f'href="{url}"' in text
    assert f'href="{url}?download"' in text


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pk", "client_order_id"])
def test_the_command_writes_the_file_by_either_id(
    order: StagedOrder, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "dossier.html"
    call_command("order_dossier", str(getattr(order, name)), output=target)
    assert capsys.readouterr().out == f"{target}\n"
    text = target.read_text()
    assert f'Dossier of order <span class="mono">{order.pk}</span>' in text
    assert re.search(r"Generated at .* by order_dossier by \w+, EMO Desk", text)
    exported = OrderAccess.objects.get(kind=AccessKind.EXPORTED)
    assert (exported.order, exported.what) == (order, f"dossier: {target}")


def test_the_command_writes_below_the_data_folder_by_default(order: StagedOrder, tmp_path: Path, settings: Any) -> None:
    settings.EMO_DATA_DIR = tmp_path
    call_command("order_dossier", "bot-17")
    assert (tmp_path / "reports" / f"dossier-{order.pk}.html").exists()


@pytest.mark.parametrize("wanted", ["nothing", "00000000-0000-7000-8000-000000000000"])
def test_the_command_names_an_order_that_is_not_there(wanted: str) -> None:
    with pytest.raises(CommandError, match=f"There is no order '{wanted}' in dev"):
        call_command("order_dossier", wanted)


@pytest.mark.usefixtures("order")
def test_the_command_names_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="can't be written"):
        call_command("order_dossier", "bot-17", output=tmp_path / "file" / "dossier.html")
