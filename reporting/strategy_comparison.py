"""All strategies of an environment beside one another, each figure with its n, its estimator or why there is none.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from reporting.performance import win_rate
from reporting.strategy_costs import ExecutionCost, Spent, execution_cost
from reporting.strategy_drawings import Sparkline, sparkline
from reporting.strategy_evidence import Trials, described, interval, trials, warnings
from reporting.strategy_figures import FigureRow, count_row, money_row, row, shown
from reporting.strategy_series import DayResult, Returns, Series, Total
from reporting.trades import ZERO

UNSTATED = "none stated"


@dataclass(frozen=True, kw_only=True)
class Column:
    """`key` is how an address sorts by it, `name` that of its figure; "" is the strategy itself."""

    key: str
    name: str
    label: str
    title: str = ""


COLUMNS = (
    Column(key="strategy", name="", label="Strategy", title="course of the net P&L"),
    Column(key="net", name="net_pnl", label="Net P&L"),
    Column(key="gross", name="gross_pnl", label="Gross P&L"),
    Column(key="fees", name="fees", label="Fees"),
    Column(key="return", name="total_return", label="Return"),
    Column(key="volatility", name="annual_volatility", label="Volatility", title="a year"),
    Column(key="sharpe", name="sharpe_ratio", label="Sharpe", title="a year, 95 %"),
    Column(key="drawdown", name="max_drawdown", label="Drawdown", title="largest"),
    Column(key="psr", name="probabilistic_sharpe_ratio", label="PSR", title="probability"),
    Column(key="dsr", name="deflated_sharpe_ratio", label="DSR", title="probability"),
    Column(key="trades", name="total_trades", label="Trades", title="closed"),
    Column(key="wins", name="win_rate", label="Win rate"),
    Column(key="cost", name="execution_cost_share", label="Cost share", title="execution"),
    Column(key="days", name="days", label="Days", title="observed"),
)


_PLAIN = (
    "total_return",
    "annual_volatility",
    "max_drawdown",
    "probabilistic_sharpe_ratio",
    "deflated_sharpe_ratio",
)


@dataclass(frozen=True, kw_only=True)
class Sort:
    key: str = "net"
    descending: bool = True

    @property
    def text(self) -> str:
        return f"-{self.key}" if self.descending else self.key


@dataclass(frozen=True, kw_only=True)
class StrategyRow:
    """One strategy; `figures` in the order of COLUMNS."""

    strategy: str
    figures: tuple[FigureRow, ...]
    warnings: tuple[str, ...]
    strategy_text: str
    url: str
    drawing: Sparkline | None


@dataclass(frozen=True, kw_only=True)
class StrategyComparison:
    """`behind` says which strategies have fills that the figures don't know; `known_until` is up to when
    fills and prices are in the newest of them.
    """

    as_of: datetime
    environment: str
    demo: bool
    first: date | None
    last: date | None
    trials: int
    known_until: datetime | None
    behind: tuple[str, ...]
    strategies: tuple[StrategyRow, ...]
    period_text: str
    known_until_text: str


@dataclass(frozen=True, kw_only=True)
class OnRecord:
    """What a comparison is made of; `link` gives a strategy's address."""

    as_of: datetime
    environment: str
    demo: bool
    first: date | None
    last: date | None
    series: Mapping[str, Series]
    spent: Mapping[str, Spent]
    known_until: datetime | None
    behind: tuple[str, ...]
    link: Callable[[str], str]


def comparison(found: OnRecord) -> StrategyComparison:
    """Every strategy that has a day or a fill on record is one that was tried."""
    compared = compared_of(found.series, found.spent)
    tried = trials(compared)
    return StrategyComparison(
        as_of=found.as_of,
        environment=found.environment,
        demo=found.demo,
        first=found.first,
        last=found.last,
        trials=tried.count if compared else 0,
        known_until=found.known_until,
        behind=found.behind,
        strategies=tuple(_row(each, found, tried) for each in compared),
        period_text=period_text(found.first, found.last),
        known_until_text=moment_text(found.known_until),
    )


def compared_of(series: Mapping[str, Series], spent: Mapping[str, Spent]) -> list[Series]:
    """By name."""
    names = set(series) | {name for name, each in spent.items() if each.filled}
    return [series.get(name) or nothing_of(name) for name in sorted(names)]


def nothing_of(strategy: str) -> Series:
    return Series(strategy=strategy, days=(), returns=Returns(reason="no fill is rolled up: there is no day on record"))


def in_order(report: StrategyComparison, sort: Sort) -> StrategyComparison:
    """What is n/a comes last, whichever way; equals by name."""
    if sort.key == "strategy":
        rows = sorted(report.strategies, key=lambda each: each.strategy, reverse=sort.descending)
        return replace(report, strategies=tuple(rows))
    place = next(place for place, column in enumerate(COLUMNS[1:]) if column.key == sort.key)
    sign = -1 if sort.descending else 1

    def key(each: StrategyRow) -> tuple[bool, float | Decimal, str]:
        value = each.figures[place].value
        return value is None, 0 if value is None else sign * value, each.strategy

    return replace(report, strategies=tuple(sorted(report.strategies, key=key)))


def _row(each: Series, found: OnRecord, tried: Trials) -> StrategyRow:
    total = each.total
    figures = described(each.returns, pnl=pnl_signs(each), tried=tried)
    spent = found.spent.get(each.strategy, Spent())
    cost = execution_cost(spent, gross=total.gross, fees=total.fees, no_gross=total.reason)
    bounds = interval(each.returns.values)
    rows = {
        **money_rows(each, total),
        **{name: row(name, figures[name]) for name in _PLAIN},
        "sharpe_ratio": row("sharpe_ratio", figures["sharpe_ratio"], low=bounds.low, high=bounds.high),
        "total_trades": trades_row(each),
        "win_rate": row("win_rate", win_rate.estimate(each.won + each.lost, pnl_signs(each))),
        "execution_cost_share": cost_row(cost, spent),
        "days": count_row(
            "days", "Days", len(each.returns.values), unit="days", estimator="daily returns, idle weekdays included"
        ),
    }
    return StrategyRow(
        strategy=each.strategy,
        figures=tuple(rows[column.name] for column in COLUMNS[1:]),
        warnings=warnings(figures),
        strategy_text=each.strategy or UNSTATED,
        url=found.link(each.strategy),
        drawing=_drawing(each.days),
    )


def pnl_signs(each: Series) -> list[float]:
    """Days keep how many trades were won and lost, which is all that a rate needs."""
    even = each.trades - each.won - each.lost
    return [1.0] * each.won + [-1.0] * each.lost + [0.0] * even


def money_rows(each: Series, total: Total) -> dict[str, FigureRow]:
    n, reason = len(each.days), total.reason
    return {
        "net_pnl": money_row(
            "net_pnl",
            "Net P&L",
            total.net,
            n=n,
            estimator="realised and the change of unrealised, after fees, over the days",
            reason=reason,
        ),
        "gross_pnl": money_row(
            "gross_pnl",
            "Gross P&L",
            total.gross,
            n=n,
            estimator="realised and the change of unrealised, before fees, over the days",
            reason=reason,
        ),
        "fees": money_row(
            "fees",
            "Fees",
            total.fees if each.days else None,
            n=n,
            estimator="sum of what fills cost over the days; negative is a rebate",
            reason=reason,
        ),
    }


def trades_row(each: Series) -> FigureRow:
    return count_row(
        "total_trades", "Trades", each.trades, unit="trades", estimator="round trips that ended in the period"
    )


def cost_row(cost: ExecutionCost, spent: Spent) -> FigureRow:
    return FigureRow(
        name="execution_cost_share",
        label="Execution cost, share of P&L",
        value=cost.share,
        unit="fraction",
        n=spent.known,
        estimator="(slippage against arrival + fees) / (gross P&L + slippage); n filled orders with all prices",
        reason=cost.no_share,
        value_text=shown(cost.share, "fraction"),
        unit_text="",
    )


def cumulative(days: Sequence[DayResult]) -> list[tuple[date, Decimal | None]]:
    """Net P&L since the first day began, by day; None where what is held has no price. The next one that has counts it
    all again.
    """
    before = days[0].before if days else None
    earned: Decimal | None = None if before is None else -before
    found: list[tuple[date, Decimal | None]] = []
    for each in days:
        stored = each.stored
        earned = None if earned is None or stored.realised is None else earned + stored.realised - stored.fees
        known = earned is not None and stored.unrealised is not None
        found.append((each.day, (earned or ZERO) + (stored.unrealised or ZERO) if known else None))
    return found


def period_text(first: date | None, last: date | None) -> str:
    if first is None and last is None:
        return "All days"
    return f"From {first or 'the first day'} to {last or 'the last day'}"


def moment_text(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def _drawing(days: Sequence[DayResult]) -> Sparkline | None:
    values = [float(value) for _, value in cumulative(days) if value is not None]
    return sparkline(values, lambda value: shown(value, "money")) if values else None
