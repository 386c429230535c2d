"""From an incident to a real receiver, round by round: once, again after failures, past slow ones, after a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction

from emo_site.db.fields import current_environment
from monitoring import alert_log, alert_retries
from monitoring.alert_teller import Teller
from monitoring.alert_values import Attempt
from monitoring.choices import ChannelKind, NotificationKind
from monitoring.models import AlertChannel, AlertRule, Incident, Notification, Silence, ToldIncident
from tests.incidents import MINUTE, NOW, incident, over
from tests.receivers import Receiver, http_receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def _nobody_else_is_told() -> None:
    AlertRule.objects.all().delete()


def hook(url: str, name: str = "hook", **rule: Any) -> AlertChannel:
    channel = AlertChannel.objects.create(name=name, kind=ChannelKind.WEBHOOK, url=url, secret="s")
    AlertRule.objects.create(name=name, **rule).channels.add(channel)
    return channel


def teller(**changes: Any) -> Teller:
    return Teller(jitter=lambda: 0.0, **changes)


def play(desk: Teller, *opened: Any, recovered: tuple[Any, ...] = (), now: datetime = NOW) -> None:
    """One round, and what it sent has arrived or failed."""
    desk.round(open=opened, recovered=recovered, now=now)
    desk.settle(timeout=10)


def subjects(receiver: Receiver) -> list[str]:
    return [post.document["text"].splitlines()[0] for post in receiver.posts]


def test_an_incident_is_told_once_and_its_end_once(receiver: Receiver) -> None:
    hook(receiver.url)
    desk = teller()
    for minute in range(3):
        play(desk, incident(), now=NOW + minute * MINUTE)
    for minute in range(3, 6):
        play(desk, recovered=(over(incident()),), now=NOW + minute * MINUTE)
    assert subjects(receiver) == ["[EMO dev] error: component 1", "[EMO dev] recovered: component 1 after 5 min"]
    rows = Notification.objects.order_by("created_at")
    assert [(row.kind, row.attempts, row.failure, row.dead_at) for row in rows] == [
        ("opened", 1, "", None),
        ("recovered", 1, "", None),
    ]
    assert all(row.sent_at for row in rows)
    assert [(row.incident_id, row.kind, row.number) for row in ToldIncident.objects.order_by("id")] == [
        (incident().id, "opened", 1),
        (incident().id, "recovered", 1),
    ]


def test_after_500_it_is_tried_again_when_its_pause_is_over(receiver: Receiver) -> None:
    hook(receiver.url)
    receiver.answers = [500]
    desk = teller()
    play(desk, incident())
    row = Notification.objects.get()
    assert (row.attempts, row.failure, row.sent_at, row.dead_at) == (1, "127.0.0.1 answered 500.", None, None)
    assert row.next_try_at is not None
    assert timedelta(seconds=4) < row.next_try_at - datetime.now(UTC) <= timedelta(seconds=5)
    play(desk, incident(), now=row.next_try_at - timedelta(seconds=1))
    assert len(receiver.posts) == 1
    play(desk, incident(), now=row.next_try_at)
    row.refresh_from_db()
    assert (row.attempts, row.failure, row.dead_at) == (2, "", None)
    assert row.sent_at is not None
    assert receiver.posts[0].body == receiver.posts[1].body


def test_after_the_last_try_it_is_a_dead_letter_and_its_end_is_not_told(receiver: Receiver) -> None:
    hook(receiver.url)
    receiver.answers = [500] * 100
    desk, now = teller(), datetime.now(UTC)
    for hour in range(alert_retries.MOST_ATTEMPTS + 3):
        play(desk, incident(), now=now + timedelta(hours=hour))
    row = Notification.objects.get()
    assert (row.attempts, row.sent_at, row.failure) == (alert_retries.MOST_ATTEMPTS, None, "127.0.0.1 answered 500.")
    assert row.dead_at is not None
    assert len(receiver.posts) == alert_retries.MOST_ATTEMPTS
    play(desk, recovered=(over(incident()),), now=now + timedelta(days=1))
    assert len(receiver.posts) == alert_retries.MOST_ATTEMPTS


def test_what_the_receiver_refuses_is_a_dead_letter_at_once_and_can_be_sent_again(receiver: Receiver) -> None:
    hook(receiver.url)
    receiver.answers = [404]
    desk = teller()
    play(desk, incident())
    row = Notification.objects.get()
    assert (row.attempts, row.failure) == (1, "127.0.0.1 answered 404.")
    assert row.dead_at is not None
    assert alert_log.send_again([row.pk]) == 1
    assert alert_log.send_again([row.pk]) == 0
    play(desk, incident(), now=NOW + MINUTE)
    row.refresh_from_db()
    assert (row.attempts, row.failure, row.dead_at) == (1, "", None)
    assert row.sent_at is not None
    assert len(receiver.posts) == 2


def test_the_end_does_not_overtake_a_beginning_that_is_still_on_its_way(receiver: Receiver) -> None:
    hook(receiver.url)
    receiver.answers = [503]
    desk, now = teller(), datetime.now(UTC)
    play(desk, incident(), now=now)
    play(desk, recovered=(over(incident()),), now=now + timedelta(seconds=1))
    assert len(receiver.posts) == 1
    play(desk, now=now + MINUTE)
    play(desk, now=now + 2 * MINUTE)
    assert [post.document["action"] for post in receiver.posts] == ["trigger", "trigger", "resolve"]


def test_a_slow_receiver_holds_up_neither_the_round_nor_the_others(receiver: Receiver) -> None:
    with http_receiver() as slow:
        slow.seconds = 3
        hook(slow.url, "slow")
        hook(receiver.url, "quick")
        desk = teller()
        started = time.monotonic()
        for number in range(5):
            desk.round(open=[incident(each) for each in range(number + 1)], recovered=[], now=NOW + number * MINUTE)
        assert time.monotonic() - started < 2
        while len(receiver.posts) < 5 and time.monotonic() - started < 2.5:
            time.sleep(0.01)
        assert len(receiver.posts) == 5
        assert slow.posts == []


def test_a_round_raises_nothing_that_a_receiver_does_and_others_still_hear(receiver: Receiver) -> None:
    def deliver(channel: Any, delivery: Any) -> Attempt:
        raise RuntimeError("nobody foresaw it")

    hook(receiver.url)
    desk = teller(deliver=deliver)
    play(desk, incident())
    row = Notification.objects.get()
    assert (row.failure, row.sent_at) == ("RuntimeError (see the log)", None)


# ---- several workers, and one after the other ------------------------------------------------------------------------


def test_after_a_restart_nothing_is_told_twice(receiver: Receiver) -> None:
    hook(receiver.url)
    play(teller(), incident())
    again = teller()
    play(again, incident(), now=NOW + MINUTE)
    play(again, recovered=(over(incident()),), now=NOW + 2 * MINUTE)
    play(teller(), recovered=(over(incident()),), now=NOW + 3 * MINUTE)
    assert [post.document["action"] for post in receiver.posts] == ["trigger", "resolve"]


def test_what_a_worker_has_left_behind_is_taken_on_by_the_next(receiver: Receiver) -> None:
    hook(receiver.url)
    # It wrote the message down and died before it sent it.
    teller(deliver=lambda channel, delivery: time.sleep(60)).round(open=[incident()], recovered=[], now=NOW)
    successor = teller()
    play(successor, incident(), now=NOW + MINUTE)
    assert receiver.posts == []
    play(successor, incident(), now=NOW + alert_log.ABANDONED_AFTER)
    assert len(receiver.posts) == 1
    assert Notification.objects.get().sent_at is not None


def test_a_worker_that_stood_by_sends_nothing_that_another_has_sent_meanwhile(receiver: Receiver) -> None:
    hook(receiver.url)
    receiver.answers = [500]
    first, now = teller(), datetime.now(UTC)
    play(first, incident(), now=now)
    play(teller(), incident(), now=now + timedelta(minutes=5))
    play(first, incident(), now=now + timedelta(minutes=10))
    assert len(receiver.posts) == 2
    assert Notification.objects.get().attempts == 2


def test_of_two_workers_that_tell_the_same_only_one_sends(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    hook(receiver.url)
    # Neither sees what the other has told before both have planned it.
    monkeypatch.setattr(alert_log, "told_of", lambda ids: [])
    play(teller(), incident())
    play(teller(), incident())
    assert len(receiver.posts) == 1
    assert Notification.objects.count() == 1


def test_an_end_that_a_worker_saw_and_did_not_live_to_tell_is_told_by_the_next(receiver: Receiver) -> None:
    hook(receiver.url)
    one = incident(environment=current_environment())
    play(teller(), one)
    Incident.objects.create(
        pk=one.id,
        component_name=one.component,
        severity=one.severity,
        message=one.message,
        began_at=one.began_at,
        last_seen_at=NOW,
        ended_at=NOW + MINUTE,
    )
    play(teller(), now=NOW + 2 * MINUTE)
    play(teller(), now=NOW + 3 * MINUTE)
    assert [post.document["action"] for post in receiver.posts] == ["trigger", "resolve"]


# ---- what is read from the database ----------------------------------------------------------------------------------


def test_rules_channels_and_silences_are_read_anew_each_round(receiver: Receiver) -> None:
    channel = hook(receiver.url, component_pattern="component 1", quiet_from="00:00", quiet_until="11:00")
    desk = teller()
    silence = Silence.objects.create(
        component_pattern="*", begins_at=NOW, ends_at=NOW + 10 * MINUTE, created_by="olga", reason="works"
    )
    play(desk, incident(1), incident(2))
    assert receiver.posts == []
    Silence.objects.filter(pk=silence.pk).update(ends_at=NOW + MINUTE)
    play(desk, incident(1), incident(2), now=NOW + MINUTE)
    assert subjects(receiver) == ["[EMO dev] error: component 1"]
    AlertRule.objects.update(component_pattern="*")
    AlertChannel.objects.filter(pk=channel.pk).update(enabled=False)
    play(desk, incident(1), incident(2), now=NOW + 2 * MINUTE)
    assert len(receiver.posts) == 1
    AlertChannel.objects.filter(pk=channel.pk).update(enabled=True)
    play(desk, incident(1), incident(2), now=NOW + 3 * MINUTE)
    assert subjects(receiver)[1:] == ["[EMO dev] error: component 2"]


def test_it_is_repeated_with_a_number_until_acknowledged(receiver: Receiver) -> None:
    hook(receiver.url, repeat_minutes=30)
    desk = teller()
    for minute in range(0, 95, 5):
        play(desk, incident(acknowledged=minute > 65), now=NOW + minute * MINUTE)
    told = [(post.document["kind"], post.document["incidents"][0]["number"]) for post in receiver.posts]
    assert told == [("opened", 1), ("repeated", 1), ("repeated", 2)]


def test_what_waits_for_a_channel_that_is_disabled_meanwhile_is_given_up(receiver: Receiver) -> None:
    channel = hook(receiver.url)
    receiver.answers = [500]
    desk, now = teller(), datetime.now(UTC)
    play(desk, incident(), now=now)
    AlertChannel.objects.filter(pk=channel.pk).update(enabled=False)
    play(desk, incident(), now=now + MINUTE)
    row = Notification.objects.get()
    assert (row.failure, row.sent_at) == ("The channel is disabled.", None)
    assert row.dead_at is not None


def test_memory_is_given_back_when_all_is_over(receiver: Receiver) -> None:
    hook(receiver.url)
    desk = teller()
    play(desk, incident())
    play(desk, recovered=(over(incident()),), now=NOW + MINUTE)
    play(desk, now=NOW + timedelta(days=8))
    assert (desk._in_hand, desk._told, desk._recovered, desk._unwritten, desk._with_courier) == (
        {},
        {},
        {},
        set(),
        set(),
    )


# ---- what the database refuses ---------------------------------------------------------------------------------------


def test_the_database_itself_refuses_a_second_opening() -> None:
    channel = hook("http://127.0.0.1/")
    values: dict[str, Any] = {"channel": channel, "kind": NotificationKind.OPENED, "created_at": NOW, "document": {}}
    told = {"channel": channel, "incident_id": UUID(int=5), "kind": NotificationKind.OPENED}
    first = Notification.objects.create(pk=uuid4(), **values)
    second = Notification.objects.create(pk=uuid4(), **values)
    ToldIncident.objects.create(notification=first, **told)
    with pytest.raises(IntegrityError), transaction.atomic():
        ToldIncident.objects.create(notification=second, **told)


@pytest.mark.parametrize(
    "refused",
    [
        {"kind": ChannelKind.EMAIL, "addresses": ""},
        {"kind": ChannelKind.WEBHOOK, "url": ""},
        {"kind": "pigeon", "url": "http://x"},
    ],
)
def test_no_enabled_channel_leads_nowhere(refused: dict[str, str]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        AlertChannel.objects.create(name="x", **refused)


@pytest.mark.parametrize(
    "refused",
    [
        {"least_severity": "unknown"},
        {"quiet_from": "22:00"},
        {"quiet_from": "22:00", "quiet_until": "22:00"},
        {"repeat_minutes": 0},
    ],
)
def test_no_rule_contradicts_itself(refused: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        AlertRule.objects.create(name="x", **refused)
