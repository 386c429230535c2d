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
from orders.choices import AccessKind
from orders.models import OrderAccess, StagedOrder
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
def test_pages_come_in_the_forms_that_they_name_and_in_no_other(viewer: Client, page: str) -> None:
    assert viewer.get(page)["Content-Type"] == "text/html; charset=utf-8"
    answer = viewer.get(page, {"format": "json"})
    assert answer["Content-Type"] == "application/json"
    assert "total_orders" in json.loads(answer.content)
    refused = viewer.get(page, {"format": "xml"})
    assert refused.status_code == 400
    more = ", csv, jsonl, parquet" if page == "/reports/orders/" else ""
    assert refused.json() == {"error": f"format='xml': allowed are html, file, json{more}"}
    assert viewer.post(page).status_code == 405


@pytest.mark.usefixtures("_no_probe_threads")
@pytest.mark.parametrize("page", [*PAGES, "/reports/strategies/"])
def test_a_page_can_be_kept_as_one_file_and_the_auditors_see_it(viewer: Client, page: str) -> None:
    answer = viewer.get(page, {"format": "file"})
    name = page.split("/")[2]
    assert re.fullmatch(rf'attachment; filename="{name}_[0-9]{{8}}_[0-9]{{6}}\.html"', answer["Content-Disposition"])
    html = answer.content.decode()
    assert "<style>" in html
    assert not re.search(r"<script|<link|<img|<form|\shref=\"/", html)
    [noted] = OrderAccess.objects.filter(kind=AccessKind.EXPORTED)
    assert noted.what.startswith(f"{name} report, file")


@pytest.mark.usefixtures("_no_probe_threads")
@pytest.mark.parametrize(
    ("page", "asked", "said"),
    [
        ("/reports/orders/", "from=2025-11-03&to=", "from and to: both are needed, each a day such as 2025-11-03"),
        ("/reports/orders/", "from=2025-11-03&to=2025-11-01", "to=2025-11-01: must not be before from=2025-11-03"),
        ("/reports/orders/", "stategy=momentum", "stategy=momentum: this page knows period, from, to, strategy, "),
        ("/reports/institutional/", "at=x", "at=x: must be a time in ISO 8601, such as 2025-11-03T15:00:00Z"),
        ("/reports/institutional/", "period=30d", "period=30d: this page knows at, format"),
        ("/reports/strategies/", "period=30d", "period=30d: this page knows environment, from, to, sort, format"),
        ("/reports/strategies/", "sort=luck", "sort=&#x27;luck&#x27;: allowed are "),
        ("/reports/strategies/x/", "from=today", "from=today: must be a day such as 2025-11-03"),
        ("/reports/strategies/x/", "sort=net", "sort=net: this page knows environment, from, to, benchmark, compare, "),
    ],
)
def test_what_is_not_understood_is_told_on_a_page_of_the_desk(viewer: Client, page: str, asked: str, said: str) -> None:
    answer = viewer.get(f"{page}?{asked}")
    assert (answer.status_code, answer["Content-Type"]) == (400, "text/html; charset=utf-8")
    html = answer.content.decode()
    assert f'<p role="alert">{said}' in html
    assert f'<a href="{page}">Show the page without it</a>' in html
    assert '<span class="badge tone-muted">dev</span>' in html
    answer = viewer.get(f"{page}?{asked}&format=json")
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


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
    # The order is older than the orders' page looks back by itself.
    html = viewer.get(page, {"period": "all"} if page == "/reports/orders/" else {}).content.decode()
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
    assert not re.search(r"<link|<script|<img|\shref=|url\(|@import|action=", html)
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
