"""The orders of one trading day, from midnight in New York until a moment: by status, waiting, and how long reviews
took.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from statistics import median

from django.db.models import Count, OuterRef, Subquery

from emo_site import display
from monitoring.health import ProbeResult
from orders.choices import TONES, EventKind, OrderStatus
from orders.models import OrderEvent, StagedOrder
from orders.standing import TRADING_ZONE, trading_day
from reporting.charts import Share, shares

_BACKLOG = "review backlog"
_DECISIONS = (EventKind.APPROVED, EventKind.REJECTED)


@dataclass(frozen=True, kw_only=True)
class OrderDay:
    """`by_status` of the orders staged that day, as they stood at the moment. `waiting` of any day. Review time: from
    staging to the decision of a person, for the `n_reviewed` decisions of the day. None where `…_note` says why.
    """

    day: date
    since: datetime
    staged: int
    by_status: dict[str, int]
    waiting: int | None
    oldest_hours: float | None
    backlog_note: str
    review_median_minutes: float | None
    n_reviewed: int
    bars: tuple[Share, ...]
    since_text: str
    waiting_text: str
    review_text: str


def order_day(*, now: datetime, results: Sequence[ProbeResult]) -> OrderDay:
    """Two queries. Raises DatabaseError."""
    day = trading_day(now)
    since = datetime.combine(day, time(), tzinfo=TRADING_ZONE).astimezone(UTC)
    by_status = _by_status(since, now)
    took = _review_minutes(since, now)
    waiting, oldest, note = _backlog(results)
    return OrderDay(
        day=day,
        since=since,
        staged=sum(by_status.values()),
        by_status=by_status,
        waiting=waiting,
        oldest_hours=oldest,
        backlog_note=note,
        review_median_minutes=round(median(took), 2) if took else None,
        n_reviewed=len(took),
        bars=shares(
            [
                (status.label, by_status[status], TONES.get(status, "muted"))
                for status in OrderStatus
                if status in by_status
            ]
        ),
        since_text=display.moment(since),
        waiting_text="n/a" if waiting is None else display.count(waiting),
        review_text=f"{_minutes(median(took))} (n = {len(took):,})" if took else "n/a (n = 0)",
    )


def _by_status(since: datetime, now: datetime) -> dict[str, int]:
    """From the trail: what each order was at that moment, whatever it has become."""
    last = OrderEvent.objects.filter(order=OuterRef("pk"), at__lte=now).order_by("-sequence").values("to_status")[:1]
    orders = StagedOrder.objects.filter(created_at__gte=since, created_at__lte=now).order_by()
    rows = orders.annotate(then=Subquery(last)).values("then").annotate(n=Count("pk"))
    return {row["then"]: row["n"] for row in rows if row["then"] is not None}


def _review_minutes(since: datetime, now: datetime) -> list[float]:
    decisions = OrderEvent.objects.filter(kind__in=_DECISIONS, at__gte=since, at__lte=now)
    return [
        (at - staged).total_seconds() / 60 for at, staged in decisions.order_by().values_list("at", "order__created_at")
    ]


def _backlog(results: Sequence[ProbeResult]) -> tuple[int | None, float | None, str]:
    """As its probe counted it, which is on record for the past too."""
    found = next((result for result in results if result.name == _BACKLOG), None)
    if found is None:
        return None, None, "the review backlog was not probed"
    metrics = found.finding.metrics
    return metrics.get("waiting"), metrics.get("oldest_hours"), found.finding.message


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return f"{minutes * 60:.0f} s"
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
