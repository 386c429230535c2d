"""The order review as one frozen value: what is staged, waiting, sent, filled and refused, and what it cost. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from emo_site import display
from orders.choices import ACTIVE_GROUP, CANCELLED_GROUP, EXECUTED_GROUP, PENDING_GROUP, TONES, OrderStatus
from reporting import execution_figures as execution
from reporting import order_figures as figures
from reporting.charts import Share, shares
from reporting.execution_figures import CostRow, Link, SpreadRow
from reporting.figures import Figure
from reporting.order_figures import (
    ComparedRow,
    ExceptionRow,
    FunnelRow,
    NotionalRow,
    OverrideRow,
    ReviewerRow,
    RuleRow,
)
from reporting.order_tally import Sums, Tally


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    """One order of the table: its values, and as …_text how the page shows them."""

    id: str
    client_order_id: str
    symbol: str
    strategy: str
    status: str
    created_at: datetime
    notional: Decimal | None
    risk_score: float | None
    compliance_score: float | None
    violations: tuple[str, ...]
    created_by: str
    reviewed_by: str | None
    url: str
    tone: str
    what_text: str
    strategy_text: str
    status_text: str
    created_text: str
    age_text: str
    notional_text: str
    risk_score_text: str
    compliance_score_text: str
    violations_text: str
    reviewed_by_text: str


@dataclass(frozen=True, kw_only=True)
class ExtremeRow:
    """One of the cheapest or dearest executions: arrival to average fill, for the whole order."""

    order: str
    money: Decimal
    money_text: str
    order_text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class OrderReview:
    """Figures of the orders of a period (None: of all days) that the filters let through, as they are at `as_of`.

    Money in account currency; scores from 0 to 100; costs positive. A mean is over the orders whose figure is known
    (n_…); it is None where that is no order. `bad` names dictionaries that could not be read.
    """

    as_of: datetime
    environment: str
    demo: bool
    period_from: date | None
    period_to: date | None
    filters: dict[str, str]
    total_orders: int
    active_orders: int
    pending_orders: int
    executed_orders: int
    cancelled_orders: int
    total_value: Decimal
    average_order_value: Decimal | None
    largest_order_value: Decimal | None
    n_valued: int
    risk_score: float | None
    n_risk: int
    compliance_score: float | None
    n_compliance: int
    performance_score: float | None
    n_performance: int
    fill_rate: float | None
    n_sent: int
    shortfall_bps: float | None
    n_shortfall: int
    by_status: dict[str, int]
    violations: dict[str, int]
    overrides: dict[str, int]
    funnel: tuple[FunnelRow, ...]
    by_day: tuple[NotionalRow, ...]
    by_strategy: tuple[NotionalRow, ...]
    by_underlying: tuple[NotionalRow, ...]
    rules: tuple[RuleRow, ...]
    given_overrides: tuple[OverrideRow, ...]
    shortfall: tuple[CostRow, ...]
    slippages: tuple[SpreadRow, ...]
    latencies: tuple[SpreadRow, ...]
    cheapest: tuple[ExtremeRow, ...]
    dearest: tuple[ExtremeRow, ...]
    reviewers: tuple[ReviewerRow, ...]
    exceptions: tuple[ExceptionRow, ...]
    exceptional_orders: tuple[OrderRow, ...]
    compared: tuple[ComparedRow, ...]
    bad: tuple[str, ...]
    recent_orders: tuple[OrderRow, ...]
    list_url: str = ""

    @property
    def period_text(self) -> str:
        if self.period_from is None or self.period_to is None:
            return "all days"
        return f"{self.period_from:%Y-%m-%d} to {self.period_to:%Y-%m-%d}, trading days of New York"

    @cached_property
    def headline(self) -> tuple[Figure, ...]:
        return _headline(self)

    @property
    def rules_by_points(self) -> tuple[RuleRow, ...]:
        return tuple(row for row in self.rules if row.mean_points)

    @property
    def rules_that_spoke(self) -> tuple[RuleRow, ...]:
        """By blocks, then by warnings."""
        spoke = [row for row in self.rules if row.blocks or row.warns or row.overrides]
        return tuple(sorted(spoke, key=lambda row: (-row.blocks, -row.warns, -row.overrides, row.code)))

    @cached_property
    def status_bars(self) -> tuple[Share, ...]:
        found = [status for status in OrderStatus if status in self.by_status]
        bars = shares([(status.label, self.by_status[status], TONES.get(status, "muted")) for status in found])
        return tuple(
            replace(bar, url=_narrowed(self, f"facts__status__exact={status}"))
            for status, bar in zip(found, bars, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Around:
    """What of a review is not made of sums. `labels` name orders by key, `names` reviewers by key."""

    as_of: datetime
    environment: str
    demo: bool = False
    period: tuple[date, date] | None = None
    filters: Mapping[str, str]
    link: Link
    link_of: Link
    """The same of what belongs to these orders, by the name of its model."""
    link_before: Link
    """Of the orders of the period before."""
    link_of_day: Callable[[date], str]
    order_url: Callable[[Any], str]
    labels: Mapping[Any, str]
    names: Mapping[Any, str]
    before: Sums | None = None
    unmatched: int = 0
    """Fills of brokers that wait for their order, of the whole desk."""
    unmatched_url: str = ""
    bad: tuple[str, ...] = ()
    exceptional: tuple[OrderRow, ...] = ()
    recent: tuple[OrderRow, ...] = ()


def report(tally: Tally, around: Around) -> OrderReview:
    sums, link = tally.sums, around.link
    by_status: dict[str, int] = {}
    for (status, _), n in tally.stages.items():
        by_status[status] = by_status.get(status, 0) + n
    value = execution.money(sums.total["value"])
    n_valued = sums.known["value"]
    return OrderReview(
        as_of=around.as_of,
        environment=around.environment,
        demo=around.demo,
        period_from=around.period[0] if around.period else None,
        period_to=around.period[1] if around.period else None,
        filters=dict(around.filters),
        total_orders=sums.n,
        active_orders=_sum_of(by_status, ACTIVE_GROUP),
        pending_orders=_sum_of(by_status, PENDING_GROUP),
        executed_orders=_sum_of(by_status, EXECUTED_GROUP),
        cancelled_orders=_sum_of(by_status, CANCELLED_GROUP),
        total_value=value,
        average_order_value=_mean_value(sums),
        largest_order_value=None if sums.largest_value is None else execution.money(sums.largest_value),
        n_valued=n_valued,
        risk_score=figures.mean_score(sums, "risk_score"),
        n_risk=sums.known["risk_score"],
        compliance_score=figures.mean_score(sums, "compliance_score"),
        n_compliance=sums.known["compliance_score"],
        performance_score=figures.mean_score(sums, "performance_score"),
        n_performance=sums.known["performance_score"],
        fill_rate=execution.fill_rate(sums),
        n_sent=sums.known["fill_share"],
        shortfall_bps=execution.shortfall_bps(sums),
        n_shortfall=sums.known["decided_value"],
        by_status=dict(sorted(by_status.items())),
        violations=_most_frequent_first(
            {code: sum(said.values()) for code, said in figures.violations(tally.violations).items()}
        ),
        overrides=_most_frequent_first(figures.overridden(tally)),
        funnel=figures.funnel(tally, link),
        by_day=figures.by_day(tally, around.link_of_day),
        by_strategy=figures.notional(tally.strategies, link, column="strategy"),
        by_underlying=figures.notional(tally.underlyings, link, column="underlying"),
        rules=figures.rules(tally, link, around.link_of),
        given_overrides=figures.overrides(tally, around.names, around.link_of),
        shortfall=execution.shortfall(sums, link),
        slippages=execution.slippages(tally, link),
        latencies=execution.latencies(tally, link),
        cheapest=_extremes(tally.cheapest, around),
        dearest=_extremes(tally.dearest, around),
        reviewers=figures.reviewers(tally, around.names, link, around.link_of),
        exceptions=figures.exceptions(
            tally,
            link,
            now_text=around.as_of.isoformat(),
            bad=len(around.bad),
            unmatched=(around.unmatched, around.unmatched_url),
        ),
        exceptional_orders=around.exceptional,
        compared=() if around.before is None else figures.compared(sums, around.before, link, around.link_before),
        bad=around.bad,
        recent_orders=around.recent,
        list_url=link(),
    )


def _sum_of(by_status: Mapping[str, int], group: frozenset[OrderStatus]) -> int:
    return sum(by_status.get(status, 0) for status in group)


def _mean_value(sums: Sums) -> Decimal | None:
    n = sums.known["value"]
    return (sums.total["value"] * execution.UNIT / n).quantize(execution.CENT) if n else None


def _most_frequent_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _extremes(found: tuple[tuple[int, Any], ...], around: Around) -> tuple[ExtremeRow, ...]:
    return tuple(
        ExtremeRow(
            order=str(key),
            money=execution.money(units),
            money_text=f"{execution.money(units):+,.2f}",
            order_text=around.labels[key],
            url=around.order_url(key),
        )
        for units, key in found
    )


def _headline(review: OrderReview) -> tuple[Figure, ...]:
    n_valued, total, no_value = review.n_valued, review.total_orders, "no order has a known notional"
    groups = (
        ("Active", review.active_orders, "approved, submitted, partially filled", ACTIVE_GROUP),
        ("Pending", review.pending_orders, "draft, blocked, pending review", PENDING_GROUP),
        ("Executed", review.executed_orders, "filled", EXECUTED_GROUP),
        ("Cancelled", review.cancelled_orders, "cancelled, expired, rejected, refused by broker", CANCELLED_GROUP),
    )
    valued = _narrowed(review, "facts__value__isnull=False")
    staged = "all that were ever staged" if review.period_from is None else "staged in the period"
    return (
        Figure(label="Orders", value=display.count(total), note=staged, url=review.list_url),
        *(
            Figure(
                label=label,
                value=display.count(n),
                note=note,
                url=_narrowed(review, f"status__in={','.join(sorted(group))}"),
            )
            for label, n, note, group in groups
        ),
        Figure(
            label="Total value",
            url=valued,
            value=display.money(review.total_value) if n_valued else "n/a",
            note=_of(n_valued, total, "sum of notionals, account currency", no_value),
        ),
        Figure(
            label="Average order value",
            url=valued,
            value=display.money(review.average_order_value),
            note=_of(n_valued, total, "mean notional", no_value),
        ),
        Figure(
            label="Largest order value",
            url=valued,
            value=display.money(review.largest_order_value),
            note=_of(n_valued, total, "largest notional", no_value),
        ),
        Figure(
            label="Risk score",
            url=_narrowed(review, "facts__risk_score__isnull=False"),
            value=display.score(review.risk_score),
            note=_of(review.n_risk, total, "mean, 0 safe to 100", "no order was judged"),
        ),
        Figure(
            label="Compliance score",
            url=_narrowed(review, "facts__compliance_score__isnull=False"),
            value=display.score(review.compliance_score),
            note=_of(review.n_compliance, total, "mean, 100 best", "no order was judged"),
        ),
        Figure(
            label="Performance score",
            url=_narrowed(review, "facts__performance_score__isnull=False"),
            value=display.score(review.performance_score),
            note=_of(review.n_performance, total, "mean execution score, 100 best", "no fill has a benchmark price"),
        ),
        Figure(
            label="Fill rate",
            url=_narrowed(review, "facts__fill_share__isnull=False"),
            value="n/a" if review.fill_rate is None else f"{100 * review.fill_rate:.1f} %",
            note=_of(review.n_sent, total, "mean of filled ÷ ordered, of orders sent to the broker", "none was sent"),
        ),
        Figure(
            label="Delay and execution",
            url=_narrowed(review, "facts__decided_value__isnull=False"),
            value="n/a" if review.shortfall_bps is None else f"{review.shortfall_bps:+.2f} bps",
            note=_of(
                review.n_shortfall,
                total,
                "cost ÷ value at the decision, positive = cost",
                "no filled order has a price for decision, approval and arrival",
            ),
        ),
    )


def _narrowed(review: OrderReview, lookup: str) -> str:
    return f"{review.list_url}&{lookup}" if review.list_url else ""


def _of(n: int, total: int, estimator: str, reason: str) -> str:
    return f"{estimator}, n = {n:,} of {total:,}" if n else reason
