"""The order review: what is staged, waiting, sent, filled and refused, as one frozen value from one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.urls import reverse

from emo_site import display
from orders.choices import ACTIVE_GROUP, CANCELLED_GROUP, EXECUTED_GROUP, PENDING_GROUP, TONES, OrderStatus, Side
from orders.models import StagedOrder
from orders.querysets import StagedOrderQuerySet
from reporting.charts import Share, shares
from reporting.figures import Figure

RECENT_ORDERS = 50


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
class OrderReview:
    """Counts and means over all orders of the database. Money in account currency; scores from 0 to 100.

    A mean is over the orders whose figure is known (n_…); it is None where that is no order.
    """

    as_of: datetime
    environment: str
    demo: bool
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
    by_status: dict[str, int]
    violations: dict[str, int]
    overrides: dict[str, int]
    recent_orders: tuple[OrderRow, ...]

    @cached_property
    def headline(self) -> tuple[Figure, ...]:
        return _headline(self)

    @cached_property
    def status_bars(self) -> tuple[Share, ...]:
        found = [status for status in OrderStatus if status in self.by_status]
        return shares([(status.label, self.by_status[status], TONES.get(status, "muted")) for status in found])

    @cached_property
    def violation_bars(self) -> tuple[Share, ...]:
        return shares([(code, n, "warn") for code, n in self.violations.items()])

    @cached_property
    def override_bars(self) -> tuple[Share, ...]:
        return shares([(code, n, "warn") for code, n in self.overrides.items()])


def build(*, now: datetime, orders: StagedOrderQuerySet | None = None) -> OrderReview:
    """Reads everything in one transaction: six queries, whatever the number of orders."""
    queryset = StagedOrder.objects.all() if orders is None else orders
    # One place for all of it: inside the transaction of another database a replica is not read.
    queryset = queryset.using(queryset.db)
    with transaction.atomic(using=queryset.db):
        by_status = queryset.counted_by_status()
        values = queryset.figures()
        violations, overrides = _violations(queryset), _overrides(queryset)
        demo = queryset.demo().exists()
        newest = queryset.with_people().defer("workflow_state", "metadata").order_by("-created_at", "-id")
        recent = tuple(_row(order, now) for order in newest[:RECENT_ORDERS])
    return OrderReview(
        as_of=now,
        environment=settings.EMO_ENV,
        demo=demo,
        total_orders=sum(by_status.values()),
        active_orders=_sum_of(by_status, ACTIVE_GROUP),
        pending_orders=_sum_of(by_status, PENDING_GROUP),
        executed_orders=_sum_of(by_status, EXECUTED_GROUP),
        cancelled_orders=_sum_of(by_status, CANCELLED_GROUP),
        total_value=_cents(values["total_value"]) or Decimal("0.00"),
        average_order_value=_mean(values["total_value"], values["n_valued"]),
        largest_order_value=_cents(values["largest_order_value"]),
        n_valued=values["n_valued"],
        risk_score=_rounded(values["mean_risk_score"]),
        n_risk=values["n_risk"],
        compliance_score=_rounded(values["mean_compliance_score"]),
        n_compliance=values["n_compliance"],
        performance_score=_rounded(values["mean_performance_score"]),
        n_performance=values["n_performance"],
        by_status=by_status,
        violations=violations,
        overrides=overrides,
        recent_orders=recent,
    )


def _sum_of(by_status: dict[str, int], group: frozenset[OrderStatus]) -> int:
    return sum(by_status.get(status, 0) for status in group)


def _mean(total: Decimal | None, n: int) -> Decimal | None:
    return None if total is None else _cents(total / n)


def _cents(value: Decimal | None) -> Decimal | None:
    """Engines give sums back with different numbers of decimals."""
    return None if value is None else value.quantize(Decimal("0.01"))


def _rounded(score: Any) -> float | None:
    return None if score is None else round(float(score), 2)


def _headline(review: OrderReview) -> tuple[Figure, ...]:
    n_valued, total, no_value = review.n_valued, review.total_orders, "no order has a known notional"
    return (
        Figure(label="Orders", value=display.count(total), note="all that were ever staged"),
        Figure(label="Active", value=display.count(review.active_orders), note="approved, submitted, partially filled"),
        Figure(label="Pending", value=display.count(review.pending_orders), note="draft, blocked, pending review"),
        Figure(label="Executed", value=display.count(review.executed_orders), note="filled"),
        Figure(
            label="Cancelled",
            value=display.count(review.cancelled_orders),
            note="cancelled, expired, rejected, refused by broker",
        ),
        Figure(
            label="Total value",
            value=display.money(review.total_value) if n_valued else "n/a",
            note=_of(n_valued, total, "sum of notionals, account currency", no_value),
        ),
        Figure(
            label="Average order value",
            value=display.money(review.average_order_value),
            note=_of(n_valued, total, "mean notional", no_value),
        ),
        Figure(
            label="Largest order value",
            value=display.money(review.largest_order_value),
            note=_of(n_valued, total, "largest notional", no_value),
        ),
        Figure(
            label="Risk score",
            value=display.score(review.risk_score),
            note=_of(review.n_risk, total, "mean, 0 safe to 100", "no order was judged"),
        ),
        Figure(
            label="Compliance score",
            value=display.score(review.compliance_score),
            note=_of(review.n_compliance, total, "mean, 100 best", "no order was judged"),
        ),
        Figure(
            label="Performance score",
            value=display.score(review.performance_score),
            note=_of(review.n_performance, total, "mean execution score, 100 best", "no fill has a benchmark price"),
        ),
    )


def _of(n: int, total: int, estimator: str, reason: str) -> str:
    return f"{estimator}, n = {n:,} of {total:,}" if n else reason


def _violations(queryset: StagedOrderQuerySet) -> dict[str, int]:
    """Rule -> orders on which it blocked or warned at their last assessment, most frequent first."""
    found: Counter[str] = Counter()
    for text, n in queryset.exclude(violations="").order_by().values_list("violations").annotate(n=Count("pk")):
        for item in str(text).split(","):
            found[item.partition(":")[0]] += n
    return _most_frequent_first(found)


def _overrides(queryset: StagedOrderQuerySet) -> dict[str, int]:
    """Rule -> how often a second person set it aside for an order, whether that holds still or not."""
    given = queryset.filter(overrides__isnull=False).order_by().values_list("overrides__code")
    return _most_frequent_first(dict(given.annotate(n=Count("overrides"))))


def _most_frequent_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _row(order: StagedOrder, now: datetime) -> OrderRow:
    status = OrderStatus(order.status)
    violations = tuple(dict.fromkeys(code for code, _ in order.violation_codes))
    reviewer = order.reviewed_by.get_username() if order.reviewed_by else None
    return OrderRow(
        id=str(order.pk),
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        strategy=order.strategy,
        status=order.status,
        created_at=order.created_at,
        notional=_cents(order.notional),
        risk_score=_rounded(order.risk_score),
        compliance_score=_rounded(order.compliance_score),
        violations=violations,
        created_by=order.created_by.get_username(),
        reviewed_by=reviewer,
        url=reverse("admin:orders_stagedorder_change", args=[order.pk]),
        tone=TONES.get(status, "muted"),
        what_text=_what(order),
        strategy_text=order.strategy or "none stated",
        status_text=status.label,
        created_text=f"{order.created_at.astimezone(UTC):%Y-%m-%d %H:%M}",
        age_text=display.age(now - order.created_at),
        notional_text=display.money(order.notional),
        risk_score_text=display.score(order.risk_score),
        compliance_score_text=display.score(order.compliance_score),
        violations_text=", ".join(violations) or "none",
        reviewed_by_text=reviewer or "nobody yet",
    )


def _what(order: StagedOrder) -> str:
    """Side, quantity, type and price in a few words: "buy 2, limit 400.5"; "1 combination, limit -1.2"."""
    quantity = display.number(order.quantity)
    if order.side == Side.AS_DEFINED:
        amount = f"{quantity} combination" if order.quantity == 1 else f"{quantity} combinations"
    else:
        amount = f"{order.get_side_display()} {quantity}"
    price = "" if order.price is None else f" {display.number(order.price)}"
    return f"{amount}, {order.get_order_type_display()}{price}"
