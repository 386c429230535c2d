"""A trail that was tampered with is found by the probe, which names the first bad row."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from monitoring.health import Finding
from orders import anchors, audit_probes, probes, workflow
from orders.audit_probes import AuditTrailProbe
from orders.models import OrderEvent, StagedOrder
from tests.factories import NOW, equity, person, staged
from tests.tampering import any_step, released


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


@pytest.fixture(autouse=True)
def anchor_file(tmp_path: Path, settings: Any) -> Path:
    settings.EMO_AUDIT_ANCHOR_FILE = tmp_path / "anchors.jsonl"
    return tmp_path / "anchors.jsonl"


@pytest.fixture
def orders(db: None) -> list[StagedOrder]:
    """Three, of which the first is the newest; two events each."""
    equity()
    trader: User = person("trader", "trader")
    made = [staged(trader, now=NOW - timedelta(hours=hours), client_order_id=f"o{hours}") for hours in range(3)]
    return [workflow.cancel(order.pk, actor=trader, now=NOW) for order in made]


@pytest.mark.django_db
def test_a_desk_without_orders_is_healthy() -> None:
    assert said(AuditTrailProbe().run()) == ("healthy", "no order is on record yet")


def test_trails_that_are_as_written_are_healthy(orders: list[StagedOrder]) -> None:
    assert said(AuditTrailProbe().run()) == (
        "healthy",
        "the newest 3 trails, 6 events: all as written, nothing is anchored",
    )


def test_only_the_newest_are_read(orders: list[StagedOrder]) -> None:
    finding = AuditTrailProbe(trails=2).run()
    assert said(finding) == ("healthy", "the newest 2 trails, 4 events: all as written, nothing is anchored")
    _tamper(orders[2])
    assert str(AuditTrailProbe(trails=2).run().status) == "healthy"
    assert str(AuditTrailProbe(trails=3).run().status) == "error"


def _tamper(order: StagedOrder) -> None:
    with released(OrderEvent):
        OrderEvent.objects.filter(order=order, sequence=1).update(reason="rewritten")


def test_a_row_that_was_changed_is_named(orders: list[StagedOrder]) -> None:
    _tamper(orders[1])
    finding = AuditTrailProbe().run()
    assert said(finding) == (
        "error",
        "not as written: order o1 event 1: its seal does not follow from what it says and the event before it",
    )
    assert finding.metrics["bad"] == [str(orders[1].pk)]
    assert "manage.py verify_audit" in finding.remedy


def test_more_than_one_is_counted(orders: list[StagedOrder]) -> None:
    _tamper(orders[0])
    _tamper(orders[2])
    assert AuditTrailProbe().run().message.endswith(" and 1 more")


def test_an_end_that_was_cut_off_is_told_by_the_anchors(orders: list[StagedOrder], anchor_file: Path) -> None:
    anchors.append(anchor_file, now=NOW)
    assert said(AuditTrailProbe().run()) == (
        "healthy",
        "the newest 3 trails, 6 events: all as written, 3 heads as anchored",
    )
    first = OrderEvent.objects.get(order=orders[0], sequence=1)
    with released(OrderEvent), any_step():
        OrderEvent.objects.filter(order=orders[0], sequence=2).delete()
        StagedOrder.objects.filter(pk=orders[0].pk).update(event_count=1, audit_head=first.seal, status=first.to_status)
    finding = AuditTrailProbe().run()
    assert str(finding.status) == "error"
    assert "order o0 event 2: it is gone: 2 events were anchored at" in finding.message


def test_a_line_of_anchors_that_was_changed_is_told(orders: list[StagedOrder], anchor_file: Path) -> None:
    anchors.append(anchor_file, now=NOW)
    anchor_file.write_text(anchor_file.read_text().replace('"events": 6', '"events": 5'))
    assert said(AuditTrailProbe().run()) == (
        "error",
        "not as written: the file of anchors, line 1: its seal does not follow from what it says",
    )


def test_anchors_that_cannot_be_read_are_a_warning(
    orders: list[StagedOrder], anchor_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor_file.mkdir()
    finding = AuditTrailProbe().run()
    assert str(finding.status) == "warning"
    assert finding.message.startswith("The anchors can't be read: ")


def test_time_that_is_up_is_told(orders: list[StagedOrder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_probes, "_AT_ONCE", 2)
    assert said(AuditTrailProbe(seconds=0).run()) == (
        "healthy",
        "the newest 2 trails (of 3: the time was up), 4 events: all as written, nothing is anchored",
    )


@pytest.mark.django_db
def test_a_database_that_is_down_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: object) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(probes, "models_asked_within", lost)
    assert said(AuditTrailProbe().run()) == ("unknown", "Can't be counted: refused")
