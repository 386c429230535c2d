"""Single orders as a review shows them: the newest ones by page, and the few that stand out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from django.db.models import F, QuerySet
from django.urls import reverse

from emo_site import display
from emo_site.db import keyset
from emo_site.db.keyset import Place, Window
from orders.choices import TONES, OrderStatus, Side
from orders.models import StagedOrder
from orders.querysets import StagedOrderQuerySet
from reporting.order_report import OrderRow

PAGE = 50


def newest(orders: QuerySet[StagedOrder], place: Place | None = None) -> Window:
    """A page of rows older than the place, or the newest; one query."""
    listed = by_time(cast(StagedOrderQuerySet, orders).with_people().defer("workflow_state", "metadata"))
    return keyset.older_than(listed, place, PAGE) if place else keyset.newest(listed, PAGE)


def by_time(orders: QuerySet[StagedOrder]) -> QuerySet[Any]:
    """As the pages by place expect them."""
    return orders.annotate(timestamp=F("created_at"))


def row(order: StagedOrder, now: datetime) -> OrderRow:
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
        notional=None if order.notional is None else order.notional.quantize(Decimal("0.01")),
        risk_score=_rounded(order.risk_score),
        compliance_score=_rounded(order.compliance_score),
        violations=violations,
        created_by=order.created_by.get_username(),
        reviewed_by=reviewer,
        url=url_of(order.pk),
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


def rows(orders: Iterable[StagedOrder], now: datetime) -> tuple[OrderRow, ...]:
    return tuple(row(order, now) for order in orders)


def url_of(key: Any) -> str:
    return reverse("admin:orders_stagedorder_change", args=[key])


def _rounded(score: Any) -> float | None:
    return None if score is None else round(float(score), 2)


def _what(order: StagedOrder) -> str:
    """Side, quantity, type and price in a few words: "buy 2, limit 400.5"; "1 combination, limit -1.2"."""
    quantity = display.number(order.quantity)
    if order.side == Side.AS_DEFINED:
        amount = f"{quantity} combination" if order.quantity == 1 else f"{quantity} combinations"
    else:
        amount = f"{order.get_side_display()} {quantity}"
    price = "" if order.price is None else f" {display.number(order.price)}"
    return f"{amount}, {order.get_order_type_display()}{price}"
