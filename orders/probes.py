"""The probes of the desk's work: what waits for a person, what is overdue, how long fills take, whether it trades."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError
from django.db.models import Count, Min

from emo_site.db.aliases import database_of
from emo_site.db.fields import current_environment
from emo_site.db.health import models_asked_within
from emo_site.display import age, count, moment
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from orders import trading_state
from orders.choices import TradingState
from orders.models import ExecutedOrder, StagedOrder, UnmatchedFill
from orders.unmatched import waiting_fills

ANSWER_SECONDS = 5.0


def answered(question: Callable[[], Finding]) -> Finding:
    """What the question finds; unknown where the orders' database does not answer it within ANSWER_SECONDS."""
    try:
        with models_asked_within(database_of("orders"), ANSWER_SECONDS):
            return question()
    except DatabaseError as error:
        return Finding(
            status=HealthStatus.UNKNOWN,
            message=f"Can't be counted: {(str(error).strip().splitlines() or [type(error).__name__])[0]}",
            remedy="See the probe of the database.",
        )


@dataclass(frozen=True, kw_only=True)
class ReviewBacklogProbe:
    """How many orders wait for a person, and since when."""

    warn_count: int = 50
    warn_age_hours: float = 24
    name = "review backlog"
    critical = False

    def run(self) -> Finding:
        return answered(self._counted)

    def _counted(self) -> Finding:
        waiting = StagedOrder.objects.waiting_for_review().order_by()
        figures = waiting.aggregate(n=Count("pk"), oldest=Min("created_at"))
        number, oldest = figures["n"], figures["oldest"]
        if not number:
            return Finding(status=HealthStatus.HEALTHY, message="nothing waits", metrics={"waiting": 0})
        hours = (datetime.now(UTC) - oldest).total_seconds() / 3600
        message = f"{number} waiting, the oldest for {hours:.1f} h"
        metrics = {"waiting": number, "oldest_hours": round(hours, 3)}
        if number > self.warn_count or hours > self.warn_age_hours:
            return Finding(
                status=HealthStatus.WARNING, message=message, remedy="Review the queue, oldest first.", metrics=metrics
            )
        return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)


@dataclass(frozen=True, kw_only=True)
class OverdueOrdersProbe:
    """Are orders still open whose own time has ended? manage.py expire_orders ends them."""

    warn_minutes: float = 15
    error_hours: float = 24
    name = "overdue orders"
    critical = False

    def run(self) -> Finding:
        return answered(self._counted)

    def _counted(self) -> Finding:
        now = datetime.now(UTC)
        late = StagedOrder.objects.overdue(now).order_by()
        figures = late.aggregate(n=Count("pk"), first=Min("expires_at"))
        number, first = figures["n"], figures["first"]
        if not number:
            return Finding(status=HealthStatus.HEALTHY, message="none", metrics={"overdue": 0})
        over = now - first
        message = f"{count(number)} still open, the longest {age(over)} after their time"
        metrics = {"overdue": number, "longest_seconds": round(over.total_seconds())}
        if over <= timedelta(minutes=self.warn_minutes):
            return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
        return Finding(
            status=HealthStatus.ERROR if over > timedelta(hours=self.error_hours) else HealthStatus.WARNING,
            message=message,
            remedy="Run manage.py expire_orders, and let it run every few minutes.",
            metrics=metrics,
        )


@dataclass(frozen=True, kw_only=True)
class UnmatchedFillsProbe:
    """Do fills wait for an order? The positions lack them until then."""

    warn_minutes: float = 15
    error_hours: float = 24
    name = "unmatched fills"
    critical = False

    def run(self) -> Finding:
        return answered(self._counted)

    def _counted(self) -> Finding:
        waiting = waiting_fills()
        figures = waiting.aggregate(n=Count("pk"), first=Min("received_at"))
        number, first = figures["n"], figures["first"]
        if not number:
            return Finding(status=HealthStatus.HEALTHY, message="none", metrics={"waiting": 0})
        waited = datetime.now(UTC) - first
        message = f"{count(number)} waiting, the oldest for {age(waited)}: {_told(waiting.order_by('received_at')[0])}"
        metrics = {"waiting": number, "oldest_seconds": round(waited.total_seconds())}
        if waited <= timedelta(minutes=self.warn_minutes):
            return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
        return Finding(
            status=HealthStatus.ERROR if waited > timedelta(hours=self.error_hours) else HealthStatus.WARNING,
            message=message,
            remedy="Run manage.py match_fills, or match them by hand in the admin: positions lack them until then.",
            metrics=metrics,
        )


def _told(fill: UnmatchedFill) -> str:
    return f"{fill.execution_id} ({fill.reason})"


@dataclass(frozen=True, kw_only=True)
class FillLatencyProbe:
    """How long did it take from approval to the first fill, over the orders of the last fills?

    `last` fills, none older than `within_days`. Quantiles by nearest rank.
    """

    last: int = 100
    within_days: float = 7
    warn_p95_minutes: float = 60
    name = "approval to fill"
    critical = False

    def run(self) -> Finding:
        return answered(self._measured)

    def _measured(self) -> Finding:
        now = datetime.now(UTC)
        fills = ExecutedOrder.objects.filter(
            environment=current_environment(),
            execution_timestamp__gte=now - timedelta(days=self.within_days),
            staged_order__reviewed_at__isnull=False,
        ).order_by("-execution_timestamp", "-id")
        waits: dict[object, float] = {}
        for order, filled_at, approved_at in fills.values_list(
            "staged_order_id", "execution_timestamp", "staged_order__reviewed_at"
        )[: self.last]:
            # The later ones of an order say how long it traded. Clocks of two machines may put one before the approval.
            if approved_at is not None:
                waits[order] = max(0.0, (filled_at - approved_at).total_seconds())
        if not waits:
            message = f"no fill in the last {self.within_days:g} days"
            return Finding(status=HealthStatus.HEALTHY, message=message, metrics={"orders": 0})
        p50, p95 = (_quantile(sorted(waits.values()), share) for share in (0.50, 0.95))
        message = f"p50 {_span(p50)}, p95 {_span(p95)} over {len(waits)} orders"
        metrics = {"orders": len(waits), "p50_seconds": round(p50, 3), "p95_seconds": round(p95, 3)}
        if p95 > self.warn_p95_minutes * 60:
            return Finding(
                status=HealthStatus.WARNING,
                message=f"{message} (limit {self.warn_p95_minutes:g} min)",
                remedy="See whether approved orders are submitted at once, and whether the broker reports fills late.",
                metrics=metrics,
            )
        return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[math.ceil(len(ordered) * share) - 1]


def _span(seconds: float) -> str:
    return age(timedelta(seconds=seconds))


@dataclass(frozen=True, kw_only=True)
class TradingStateProbe:
    """Does the desk trade? That somebody stopped it is no fault, and must not be forgotten."""

    name = "trading state"
    critical = False

    def run(self) -> Finding:
        return answered(self._looked_up)

    def _looked_up(self) -> Finding:
        found = trading_state.current()
        metrics = {"state": str(found.state), "number": found.number}
        if found.state == TradingState.ACTIVE or found.changed_at is None:
            since = f" since {moment(found.changed_at)}" if found.changed_at else ""
            return Finding(status=HealthStatus.HEALTHY, message=f"active{since}", metrics=metrics)
        lasted = age(datetime.now(UTC) - found.changed_at)
        return Finding(
            status=HealthStatus.WARNING,
            message=f"{found.state.label} since {moment(found.changed_at)} ({lasted}), by {found.changed_by}:"
            f" {found.reason}",
            remedy=f"Once the reason is gone, somebody else than {found.restricted_by} releases it on the page of the"
            " trading state.",
            metrics=metrics,
        )
