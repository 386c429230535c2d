"""Strategy performance, to be read: the roll-up rewrites it."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import admin

from emo_site import display
from emo_site.record_admin import RecordAdmin, period_filter, values_filter
from orders.standing import trading_day
from reporting.models import StrategyPerformance


@admin.register(StrategyPerformance)
class StrategyPerformanceAdmin(RecordAdmin):
    list_display = (
        "strategy_name",
        "environment",
        "kind",
        "dates",
        "return_percent",
        "sharpe",
        "drawdown_percent",
        "total_trades",
        "pnl",
    )
    list_filter = ("period", values_filter("strategy_name", "strategy"), period_filter("period_start"))
    ordering = ("-period_start", "strategy_name")

    @admin.display(description="period")
    def kind(self, row: StrategyPerformance) -> str:
        return str(row.get_period_display())

    @admin.display(description="days in New York")
    def dates(self, row: StrategyPerformance) -> str:
        first, last = trading_day(row.period_start), trading_day(row.period_end - timedelta(microseconds=1))
        return f"{first}" if first == last else f"{first} to {last}"

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
