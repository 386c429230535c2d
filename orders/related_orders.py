"""Other orders that a reviewer wants to see beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from emo_site import display
from orders.choices import TONES, OrderStatus
from orders.models import StagedOrder
from orders.order_names import title

MOST = 10


@dataclass(frozen=True, kw_only=True)
class RelatedOrder:
    id: str
    title: str
    why: str
    status: str
    tone: str
    age: str
    scores: str


def related_orders(order: StagedOrder, *, underlying: str, now: datetime) -> tuple[RelatedOrder, ...]:
    """What it replaces and was replaced by, then up to MOST of its strategy and underlying: open ones, newest first,
    then the newest others. Two queries, besides those of the links, which come with the order.
    """
    links = ((order.replaces, "this one replaces it"), (replacement_of(order), "it replaces this one"))
    found = {other.pk: (other, why) for other, why in links if other is not None}
    alike = (
        StagedOrder.objects.filter(environment=order.environment, underlying=underlying, strategy=order.strategy)
        .exclude(pk__in=[order.pk, *found])
        .defer("workflow_state", "metadata")
        .order_by("-created_at", "-id")
    )
    others = {other.pk: (other, "same strategy and underlying") for other in (*alike.open()[:MOST], *alike[:MOST])}
    return tuple(_related(other, why, now) for other, why in [*found.values(), *list(others.values())[:MOST]])


def replacement_of(order: StagedOrder) -> StagedOrder | None:
    try:
        return order.replaced_by
    except StagedOrder.DoesNotExist:
        return None


def _related(order: StagedOrder, why: str, now: datetime) -> RelatedOrder:
    return RelatedOrder(
        id=str(order.pk),
        title=title(order),
        why=why,
        status=order.get_status_display(),
        tone=TONES.get(OrderStatus(order.status), "muted"),
        age=f"{display.age(now - order.created_at)} ago",
        scores=f"{display.score(order.risk_score)} / {display.score(order.compliance_score)}",
    )
