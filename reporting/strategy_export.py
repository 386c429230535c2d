"""Strategies as CSV: a line for each strategy, and of one strategy a line for each trade or each day."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reporting.csv_text import csv_text
from reporting.strategy_comparison import COLUMNS, StrategyComparison
from reporting.strategy_sheet import StrategySheet
from reporting.strategy_trades import closed
from reporting.trades import RoundTrip

TRADES, DAYS = "trades", "days"


def comparison_csv(report: StrategyComparison) -> str:
    """Values in full; an empty cell is n/a, and the last column says why."""
    names = [column.name for column in COLUMNS[1:]]
    heading = ["strategy", *names, "sharpe_low", "sharpe_high", "warnings", "not_available"]
    return csv_text([heading, *(_strategy_line(each) for each in report.strategies)])


def _strategy_line(each: Any) -> list[Any]:
    by_name = {figure.name: figure for figure in each.figures}
    sharpe = by_name["sharpe_ratio"]
    missing = "; ".join(f"{figure.name}: {figure.reason}" for figure in each.figures if figure.value is None)
    values = [figure.value for figure in each.figures]
    return [each.strategy, *values, sharpe.low, sharpe.high, "; ".join(each.warnings), missing]


def trades_csv(trips: Iterable[RoundTrip]) -> str:
    """As they were closed."""
    heading = [
        "instruments",
        "opened_at",
        "closed_at",
        "pnl",
        "fees",
        "net",
        "endings",
        "opening_order",
        "closing_orders",
    ]
    return csv_text([heading, *map(_trade_line, trips)])


def _trade_line(trip: RoundTrip) -> list[Any]:
    return [
        " ".join(trip.instruments),
        trip.opened_at,
        closed(trip),
        trip.pnl,
        trip.fees,
        trip.net,
        ", ".join(sorted({str(each.ending) for each in trip.closings})),
        trip.order,
        " ".join(dict.fromkeys(each.closed_by for each in trip.closings)),
    ]


def days_csv(report: StrategySheet) -> str:
    """Oldest first; an empty cell is not known."""
    heading = ["day", "gross_pnl", "fees", "net_pnl", "cumulative_net_pnl", "return"]
    lines = ([each.day, each.gross, each.fees, each.net, each.cumulative_net, each.growth] for each in report.days)
    return csv_text([heading, *lines])
