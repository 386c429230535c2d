"""The report by e-mail, delivered to a real SMTP server."""

from __future__ import annotations

import email
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.core.management import CommandError, call_command

from monitoring import health
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.models import Incident
from orders.models import OrderAccess
from reporting import health_mail, health_report
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@dataclass
class Received:
    """An SMTP server's handler that keeps what it is given, or refuses it."""

    refuse: bool = False
    messages: list[tuple[list[str], EmailMessage]] = field(default_factory=list)

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        if self.refuse:
            return "554 5.7.1 not wanted here"
        self.messages.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=default)))
        return "250 OK"


@pytest.fixture
def smtp(settings: Any) -> Iterator[Received]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    received = Received()
    controller = Controller(received, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", port, 5
    yield received
    controller.stop()


def results() -> list[ProbeResult]:
    def said(name: str, status: HealthStatus) -> ProbeResult:
        finding = Finding(status=status, message=f"{name} is {status}")
        return ProbeResult(name=name, critical=False, finding=finding, at=NOW, response_ms=1.0)

    return [said("database:default", HealthStatus.HEALTHY), said("disk", HealthStatus.WARNING)]


@pytest.fixture
def _no_probe_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "run", lambda probes, *, timeout, now: results())


@pytest.mark.usefixtures("_no_probe_threads")
def test_the_report_is_delivered_once_to_everybody(smtp: Received, settings: Any) -> None:
    settings.EMO_REPORT_EMAILS = ["olga@example.com", "rita@example.com"]
    call_command("send_health_report")
    [(recipients, message)] = smtp.messages
    assert recipients == ["olga@example.com", "rita@example.com"]
    assert message["Subject"] == "EMO Desk dev: warning, score 80.0"
    body = message.get_body(("plain",))
    assert body is not None
    assert "System health: 80.0" in body.get_content()
    assert "- disk: warning" in body.get_content()
    html, pdf = message.iter_attachments()
    assert "<!doctype html>" in html.get_content()
    assert "<script" not in html.get_content()
    assert pdf.get_content().startswith(b"%PDF-")
    [access] = OrderAccess.objects.all()
    assert access.what == "institutional report, e-mail: olga@example.com, rita@example.com"


@pytest.mark.usefixtures("_no_probe_threads")
def test_a_refusal_of_the_server_is_an_error(smtp: Received) -> None:
    smtp.refuse = True
    with pytest.raises(CommandError, match=r"Not sent: .*not wanted here") as failure:
        call_command("send_health_report", "--to=olga@example.com")
    assert failure.value.returncode == 2


@pytest.mark.usefixtures("_no_probe_threads")
def test_a_server_that_is_not_there_is_an_error(smtp: Received, settings: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings.EMAIL_PORT = free.getsockname()[1]
    with pytest.raises(CommandError, match=r"Not sent: .*refused"):
        call_command("send_health_report", "--to=olga@example.com")
    assert smtp.messages == []


def test_a_desk_without_a_mail_server_says_so(settings: Any) -> None:
    settings.EMAIL_HOST = ""
    with pytest.raises(CommandError, match="EMO_EMAIL_URL is not set") as failure:
        call_command("send_health_report", "--to=olga@example.com")
    assert failure.value.returncode == 2


@pytest.mark.parametrize(
    ("configured", "given", "error"),
    [
        ([], [], "EMO_REPORT_EMAILS is empty"),
        (["olga"], [], "EMO_REPORT_EMAILS=olga: must be an e-mail address"),
        ([], ["--to=olga@example.com\nBcc: x@example.com"], "must be an e-mail address"),
    ],
)
def test_nobody_or_no_address_is_refused(
    smtp: Received, settings: Any, configured: Any, given: Any, error: str
) -> None:
    settings.EMO_REPORT_EMAILS = configured
    with pytest.raises(CommandError, match=error):
        call_command("send_health_report", *given)
    assert smtp.messages == []


def test_the_text_tells_of_the_week() -> None:
    Incident.objects.create(
        component_name="disk",
        severity="error",
        message="full",
        began_at=NOW - timedelta(days=2),
        last_seen_at=NOW,
        ended_at=NOW - timedelta(days=2) + timedelta(hours=3),
        acknowledged_at=NOW,
        acknowledged_by="olga",
    )
    Incident.objects.create(
        component_name="old", severity="error", message="m", began_at=NOW - timedelta(days=8), last_seen_at=NOW
    )
    report = health_report.build(now=NOW, results=results())
    body = health_mail.message(report, recipients=["a@example.com"], pdf=None).body
    assert (
        "- disk, error: began 2025-11-01 15:00:00 UTC, lasted 3 h, acknowledged by olga, 2025-11-03 15:00:00 UTC"
        in body
    )
    assert "- old" not in body
    assert "- Incidents begun: 1, before 1, difference +0" in body
    assert "The whole report is attached." in body
