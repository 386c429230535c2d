"""Figures that follow from orders and executions, kept so that they need not be added up again. Each table names its
only writer.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q

from emo_site.db.fields import EnvironmentField, TimeOrderedUUIDField
from reporting.choices import Period, SummaryOf, SummaryUnit


def _money() -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)


class StrategyPerformance(models.Model):
    """How one strategy did in one period; only reporting/rollup.py writes it. A figure that is undefined is null;
    risk_metrics says why, and each figure's estimator and n. `realized_pnl` and `unrealized_pnl` are before fees.
    """

    id = TimeOrderedUUIDField("period_start")
    strategy_name = models.CharField(max_length=64)
    environment = EnvironmentField()
    period = models.CharField(max_length=5, choices=Period.choices)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    total_return = models.FloatField(null=True, blank=True)
    sharpe_ratio = models.FloatField(null=True, blank=True)
    max_drawdown = models.FloatField(null=True, blank=True)
    total_trades = models.PositiveIntegerField(default=0)
    winning_trades = models.PositiveIntegerField(default=0)
    losing_trades = models.PositiveIntegerField(default=0)
    realized_pnl = _money()
    unrealized_pnl = _money()
    fees = _money()
    risk_metrics = models.JSONField(default=dict, blank=True)

    class Meta:
        db_table = "strategy_performance"
        ordering = ("-period_start", "strategy_name")
        verbose_name_plural = "strategy performance"
        constraints = (
            models.CheckConstraint(
                name="strategy_performance_period_order", condition=Q(period_end__gt=F("period_start"))
            ),
            models.CheckConstraint(
                name="strategy_performance_trade_counts",
                condition=Q(total_trades__gte=F("winning_trades") + F("losing_trades")),
            ),
            models.CheckConstraint(
                name="strategy_performance_period_known", condition=Q(period__in=sorted(Period.values))
            ),
            # Also the look-up of one strategy's periods.
            models.UniqueConstraint(
                name="strategy_performance_one_each",
                fields=("strategy_name", "environment", "period", "period_start"),
            ),
            # Its beginning moves with a fill that comes late.
            models.UniqueConstraint(
                name="strategy_performance_one_of_all",
                fields=("strategy_name", "environment"),
                condition=Q(period="all"),
            ),
        )
        indexes = (
            # The newest periods of all strategies.
            models.Index(name="strategy_performance_period", fields=("period_start",)),
        )

    def __str__(self) -> str:
        return f"{self.strategy_name} from {self.period_start:%Y-%m-%d} to {self.period_end:%Y-%m-%d}"


class RollUp(models.Model):
    """Up to where a strategy was rolled up; only reporting/rollup.py writes it, and who rolls up locks it.

    Rows of fills and statements never go: as many as before are the same ones.
    """

    strategy_name = models.CharField(max_length=64, blank=True)
    environment = EnvironmentField()
    executions = models.PositiveIntegerField(default=0)
    statements = models.PositiveIntegerField(default=0)
    version = models.CharField(max_length=32, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    """When figures change though nothing was dealt in: prices move while something is held, and periods end. None:
    never.
    """

    class Meta:
        db_table = "strategy_roll_ups"
        constraints = (
            models.UniqueConstraint(name="strategy_roll_ups_one_each", fields=("strategy_name", "environment")),
        )

    def __str__(self) -> str:
        return f"{self.strategy_name or 'no strategy'}: {self.executions} fills"


class OrderSummary(models.Model):
    """What the orders of a trading day or of a whole month add up to; only reporting/order_summaries.py writes it.

    It holds unless one of its days has a row in order_day_changes. `days` and `document` are the two parts of a Tally,
    as reporting/order_document.py writes them.
    """

    unit = models.CharField(max_length=5, choices=SummaryUnit.choices)
    first = models.DateField()
    """The day, or the first of the month."""
    environment = EnvironmentField()
    of = models.CharField(max_length=8, choices=SummaryOf.choices)
    """Of all strategies together, or of `strategy` alone, which may be the empty one: the orders that state none."""
    strategy = models.CharField(max_length=64, blank=True)
    days = models.TextField()
    document = models.TextField()
    definition = models.CharField(max_length=16)
    """Of what the document is; a row of another definition is not read."""
    changes = models.BigIntegerField(default=0)
    """How many changes of the day were added up, ever; said once, in the row of the day of all strategies."""

    class Meta:
        db_table = "order_summaries"
        constraints = (
            # Also the look-up of the rows of a period.
            models.UniqueConstraint(
                name="order_summaries_one_each", fields=("of", "strategy", "unit", "first", "environment")
            ),
            models.CheckConstraint(
                name="order_summaries_of_known", condition=Q(of="strategy") | Q(of="all", strategy="")
            ),
            models.CheckConstraint(name="order_summaries_unit_known", condition=Q(unit__in=sorted(SummaryUnit.values))),
        )

    def __str__(self) -> str:
        return f"orders of the {self.unit} {self.first:%Y-%m-%d}"
