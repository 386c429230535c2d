"""Who is told when a component is not healthy, when not, and what was told."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q

from monitoring.choices import ChannelKind, HealthStatus, NotificationKind

# Of a rule: the least that it is about.
SEVERITIES = [(HealthStatus.WARNING.value, "warning, unknown and error"), (HealthStatus.ERROR.value, "error only")]


class AlertChannel(models.Model):
    """A way to people or to a system of theirs. One writer: monitoring/alerts_admin.py (and the first migration).

    What was told refers to it, so it is disabled, never removed. `url` and `secret` open doors: no page shows them.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=8, choices=ChannelKind.choices)
    addresses = models.TextField(blank=True)
    url = models.TextField("URL", blank=True)
    secret = models.CharField(max_length=200, blank=True)
    enabled = models.BooleanField(default=True)

    class Meta:
        db_table = "alert_channels"
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(name="alert_channels_kind_known", condition=Q(kind__in=sorted(ChannelKind.values))),
            models.CheckConstraint(
                name="alert_channels_enabled_lead_somewhere",
                condition=Q(enabled=False)
                | (Q(kind=ChannelKind.EMAIL.value) & ~Q(addresses=""))
                | (Q(kind=ChannelKind.WEBHOOK.value) & ~Q(url="")),
                violation_error_message="An enabled channel needs an address, or a webhook its URL.",
            ),
        )

    def __str__(self) -> str:
        return self.name


class AlertRule(models.Model):
    """Which incidents are told where. One writer: monitoring/alerts_admin.py (and the first migration)."""

    name = models.CharField(max_length=100, unique=True)
    component_pattern = models.CharField("components", max_length=64, default="*")
    least_severity = models.CharField("severity", max_length=8, choices=SEVERITIES, default=HealthStatus.WARNING.value)
    lasting_minutes = models.PositiveSmallIntegerField("lasting, minutes", default=0)
    channels = models.ManyToManyField(AlertChannel, related_name="rules")
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    critical_breaks_quiet = models.BooleanField("critical components break quiet hours", default=True)
    # Empty: told once.
    repeat_minutes = models.PositiveSmallIntegerField("repeat every, minutes", null=True, blank=True)
    enabled = models.BooleanField(default=True)

    class Meta:
        db_table = "alert_rules"
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                name="alert_rules_severity_known", condition=Q(least_severity__in=[value for value, _ in SEVERITIES])
            ),
            models.CheckConstraint(
                name="alert_rules_quiet_hours_have_both_ends",
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | (Q(quiet_from__isnull=False, quiet_until__isnull=False) & ~Q(quiet_from=F("quiet_until"))),
                violation_error_message="Quiet hours need both ends, and different ones.",
            ),
            models.CheckConstraint(
                name="alert_rules_repeat_positive",
                condition=Q(repeat_minutes__isnull=True) | Q(repeat_minutes__gte=1),
                violation_error_message="Repeat every: 1 minute or more is needed, or nothing.",
            ),
        )

    def __str__(self) -> str:
        return self.name


class Silence(models.Model):
    """A time in which nothing is told of some components. One writer: monitoring/alerts_admin.py."""

    component_pattern = models.CharField("components", max_length=64)
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    created_by = models.CharField("by", max_length=150)
    reason = models.TextField()

    class Meta:
        db_table = "alert_silences"
        ordering = ("-ends_at", "-id")
        constraints = (
            models.CheckConstraint(
                name="alert_silences_end_after_they_begin",
                condition=Q(ends_at__gt=F("begins_at")),
                violation_error_message="A silence ends after it begins.",
            ),
        )
        indexes = (
            # Those in force, which the worker asks for each round; newest end first, for the list.
            models.Index(name="alert_silences_end", fields=("ends_at", "id")),
        )

    def __str__(self) -> str:
        return f"{self.component_pattern} until {self.ends_at:%Y-%m-%d %H:%M}"


class Notification(models.Model):
    """One message to one channel, and what became of it. One writer: monitoring/alert_log.py.

    `id` follows from what it tells, so that the same message is never written twice. `document` is what a webhook is
    sent and what the e-mail is rendered from; `waiting_for` are addresses that have not got it yet. It is under way
    while it is neither sent nor dead: `next_try_at` empty means that any worker may take it on.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    channel = models.ForeignKey(AlertChannel, on_delete=models.PROTECT, related_name="notifications")
    kind = models.CharField(max_length=9, choices=NotificationKind.choices)
    subject = models.CharField(max_length=255)
    body = models.TextField()
    document = models.JSONField()
    waiting_for = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    dead_at = models.DateTimeField(null=True, blank=True)
    failure = models.TextField(blank=True)

    class Meta:
        db_table = "alert_notifications"
        ordering = ("-created_at", "-id")
        constraints = (
            models.CheckConstraint(
                name="alert_notifications_kind_known", condition=Q(kind__in=sorted(NotificationKind.values))
            ),
            models.CheckConstraint(
                name="alert_notifications_sent_or_dead", condition=Q(sent_at__isnull=True) | Q(dead_at__isnull=True)
            ),
        )
        indexes = (
            models.Index(name="alert_notifications_created", fields=("created_at", "id")),
            # What a worker takes on that another one has left behind.
            models.Index(
                name="alert_notifications_under_way",
                fields=("next_try_at",),
                condition=Q(sent_at__isnull=True, dead_at__isnull=True),
            ),
            # Dead letters, newest first.
            models.Index(name="alert_notifications_dead", fields=("created_at",), condition=Q(dead_at__isnull=False)),
        )

    def __str__(self) -> str:
        return self.subject


class ToldIncident(models.Model):
    """That a message told a channel of an incident. One writer: monitoring/alert_log.py.

    The incident by its id: while the database was away it may have been told before it was written down.
    """

    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="incidents")
    channel = models.ForeignKey(AlertChannel, on_delete=models.PROTECT, related_name="+")
    incident_id = models.UUIDField()
    kind = models.CharField(max_length=9, choices=NotificationKind.choices)
    # Of repetitions the first, second, …; 1 of all else.
    number = models.PositiveIntegerField(default=1)

    class Meta:
        db_table = "alert_told_incidents"
        constraints = (
            # One opening, one recovery, and each repetition once; it also finds what was told of an incident.
            models.UniqueConstraint(
                name="alert_told_incidents_once", fields=("incident_id", "channel", "kind", "number")
            ),
        )

    def __str__(self) -> str:
        return f"{self.incident_id} {self.kind} {self.number}"
