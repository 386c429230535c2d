"""Incidents, channels, rules, silences and messages in the admin: who may, what is shown, what comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from emo_site.db.uuid7 import uuid7
from monitoring.alert_plan import is_silenced
from monitoring.alert_values import SilenceSpan
from monitoring.choices import ChannelKind, NotificationKind
from monitoring.models import AlertChannel, AlertRule, Incident, Notification, Silence, ToldIncident
from tests.factories import person
from tests.receivers import Mailbox, Receiver, http_receiver, smtp_server

pytestmark = pytest.mark.django_db

ADMIN = "/admin/monitoring/"
GROUPS = ("reviewer", "trader", "operator", "auditor", "risk officer")
URL, SECRET = "https://hooks.example.com/services/T0P-S3CRET", "s1gning-s3cret"


@pytest.fixture
def operator() -> Client:
    return as_member("operator")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as receiver:
        yield receiver


def as_member(group: str) -> Client:
    client = Client()
    client.force_login(person(f"a {group}", group))
    return client


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def incident(component: str = "database:default", **changes: Any) -> Incident:
    began_at = changes.pop("began_at", timezone.now() - timedelta(minutes=90))
    values: dict[str, Any] = {
        "severity": "error",
        "message": "It can't be reached.",
        "remedy": "Start it.",
        "last_seen_at": timezone.now(),
        "changes": [{"at": began_at.isoformat(), "status": "error", "message": "It can't be reached."}],
    }
    return Incident.objects.create(
        pk=uuid7(began_at), component_name=component, began_at=began_at, **{**values, **changes}
    )


def hook(url: str = URL, **changes: Any) -> AlertChannel:
    values = {"name": "hook", "kind": ChannelKind.WEBHOOK, "url": url, "secret": SECRET}
    return AlertChannel.objects.create(**{**values, **changes})


def letter(channel: AlertChannel, **changes: Any) -> Notification:
    values: dict[str, Any] = {
        "kind": NotificationKind.OPENED,
        "subject": "[EMO dev] error: disk",
        "body": "disk is full",
        "document": {},
        "created_at": timezone.now(),
    }
    return Notification.objects.create(pk=uuid4(), channel=channel, **{**values, **changes})


# ---- incidents -------------------------------------------------------------------------------------------------------


def test_open_incidents_come_first_then_those_that_ended_last(operator: Client) -> None:
    now = timezone.now()
    incident("old", began_at=now - timedelta(days=2), ended_at=now - timedelta(days=1))
    incident("open", began_at=now - timedelta(days=3))
    incident("new", began_at=now - timedelta(hours=3), ended_at=now - timedelta(hours=1))
    response = operator.get(f"{ADMIN}incident/")
    assert [row.component_name for row in response.context["cl"].result_list] == ["open", "new", "old"]
    text = response.content.decode()
    assert [re.sub("<.*?>", "", cell) for cell in re.findall(r'<td class="field-lasted">(.*?)</td>', text)] == [
        "3 d",
        "2 h",
        "24 h",
    ]


def test_the_open_ones_can_be_asked_for(operator: Client) -> None:
    incident("open"), incident("over", ended_at=timezone.now())
    response = operator.get(f"{ADMIN}incident/?state=open")
    assert [row.component_name for row in response.context["cl"].result_list] == ["open"]


@pytest.mark.parametrize("group", GROUPS)
def test_who_may_acknowledge_and_silence(group: str) -> None:
    one, client, may = incident(), as_member(group), group in ("operator", "risk officer")
    page = client.get(f"{ADMIN}incident/{one.pk}/change/")
    assert page.status_code == 200
    text = page.content.decode()
    assert ("Acknowledge</button>" in text) == may
    assert ("Silence this component" in text) == may
    response = client.post(f"{ADMIN}incident/{one.pk}/change/", {"note": "I look at it."})
    assert response.status_code == (302 if may else 403)
    one.refresh_from_db()
    assert (one.acknowledged_by, one.note) == ((f"a {group}", "I look at it.") if may else ("", ""))
    assert client.get(f"{ADMIN}silence/add/").status_code == (200 if may else 403)


def test_an_incident_is_acknowledged_once_and_by_one(operator: Client) -> None:
    one = incident()
    assert told(operator.post(f"{ADMIN}incident/{one.pk}/change/", {"note": ""})) == [
        "Acknowledged: it is not told again until it is over."
    ]
    second = as_member("risk officer").post(f"{ADMIN}incident/{one.pk}/change/", {"note": "me too"})
    assert told(second) == ["Not acknowledged: a operator did."]
    over = incident("disk", ended_at=timezone.now())
    late = operator.post(f"{ADMIN}incident/{over.pk}/change/", {"note": ""})
    assert told(late)[-1] == "Not acknowledged: it is over."
    one.refresh_from_db()
    assert (one.acknowledged_by, one.note) == ("a operator", "")


def test_the_page_of_an_incident_shows_its_history_and_who_was_told(operator: Client) -> None:
    one = incident(message="<script>alert(1)</script>")
    message = letter(hook(), sent_at=timezone.now())
    ToldIncident.objects.create(
        notification=message, channel=message.channel, incident_id=one.pk, kind=NotificationKind.OPENED
    )
    text = operator.get(f"{ADMIN}incident/{one.pk}/change/").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text
    assert f'href="{ADMIN}notification/{message.pk}/change/">[EMO dev] error: disk</a>' in text
    assert "1 h" in text or "90 min" in text


@pytest.mark.parametrize("wrong", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_an_incident_that_does_not_exist_is_not_found(operator: Client, wrong: str) -> None:
    assert operator.get(f"{ADMIN}incident/{wrong}/change/").status_code == 404


# ---- silences --------------------------------------------------------------------------------------------------------


def test_silence_this_means_this_component_alone_for_an_hour(operator: Client) -> None:
    one = incident("queue[1]*")
    text = operator.get(f"{ADMIN}incident/{one.pk}/change/").content.decode()
    [url] = re.findall(r'href="(/admin/monitoring/silence/add/[^"]*)"', text)
    initial = operator.get(url.replace("&amp;", "&")).context["adminform"].form.initial
    data = {**initial, "reason": "We work on it."}
    assert operator.post(f"{ADMIN}silence/add/", data).status_code == 302
    silence = Silence.objects.get()
    assert (silence.created_by, silence.reason) == ("a operator", "We work on it.")
    assert silence.ends_at - silence.begins_at == timedelta(hours=1)
    span = SilenceSpan(
        component_pattern=silence.component_pattern, begins_at=silence.begins_at, ends_at=silence.ends_at
    )
    assert is_silenced("queue[1]*", [span], now=silence.begins_at)
    assert not is_silenced("queue1", [span], now=silence.begins_at)


def test_a_silence_that_ends_before_it_begins_is_refused(operator: Client) -> None:
    data = {"component_pattern": "*", "begins_at": "2026-03-02T12:00", "ends_at": "2026-03-02T12:00", "reason": "x"}
    response = operator.post(f"{ADMIN}silence/add/", data)
    assert response.context["adminform"].form.non_field_errors() == ["A silence ends after it begins."]
    assert not Silence.objects.exists()


def test_a_silence_in_force_can_be_ended_and_none_is_removed(operator: Client) -> None:
    now = timezone.now()
    times = [(-60, 60), (-60, -30), (30, 60)]
    ids = [
        Silence.objects.create(
            component_pattern="*",
            begins_at=now + timedelta(minutes=begins),
            ends_at=now + timedelta(minutes=ends),
            created_by="olga",
            reason="x",
        ).pk
        for begins, ends in times
    ]
    response = operator.post(f"{ADMIN}silence/", {"action": "end_now", "_selected_action": ids})
    assert told(response) == ["1 of 3 ended; the others are not in force."]
    assert timezone.now() - Silence.objects.get(pk=ids[0]).ends_at < timedelta(minutes=1)
    assert operator.post(f"{ADMIN}silence/{ids[0]}/delete/", {"post": "yes"}).status_code == 403


# ---- channels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_no_page_shows_where_a_webhook_leads_or_its_secret(group: str) -> None:
    channel, client = hook(), as_member(group)
    for page in ("", f"{channel.pk}/change/", f"{channel.pk}/history/"):
        response = client.get(f"{ADMIN}alertchannel/{page}")
        assert response.status_code == 200
        text = response.content.decode()
        assert "T0P-S3CRET" not in text
        assert SECRET not in text
    assert "hooks.example.com" in client.get(f"{ADMIN}alertchannel/{channel.pk}/change/").content.decode()


def test_what_is_left_empty_stays_and_what_is_given_replaces_it(operator: Client) -> None:
    channel = hook()
    change = {"name": "renamed", "kind": "webhook", "addresses": "", "url": "", "secret": "", "enabled": "on"}
    assert operator.post(f"{ADMIN}alertchannel/{channel.pk}/change/", change).status_code == 302
    channel.refresh_from_db()
    assert (channel.name, channel.url, channel.secret) == ("renamed", URL, SECRET)
    given = {**change, "url": "https://other.example.com/x", "secret": "another"}
    operator.post(f"{ADMIN}alertchannel/{channel.pk}/change/", given)
    channel.refresh_from_db()
    assert (channel.url, channel.secret) == ("https://other.example.com/x", "another")


@pytest.mark.parametrize(
    ("data", "field", "error"),
    [
        ({"kind": "email", "addresses": "anna@example.com\nnobody"}, "addresses", "nobody is no e-mail address."),
        ({"kind": "email"}, "__all__", "An enabled channel needs an address, or a webhook its URL."),
        ({"kind": "webhook"}, "__all__", "An enabled channel needs an address, or a webhook its URL."),
        ({"kind": "webhook", "url": "file:///etc/passwd"}, "url", "Enter a valid URL."),
    ],
)
def test_a_channel_that_leads_nowhere_is_refused(
    operator: Client, data: dict[str, str], field: str, error: str
) -> None:
    response = operator.post(f"{ADMIN}alertchannel/add/", {"name": "new", "enabled": "on", **data})
    assert response.context["adminform"].form.errors[field] == [error]
    assert not AlertChannel.objects.filter(name="new").exists()


def test_addresses_are_kept_one_a_line(operator: Client) -> None:
    data = {"name": "new", "kind": "email", "addresses": "anna@example.com, bert@example.com", "enabled": "on"}
    assert operator.post(f"{ADMIN}alertchannel/add/", data).status_code == 302
    assert AlertChannel.objects.get(name="new").addresses == "anna@example.com\nbert@example.com"


@pytest.mark.parametrize("group", GROUPS)
def test_the_test_button_sends_a_real_message_for_those_who_arrange_channels(group: str, receiver: Receiver) -> None:
    channel, client, may = hook(receiver.url), as_member(group), group == "operator"
    page = client.get(f"{ADMIN}alertchannel/{channel.pk}/change/").content.decode()
    assert ("Send a test</button>" in page) == may
    response = client.post(f"{ADMIN}alertchannel/{channel.pk}/test/")
    assert response.status_code == (302 if may else 403)
    assert client.get(f"{ADMIN}alertchannel/{channel.pk}/test/").status_code == 405
    if not may:
        assert receiver.posts == []
        return
    assert told(response) == ["The test was delivered to 127.0.0.1."]
    [post] = receiver.posts
    assert (post.document["action"], post.document["incidents"]) == ("test", [])
    assert post.document["note"].startswith("a operator tests this channel from the desk, ")
    row = Notification.objects.get()
    assert (row.kind, row.attempts, row.dead_at) == ("test", 1, None)
    assert row.sent_at is not None


def test_a_test_that_fails_says_why_and_is_not_tried_again(operator: Client, receiver: Receiver) -> None:
    receiver.answers = [500]
    channel = hook(receiver.url)
    response = operator.post(f"{ADMIN}alertchannel/{channel.pk}/test/")
    assert told(response) == ["The test was not delivered. 127.0.0.1 answered 500."]
    assert Notification.objects.get().dead_at is not None


def test_a_test_by_mail_reaches_each_address(operator: Client, settings: Any) -> None:
    with smtp_server() as mailbox:
        _lead_to(mailbox, settings)
        addresses = "anna@example.com\nbert@example.com"
        channel = AlertChannel.objects.create(name="mail", kind=ChannelKind.EMAIL, addresses=addresses)
        response = operator.post(f"{ADMIN}alertchannel/{channel.pk}/test/")
        assert told(response) == ["The test was delivered to anna@example.com, bert@example.com."]
        assert [to for to, _ in mailbox.mails] == [["anna@example.com"], ["bert@example.com"]]


def test_a_channel_without_an_address_is_not_said_to_work(operator: Client) -> None:
    channel = AlertChannel.objects.create(name="mail", kind=ChannelKind.EMAIL, enabled=False)
    response = operator.post(f"{ADMIN}alertchannel/{channel.pk}/test/")
    assert told(response) == ["The test was not delivered. The channel leads nowhere."]


def test_a_channel_is_disabled_never_removed(operator: Client) -> None:
    assert operator.post(f"{ADMIN}alertchannel/{hook().pk}/delete/", {"post": "yes"}).status_code == 403


def _lead_to(mailbox: Mailbox, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mailbox.port


# ---- rules -----------------------------------------------------------------------------------------------------------


def rule_data(**changes: str) -> dict[str, Any]:
    values = {
        "name": "at night",
        "enabled": "on",
        "component_pattern": "database:*",
        "least_severity": "error",
        "lasting_minutes": "5",
        "repeat_minutes": "",
        "quiet_from": "22:00",
        "quiet_until": "07:00",
        "time_zone": "Europe/London",
        "critical_breaks_quiet": "on",
    }
    return {**values, **changes}


def test_a_rule_is_made_and_its_channels_are_ticked(operator: Client) -> None:
    channel = hook()
    response = operator.post(f"{ADMIN}alertrule/add/", rule_data() | {"channels": [str(channel.pk)]})
    assert response.status_code == 302
    rule = AlertRule.objects.get(name="at night")
    assert list(rule.channels.all()) == [channel]
    assert (str(rule.quiet_from), rule.time_zone, rule.repeat_minutes) == ("22:00:00", "Europe/London", None)
    text = operator.get(f"{ADMIN}alertrule/").content.decode()
    assert "22:00 to 07:00 Europe/London" in text
    assert 'type="checkbox"' in operator.get(f"{ADMIN}alertrule/{rule.pk}/change/").content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "error"),
    [
        ({"time_zone": "Europe/Atlantis"}, "time_zone", "Europe/Atlantis is no time zone."),
        ({"time_zone": "../../etc/passwd"}, "time_zone", "../../etc/passwd is no time zone."),
        ({"quiet_until": ""}, "__all__", "Quiet hours need both ends, and different ones."),
        ({"quiet_until": "22:00"}, "__all__", "Quiet hours need both ends, and different ones."),
        ({"repeat_minutes": "0"}, "__all__", "Repeat every: 1 minute or more is needed, or nothing."),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(
    operator: Client, changes: dict[str, str], field: str, error: str
) -> None:
    channels = {"channels": [str(hook().pk)]}
    response = operator.post(f"{ADMIN}alertrule/add/", rule_data(**changes) | channels)
    assert response.context["adminform"].form.errors[field] == [error]


# ---- messages --------------------------------------------------------------------------------------------------------


def test_dead_letters_can_be_asked_for_and_sent_again(operator: Client) -> None:
    channel, now = hook(), datetime.now(UTC)
    dead = letter(channel, dead_at=now, attempts=12, failure="hooks.example.com answered 500.")
    sent = letter(channel, sent_at=now)
    response = operator.get(f"{ADMIN}notification/?outcome=dead")
    assert list(response.context["cl"].result_list) == [dead]
    assert "hooks.example.com answered 500." in response.content.decode()
    chosen = {"action": "send_again", "_selected_action": [str(dead.pk), str(sent.pk)]}
    response = operator.post(f"{ADMIN}notification/", chosen)
    assert told(response) == ["1 of 2 under way again: the watch sends them in its next round."]
    dead.refresh_from_db()
    assert (dead.dead_at, dead.attempts, dead.next_try_at) == (None, 0, None)
    assert told(operator.post(f"{ADMIN}notification/{dead.pk}/again/"))[-1] == "None of them is a dead letter."


@pytest.mark.parametrize("group", GROUPS)
def test_who_may_send_a_dead_letter_again(group: str) -> None:
    dead, client, may = letter(hook(), dead_at=timezone.now()), as_member(group), group == "operator"
    page = client.get(f"{ADMIN}notification/{dead.pk}/change/")
    assert page.status_code == 200
    assert ("Send again</button>" in page.content.decode()) == may
    response = client.post(f"{ADMIN}notification/{dead.pk}/again/")
    assert response.status_code == (302 if may else 403)
    dead.refresh_from_db()
    assert (dead.dead_at is None) == may
