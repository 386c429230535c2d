"""What was told, written down and read again; and who is to be told. The only writer of Notification and ToldIncident.

Every function raises django.db.Error where the database is away.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from emo_site.db.aliases import database_of
from emo_site.db.fields import current_environment
from monitoring.alert_values import (
    FIRST_CHANNEL_ID,
    Arrangement,
    Channel,
    Delivery,
    QuietHours,
    Recovered,
    Rule,
    SilenceSpan,
    Told,
)
from monitoring.choices import ChannelKind, HealthStatus, NotificationKind
from monitoring.models import AlertChannel, AlertRule, Incident, Notification, Silence, ToldIncident

# A message that is so late has been left behind by the worker that had it.
ABANDONED_AFTER = timedelta(minutes=2)
# How many messages are taken on at once, and how many ended incidents are looked at.
MOST_ADOPTED = 100
MOST_ENDED = 500
# Ends that are older are not told any more.
ENDED_WITHIN = timedelta(days=1)


# ---- who is to be told -----------------------------------------------------------------------------------------------


def arrangement(*, now: datetime) -> Arrangement:
    """Four queries."""
    rules = AlertRule.objects.filter(enabled=True).prefetch_related("channels")
    return Arrangement(
        channels={row.pk: channel_of(row) for row in AlertChannel.objects.all()},
        rules=tuple(_rule(row) for row in rules),
        silences=tuple(
            SilenceSpan(component_pattern=row.component_pattern, begins_at=row.begins_at, ends_at=row.ends_at)
            for row in Silence.objects.filter(ends_at__gt=now)
        ),
    )


def first_arrangement() -> Arrangement:
    """For a worker that could not read the database yet: what a new desk would have, from the settings."""
    addresses = tuple(settings.EMO_ALERT_EMAILS)
    channel = Channel(
        id=FIRST_CHANNEL_ID, name="E-mail", kind=ChannelKind.EMAIL, addresses=addresses, enabled=bool(addresses)
    )
    rule = Rule(
        name="Whatever is wrong",
        component_pattern="*",
        least_severity=HealthStatus.WARNING,
        lasting=timedelta(0),
        channel_ids=frozenset({channel.id}),
    )
    return Arrangement(channels={channel.id: channel}, rules=(rule,), silences=())


def channel_of(row: AlertChannel) -> Channel:
    return Channel(
        id=row.pk,
        name=row.name,
        kind=ChannelKind(row.kind),
        addresses=tuple(row.addresses.split()) if row.kind == ChannelKind.EMAIL else (),
        url=row.url,
        secret=row.secret,
        enabled=row.enabled,
    )


def _rule(row: AlertRule) -> Rule:
    quiet = None
    if row.quiet_from is not None and row.quiet_until is not None:
        quiet = QuietHours(begins=row.quiet_from, ends=row.quiet_until, zone=row.time_zone)
    return Rule(
        name=row.name,
        component_pattern=row.component_pattern,
        least_severity=HealthStatus(row.least_severity),
        lasting=timedelta(minutes=row.lasting_minutes),
        channel_ids=frozenset(channel.pk for channel in row.channels.all()),
        quiet=quiet,
        critical_breaks_quiet=row.critical_breaks_quiet,
        repeat_every=None if row.repeat_minutes is None else timedelta(minutes=row.repeat_minutes),
    )


# ---- what was told ---------------------------------------------------------------------------------------------------


def told_of(incident_ids: Collection[UUID]) -> list[Told]:
    """Through whichever channel, by whichever worker."""
    rows = ToldIncident.objects.filter(incident_id__in=incident_ids).select_related("notification")
    return [
        Told(
            channel_id=row.channel_id,
            incident_id=row.incident_id,
            kind=NotificationKind(row.kind),
            number=row.number,
            at=row.notification.created_at,
            dead=row.notification.dead_at is not None,
        )
        for row in rows
    ]


def ended(*, now: datetime) -> list[Recovered]:
    """Incidents that ended lately: the worker that saw one end may not have lived to tell it."""
    rows = Incident.objects.filter(environment=current_environment(), ended_at__gte=now - ENDED_WITHIN)
    return [
        Recovered(
            id=row.pk,
            component=row.component_name,
            severity=HealthStatus(row.severity),
            critical=row.critical,
            message=row.message,
            remedy=row.remedy,
            began_at=row.began_at,
            acknowledged=row.acknowledged_at is not None,
            environment=row.environment,
            ended_at=row.ended_at,
        )
        for row in rows.order_by("-ended_at")[:MOST_ENDED]
        if row.ended_at is not None
    ]


# ---- writing it down -------------------------------------------------------------------------------------------------


def claim(delivery: Delivery) -> bool:
    """Writes down, before it is sent, that this is told; False where somebody else has already."""
    try:
        with transaction.atomic(using=database_of("monitoring")):
            _row(delivery).save(force_insert=True)
            ToldIncident.objects.bulk_create(_told_rows(delivery))
    except IntegrityError:
        return False
    return True


def record(delivery: Delivery) -> None:
    """Writes down what became of a message, also of one that was sent while the database was away. Idempotent."""
    with transaction.atomic(using=database_of("monitoring")):
        changed = Notification.objects.filter(pk=delivery.id).update(
            waiting_for=list(delivery.waiting_for),
            attempts=delivery.attempts,
            next_try_at=delivery.next_try_at,
            sent_at=delivery.sent_at,
            dead_at=delivery.dead_at,
            failure=delivery.failure,
        )
        if not changed:
            Notification.objects.bulk_create([_row(delivery)], ignore_conflicts=True)
            ToldIncident.objects.bulk_create(_told_rows(delivery), ignore_conflicts=True)


def adopt(*, now: datetime, but_not: Collection[UUID]) -> list[Delivery]:
    """Takes on messages under way that nobody has in hand: each goes to the one worker whose UPDATE changed it."""
    free = Q(next_try_at__isnull=True) | Q(next_try_at__lte=now - ABANDONED_AFTER)
    rows = Notification.objects.filter(free, sent_at__isnull=True, dead_at__isnull=True)
    rows = rows.exclude(pk__in=but_not).prefetch_related("incidents").order_by("created_at")
    adopted = []
    for row in rows[:MOST_ADOPTED]:
        same = Notification.objects.filter(
            pk=row.pk, next_try_at=row.next_try_at, sent_at__isnull=True, dead_at__isnull=True
        )
        if same.update(next_try_at=now):
            adopted.append(_delivery(row, now=now))
    return adopted


def taken_over(deliveries: Collection[Delivery]) -> set[UUID]:
    """Which of these, written down as they are, another worker has meanwhile sent, given up or taken on."""
    ours = {delivery.id: delivery.next_try_at for delivery in deliveries}
    rows = Notification.objects.filter(pk__in=ours).values_list("pk", "next_try_at", "sent_at", "dead_at")
    return {pk for pk, next_try_at, sent_at, dead_at in rows if sent_at or dead_at or next_try_at != ours[pk]}


def send_again(ids: Collection[UUID]) -> int:
    """Dead letters, to whom they have not reached yet: the worker takes them on in its next round; returns how many."""
    dead = Notification.objects.filter(pk__in=ids, dead_at__isnull=False)
    return dead.update(dead_at=None, attempts=0, next_try_at=None)


def _row(delivery: Delivery) -> Notification:
    return Notification(
        pk=delivery.id,
        channel_id=delivery.channel_id,
        kind=delivery.kind,
        subject=delivery.subject,
        body=delivery.body,
        document=dict(delivery.document),
        waiting_for=list(delivery.waiting_for),
        created_at=delivery.created_at,
        attempts=delivery.attempts,
        next_try_at=delivery.next_try_at,
        sent_at=delivery.sent_at,
        dead_at=delivery.dead_at,
        failure=delivery.failure,
    )


def _told_rows(delivery: Delivery) -> list[ToldIncident]:
    return [
        ToldIncident(
            notification_id=delivery.id,
            channel_id=delivery.channel_id,
            incident_id=incident_id,
            kind=delivery.kind,
            number=number,
        )
        for incident_id, number in delivery.told
    ]


def _delivery(row: Notification, *, now: datetime) -> Delivery:
    return Delivery(
        id=row.pk,
        channel_id=row.channel_id,
        kind=NotificationKind(row.kind),
        told=tuple((each.incident_id, each.number) for each in row.incidents.all()),
        subject=row.subject,
        body=row.body,
        document=row.document,
        waiting_for=tuple(row.waiting_for),
        created_at=row.created_at,
        attempts=row.attempts,
        next_try_at=now,
        failure=row.failure,
    )
