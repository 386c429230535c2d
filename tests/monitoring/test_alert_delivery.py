"""What a real mail server and a real receiver get, and what is said of those that fail."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitoring import alert_retries, alert_text
from monitoring.alert_delivery import deliver
from monitoring.alert_values import Attempt, Channel, Delivery, Message, Part
from monitoring.choices import ChannelKind, HealthStatus, NotificationKind
from tests.incidents import NOW, incident, over
from tests.receivers import Mailbox, Receiver, closed_port, http_receiver, smtp_server

SECRET = "s3cret-of-the-channel"
ANNA, BERT = "anna@example.com", "bert@example.com"


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    with smtp_server() as mailbox:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mailbox.port
        settings.DEFAULT_FROM_EMAIL = "emo-desk@example.com"
        yield mailbox


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as receiver:
        yield receiver


def by_mail(*addresses: str) -> Channel:
    return Channel(id=uuid.UUID(int=7), name="mail", kind=ChannelKind.EMAIL, addresses=addresses)


def by_post(url: str, secret: str = SECRET) -> Channel:
    return Channel(id=uuid.UUID(int=8), name="hook", kind=ChannelKind.WEBHOOK, url=url, secret=secret)


def telling(
    channel: Channel, *incidents: Any, kind: NotificationKind = NotificationKind.OPENED, now: datetime = NOW
) -> Delivery:
    parts = tuple(Part(incident=each, number=1) for each in incidents or (incident(),))
    message = Message(channel_id=channel.id, kind=kind, parts=parts)
    return alert_text.delivery_of(message, channel, environment="dev", now=now)


# ---- words -----------------------------------------------------------------------------------------------------------


def test_a_message_says_what_since_when_and_what_to_do() -> None:
    delivery = telling(by_mail(ANNA))
    assert delivery.subject == "[EMO dev] error: component 1"
    assert delivery.body == (
        "component 1 (dev)\nError since 2026-03-02 11:55:00 UTC (5 min).\nIt is down.\nWhat to do: Start it.\n"
    )


def test_the_end_says_how_long_it_took() -> None:
    delivery = telling(by_mail(ANNA), over(incident(critical=True)), kind=NotificationKind.RECOVERED)
    assert delivery.subject == "[EMO dev] recovered: component 1 after 5 min"
    assert delivery.body == (
        "component 1 (dev, critical)\nRecovered 2026-03-02 12:00:00 UTC, after 5 min of error.\nIt was: It is down.\n"
    )


def test_many_are_counted_in_the_subject_and_named_as_far_as_they_go() -> None:
    many = [incident(number) for number in range(500)]
    delivery = telling(by_mail(ANNA), *many)
    assert delivery.subject.startswith("[EMO dev] 500 problems: component 0, component 1, ")
    assert len(delivery.subject) == alert_text.LONGEST_SUBJECT
    assert delivery.body.endswith("And 470 more: see the desk's list of incidents.\n")
    assert len(delivery.document["incidents"]) == 500


def test_long_and_broken_texts_are_cut_and_kept_on_one_line_where_they_must() -> None:
    delivery = telling(by_mail(ANNA), incident(component="disk\nBcc: all@example.com", message="x" * 10_000))
    assert delivery.subject == "[EMO dev] error: disk Bcc: all@example.com"
    assert len(delivery.body) < 1_500


def test_the_same_message_has_the_same_id_whoever_makes_it_and_when() -> None:
    channel = by_mail(ANNA)
    first, second = incident(1), incident(2)
    made = telling(channel, first, second)
    assert telling(channel, second, first, now=NOW + timedelta(hours=1)).id == made.id
    assert telling(channel, first).id != made.id
    assert telling(channel, first, second, kind=NotificationKind.REPEATED).id != made.id
    assert telling(replace(channel, id=uuid.UUID(int=9)), first, second).id != made.id


# ---- e-mail ----------------------------------------------------------------------------------------------------------


def test_each_address_gets_a_mail_of_its_own_with_text_and_html(mailbox: Mailbox) -> None:
    delivery = telling(by_mail(ANNA, BERT), incident(message="<b>5 > 4</b>"))
    attempt = deliver(by_mail(ANNA, BERT), delivery)
    assert (attempt.failure, attempt.waiting_for) == ("", ())
    assert [to for to, _ in mailbox.mails] == [[ANNA], [BERT]]
    mail = mailbox.mails[0][1]
    assert (mail["To"], mail["From"], mail["Subject"]) == (ANNA, "emo-desk@example.com", delivery.subject)
    assert mail["Message-ID"] == f"<{delivery.id}@emo-desk>"
    assert mail.get_body(("plain",)).get_content().replace("\r\n", "\n").strip() == delivery.body.strip()
    html = mail.get_body(("html",)).get_content()
    assert "&lt;b&gt;5 &gt; 4&lt;/b&gt;" in html
    assert "What to do:" in html


def test_an_address_that_is_refused_keeps_it_from_nobody_else(mailbox: Mailbox) -> None:
    mailbox.refusals[ANNA] = "550 no such user"
    attempt = deliver(by_mail(ANNA, BERT), telling(by_mail(ANNA, BERT)))
    assert [to for to, _ in mailbox.mails] == [[BERT]]
    assert (attempt.failure, attempt.permanent) == (f"{ANNA}: 550 no such user", True)
    assert attempt.waiting_for == (ANNA,)


def test_who_has_got_it_does_not_get_it_again(mailbox: Mailbox) -> None:
    mailbox.refusals[BERT] = "451 try again later"
    channel = by_mail(ANNA, BERT)
    delivery = telling(channel)
    first = alert_retries.after(delivery, deliver(channel, delivery), jitter=0)
    assert first.under_way
    mailbox.refusals.clear()
    second = alert_retries.after(first, deliver(channel, first), jitter=0)
    assert second.sent_at is not None
    assert [to for to, _ in mailbox.mails] == [[ANNA], [BERT]]


def test_a_mail_server_that_is_down_is_tried_again(mailbox: Mailbox, settings: Any) -> None:
    settings.EMAIL_PORT = closed_port()
    attempt = deliver(by_mail(ANNA), telling(by_mail(ANNA)))
    assert "Connection refused" in attempt.failure
    assert (attempt.permanent, attempt.waiting_for) == (False, (ANNA,))


def test_a_desk_without_a_mail_server_says_so(settings: Any) -> None:
    settings.EMAIL_HOST = ""
    attempt = deliver(by_mail(ANNA), telling(by_mail(ANNA)))
    assert attempt.failure == "The desk has no mail server: EMO_EMAIL_URL is not set."
    assert attempt.permanent


# ---- webhook ---------------------------------------------------------------------------------------------------------


def test_a_webhook_gets_slacks_text_and_a_case_for_each_incident(receiver: Receiver) -> None:
    channel = by_post(receiver.url)
    delivery = telling(channel, incident(1, message="<5 & 6>"), incident(2, severity=HealthStatus.WARNING))
    assert deliver(channel, delivery).failure == ""
    [post] = receiver.posts
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["Idempotency-Key"] == post.document["id"] == str(delivery.id)
    assert post.document["text"] == (
        "[EMO dev] 2 problems: component 1, component 2\n• component 1: &lt;5 &amp; 6&gt;\n• component 2: It is down."
    )
    assert (post.document["action"], post.document["environment"]) == ("trigger", "dev")
    assert post.document["incidents"][0] == {
        "dedup_key": str(incident(1).id),
        "component": "component 1",
        "severity": "error",
        "critical": False,
        "environment": "dev",
        "message": "<5 & 6>",
        "remedy": "Start it.",
        "began_at": "2026-03-02T11:55:00+00:00",
        "ended_at": None,
        "acknowledged": False,
        "number": 1,
    }


def test_the_end_resolves_the_case_under_the_same_key(receiver: Receiver) -> None:
    channel = by_post(receiver.url)
    deliver(channel, telling(channel, over(incident()), kind=NotificationKind.RECOVERED))
    document = receiver.posts[0].document
    assert (document["action"], document["incidents"][0]["dedup_key"]) == ("resolve", str(incident().id))
    assert document["incidents"][0]["ended_at"] == "2026-03-02T12:00:00+00:00"


def test_the_signature_is_that_of_time_and_body(receiver: Receiver) -> None:
    channel = by_post(receiver.url)
    deliver(channel, telling(channel))
    [post] = receiver.posts
    fields = dict(part.split("=") for part in post.headers["X-Emo-Signature"].split(","))
    assert abs(int(fields["t"]) - datetime.now(UTC).timestamp()) < 60
    signed = fields["t"].encode() + b"." + post.body
    assert hmac.compare_digest(fields["v1"], hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest())


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    channel = by_post(receiver.url, secret="")
    deliver(channel, telling(channel))
    assert "X-Emo-Signature" not in receiver.posts[0].headers


@pytest.mark.parametrize(
    ("code", "permanent"),
    [(400, True), (401, True), (404, True), (410, True), (408, False), (429, False), (500, False), (503, False)],
)
def test_what_the_receiver_refuses_is_given_up_and_what_it_can_not_do_now_is_not(
    receiver: Receiver, code: int, permanent: bool
) -> None:
    receiver.answers = [code]
    attempt = deliver(by_post(receiver.url), telling(by_post(receiver.url)))
    assert (attempt.failure, attempt.permanent) == (f"127.0.0.1 answered {code}.", permanent)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(receiver: Receiver, code: int) -> None:
    with http_receiver() as other:
        receiver.answers, receiver.location = [code], other.url
        attempt = deliver(by_post(receiver.url), telling(by_post(receiver.url)))
        assert other.posts == []
    assert (attempt.failure, attempt.permanent) == (f"127.0.0.1 answered {code}: the desk follows no redirects.", True)


def test_a_receiver_that_does_not_answer_in_time_is_tried_again(receiver: Receiver) -> None:
    receiver.seconds = 2
    started = time.monotonic()
    attempt = deliver(by_post(receiver.url), telling(by_post(receiver.url)), timeout=0.3)
    assert time.monotonic() - started < 1.5
    assert (attempt.failure, attempt.permanent) == ("127.0.0.1: TimeoutError", False)


@pytest.mark.parametrize("code", [404, 500, None])
def test_no_failure_and_no_log_tells_the_url_or_the_secret(
    receiver: Receiver, code: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = receiver.url if code else f"http://127.0.0.1:{closed_port()}/hook/t0ken"
    receiver.answers = [code or 200]
    channel = by_post(url)
    attempt = deliver(channel, telling(channel))
    assert attempt.failure
    for told in (attempt.failure, caplog.text, repr(channel)):
        assert "t0ken" not in told
        assert SECRET not in told


# ---- trying again ----------------------------------------------------------------------------------------------------


def test_pauses_double_up_to_a_quarter_of_an_hour_and_jitter_shortens_them() -> None:
    pauses = [alert_retries.pause(attempts, jitter=0).total_seconds() for attempts in range(1, 12)]
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]
    assert alert_retries.pause(1, jitter=1).total_seconds() == 2.5
    assert alert_retries.pause(11, jitter=0.5).total_seconds() == 675


def test_after_the_last_try_it_is_a_dead_letter() -> None:
    delivery = telling(by_mail(ANNA))
    for number in range(1, alert_retries.MOST_ATTEMPTS + 1):
        assert delivery.under_way, number
        attempt = Attempt(at=NOW, failure="down", waiting_for=(ANNA,))
        delivery = alert_retries.after(delivery, attempt, jitter=0)
    assert (delivery.attempts, delivery.dead_at, delivery.sent_at) == (alert_retries.MOST_ATTEMPTS, NOW, None)
