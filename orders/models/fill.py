"""Fills, those that belong to no order yet, and the positions that fills add up to."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from emo_site.db.fields import EnvironmentField, TimeOrderedUUIDField
from orders.choices import FillKind, Side
from orders.models.fields import money_field, one_of, price_field, quantity_field
from orders.models.order import OrderLeg, StagedOrder
from orders.querysets import ExecutedOrderQuerySet


class ExecutedOrder(models.Model):
    """One fill."""

    id = TimeOrderedUUIDField("execution_timestamp")
    staged_order = models.ForeignKey(StagedOrder, models.PROTECT, related_name="executions")
    leg = models.ForeignKey(OrderLeg, models.PROTECT, null=True, blank=True, related_name="executions")
    kind = models.CharField(max_length=10, choices=FillKind.choices, default=FillKind.FILL)
    corrects = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="corrected_by")
    """The row that this one takes the place of (a correction) or takes back (a bust)."""
    execution_id = models.CharField(max_length=128)
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=10, choices=Side.choices)
    execution_price = price_field()
    execution_quantity = quantity_field()
    execution_timestamp = models.DateTimeField()
    fees = price_field(default=Decimal(0))
    venue = models.CharField(max_length=64, blank=True)
    broker_order_id = models.CharField(max_length=128, blank=True)
    environment = EnvironmentField()
    recorded_at = models.DateTimeField(default=timezone.now)
    """When the desk learned of it; long after the execution for a late fill."""
    slippage_bps = models.DecimalField(max_digits=14, decimal_places=4, null=True, blank=True)
    slippage_money = money_field(null=True, blank=True)
    """Against the benchmark in performance_metrics; positive = cost to us. None where there is none."""
    performance_metrics = models.JSONField(default=dict, blank=True)

    objects = ExecutedOrderQuerySet.as_manager()

    class Meta:
        db_table = "executed_orders"
        ordering = ("-execution_timestamp", "-id")
        verbose_name = "fill"
        constraints = (
            models.UniqueConstraint(name="executed_orders_execution_id_unique", fields=("execution_id",)),
            models.CheckConstraint(name="executed_orders_quantity_positive", condition=Q(execution_quantity__gt=0)),
            models.CheckConstraint(name="executed_orders_side_known", condition=one_of("side", Side)),
            models.CheckConstraint(name="executed_orders_execution_id_given", condition=~Q(execution_id="")),
            models.CheckConstraint(name="executed_orders_kind_known", condition=one_of("kind", FillKind)),
            models.CheckConstraint(
                name="executed_orders_corrects_one",
                condition=Q(kind="fill", corrects__isnull=True) | (~Q(kind="fill") & Q(corrects__isnull=False)),
            ),
        )
        indexes = (
            # Newest fills first, and fills of a period.
            models.Index(name="executed_orders_timestamp", fields=("execution_timestamp", "id")),
        )

    def __str__(self) -> str:
        return f"{self.execution_quantity.normalize():f} {self.symbol} at {self.execution_price.normalize():f}"


class UnmatchedFill(models.Model):
    """What a broker reported for an order that the desk does not know, or that was never sent: kept until matched."""

    id = TimeOrderedUUIDField("received_at")
    execution_id = models.CharField(max_length=128)
    client_order_id = models.CharField(max_length=128, blank=True)
    report = models.JSONField()
    """The fill as it came, numbers as texts."""
    reason = models.CharField(max_length=255)
    received_at = models.DateTimeField()
    received_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    environment = EnvironmentField()
    matched_to = models.OneToOneField(
        ExecutedOrder, models.PROTECT, null=True, blank=True, related_name="unmatched_before"
    )
    matched_at = models.DateTimeField(null=True, blank=True)
    matched_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "unmatched_fills"
        ordering = ("-received_at", "-id")
        verbose_name = "unmatched fill"
        constraints = (
            models.UniqueConstraint(name="unmatched_fills_execution_id_unique", fields=("execution_id",)),
            models.CheckConstraint(name="unmatched_fills_execution_id_given", condition=~Q(execution_id="")),
            models.CheckConstraint(
                name="unmatched_fills_matched_whole",
                condition=Q(matched_to__isnull=True, matched_at__isnull=True)
                | Q(matched_to__isnull=False, matched_at__isnull=False),
            ),
        )
        indexes = (
            # What still waits for its order.
            models.Index(
                name="unmatched_fills_waiting", fields=("client_order_id",), condition=Q(matched_to__isnull=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.execution_id}: {self.reason}"


class Instrumented(models.Model):
    """Of something that is held: a stock, or an option by its terms."""

    strategy = models.CharField(max_length=64, blank=True)
    instrument = models.CharField(max_length=64)
    """The key of what is held: an option's OSI symbol without padding, else the symbol."""
    underlying = models.CharField(max_length=32)
    right = models.CharField(max_length=1, choices=[("C", "call"), ("P", "put"), ("S", "stock")])
    strike = price_field(null=True, blank=True)
    expiry = models.DateField(null=True, blank=True)
    multiplier = models.PositiveIntegerField(default=1)
    quantity = quantity_field()
    """Positive for long, negative for short."""
    environment = EnvironmentField()

    class Meta:
        abstract = True


class Position(Instrumented):
    """What a strategy holds of one instrument, kept by the fills that make it (see orders/positions.py)."""

    cost = money_field(default=Decimal(0))
    """Cash paid for it: positive for a long, negative (a premium received) for a short one."""
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "positions"
        ordering = ("environment", "underlying", "instrument", "strategy")
        constraints = (
            models.UniqueConstraint(name="positions_one_each", fields=("environment", "strategy", "instrument")),
        )
        indexes = (
            # What the rules see of one underlying.
            models.Index(name="positions_underlying", fields=("environment", "underlying"), condition=~Q(quantity=0)),
        )

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} {self.instrument}"


class PositionSnapshot(Instrumented):
    """What a broker's or the old bot's statement says was held: executions since then are added to it."""

    average_price = price_field(null=True, blank=True)
    taken_at = models.DateTimeField()
    source = models.CharField(max_length=255)
    imported_at = models.DateTimeField()
    imported_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")

    class Meta:
        db_table = "position_snapshots"
        ordering = ("-taken_at", "-id")
        constraints = (
            models.UniqueConstraint(
                name="position_snapshots_once", fields=("environment", "strategy", "instrument", "taken_at")
            ),
        )

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} {self.instrument} at {self.taken_at:%Y-%m-%d %H:%M:%S}"
