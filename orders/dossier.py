"""The dossier of one order: everything that an auditor asks, as one document of one moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.template.loader import render_to_string

from emo_site import display
from orders.choices import EventKind
from orders.models import OrderAccess, OrderEvent, StagedOrder
from orders.order_case import OrderCase, gather_case
from orders.order_page import Fact, OrderPage, build_from, seen_by_the_rules
from orders.order_timeline import is_assessment
from orders.score_table import Score, scores_of

TEMPLATE = "orders/dossier.html"
# What a person, or the policy in their place, decided.
DECIDED = frozenset(
    {
        EventKind.APPROVED,
        EventKind.AUTO_APPROVED,
        EventKind.REJECTED,
        EventKind.CHANGES_ASKED,
        EventKind.OVERRIDDEN,
        EventKind.RETURNED,
        EventKind.SUBMITTED,
        EventKind.CANCELLED,
        EventKind.BROKER_REJECTED,
    }
)


@dataclass(frozen=True, kw_only=True)
class AssessmentRecord:
    """One assessment as an event kept it, with its inputs as they are on record."""

    title: str
    policy: str
    code_version: str
    scores: tuple[Score, ...]
    seen: tuple[Fact, ...]
    inputs: str


@dataclass(frozen=True, kw_only=True)
class TrailRow:
    """One event of the audit trail, in full; the seal is empty where the event was never sealed."""

    sequence: str
    at: str
    kind: str
    actor: str
    change: str
    reason: str
    seal: str
    kept: str


@dataclass(frozen=True, kw_only=True)
class AccessRow:
    at: str
    kind: str
    actor: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """`page` is the order's page of the same moment; `environment` is what base.html shows."""

    page: OrderPage
    generated_at: str
    generated_by: str
    code_version: str
    environment: str
    assessments: tuple[AssessmentRecord, ...]
    decisions: tuple[TrailRow, ...]
    trail: tuple[TrailRow, ...]
    trail_head: str
    accesses: tuple[AccessRow, ...]

    @property
    def file_name(self) -> str:
        return f"dossier-{self.page.order.pk}.html"


def build(order_id: UUID, *, now: datetime, by: str) -> Dossier | None:
    """A constant number of queries; None where there is no such order. `by` is who it was made for."""
    case = gather_case(order_id, now=now)
    if case is None:
        return None
    order = case.order
    trail = tuple(_trail_row(event) for event in case.events)
    return Dossier(
        page=build_from(case),
        generated_at=display.moment(now),
        generated_by=by,
        code_version=settings.EMO_VERSION,
        environment=order.environment,
        assessments=_assessments(case),
        decisions=tuple(row for row, event in zip(trail, case.events, strict=True) if event.kind in DECIDED),
        trail=trail,
        trail_head=_head(order, len(trail)),
        accesses=tuple(_access(access) for access in OrderAccess.objects.filter(order=order).order_by("at", "id")),
    )


def html_file(dossier: Dossier) -> str:
    """One file that needs nothing else: styles inside, no script, no link into the desk."""
    return render_to_string(TEMPLATE, {"dossier": dossier, "page": dossier.page, "standalone": True})


def _assessments(case: OrderCase) -> tuple[AssessmentRecord, ...]:
    return tuple(_assessment(event) for event in case.events if is_assessment(event.seen))


def _assessment(event: OrderEvent) -> AssessmentRecord:
    kept = event.seen
    number = kept.get("policy_number")
    return AssessmentRecord(
        title=f"{event.sequence}. {event.get_kind_display()} by {event.actor_name}, {display.moment(event.at)}",
        policy=kept["policy_version"] if number is None else f"{kept['policy_version']} (number {number})",
        code_version=kept.get("code_version", "not stated"),
        # The event is the record: there is no other score to hold it against.
        scores=scores_of(kept, stored={}, anchor=f"-{event.sequence}"),
        seen=seen_by_the_rules(kept),
        inputs=_text(kept["seen"]),
    )


def _trail_row(event: OrderEvent) -> TrailRow:
    return TrailRow(
        sequence=str(event.sequence),
        at=f"{event.at.isoformat(sep=' ', timespec='microseconds')}",
        kind=event.get_kind_display(),
        actor=event.actor_name,
        change=f"{event.from_status or 'new'} → {event.to_status}",
        reason=event.reason,
        seal=event.seal,
        # An assessment stands in its own section.
        kept="" if is_assessment(event.seen) or not event.seen else _text(event.seen),
    )


def _head(order: StagedOrder, events: int) -> str:
    """What the order's row says the trail is: its count and its last seal."""
    said = f"{order.event_count} events by the order's row, {events} on record"
    return f"{said}; last seal {order.audit_head}" if order.audit_head else f"{said}; not sealed"


def _access(access: OrderAccess) -> AccessRow:
    return AccessRow(
        at=display.moment(access.at), kind=access.get_kind_display(), actor=access.actor_name, what=access.what
    )


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
