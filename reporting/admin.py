"""Strategy performance, to be read: the roll-up rewrites it."""

from __future__ import annotations

from django.contrib import admin

from emo_site import display
from emo_site.record_admin import RecordAdmin, period_filter, values_filter
from reporting.models import StrategyPerformance


@admin.register(StrategyPerformance)
class StrategyPerformanceAdmin(RecordAdmin):
    list_display = (
        "strategy_name",
        "environment",
        "period",
        "return_percent",
        "sharpe",
        "drawdown_percent",
        "total_trades",
        "pnl",
    )
    list_filter = (values_filter("strategy_name", "strategy"), period_filter("period_start"))
    ordering = ("-period_start", "strategy_name")

    @admin.display(description="period")
    def period(self, row: StrategyPerformance) -> str:
        return f"{row.period_start:%Y-%m-%d} to {row.period_end:%Y-%m-%d}"

    @admin.display(description="return")
    def return_percent(self, row: StrategyPerformance) -> str:
        return _percent(row.total_return)

    @admin.display(description="Sharpe ratio")
    def sharpe(self, row: StrategyPerformance) -> str:
        return "n/a" if row.sharpe_ratio is None else f"{row.sharpe_ratio:.2f}"

    @admin.display(description="largest drawdown")
    def drawdown_percent(self, row: StrategyPerformance) -> str:
        return _percent(row.max_drawdown)

    @admin.display(description="realized P&L")
    def pnl(self, row: StrategyPerformance) -> str:
        return display.money(row.realized_pnl)


def _percent(fraction: float | None) -> str:
    return "n/a" if fraction is None else f"{fraction * 100:.2f} %"
