"""The order review: what is staged, waiting, sent, filled and refused, as one frozen value from one moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.urls import reverse

from orders.choices import ACTIVE_GROUP, CANCELLED_GROUP, EXECUTED_GROUP, PENDING_GROUP, TONES, OrderStatus
from orders.models import StagedOrder
from orders.querysets import StagedOrderQuerySet
from reporting import figures
from reporting.charts import Share, shares
from reporting.figures import Figure

RECENT_ORDERS = 50


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    """One line of the table, as it is shown; texts are data and escaped by the template."""

    client_order_id: str
    url: str
    symbol: str
    what: str
    strategy: str
    status: str
    tone: str
    age: str
    created: str
    notional: str
    risk_score: str
    compliance_score: str
    violations: str
    created_by: str
    reviewed_by: str


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
    status_bars: tuple[Share, ...]
    violation_bars: tuple[Share, ...]
    headline: tuple[Figure, ...]
    recent_orders: tuple[OrderRow, ...]


def build(*, now: datetime, orders: StagedOrderQuerySet | None = None) -> OrderReview:
    """Reads everything in one transaction: five queries, whatever the number of orders."""
    queryset = StagedOrder.objects.all() if orders is None else orders
    with transaction.atomic():
        by_status = queryset.counted_by_status()
        values = queryset.figures()
        violations = _violations(queryset)
        demo = queryset.demo().exists()
        newest = queryset.with_people().defer("workflow_state", "metadata").order_by("-created_at", "-id")
        recent = tuple(_row(order, now) for order in newest[:RECENT_ORDERS])
    return OrderReview(
        as_of=now,
        environment=settings.EMO_ENV,
        demo=demo,
        by_status=by_status,
        violations=violations,
        status_bars=shares(
            [(status.label, by_status[status], TONES.get(status, "muted")) for status in OrderStatus if status in by_status]
        ),
        violation_bars=shares([(code, n, "warn") for code, n in violations.items()]),
        recent_orders=recent,
        **_totals(by_status),
        **_figures(values),
        headline=_headline(_totals(by_status), values),
    )


def _totals(by_status: dict[str, int]) -> dict[str, int]:
    def sum_of(group: frozenset[OrderStatus]) -> int:
        return sum(by_status.get(status, 0) for status in group)

    return {
        "total_orders": sum(by_status.values()),
        "active_orders": sum_of(ACTIVE_GROUP),
        "pending_orders": sum_of(PENDING_GROUP),
        "executed_orders": sum_of(EXECUTED_GROUP),
        "cancelled_orders": sum_of(CANCELLED_GROUP),
    }


def _figures(values: dict[str, Any]) -> dict[str, Any]:
    total, n_valued = values["total_value"] or Decimal(0), values["n_valued"]
    return {
        "total_value": total,
        "average_order_value": (total / n_valued).quantize(Decimal("0.01")) if n_valued else None,
        "largest_order_value": values["largest_order_value"],
        "n_valued": n_valued,
        **{
            name: None if values[f"mean_{name}"] is None else round(float(values[f"mean_{name}"]), 2)
            for name in ("risk_score", "compliance_score", "performance_score")
        },
        **{name: values[name] for name in ("n_risk", "n_compliance", "n_performance")},
    }


def _headline(totals: dict[str, int], values: dict[str, Any]) -> tuple[Figure, ...]:
    known = _figures(values)
    n_valued, total = known["n_valued"], totals["total_orders"]
    return (
        Figure(label="Orders", value=figures.count(total), note="all that were ever staged"),
        Figure(label="Active", value=figures.count(totals["active_orders"]), note="approved, submitted, partially filled"),
        Figure(label="Pending", value=figures.count(totals["pending_orders"]), note="draft, blocked, pending review"),
        Figure(label="Executed", value=figures.count(totals["executed_orders"]), note="filled"),
        Figure(
            label="Cancelled",
            value=figures.count(totals["cancelled_orders"]),
            note="cancelled, expired, rejected, refused by broker",
        ),
        Figure(
            label="Total value",
            value=figures.money(known["total_value"]) if n_valued else "n/a",
            note=_of(n_valued, total, "sum of notionals, account currency", "no order has a known notional"),
        ),
        Figure(
            label="Average order value",
            value=figures.money(known["average_order_value"]),
            note=_of(n_valued, total, "mean notional", "no order has a known notional"),
        ),
        Figure(
            label="Largest order value",
            value=figures.money(known["largest_order_value"]),
            note=_of(n_valued, total, "largest notional", "no order has a known notional"),
        ),
        Figure(
            label="Risk score",
            value=figures.score(known["risk_score"]),
            note=_of(known["n_risk"], total, "mean, 0 safe to 100", "no order was judged"),
        ),
        Figure(
            label="Compliance score",
            value=figures.score(known["compliance_score"]),
            note=_of(known["n_compliance"], total, "mean, 100 best", "no order was judged"),
        ),
        Figure(
            label="Performance score",
            value=figures.score(known["performance_score"]),
            note=_of(known["n_performance"], total, "mean execution score, 100 best", "no fill has a benchmark price"),
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
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def _row(order: StagedOrder, now: datetime) -> OrderRow:
    status = OrderStatus(order.status)
    return OrderRow(
        client_order_id=order.client_order_id,
        url=reverse("admin:orders_stagedorder_change", args=[order.pk]),
        symbol=order.symbol,
        what=f"{order.get_side_display()} {figures.number(order.quantity)}, {order.get_order_type_display()}"
        + ("" if order.price is None else f" {figures.number(order.price)}"),
        strategy=order.strategy or "none stated",
        status=status.label,
        tone=TONES.get(status, "muted"),
        age=figures.age(now - order.created_at),
        created=f"{order.created_at.astimezone(UTC):%Y-%m-%d %H:%M}",
        notional=figures.money(order.notional),
        risk_score=figures.score(order.risk_score),
        compliance_score=figures.score(order.compliance_score),
        violations=", ".join(dict.fromkeys(code for code, _ in order.violation_codes)) or "none",
        created_by=order.created_by.get_username(),
        reviewed_by=order.reviewed_by.get_username() if order.reviewed_by else "nobody yet",
    )
