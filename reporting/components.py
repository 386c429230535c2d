"""The components of the report: what each says, what it costs the score, and how it has been."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from monitoring import health
from monitoring.choices import HealthStatus
from monitoring.health import ProbeResult
from monitoring.uptime import WORST_FIRST
from reporting.charts import Run, runs
from reporting.health_history import History, Uptime

TONES = {
    HealthStatus.HEALTHY: "good",
    HealthStatus.WARNING: "warn",
    HealthStatus.ERROR: "bad",
    HealthStatus.UNKNOWN: "muted",
}
# A page shows so many costs, and so much of a message, at once; the rest unfolds.
COSTS_SHOWN = 10
_SHORT = 300


@dataclass(frozen=True, kw_only=True)
class Component:
    """One probe's word, and what was recorded of it: `uptimes` and `hours` are empty where that can't be read."""

    name: str
    status: str
    tone: str
    score: float | None
    critical: bool
    message: str
    remedy: str
    response_ms: float | None
    uptimes: tuple[Uptime, ...]
    hours: tuple[Run, ...]
    message_text: str
    rest_text: str
    response_text: str
    hours_text: str


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one component that is not well takes away from 100 points."""

    name: str
    status: str
    tone: str
    critical: bool
    points: float
    points_text: str


@dataclass(frozen=True, kw_only=True)
class OtherCosts:
    """Those that a page shows in one line."""

    n: int
    points_text: str


@dataclass(frozen=True, kw_only=True)
class Cap:
    """What is taken away beyond that while the critical components in `by` fail."""

    by: tuple[str, ...]
    points: float
    points_text: str
    by_text: str


def components(results: Sequence[ProbeResult], history: History | None) -> tuple[Component, ...]:
    """The worst first: among 500 nobody looks for them."""
    worst = sorted(results, key=lambda result: WORST_FIRST.index(result.finding.status))
    return tuple(_component(result, history) for result in worst)


def costs(results: Sequence[ProbeResult]) -> tuple[tuple[Cost, ...], Cap | None]:
    """Parts that add up: 100 less every cost, dearest first, less the cap, is the score."""
    found = health.score_of(results)
    if found is None:
        return (), None
    by_name = {result.name: result for result in results}
    cap = Cap(
        by=found.capped_by,
        points=float(found.capped),
        points_text=f"{found.capped:.2f}",
        by_text=", ".join(found.capped_by),
    )
    return tuple(_cost(by_name[name], points) for name, points in found.lost), cap if found.capped else None


def other_costs(found: Sequence[Cost]) -> OtherCosts | None:
    """None where the first COSTS_SHOWN are all."""
    left = found[COSTS_SHOWN:]
    # To the hundredth, as each of them is given: the lines of the page add up.
    points = sum(Decimal(each.points_text) for each in left)
    return OtherCosts(n=len(left), points_text=f"{points:.2f}") if left else None


def _cost(result: ProbeResult, points: Decimal) -> Cost:
    return Cost(
        name=result.name,
        status=result.finding.status.label,
        tone=TONES[result.finding.status],
        critical=result.critical,
        points=float(points),
        points_text=f"{points:.2f}",
    )


def _component(result: ProbeResult, history: History | None) -> Component:
    finding = result.finding
    hours = history.hours.get(result.name, ()) if history else ()
    short, rest = _cut(finding.message)
    return Component(
        name=result.name,
        status=finding.status.label,
        tone=TONES[finding.status],
        score=None if result.score is None else float(result.score),
        critical=result.critical,
        message=finding.message,
        remedy=finding.remedy,
        response_ms=result.response_ms,
        uptimes=history.uptimes.get(result.name, ()) if history else (),
        hours=runs(hours),
        message_text=short,
        rest_text=rest,
        response_text="n/a" if result.response_ms is None else f"{result.response_ms:.0f} ms",
        hours_text=_hours_text(runs(hours)),
    )


def _cut(message: str) -> tuple[str, str]:
    if len(message) <= _SHORT:
        return message, ""
    return message[:_SHORT], message[_SHORT:]


def _hours_text(found: Sequence[Run]) -> str:
    """The course of a day in a sentence, for who can't see the bars."""
    if not found or all(run.status == "none" for run in found):
        return "Last 24 h: nothing recorded"
    counted = {
        status: sum(round(run.width + 0.15) for run in found if run.status == status)
        for status in ("healthy", "warning", "error", "unknown", "none")
    }
    parts = [
        f"{count} h {'not recorded' if status == 'none' else status}" for status, count in counted.items() if count
    ]
    return f"Last 24 h, worst of each hour: {', '.join(parts)}"
