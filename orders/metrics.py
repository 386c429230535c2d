"""What /metrics tells of orders."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric

from orders.choices import OrderStatus
from orders.models import StagedOrder


def orders(now: datetime) -> Iterable[Metric]:
    """How many orders have each status; those that none has are told as 0."""
    counts = StagedOrder.objects.counted_by_status()
    found = GaugeMetricFamily("emo_orders", "Orders of each status.", labels=["status"])
    for status in OrderStatus.values:
        found.add_metric([status], counts.get(status, 0))
    return (found,)
