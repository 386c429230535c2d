"""The drill of health sees what it is there to see: what a page shows, a message too many, an answer that is none."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from benchmarks.health_drill import __main__ as drill
from benchmarks.health_drill import faults, settings, watching
from benchmarks.health_drill.viewers import Views
from benchmarks.health_drill.watching import Receivers, Told, seconds_until
from monitoring import alert_text, health
from monitoring.alert_values import Channel, Message, Part
from monitoring.choices import ChannelKind, HealthStatus, NotificationKind
from monitoring.health import Finding, ProbeResult
from reporting import health_report, rendering
from tests.incidents import NOW, incident, over
from tests.receivers import Mailbox, Post, Receiver

CHANNEL = Channel(id=uuid.UUID(int=7), name="mail", kind=ChannelKind.EMAIL, addresses=("a@example.com",))


def told(receivers: Receivers, kind: NotificationKind, *incidents: Any) -> None:
    """By both ways, in the desk's own words."""
    message = Message(channel_id=CHANNEL.id, kind=kind, parts=tuple(Part(incident=i, number=1) for i in incidents))
    delivery = alert_text.delivery_of(message, CHANNEL, environment="dev", now=NOW)
    mail = EmailMessage()
    mail["Subject"] = delivery.subject
    mail.set_content(delivery.body)
    receivers.mailbox.mails.append((["a@example.com"], mail))
    receivers.hook.posts.append(Post("/", {}, json.dumps(delivery.document).encode()))


@pytest.fixture
def receivers() -> Receivers:
    return Receivers(Mailbox(), Receiver())


def both(told: Told) -> dict[str, Told]:
    return {"mail": told, "webhook": told}


def test_messages_are_counted_by_component(receivers: Receivers) -> None:
    disk, other = incident(component="disk"), incident(2, component="disk of another")
    told(receivers, NotificationKind.OPENED, disk, other)
    assert receivers.told_of("disk") == both(Told(begun=1))
    told(receivers, NotificationKind.REPEATED, disk)
    told(receivers, NotificationKind.RECOVERED, over(disk))
    assert receivers.told_of("disk") == both(Told(begun=2, over=1))
    assert receivers.told_of("disk of another") == both(Told(begun=1))
    assert receivers.told_of("isk") == both(Told())
    assert Told(begun=2, over=1) - Told(begun=1, over=1) == drill.ONCE - Told(over=1)


@pytest.mark.django_db
def test_a_component_is_read_off_the_page() -> None:
    def result(name: str, status: HealthStatus, *, critical: bool = False) -> ProbeResult:
        finding = Finding(status=status, message="<th scope='row'>disk</th> is a name", remedy="")
        return ProbeResult(name=name, critical=critical, finding=finding, at=NOW, response_ms=1.0)

    results = [
        result("database:default", HealthStatus.ERROR, critical=True),
        result("disk", HealthStatus.WARNING),
        result("cpu & memory", HealthStatus.HEALTHY),
    ]
    # With a course, and the table behind it.
    health.record([replace(each, at=NOW - timedelta(hours=1)) for each in results])
    page = rendering.body_html(health_report.build(now=NOW, results=results))
    assert dict(watching._rows(page)) == {"database:default": "error", "disk": "warning", "cpu & memory": "healthy"}


def test_what_does_not_come_is_missing_and_what_comes_has_its_time() -> None:
    answers = iter([False, True])
    awaited: dict[str, Callable[[], bool]] = {"soon": lambda: next(answers, True), "never": lambda: False}
    seen = seconds_until(awaited, within=3)
    assert list(seen) == ["soon"]
    assert 0.2 < seen["soon"] < 3


def test_pages_and_refusals_that_say_when_to_come_back_are_no_failures() -> None:
    views = Views()
    for answer in ("200", "304", "503 with Retry-After", "500", "503", "none: TimeoutError"):
        views.note(answer, 0.1)
    assert views.failed == {"500": 1, "503": 1, "none: TimeoutError": 1}


def test_each_component_that_a_fault_is_to_be_told_of_is_one_that_is_probed() -> None:
    from django.utils.module_loading import import_string

    names = {import_string(path)(**options).name for path, options in settings.PROBES}
    # Its name is that of the probe and the database.
    replica = {"database:replica1"}
    assert {each.component for each in faults.FAULTS} <= names | replica
    assert set(settings.CHANGED) <= {path for path, _ in settings.PROBES}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["fire"], "no such fault: fire; there are primary, disk"), (["--interval=0.1"], "from 1 to 60 seconds")],
)
def test_wrong_arguments_are_named(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        drill.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
