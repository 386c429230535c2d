"""The probe of the audit trail: are the newest trails as they were written, and as they were anchored?"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from emo_site.db.aliases import PRIMARY_ALIAS
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from orders import anchors, audit
from orders.anchors import Anchors
from orders.audit import Finding as BadRow
from orders.models import StagedOrder
from orders.probes import answered

_AT_ONCE = 25
# Of the file of anchors: its end names the newest orders, some ten thousand of them.
_ANCHOR_BYTES = 1 << 20


@dataclass(kw_only=True)
class _Seen:
    """What was verified so far."""

    orders: int = 0
    events: int = 0
    anchored: int = 0
    bad: list[BadRow] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class AuditTrailProbe:
    """Verifies the trails of the newest `trails` orders, for at most `seconds`; manage.py verify_audit reads all."""

    trails: int = 200
    seconds: float = 3
    name = "audit trail"
    critical = False

    def run(self) -> Finding:
        try:
            with _anchors() as known:
                return answered(lambda: self._verified(known))
        except OSError as error:
            return Finding(
                status=HealthStatus.WARNING,
                message=f"The anchors can't be read: {error}",
                remedy="Let the desk's user read EMO_AUDIT_ANCHOR_FILE.",
            )

    def _verified(self, known: Anchors | None) -> Finding:
        orders = StagedOrder.objects.using(PRIMARY_ALIAS).order_by("-created_at", "-id")
        newest = list(orders.values_list("pk", flat=True)[: self.trails])
        seen = _verify(newest, known, ends_at=time.monotonic() + self.seconds)
        metrics = _metrics(seen, known)
        problems = known.problems if known else []
        if seen.bad or problems:
            first = _named(seen.bad[0]) if seen.bad else f"the file of anchors, {problems[0]}"
            more = len(seen.bad) + len(problems) - 1
            return Finding(
                status=HealthStatus.ERROR,
                message=f"not as written: {first}{f' and {more} more' if more else ''}",
                remedy="Keep everything as it is, run manage.py verify_audit, and compare with the last proven backup"
                " (docs/audit.md).",
                metrics=metrics,
            )
        if not newest:
            return Finding(status=HealthStatus.HEALTHY, message="no order is on record yet", metrics=metrics)
        in_time = "" if seen.orders == len(newest) else f" (of {len(newest)}: the time was up)"
        heads = f", {seen.anchored} heads as anchored" if known else ", nothing is anchored"
        message = f"the newest {seen.orders} trails{in_time}, {seen.events} events: all as written{heads}"
        return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)


def _anchors() -> AbstractContextManager[Anchors | None]:
    if not settings.EMO_AUDIT_ANCHOR_FILE.exists():
        return nullcontext()
    return anchors.read(settings.EMO_AUDIT_ANCHOR_FILE, last_bytes=_ANCHOR_BYTES)


def _verify(newest: list[UUID], known: Anchors | None, *, ends_at: float) -> _Seen:
    seen = _Seen()
    for first in range(0, len(newest), _AT_ONCE):
        if first and time.monotonic() > ends_at:
            break
        found = audit.verify(orders=newest[first : first + _AT_ONCE], now=datetime.now(UTC), anchors=known)
        seen.orders += found.orders
        seen.events += found.events
        seen.anchored += found.anchored
        seen.bad += found.findings
    return seen


def _named(row: BadRow) -> str:
    words = [f"order {row.client_order_id or row.order_id}"]
    if row.sequence is not None:
        words.append(f"event {row.sequence}")
    return f"{' '.join(words)}: {row.what}"


def _metrics(seen: _Seen, known: Anchors | None) -> dict[str, Any]:
    return {
        "orders": seen.orders,
        "events": seen.events,
        "bad": [str(row.order_id) for row in seen.bad],
        "anchored": seen.anchored if known else None,
        "anchored_at": known.last_at if known else None,
    }
