"""Everything about one strategy in a period: figures, courses, distribution, costs, trades, and what it is set against.

Pure. What can't be told says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from emo_site.db.keyset import Place
from reporting.execution_figures import duration
from reporting.performance import Estimate, drawdowns, underwater
from reporting.strategy_benchmark import LONGEST_GAP, beside, paired, returns_of_closes
from reporting.strategy_comparison import (
    UNSTATED,
    cost_row,
    cumulative,
    moment_text,
    money_rows,
    period_text,
    pnl_signs,
    trades_row,
)
from reporting.strategy_costs import ExecutionCost, Spent, execution_cost
from reporting.strategy_drawings import Curve, Histogram, axis_percent, curve, histogram
from reporting.strategy_evidence import WINDOW, Interval, Trials, described, interval, rolling, warnings
from reporting.strategy_figures import FigureRow, percent, row, shown
from reporting.strategy_months import YearRow, years
from reporting.strategy_series import Returns, Series
from reporting.strategy_trades import TradePage, page
from reporting.trades import RoundTrip

_WORST = 5
_RETURNS = (
    "total_return",
    "annual_return",
    "annual_volatility",
    "downside_risk",
    "max_drawdown",
    "drawdowns",
    "recovery_days",
    "sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "omega_ratio",
    "tail_ratio",
    "stability",
    "value_at_risk",
    "conditional_value_at_risk",
    "skewness",
    "kurtosis",
)
_EVIDENCE = ("probabilistic_sharpe_ratio", "deflated_sharpe_ratio", "minimum_track_record_length")
_OF_TRADES = (
    "win_rate",
    "profit_factor",
    "expectancy",
    "average_win",
    "average_loss",
    "longest_win_streak",
    "longest_loss_streak",
)
_SET_AGAINST = ("total_return", "annual_volatility", "sharpe_ratio", "max_drawdown", "win_rate")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Figures of one kind under a heading."""

    title: str
    key: str
    figures: tuple[FigureRow, ...]


@dataclass(frozen=True, kw_only=True)
class DayLine:
    """One day of the record; `net` and `growth` are None where they are not known."""

    day: date
    gross: Decimal | None
    fees: Decimal
    net: Decimal | None
    cumulative_net: Decimal | None
    growth: float | None


@dataclass(frozen=True, kw_only=True)
class RollingPoint:
    """A Sharpe ratio per year of the WINDOW days up to `day`, between its bounds."""

    day: date
    sharpe: float | None
    low: float | None
    high: float | None
    sharpe_text: str
    bounds_text: str


@dataclass(frozen=True, kw_only=True)
class Fall:
    """A drawdown. `recovered` is None while it is open; `days` are returns from the high to its end, or to the last."""

    high: date
    bottom: date
    recovered: date | None
    depth: float
    days: int
    high_text: str
    recovered_text: str
    depth_text: str


@dataclass(frozen=True, kw_only=True)
class CostStep:
    """One step from the P&L at arrival prices to the net P&L."""

    label: str
    money: Decimal | None
    note: str
    money_text: str


@dataclass(frozen=True, kw_only=True)
class ReviewDelay:
    """What waiting for a reviewer cost: of `n` filled orders with all prices; `bps` of their value at the decision."""

    money: Decimal | None
    bps: float | None
    n: int
    mean_seconds: float | None
    decided: int
    reason: str
    money_text: str
    bps_text: str
    wait_text: str


@dataclass(frozen=True, kw_only=True)
class Against:
    """The strategy beside something else; no figures where `reason` says why."""

    name: str
    pairs: int
    left_out: int
    figures: tuple[FigureRow, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Pair:
    label: str
    mine: FigureRow
    other: FigureRow


@dataclass(frozen=True, kw_only=True)
class OtherEnvironment:
    """The same strategy elsewhere, each over its own days of the period."""

    against: Against
    figures: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class StrategySheet:
    as_of: datetime
    environment: str
    demo: bool
    strategy: str
    first: date | None
    last: date | None
    trials: int
    known_until: datetime | None
    behind: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    headline_figures: tuple[FigureRow, ...]
    groups: tuple[Group, ...]
    days: tuple[DayLine, ...]
    no_returns: str
    passed_days: int
    months: tuple[YearRow, ...]
    rolling_sharpe: tuple[RollingPoint, ...]
    rolling_days: int
    worst_drawdowns: tuple[Fall, ...]
    no_drawdowns: str
    cost_steps: tuple[CostStep, ...]
    cost_share: FigureRow
    review_delay: ReviewDelay
    benchmark: Against | None
    compared: OtherEnvironment | None
    trades: TradePage
    equity_drawing: Curve | None
    underwater_drawing: Curve | None
    rolling_drawing: Curve | None
    distribution_drawing: Histogram | None
    strategy_text: str
    period_text: str
    known_until_text: str
    no_equity_text: str
    no_rolling_text: str


@dataclass(frozen=True, kw_only=True)
class SheetRecord:
    """What a sheet is made of. `trips` ended in the period, as they were closed. `closes` are the benchmark's by day,
    `other` the strategy elsewhere; None where none is asked for.
    """

    as_of: datetime
    environment: str
    demo: bool
    series: Series
    first: date | None
    last: date | None
    tried: Trials
    spent: Spent
    trips: Sequence[RoundTrip]
    known_until: datetime | None
    behind: tuple[str, ...]
    notes: tuple[str, ...]
    url_of: Callable[[UUID], str]
    older_than: Place | None = None
    benchmark: str | None = None
    closes: Mapping[date, Decimal] | None = None
    compare: str | None = None
    other: Series | None = None


def sheet(found: SheetRecord) -> StrategySheet:
    returns, total = found.series.returns, found.series.total
    pnl = [float(trip.net) for trip in found.trips]
    figures = described(returns, pnl=pnl, tried=found.tried)
    cost = execution_cost(found.spent, gross=total.gross, fees=total.fees, no_gross=total.reason)
    money = money_rows(found.series, total)
    rows = _figure_rows(figures, returns)
    course = rolling(returns)
    sums = cumulative(found.series.days)
    falls = drawdowns(returns.values)
    return StrategySheet(
        as_of=found.as_of,
        environment=found.environment,
        demo=found.demo,
        strategy=found.series.strategy,
        first=found.first,
        last=found.last,
        trials=found.tried.count,
        known_until=found.known_until,
        behind=found.behind,
        notes=found.notes,
        warnings=warnings(figures),
        headline_figures=_headline(found.series, money, rows),
        groups=_groups(money, rows, found.series),
        days=_day_lines(found.series, sums),
        no_returns=returns.reason,
        passed_days=returns.passed,
        months=years(found.series.days, returns),
        rolling_sharpe=tuple(_rolling_point(day, each.value, each.low, each.high) for day, each in course),
        rolling_days=WINDOW,
        worst_drawdowns=_worst(returns),
        no_drawdowns=figures["max_drawdown"].reason if falls is None else "" if falls else "there was no drawdown",
        cost_steps=_cost_steps(cost, money, found.spent),
        cost_share=cost_row(cost, found.spent),
        review_delay=_review_delay(found.spent),
        benchmark=_benchmark(found),
        compared=_compared(found, rows),
        trades=page(found.trips, found.url_of, older_than=found.older_than),
        equity_drawing=_equity(sums),
        underwater_drawing=_underwater(returns),
        rolling_drawing=_rolling_drawing(course),
        distribution_drawing=_distribution(returns, figures),
        strategy_text=found.series.strategy or UNSTATED,
        period_text=period_text(found.first, found.last),
        known_until_text=moment_text(found.known_until),
        no_equity_text=total.reason or "no day's P&L is known",
        no_rolling_text=_no_rolling(returns, course),
    )


def _figure_rows(figures: Mapping[str, Estimate], returns: Returns) -> dict[str, FigureRow]:
    rows = {name: row(name, each) for name, each in figures.items() if name not in ("alpha", "beta")}
    bounds = interval(returns.values)
    rows["sharpe_ratio"] = row("sharpe_ratio", figures["sharpe_ratio"], low=bounds.low, high=bounds.high)
    return rows


def _headline(series: Series, money: Mapping[str, FigureRow], rows: Mapping[str, FigureRow]) -> tuple[FigureRow, ...]:
    chosen = ("total_return", "sharpe_ratio", "max_drawdown", "probabilistic_sharpe_ratio", "deflated_sharpe_ratio")
    return (money["net_pnl"], *(rows[name] for name in chosen), trades_row(series), rows["win_rate"])


def _groups(money: Mapping[str, FigureRow], rows: Mapping[str, FigureRow], series: Series) -> tuple[Group, ...]:
    return (
        Group(title="Money", key="money", figures=tuple(money.values())),
        Group(title="Returns", key="returns", figures=tuple(rows[name] for name in _RETURNS)),
        Group(title="What the Sharpe ratio proves", key="evidence", figures=tuple(rows[name] for name in _EVIDENCE)),
        Group(title="Trades", key="trade-figures", figures=(trades_row(series), *(rows[name] for name in _OF_TRADES))),
    )


def _day_lines(series: Series, sums: Sequence[tuple[date, Decimal | None]]) -> tuple[DayLine, ...]:
    return tuple(
        DayLine(
            day=each.day,
            gross=each.gross,
            fees=each.stored.fees,
            net=each.net,
            cumulative_net=value,
            growth=each.stored.growth,
        )
        for each, (_, value) in zip(series.days, sums, strict=True)
    )


# ---- courses ---------------------------------------------------------------------------------------------------------


def _money_text(value: float) -> str:
    return shown(value, "money") if value % 1 else f"{value:,.0f}"


def _equity(sums: Sequence[tuple[date, Decimal | None]]) -> Curve | None:
    points = [(day, None if value is None else float(value)) for day, value in sums]
    return curve(points, _money_text) if any(value is not None for _, value in points) else None


def _underwater(returns: Returns) -> Curve | None:
    depths = underwater(returns.values)
    return (
        None
        if depths is None
        else curve(list(zip(returns.days, depths[1:], strict=True)), axis_percent, said=percent, height=90)
    )


def _rolling_point(day: date, value: float | None, low: float | None, high: float | None) -> RollingPoint:
    return RollingPoint(
        day=day,
        sharpe=value,
        low=low,
        high=high,
        sharpe_text=shown(value, "ratio"),
        bounds_text="n/a" if low is None or high is None else f"{low:.2f} to {high:.2f}",
    )


def _rolling_drawing(course: Sequence[tuple[date, Interval]]) -> Curve | None:
    points = [(day, each.value) for day, each in course]
    if all(value is None for _, value in points):
        return None
    bounds = [None if each.low is None or each.high is None else (each.low, each.high) for _, each in course]
    return curve(points, lambda value: f"{value:g}" if value == round(value, 3) else f"{value:.2f}", bounds=bounds)


def _no_rolling(returns: Returns, course: Sequence[object]) -> str:
    if returns.reason:
        return returns.reason
    if course:
        return "no window has returns that vary"
    n = len(returns.values)
    return f"{n} day{'' if n == 1 else 's'} of returns, {WINDOW} are needed for one window"


def _distribution(returns: Returns, figures: Mapping[str, Estimate]) -> Histogram | None:
    if not returns.values:
        return None
    named = (("VaR", figures["value_at_risk"].value), ("CVaR", figures["conditional_value_at_risk"].value))
    marks = [(f"{name} {percent(value, signed=True)}", value) for name, value in named if value is not None]
    return histogram(returns.values, marks)


def _worst(returns: Returns) -> tuple[Fall, ...]:
    found = sorted(drawdowns(returns.values) or (), key=lambda each: each.depth)[:_WORST]
    last = len(returns.values)
    return tuple(
        Fall(
            high=returns.days[max(0, each.peak - 1)],
            bottom=returns.days[each.trough - 1],
            recovered=None if each.end is None else returns.days[each.end - 1],
            depth=each.depth,
            days=(last if each.end is None else each.end) - each.peak,
            high_text=f"{returns.days[each.peak - 1]}" if each.peak else "the beginning",
            recovered_text="open" if each.end is None else f"{returns.days[each.end - 1]}",
            depth_text=shown(each.depth, "fraction"),
        )
        for each in found
    )


# ---- costs -----------------------------------------------------------------------------------------------------------


def _cost_steps(cost: ExecutionCost, money: Mapping[str, FigureRow], spent: Spent) -> tuple[CostStep, ...]:
    of = f"{spent.known} of {spent.filled} filled orders, those with all prices"
    no_gross, fees = money["gross_pnl"].reason, money["fees"].value
    steps: tuple[tuple[str, float | Decimal | None, str], ...] = (
        (
            "P&L had every fill been at its order's arrival price",
            cost.at_arrival,
            cost.reason or f"gross P&L and the slippage of {of}",
        ),
        (
            "Slippage, arrival to fill",
            None if cost.slippage is None else -cost.slippage,
            cost.reason if cost.slippage is None else of,
        ),
        ("Gross P&L", money["gross_pnl"].value, no_gross or "as filled, before fees"),
        ("Fees", None if fees is None else -fees, money["fees"].reason or "as charged; positive is a rebate"),
        ("Net P&L", money["net_pnl"].value, money["net_pnl"].reason or "after fees"),
    )
    return tuple(
        CostStep(
            label=label,
            money=None if value is None else Decimal(value),
            note=note,
            money_text="n/a" if value is None else f"{value:+,.2f}",
        )
        for label, value, note in steps
    )


def _review_delay(spent: Spent) -> ReviewDelay:
    reason = "" if spent.known else "no filled order has a price for its decision, approval and arrival"
    bps = float(spent.review_delay / spent.decided_value * 10_000) if spent.known and spent.decided_value > 0 else None
    seconds = spent.waited_ms / spent.decided / 1000 if spent.decided else None
    return ReviewDelay(
        money=spent.review_delay if spent.known else None,
        bps=bps,
        n=spent.known,
        mean_seconds=seconds,
        decided=spent.decided,
        reason=reason,
        money_text=f"{spent.review_delay:+,.2f}" if spent.known else "n/a",
        bps_text="n/a" if bps is None else f"{bps:+.2f} bps",
        wait_text="n/a: nothing was decided" if seconds is None else duration(seconds),
    )


# ---- beside something else -------------------------------------------------------------------------------------------


def _benchmark(found: SheetRecord) -> Against | None:
    if found.benchmark is None:
        return None
    closes, returns = found.closes or {}, found.series.returns
    reason = returns.reason
    if not reason and len(closes) < 2:
        reason = f"{len(closes)} closes of {found.benchmark} on record in the period, from trades: 2 are needed"
    return _against(found.benchmark, returns, returns_of_closes(closes), reason)


def _against(name: str, returns: Returns, others: Mapping[date, float], reason: str) -> Against:
    pairs = paired(returns, others)
    if not reason and not pairs.values:
        reason = f"on no day both have a return ({name}: a close at most {LONGEST_GAP.days} days after the one before)"
    figures = () if reason else tuple(row(key, each) for key, each in beside(pairs).items())
    return Against(name=name, pairs=len(pairs.values), left_out=pairs.left_out, figures=figures, reason=reason)


def _compared(found: SheetRecord, rows: Mapping[str, FigureRow]) -> OtherEnvironment | None:
    if found.compare is None:
        return None
    if found.other is None:
        reason = f"no performance of this strategy is on record in {found.compare}"
        return OtherEnvironment(
            against=Against(name=found.compare, pairs=0, left_out=0, figures=(), reason=reason), figures=()
        )
    mine, other = found.series, found.other
    theirs = described(other.returns, pnl=pnl_signs(other), tried=found.tried)
    other_money, my_money = money_rows(other, other.total), money_rows(mine, mine.total)
    pairs = [(my_money["net_pnl"], other_money["net_pnl"]), (trades_row(mine), trades_row(other))]
    pairs += [(rows[name], row(name, theirs[name])) for name in _SET_AGAINST]
    reason = mine.returns.reason or other.returns.reason
    elsewhere = dict(zip(other.returns.days, other.returns.values, strict=True))
    return OtherEnvironment(
        against=_against(found.compare, mine.returns, elsewhere, reason),
        figures=tuple(Pair(label=each.label, mine=each, other=their) for each, their in pairs),
    )
