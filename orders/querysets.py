"""Named questions about orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Avg, Count, Max, Sum

from orders.choices import OPEN, FillKind, OrderStatus

if TYPE_CHECKING:
    from orders.models import ExecutedOrder, StagedOrder  # noqa: F401  # named in texts below

DEMO_SOURCE = "demo"


class StagedOrderQuerySet(models.QuerySet["StagedOrder"]):
    def open(self) -> StagedOrderQuerySet:
        return self.filter(status__in=OPEN)

    def waiting_for_review(self) -> StagedOrderQuerySet:
        """Orders a person must decide, oldest first."""
        return self.filter(status=OrderStatus.PENDING_REVIEW).order_by("created_at")

    def demo(self) -> StagedOrderQuerySet:
        """Orders made by load_demo; every page says so while there are any."""
        return self.filter(source=DEMO_SOURCE)

    def overdue(self, now: Any) -> StagedOrderQuerySet:
        """Open orders whose own time has ended."""
        return self.open().filter(expires_at__lte=now)

    def with_people(self) -> StagedOrderQuerySet:
        people = self.select_related("created_by", "reviewed_by")
        # The role that reports read with does not get to see it.
        return people.defer("created_by__password", "reviewed_by__password")

    def counted_by_status(self) -> dict[str, int]:
        rows = self.order_by().values("status").annotate(n=Count("pk"))
        return {row["status"]: row["n"] for row in rows}

    def figures(self) -> dict[str, Any]:
        """Value (orders whose notional is known), mean scores and their numbers of observations: one query."""
        return self.aggregate(
            total_value=Sum("notional"),
            largest_order_value=Max("notional"),
            n_valued=Count("notional"),
            mean_risk_score=Avg("risk_score"),
            n_risk=Count("risk_score"),
            mean_compliance_score=Avg("compliance_score"),
            n_compliance=Count("compliance_score"),
            mean_performance_score=Avg("performance_score"),
            n_performance=Count("performance_score"),
        )


class ExecutedOrderQuerySet(models.QuerySet["ExecutedOrder"]):
    def holding(self) -> ExecutedOrderQuerySet:
        """Fills that still hold: neither taken back nor put right by a later row; oldest first."""
        return self.filter(corrected_by__isnull=True).exclude(kind=FillKind.BUST).order_by("execution_timestamp", "id")
