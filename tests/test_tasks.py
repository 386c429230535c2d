"""The tasks themselves: they do what their commands do, say so in a few words, and twice does no harm."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.core.management import CommandError
from django.core.management.base import BaseCommand

from emo_site import command_output
from emo_site import tasks as site_tasks
from emo_site.command_output import CommandFailed
from emo_site.db.backup import keys
from monitoring import events, health
from monitoring import tasks as monitoring_tasks
from monitoring.choices import EventType, HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.models import HealthHour, MarketEvent
from orders import tasks as order_tasks
from orders import unmatched, workflow
from orders.fill import Fill
from orders.models import ExecutedOrder, OrderAccess, OrderEvent, StagedOrder
from reporting import tasks as report_tasks
from tests.factories import NOW, equity, person, staged
from tests.tampering import released

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def files(settings: Any, tmp_path: Path) -> Path:
    settings.EMO_DATA_DIR = tmp_path
    settings.EMO_AUDIT_ANCHOR_FILE = tmp_path / "anchors.jsonl"
    settings.EMO_BACKUP_DIR = tmp_path / "backups"
    return tmp_path


def test_expiry_ends_what_is_overdue_once() -> None:
    equity()
    staged(person("tom", "trader"), expires_at=NOW + timedelta(minutes=5))
    assert order_tasks.expire_orders.call() == {"expired": 1}
    assert order_tasks.expire_orders.call() == {"expired": 0}
    assert StagedOrder.objects.get().status == "expired"
    assert OrderEvent.objects.filter(kind="expired").count() == 1


def test_fills_are_matched_in_the_name_of_a_user_who_may() -> None:
    now = datetime.now(UTC)
    equity(at=now - timedelta(hours=2))
    trader, reviewer = person("tom", "trader"), person("rita", "reviewer")
    for number in (1, 2):
        fill = Fill(execution_id=f"U-{number}", price=Decimal("400.4"), quantity=Decimal(1), executed_at=now)
        unmatched.receive(f"later-{number}", fill, actor=trader, now=now)
    order = staged(trader, now=now, client_order_id="later-1")
    workflow.approve(order.pk, actor=reviewer, now=now)
    workflow.submit(order.pk, actor=trader, now=now)
    assert order_tasks.match_fills.call(by="tom") == {"booked": 1, "waiting": 1}
    assert order_tasks.match_fills.call(by="tom") == {"booked": 0, "waiting": 1}
    assert ExecutedOrder.objects.get().execution_id == "U-1"
    with pytest.raises(order_tasks.NoSuchUser, match="by='nobody': there is no active user"):
        order_tasks.match_fills.call(by="nobody")


def test_trails_are_anchored_and_verified_and_a_changed_one_is_an_error(files: Path) -> None:
    equity()
    staged(person("tom", "trader"))
    assert order_tasks.verify_audit.call() == {"orders": 1, "events": 1, "anchors": 0}
    done = order_tasks.anchor_audit.call()
    assert (done["orders"], done["events"], done["changed"]) == (1, 1, 1)
    assert order_tasks.anchor_audit.call()["changed"] == 0
    assert order_tasks.verify_audit.call() == {"orders": 1, "events": 1, "anchors": 1}
    with released(OrderEvent):
        OrderEvent.objects.update(reason="never mind")
    with pytest.raises(order_tasks.NotAsWritten, match="1 orders are not as written, first order "):
        order_tasks.verify_audit.call()
    written = (files / "anchors.jsonl").read_bytes()
    with pytest.raises(order_tasks.NotAsWritten):
        order_tasks.anchor_audit.call()
    assert (files / "anchors.jsonl").read_bytes() == written


def test_old_rows_go_once(transactional_db: None) -> None:
    now = datetime.now(UTC)
    for age in (DAY, 40 * DAY):
        events.record([events.Event(symbol="SPY", event_type=EventType.TRADE, timestamp=now - age, source="test")])
    assert monitoring_tasks.apply_retention.call() == {"market_events": 1, "system_health": 0}
    assert monitoring_tasks.apply_retention.call() == {"market_events": 0, "system_health": 0}
    assert MarketEvent.objects.count() == 1


def test_full_hours_of_health_are_summed_up_once(transactional_db: None) -> None:
    finding = Finding(status=HealthStatus.HEALTHY, message="fine")
    # A record speaks for ten minutes, which must not reach into the next hour.
    at = datetime.now(UTC).replace(minute=0) - timedelta(hours=2)
    health.record([ProbeResult(name="thing", critical=False, finding=finding, at=at, response_ms=1)])
    assert monitoring_tasks.roll_up_health.call() == {"hours": 1}
    assert monitoring_tasks.roll_up_health.call() == {"hours": 0}
    assert set(HealthHour.objects.values_list("component_name", flat=True)) == {"thing", ""}


def test_report_goes_to_whoever_is_named(files: Path, settings: Any, mailoutbox: list[EmailMessage]) -> None:
    settings.EMO_REPORT_EMAILS = []
    with pytest.raises(CommandError, match="EMO_REPORT_EMAILS is empty"):
        report_tasks.send_health_report.call()
    settings.EMO_REPORT_EMAILS, settings.EMAIL_HOST = ["risk@example.com"], "mail.example.com"
    assert report_tasks.send_health_report.call() == {"said": "sent to risk@example.com"}
    assert mailoutbox[0].to == ["risk@example.com"]


def test_report_is_written_as_a_file_and_its_export_is_recorded(files: Path) -> None:
    html = report_tasks.export_report.call(report="orders")
    assert Path(html["path"]).read_text().startswith("<!doctype html>")
    document = report_tasks.export_report.call(report="institutional", file_format="json")
    assert json.loads(Path(document["path"]).read_text())["environment"] == "dev"
    assert Path(document["path"]).is_relative_to(files)
    assert OrderAccess.objects.filter(kind="exported").count() == 2
    with pytest.raises(CommandError, match="invalid choice: 'nonsense'"):
        report_tasks.export_report.call(report="nonsense")


def test_backup_that_cannot_be_made_or_proven_is_an_error(files: Path, settings: Any) -> None:
    settings.EMO_BACKUP_KEY = ""
    with pytest.raises(CommandError, match="EMO_BACKUP_KEY"):
        site_tasks.backup.call()
    keys.make(files / "key", now=NOW)
    settings.EMO_BACKUP_KEY = (files / "key").read_text()
    with pytest.raises(CommandError, match="backups"):
        site_tasks.verify_backup.call()


class _Says(BaseCommand):
    """A command that takes the signals over, says something and ends with a status."""

    status = 1

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.stdout.write("out")
        self.stderr.write("not done")
        raise SystemExit(self.status)


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> type[_Says]:
    monkeypatch.setattr(
        command_output,
        "call_command",
        lambda name, *words, **options: _Says().execute(
            *words, **{"force_color": False, "skip_checks": True, **options}
        ),
    )
    return _Says


def test_command_that_ends_with_a_status_is_an_error_with_its_words(says: type[_Says]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(CommandFailed, match="says: exit status 1: not done"):
        command_output.text("says")
    assert signal.getsignal(signal.SIGTERM) is before


def test_signal_in_a_command_ends_the_program_too(says: type[_Says], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(says, "status", 143)
    with pytest.raises(SystemExit):
        command_output.text("says")
