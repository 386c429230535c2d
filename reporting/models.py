"""Figures derived from executions, kept per strategy and period."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q

from emo_site.db.fields import EnvironmentField, TimeOrderedUUIDField


def _money() -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)


class StrategyPerformance(models.Model):
    """How one strategy did in one period. A figure that is undefined is null; risk_metrics says why."""

    id = TimeOrderedUUIDField("period_start")
    strategy_name = models.CharField(max_length=64)
    environment = EnvironmentField()
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
            # Also the look-up of one strategy's periods.
            models.UniqueConstraint(
                name="strategy_performance_unique_period",
                fields=("strategy_name", "environment", "period_start", "period_end"),
            ),
        )
        indexes = (
            # The newest periods of all strategies.
            models.Index(name="strategy_performance_period", fields=("period_start",)),
        )

    def __str__(self) -> str:
        return f"{self.strategy_name} from {self.period_start:%Y-%m-%d} to {self.period_end:%Y-%m-%d}"
