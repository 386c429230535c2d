"""What reports add up of each order."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from emo_site.db.fields import EnvironmentField
from orders.choices import OrderStatus
from orders.models.order import StagedOrder


def _whole() -> models.BigIntegerField:  # type: ignore[type-arg]
    return models.BigIntegerField(null=True, blank=True)


def _points() -> models.SmallIntegerField:  # type: ignore[type-arg]
    return models.SmallIntegerField(default=0)


class OrderFacts(models.Model):
    """An order in whole numbers, narrow enough to add a million of them up; only orders/journal.py writes it, with the
    order itself. Units: orders/order_facts.py.
    """

    order = models.OneToOneField(StagedOrder, models.CASCADE, primary_key=True, related_name="facts")
    # What most questions are about comes first: a row is read from its beginning, as far as it has to be.
    created_at = models.DateTimeField()
    day = models.DateField()
    """Of New York: the trading day on which it was staged."""
    stage = models.SmallIntegerField()
    """How far it came, a Stage of orders/order_facts.py."""
    events = models.IntegerField(default=0)
    """The order's event_count: it grows with every change, so that a sum of it is a version."""
    overfilled = models.BooleanField(default=False)
    # Not looked for by itself: a report narrows the days down first.
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    value = _whole()
    """Notional. Money is in ten-thousandths of the account currency."""
    execution = _whole()
    decision_slippage = models.IntegerField(null=True, blank=True)
    arrival_slippage = models.IntegerField(null=True, blank=True)
    limit_slippage = models.IntegerField(null=True, blank=True)
    spread_slippage = models.IntegerField(null=True, blank=True)
    """Of the average fill against the middle of the quote at the arrival, in tenths of a percent of its spread."""
    review_ms = _whole()
    """From staging to the decision; the next three: decision to broker, broker to first fill, staging to last fill."""
    broker_ms = _whole()
    fill_ms = _whole()
    execution_ms = _whole()
    status = models.CharField(max_length=16, choices=OrderStatus.choices)
    strategy = models.CharField(max_length=64, blank=True)
    underlying = models.CharField(max_length=32, blank=True)
    environment = EnvironmentField()
    violations = models.CharField(max_length=512, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    risk_score = models.SmallIntegerField(null=True, blank=True)
    compliance_score = models.SmallIntegerField(null=True, blank=True)
    performance_score = models.SmallIntegerField(null=True, blank=True)
    fill_share = models.SmallIntegerField(null=True, blank=True)
    """Filled of ordered in ten-thousandths, at most all; None for what never was at the broker."""
    fees = _whole()
    decided_value = _whole()
    """What was filled, at the price of the decision. This, both delays and execution are known together, or none is."""
    review_delay = _whole()
    broker_delay = _whole()
    opportunity = _whole()
    """What the rest cost that was given up at the broker; None of every other order, and where a price is missing."""

    points_order_notional = _points()
    points_order_quantity = _points()
    points_price_collar = _points()
    points_stale_quote = _points()
    points_duplicate_order = _points()
    points_order_rate = _points()
    points_max_trade_risk = _points()
    points_max_portfolio_risk = _points()
    points_daily_new_risk = _points()
    points_symbol_exposure = _points()
    points_max_positions = _points()
    points_drawdown_breaker = _points()
    points_undefined_risk = _points()

    class Meta:
        db_table = "order_facts"
        verbose_name = "facts of an order"
        verbose_name_plural = "facts of orders"
        indexes = (
            # The orders of a period, and their sums by day.
            models.Index(name="order_facts_day", fields=("day",)),
            # The newest that were filled beyond what was ordered: there should be none.
            models.Index(
                name="order_facts_overfilled", fields=("created_at", "order"), condition=models.Q(overfilled=True)
            ),
            # What is open past its expiry: few orders have a date.
            models.Index(
                name="order_facts_expires", fields=("expires_at",), condition=models.Q(expires_at__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return f"{self.status} order of {self.day:%Y-%m-%d}"


class OrderDayChange(models.Model):
    """Something changed among the orders of a trading day, so that a summary made before does not hold any more.

    orders/journal.py adds a row with every change of an order, in the same statement, and for a decision that was
    refused; nobody ever waits for anybody by that. reporting/order_summaries.py takes away those that its summaries
    know of.
    """

    day = models.DateField()
    environment = EnvironmentField()

    class Meta:
        db_table = "order_day_changes"

    def __str__(self) -> str:
        return f"a change of {self.day:%Y-%m-%d}"
