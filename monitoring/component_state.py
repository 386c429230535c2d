"""What something outside of the desk says of itself, and what that is worth some time later. No database here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from emo_site.db.json_documents import problem
from emo_site.display import age
from monitoring.choices import HealthStatus

# A day: what reports less often than that is not watched here.
LONGEST_INTERVAL = 86_400
MESSAGE_LENGTH = 300
# Characters of the metrics as JSON.
METRICS_LENGTH = 4000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:-]{0,63}")


class InvalidReport(ValueError):
    """The message names field, value and rule; so do the attributes."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(f"{field}={str(value)[:100]!r}: {rule}")
        self.field, self.value, self.rule = field, str(value)[:100], rule


@dataclass(frozen=True, kw_only=True)
class ComponentReport:
    """A component's own word. The next one is due within `next_within_seconds`. Raises InvalidReport."""

    name: str
    status: HealthStatus
    next_within_seconds: int
    message: str = ""
    latency_ms: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_name(self.name)
        if self.status not in HealthStatus.values:
            raise InvalidReport("status", self.status, f"must be one of {', '.join(HealthStatus.values)}")
        if not 1 <= self.next_within_seconds <= LONGEST_INTERVAL:
            raise InvalidReport(
                "next_within_seconds", self.next_within_seconds, f"must be from 1 to {LONGEST_INTERVAL}"
            )
        if len(self.message) > MESSAGE_LENGTH or not self.message.isprintable():
            raise InvalidReport("message", self.message, f"must be at most {MESSAGE_LENGTH} printable characters")
        if self.latency_ms is not None and not (math.isfinite(self.latency_ms) and self.latency_ms >= 0):
            raise InvalidReport("latency_ms", self.latency_ms, "must be a number of milliseconds, 0 or more")
        if rule := problem(self.metrics):
            raise InvalidReport("metrics", self.metrics, rule)
        if len(str(self.metrics)) > METRICS_LENGTH:
            raise InvalidReport("metrics", self.metrics, f"must be shorter than {METRICS_LENGTH:,} characters")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a report is worth now: its own word while the next one is not due, unknown afterwards."""

    name: str
    status: HealthStatus
    message: str


def require_name(name: str) -> str:
    """Raises InvalidReport."""
    if not _NAME.fullmatch(name):
        rule = "must be 1 to 64 letters, digits, spaces and . _ : - and begin with a letter or digit"
        raise InvalidReport("name", name, rule)
    return name


def standing(report: ComponentReport, *, reported_at: datetime, now: datetime) -> Standing:
    old, limit = now - reported_at, timedelta(seconds=report.next_within_seconds)
    if old > limit:
        message = f"not heard of for {age(old)}, due every {age(limit)}; it was {report.status.label} then"
        return Standing(name=report.name, status=HealthStatus.UNKNOWN, message=message)
    took = "" if report.latency_ms is None else f", {report.latency_ms:.0f} ms"
    said = f": {report.message}" if report.message else ""
    return Standing(name=report.name, status=report.status, message=f"{report.status.label}{took}{said}")
