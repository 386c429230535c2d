"""The report pages and files: who may see them, in which forms, and that nobody's text becomes markup."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from monitoring import health
from monitoring.choices import HealthStatus
from orders.models import StagedOrder
from reporting import health_report, order_review, rendering
from reporting.shared_report import SharedReport
from tests.factories import equity, person, staged

pytestmark = pytest.mark.django_db

PAGES = ("/reports/orders/", "/reports/institutional/")
HOSTILE = '<script>alert("x")</script>\'"><img src=x onerror=alert(1)>'


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(User.objects.create_user("viewer"))
    return client


@pytest.fixture
def _no_probe_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes run in threads with connections of their own, which can't see a test's transaction."""
    monkeypatch.setattr("reporting.views._shared", SharedReport(_NoProbes(), look_seconds=0))  # type: ignore[arg-type]


class _NoProbes:
    def results(self, probes: object, *, timeout: float) -> list[health.ProbeResult]:
        finding = health.Finding(status=HealthStatus.HEALTHY, message=HOSTILE[:40], metrics={})
        return [
            health.ProbeResult(
                name="database:default", critical=True, finding=finding, at=datetime.now(UTC), response_ms=1.0
            )
        ]


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_is_asked_to_log_in(client: Client, page: str) -> None:
    response = client.get(page)
    assert response.status_code == 302
    assert response["Location"] == f"/admin/login/?next={page}"


@pytest.mark.usefixtures("_no_probe_threads")
@pytest.mark.parametrize("page", PAGES)
def test_pages_come_as_html_and_json_and_nothing_else(viewer: Client, page: str) -> None:
    assert viewer.get(page)["Content-Type"] == "text/html; charset=utf-8"
    answer = viewer.get(page, {"format": "json"})
    assert answer["Content-Type"] == "application/json"
    assert "total_orders" in json.loads(answer.content)
    refused = viewer.get(page, {"format": "xml"})
    assert refused.status_code == 400
    assert refused.json() == {"error": "format='xml': allowed are html and json"}
    assert viewer.post(page).status_code == 405


@pytest.mark.usefixtures("_no_probe_threads")
@pytest.mark.parametrize("page", PAGES)
def test_pages_are_under_a_strict_policy_and_obey_it(viewer: Client, page: str) -> None:
    response = viewer.get(page)
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    html = response.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=\"", html)


def _hostile_order() -> None:
    equity(at=datetime(2025, 1, 1, tzinfo=UTC))
    trader = person("trader", "trader")
    staged(
        trader,
        symbol="<B>'\"&X",
        strategy=HOSTILE[:64],
        client_order_id=HOSTILE,
        source_file=HOSTILE,
        price=Decimal(10),
        metadata={"note": HOSTILE},
    )


@pytest.mark.usefixtures("_no_probe_threads")
@pytest.mark.parametrize("page", PAGES)
def test_nobodys_text_becomes_markup_on_a_page(viewer: Client, page: str) -> None:
    _hostile_order()
    # The order is older than the orders' page looks back by itself; the other page knows no period.
    html = viewer.get(page, {"period": "all"}).content.decode()
    assert "&lt;script&gt;alert(" in html
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "<B>" not in html


def test_nobodys_text_becomes_markup_in_a_file() -> None:
    _hostile_order()
    now = datetime.now(UTC)
    for report in (
        order_review.build(now=now),
        health_report.build(now=now, results=_NoProbes().results([], timeout=1)),
    ):
        html = rendering.html_file(report)
        assert "&lt;script&gt;alert(" in html
        assert "<script" not in html
        assert "<img" not in html


def test_a_file_needs_nothing_else() -> None:
    now = datetime.now(UTC)
    html = rendering.html_file(order_review.build(now=now))
    assert not re.search(r"<link|<script|<img|\ssrc=|\shref=|url\(|@import|action=", html)
    assert "--accent" in html


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    target.write_text("before")

    def full_disk(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        rendering.write(target, "after")
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("_no_probe_threads")
@pytest.mark.parametrize("page", PAGES)
def test_demo_data_is_labelled_on_every_page_while_there_is_any(viewer: Client, page: str) -> None:
    assert b"Demo data." not in viewer.get(page).content
    equity(at=datetime(2025, 1, 1, tzinfo=UTC))
    staged(person("trader", "trader"), source="demo")
    assert StagedOrder.objects.demo().exists()
    assert b"Demo data." in viewer.get(page).content
