"""What happened to orders, what was refused, and who looked at them."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from emo_site.db.fields import EnvironmentField, TimeOrderedUUIDField
from orders.choices import AccessKind, Attempt, EventKind, OrderStatus
from orders.models.fields import one_of
from orders.models.order import StagedOrder


class OrderEvent(models.Model):
    """The audit trail: one row for each thing that happened to an order. The database refuses UPDATE and DELETE."""

    id = TimeOrderedUUIDField("at")
    order = models.ForeignKey(StagedOrder, models.PROTECT, related_name="events")
    sequence = models.PositiveIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=EventKind.choices)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    actor_name = models.CharField(max_length=150)
    """The user name at that time, or what acted where no person did ("expire_orders")."""
    from_status = models.CharField(max_length=16, blank=True)
    to_status = models.CharField(max_length=16, choices=OrderStatus.choices)
    reason = models.TextField(blank=True)
    seen = models.JSONField(default=dict, blank=True)
    """What the actor saw: the assessment with its inputs, the policy's version, the fill."""
    seal = models.CharField(max_length=64, blank=True)
    """Keyed hash over this event and the seal of the one before it."""

    class Meta:
        db_table = "order_events"
        ordering = ("order", "sequence")
        verbose_name = "order event"
        constraints = (
            models.UniqueConstraint(name="order_events_sequence_unique", fields=("order", "sequence")),
            models.CheckConstraint(name="order_events_kind_known", condition=one_of("kind", EventKind)),
            models.CheckConstraint(name="order_events_status_known", condition=one_of("to_status", OrderStatus)),
        )
        indexes = (
            # "Recent activity" on the institutional report and the auditor's list.
            models.Index(name="order_events_at", fields=("at", "id")),
        )

    def __str__(self) -> str:
        return f"{self.sequence}. {self.kind} by {self.actor_name} at {self.at:%Y-%m-%d %H:%M:%S}"


class OrderAccess(models.Model):
    """Somebody looked at orders, or took them out. Only orders/access.py writes it; the database refuses changes."""

    id = TimeOrderedUUIDField("at")
    at = models.DateTimeField()
    kind = models.CharField(max_length=8, choices=AccessKind.choices)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    actor_name = models.CharField(max_length=150)
    order = models.ForeignKey(StagedOrder, models.PROTECT, null=True, blank=True, related_name="accesses")
    what = models.CharField(max_length=255)
    """The page or the file, with its filters: "order page", "dossier", "orders.csv?status=all"."""
    row_count = models.PositiveIntegerField(default=1)
    environment = EnvironmentField()

    class Meta:
        db_table = "order_accesses"
        ordering = ("-at", "-id")
        verbose_name = "access"
        verbose_name_plural = "accesses"
        constraints = (models.CheckConstraint(name="order_accesses_kind_known", condition=one_of("kind", AccessKind)),)
        indexes = (
            # The auditor's list, newest first.
            models.Index(name="order_accesses_at", fields=("at", "id")),
            # The auditor's search for a person.
            models.Index(name="order_accesses_actor", fields=("actor_name", "at")),
        )

    def __str__(self) -> str:
        return f"{self.actor_name} {self.kind} {self.what}"


class RefusedDecision(models.Model):
    """Somebody tried to decide about an order and was refused, which changed nothing of it. Only
    orders/refused_decisions.py writes it; the database refuses changes.
    """

    id = TimeOrderedUUIDField("at")
    at = models.DateTimeField()
    attempt = models.CharField(max_length=16, choices=Attempt.choices)
    code = models.CharField(max_length=32)
    """Of the refusal: SELF_APPROVAL, NOT_PERMITTED, CHANGED_MEANWHILE, …"""
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    actor_name = models.CharField(max_length=150)
    """The user name at that time."""
    order = models.ForeignKey(StagedOrder, models.PROTECT, null=True, blank=True, related_name="refused_decisions")
    """None where there is no order of the id that was named."""
    own = models.BooleanField(default=False)
    """A second person's decision, tried by whoever staged the order."""
    environment = EnvironmentField()

    class Meta:
        db_table = "refused_decisions"
        ordering = ("-at", "-id")
        verbose_name = "refused decision"
        # Whoever sees who looked at orders sees these.
        default_permissions = ()
        constraints = (
            models.CheckConstraint(name="refused_decisions_attempt_known", condition=one_of("attempt", Attempt)),
        )
        indexes = (
            # The auditor's list, newest first.
            models.Index(name="refused_decisions_at", fields=("at", "id")),
            # The auditor's search for a person.
            models.Index(name="refused_decisions_actor", fields=("actor_name", "at")),
        )

    def __str__(self) -> str:
        return f"{self.actor_name} was refused to {self.attempt}: {self.code}"
