"""Sums that the rules need for every order, kept by whoever writes what they are made of."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q

from emo_site.db.fields import EnvironmentField
from orders.models.fields import money_field, price_field


class StagedRisk(models.Model):
    """What the orders staged on one day still stand for; only orders/journal.py writes it, with the orders themselves.

    Each day has several rows, told apart by the order's id, so that two orders at once rarely wait for one another.
    """

    SHARDS = 16

    environment = EnvironmentField()
    day = models.DateField()
    """Of New York: the trading day on which the order was staged."""
    shard = models.PositiveSmallIntegerField()
    orders = models.IntegerField(default=0)
    max_loss = money_field(default=Decimal(0))
    unbounded = models.IntegerField(default=0)
    unknown = models.IntegerField(default=0)

    class Meta:
        db_table = "staged_risk"
        constraints = (
            models.UniqueConstraint(name="staged_risk_one_each", fields=("environment", "day", "shard")),
            models.CheckConstraint(name="staged_risk_shard_known", condition=Q(shard__lt=16)),
        )

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.shard}: {self.orders} orders, {self.max_loss}"


class EquityHigh(models.Model):
    """The account's high-water mark: retention lets the old equity events go, and the drawdown is counted from it."""

    environment = EnvironmentField(unique=True)
    price = price_field()
    at = models.DateTimeField()
    looked_until = models.DateTimeField()
    """Every equity event that was on record up to here has been seen."""

    class Meta:
        db_table = "equity_highs"

    def __str__(self) -> str:
        return f"{self.price} at {self.at:%Y-%m-%d %H:%M:%S}"
