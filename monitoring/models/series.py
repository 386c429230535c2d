"""Time series: append-only, partitioned by time where the database can. No foreign keys lead in or out."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from emo_site.db.fields import EnvironmentField, TimeOrderedUUIDField
from monitoring.choices import EventLevel, EventType, HealthStatus
from monitoring.querysets import MarketEventQuerySet, SystemHealthQuerySet


class MarketEvent(models.Model):
    """Something the market or the bot's view of it did, at one moment. Written only by monitoring/events.py."""

    id = TimeOrderedUUIDField("timestamp")
    symbol = models.CharField(max_length=32, blank=True)
    event_type = models.CharField(max_length=32, choices=EventType.choices)
    timestamp = models.DateTimeField()
    price = models.DecimalField(max_digits=18, decimal_places=6, null=True, blank=True)
    volume = models.DecimalField(max_digits=24, decimal_places=6, null=True, blank=True)
    source = models.CharField(max_length=64, blank=True)
    level = models.CharField(max_length=8, choices=EventLevel.choices, default=EventLevel.INFO)
    metadata = models.JSONField(default=dict, blank=True)

    objects = MarketEventQuerySet.as_manager()

    class Meta:
        db_table = "market_events"
        ordering = ("-timestamp", "-id")
        constraints = (
            models.CheckConstraint(
                name="market_events_volume_not_negative", condition=Q(volume__isnull=True) | Q(volume__gte=0)
            ),
            models.CheckConstraint(
                name="market_events_type_known", condition=Q(event_type__in=sorted(EventType.values))
            ),
            models.CheckConstraint(name="market_events_level_known", condition=Q(level__in=sorted(EventLevel.values))),
        )
        indexes = (
            # The last price of a symbol, and the events of one symbol in a period.
            models.Index("symbol", models.F("timestamp").desc(), name="market_events_symbol"),
            # Newest first, staleness, and periods. (TimescaleDB's key leads with the time; elsewhere the key is id.)
            models.Index(name="market_events_timestamp", fields=("timestamp", "id")),
        )

    def __str__(self) -> str:
        return f"{self.event_type} {self.symbol} at {self.timestamp:%Y-%m-%d %H:%M:%S}"


class SystemHealth(models.Model):
    """What one probe found at one moment. Written only by monitoring/health.py."""

    id = TimeOrderedUUIDField("timestamp")
    component_name = models.CharField(max_length=64)
    health_score = models.DecimalField(max_digits=5, decimal_places=2)
    status = models.CharField(max_length=8, choices=HealthStatus.choices)
    timestamp = models.DateTimeField()
    response_ms = models.FloatField(null=True, blank=True)
    environment = EnvironmentField()
    metrics = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)

    objects = SystemHealthQuerySet.as_manager()

    class Meta:
        db_table = "system_health"
        ordering = ("-timestamp", "-id")
        verbose_name = "health record"
        constraints = (
            models.CheckConstraint(
                name="system_health_score_range", condition=Q(health_score__gte=0, health_score__lte=100)
            ),
            models.CheckConstraint(
                name="system_health_status_known", condition=Q(status__in=sorted(HealthStatus.values))
            ),
        )
        indexes = (
            # The history of one component.
            models.Index("component_name", models.F("timestamp").desc(), name="system_health_component"),
            # Newest first, and periods of all components.
            models.Index(name="system_health_timestamp", fields=("timestamp", "id")),
        )

    def __str__(self) -> str:
        return f"{self.component_name} {self.status} at {self.timestamp:%Y-%m-%d %H:%M:%S}"
