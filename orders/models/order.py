"""An order from staging to its end, and its legs."""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from emo_site.db.fields import EnvironmentField, TimeOrderedUUIDField
from orders.choices import (
    NEEDS_PRICE,
    NEEDS_STOP_PRICE,
    OPEN,
    REVIEWED,
    Instrument,
    LegAction,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from orders.models.fields import in_range, money_field, one_of, price_field, quantity_field, score_field
from orders.querysets import StagedOrderQuerySet
from orders.ticket import MAX_PRICE, MAX_QUANTITY


def new_client_order_id() -> str:
    """An id for an order whose source gave it none."""
    return f"desk-{uuid.uuid4().hex}"


class StagedOrder(models.Model):
    """An order the bot wants to send, from staging to its end."""

    id = TimeOrderedUUIDField("created_at")
    symbol = models.CharField(max_length=32)
    underlying = models.CharField(max_length=32, blank=True)
    """What exposure is counted by; the symbol itself where that names no option."""
    side = models.CharField(max_length=10, choices=Side.choices)
    order_type = models.CharField(max_length=10, choices=OrderType.choices)
    quantity = quantity_field()
    price = price_field(null=True, blank=True)
    stop_price = price_field(null=True, blank=True)
    time_in_force = models.CharField(max_length=3, choices=TimeInForce.choices, default=TimeInForce.DAY)
    status = models.CharField(max_length=16, choices=OrderStatus.choices, default=OrderStatus.DRAFT)
    strategy = models.CharField(max_length=64, blank=True)
    confidence = models.DecimalField(max_digits=5, decimal_places=4, null=True, blank=True)

    environment = EnvironmentField()
    source = models.CharField(max_length=64, blank=True)
    source_file = models.CharField(max_length=255, blank=True)
    checksum = models.CharField(max_length=64, blank=True)
    client_order_id = models.CharField(max_length=128, default=new_client_order_id)
    metadata = models.JSONField(default=dict, blank=True)

    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="staged_orders")
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="reviewed_orders"
    )
    reviewed_at = models.DateTimeField(null=True, blank=True)
    review_notes = models.TextField(blank=True)

    risk_score = score_field()
    compliance_score = score_field()
    performance_score = score_field()
    workflow_state = models.JSONField(default=dict, blank=True)
    """What of the ticket has no column, and what the last assessment rested on: the policy's version and the quotes.
    The assessment itself is in the trail."""

    # Facts computed once, when written, so that queues and reports only add up columns.
    notional = money_field(null=True, blank=True)
    max_loss = money_field(null=True, blank=True)
    """Worst-case loss at the last assessment; None where it is unbounded or could not be told."""
    unbounded_loss = models.BooleanField(default=False)
    fingerprint = models.CharField(max_length=64, blank=True)
    """Equal for orders of the same symbol, side, quantity, price and legs."""
    decision_price = price_field(null=True, blank=True)
    """What one unit could be traded at when the order was staged, approved and submitted; None where no quote told."""
    approval_price = price_field(null=True, blank=True)
    arrival_price = price_field(null=True, blank=True)
    arrival_bid = price_field(null=True, blank=True)
    """What the last quote before the submission stated; None where it stated no such price or there was none."""
    arrival_ask = price_field(null=True, blank=True)
    end_price = price_field(null=True, blank=True)
    """What one unit could last be traded at when the rest of what was at the broker was given up; see
    orders/end_prices.py."""
    submitted_at = models.DateTimeField(null=True, blank=True)
    approved_by_policy = models.BooleanField(default=False)
    """No person approved it: the policy allows that for its strategy."""
    approval_expires_at = models.DateTimeField(null=True, blank=True)
    changes_asked_at = models.DateTimeField(null=True, blank=True)
    """A reviewer sent it back to its trader with a question; it waits for them, not for the review."""
    replaces = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="replaced_by")
    violations = models.CharField(max_length=512, blank=True)
    """Rules that blocked or warned at the last assessment, worst first: "EXPIRY:block,ORDER_QUANTITY:warn"."""
    filled_quantity = quantity_field(default=Decimal(0))
    average_fill_price = price_field(null=True, blank=True)
    event_count = models.PositiveIntegerField(default=0)
    audit_head = models.CharField(max_length=64, blank=True)
    """The seal of the last event: with event_count it tells a trail whose end was cut off."""

    objects = StagedOrderQuerySet.as_manager()

    class Meta:
        db_table = "staged_orders"
        ordering = ("-created_at", "-id")
        verbose_name = "order"
        permissions = (
            ("review_stagedorder", "Can approve and reject orders"),
            ("cancel_stagedorder", "Can cancel orders"),
            ("submit_stagedorder", "Can hand approved orders to the broker"),
            ("execute_stagedorder", "Can record fills and the broker's refusals"),
            ("override_stagedorder", "Can override a rule for one order"),
        )
        constraints = (
            # The upper bound keeps NaN out, which PostgreSQL takes for more than any number.
            models.CheckConstraint(
                name="staged_orders_quantity_positive", condition=Q(quantity__gt=0, quantity__lte=MAX_QUANTITY)
            ),
            models.CheckConstraint(
                name="staged_orders_price_range", condition=in_range("price", -MAX_PRICE, MAX_PRICE)
            ),
            models.CheckConstraint(name="staged_orders_symbol_given", condition=~Q(symbol="")),
            models.CheckConstraint(
                name="staged_orders_price_required",
                condition=~Q(order_type__in=sorted(NEEDS_PRICE)) | Q(price__isnull=False),
            ),
            models.CheckConstraint(
                name="staged_orders_stop_price_required",
                condition=~Q(order_type__in=sorted(NEEDS_STOP_PRICE)) | Q(stop_price__isnull=False),
            ),
            models.CheckConstraint(
                name="staged_orders_gtd_has_date", condition=~Q(time_in_force="gtd") | Q(expires_at__isnull=False)
            ),
            models.CheckConstraint(name="staged_orders_status_known", condition=one_of("status", OrderStatus)),
            models.CheckConstraint(name="staged_orders_side_known", condition=one_of("side", Side)),
            models.CheckConstraint(name="staged_orders_type_known", condition=one_of("order_type", OrderType)),
            models.CheckConstraint(
                name="staged_orders_time_in_force_known", condition=one_of("time_in_force", TimeInForce)
            ),
            models.CheckConstraint(name="staged_orders_risk_score_range", condition=in_range("risk_score", 0, 100)),
            models.CheckConstraint(
                name="staged_orders_compliance_score_range", condition=in_range("compliance_score", 0, 100)
            ),
            models.CheckConstraint(
                name="staged_orders_performance_score_range", condition=in_range("performance_score", 0, 100)
            ),
            models.CheckConstraint(name="staged_orders_confidence_range", condition=in_range("confidence", 0, 1)),
            models.CheckConstraint(
                name="staged_orders_four_eyes",
                condition=Q(reviewed_by__isnull=True) | ~Q(reviewed_by=F("created_by")),
            ),
            models.CheckConstraint(
                name="staged_orders_approved_by_someone",
                condition=~Q(status__in=sorted(REVIEWED))
                | Q(reviewed_by__isnull=False, reviewed_at__isnull=False)
                | Q(approved_by_policy=True, reviewed_by__isnull=True, reviewed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="staged_orders_rejected_with_reason",
                condition=~Q(status="rejected") | (Q(reviewed_by__isnull=False) & ~Q(review_notes="")),
            ),
            models.CheckConstraint(name="staged_orders_filled_not_negative", condition=Q(filled_quantity__gte=0)),
            models.UniqueConstraint(
                name="staged_orders_client_order_id_unique", fields=("environment", "client_order_id")
            ),
        )
        indexes = (
            # The review queue and every list filtered by status, oldest or newest first.
            models.Index(name="staged_orders_status_created", fields=("status", "created_at")),
            # The admin's default order, its date filter and "recent orders".
            models.Index(name="staged_orders_created", fields=("created_at", "id")),
            # Lists filtered by strategy or by symbol.
            models.Index(name="staged_orders_strategy", fields=("strategy", "created_at")),
            models.Index(name="staged_orders_symbol", fields=("symbol", "created_at")),
            # The admin's filter by source (and the list of its values), and the search for the orders of one file.
            models.Index(name="staged_orders_source", fields=("source", "created_at")),
            models.Index(name="staged_orders_source_file", fields=("source_file",)),
            # import_legacy asks for each file whether these very bytes came in before.
            models.Index(name="staged_orders_checksum", fields=("checksum",), condition=~Q(checksum="")),
            # Exposure to one underlying, and the related orders on an order's page.
            models.Index(name="staged_orders_underlying", fields=("underlying", "created_at")),
            # What is open counts as if it were filled: few orders are, and the rules add them up for every order.
            models.Index(
                name="staged_orders_open", fields=("environment", "underlying"), condition=Q(status__in=sorted(OPEN))
            ),
            # DUPLICATE_ORDER: the same order within a window.
            models.Index(name="staged_orders_fingerprint", fields=("fingerprint", "created_at")),
            # expire_orders: few orders have a date.
            models.Index(name="staged_orders_expires", fields=("expires_at",), condition=Q(expires_at__isnull=False)),
        )

    def __str__(self) -> str:
        return f"{self.get_side_display()} {self.quantity.normalize():f} {self.symbol} ({self.get_status_display()})"

    @property
    def leaves_quantity(self) -> Decimal:
        """What is still to be filled."""
        return max(Decimal(0), Decimal(self.quantity - self.filled_quantity))

    @property
    def violation_codes(self) -> list[tuple[str, str]]:
        """(code, severity) pairs, worst first."""
        return [
            (code, severity)
            for code, _, severity in (item.partition(":") for item in self.violations.split(",") if item)
        ]

    @property
    def overfill(self) -> Decimal:
        return max(Decimal(0), Decimal(self.filled_quantity - self.quantity))


class OrderLeg(models.Model):
    """One leg of a combination; quantity in contracts or shares, the action says the side."""

    order = models.ForeignKey(StagedOrder, models.PROTECT, related_name="legs")
    position = models.PositiveSmallIntegerField()
    action = models.CharField(max_length=4, choices=LegAction.choices)
    instrument = models.CharField(max_length=5, choices=Instrument.choices)
    symbol = models.CharField(max_length=32)
    strike = price_field(null=True, blank=True)
    expiry = models.DateField(null=True, blank=True)
    quantity = quantity_field()
    multiplier = models.PositiveIntegerField(default=100)

    class Meta:
        db_table = "order_legs"
        ordering = ("order", "position")
        verbose_name = "leg"
        constraints = (
            models.UniqueConstraint(name="order_legs_position_unique", fields=("order", "position")),
            models.CheckConstraint(name="order_legs_quantity_positive", condition=Q(quantity__gt=0)),
            models.CheckConstraint(name="order_legs_multiplier_positive", condition=Q(multiplier__gt=0)),
            models.CheckConstraint(name="order_legs_action_known", condition=one_of("action", LegAction)),
            models.CheckConstraint(name="order_legs_instrument_known", condition=one_of("instrument", Instrument)),
            models.CheckConstraint(
                name="order_legs_strike_of_options",
                condition=Q(instrument="stock", strike__isnull=True, expiry__isnull=True)
                | (~Q(instrument="stock") & Q(strike__isnull=False, strike__gt=0)),
            ),
        )

    def __str__(self) -> str:
        what = self.symbol if self.strike is None else f"{self.symbol} {self.strike.normalize():f} {self.instrument}"
        return f"{self.action} {self.quantity.normalize():f} {what}"
