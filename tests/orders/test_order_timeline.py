"""The timeline: what each event changed of the assessment, and what happened while somebody looked."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D
from typing import Any

from orders.assessment import Contribution, Severity, assessment_as_json, scored
from orders.choices import EventKind, OrderStatus
from orders.models import OrderEvent
from orders.order_timeline import DID, timeline, told
from tests.factories import NOW


def seen(*rules: tuple[str, str, str]) -> dict[str, Any]:
    items = [
        Contribution(code=code, severity=Severity(severity), message="", citation="", points=D(points))
        for code, severity, points in rules
    ]
    return {
        "risk": assessment_as_json(scored(items)),
        "compliance": assessment_as_json(scored([])),
        "seen": {},
    }


def with_compliance(document: dict[str, Any], *rules: tuple[str, str, str, bool]) -> dict[str, Any]:
    items = [
        Contribution(
            code=code, severity=Severity(severity), message="", citation="", points=D(points), applicable=applicable
        )
        for code, severity, points, applicable in rules
    ]
    return {**document, "compliance": assessment_as_json(scored(items))}


def event(kind: EventKind, minutes: int, seen: dict[str, Any], **changes: Any) -> OrderEvent:
    values = {"from_status": "pending_review", "to_status": OrderStatus.PENDING_REVIEW, "actor_name": "rob", **changes}
    return OrderEvent(kind=kind, at=NOW + timedelta(minutes=minutes), seen=seen, **values)


STAGED = event(EventKind.STAGED, 0, seen(("A", "info", "10"), ("B", "info", "5")), from_status="")


def test_each_assessment_is_compared_with_the_last_one() -> None:
    noted = event(EventKind.UNANSWERED, 2, {"risk_score": "15"})
    again = event(EventKind.REJUDGED, 5, seen(("A", "warn", "14"), ("C", "block", "40")))
    first, second, third = timeline([STAGED, noted, again])
    assert first.scores == ("risk 15.0", "compliance 0.0")
    assert first.changes == ()
    assert (second.scores, second.since, second.change) == ((), "2 min later", "pending review")
    assert third.scores == ("risk 15.0 → 54.0", "compliance 0.0, unchanged")
    assert third.changes == ("A: info → warn, +4.00 points", "C: new, block", "B: no longer judged")
    assert third.since == "3 min later"


def test_points_that_the_compliance_score_only_shares_out_anew_are_no_change() -> None:
    before = with_compliance(STAGED.seen, ("X", "info", "100", True), ("SELF_APPROVAL", "info", "0", False))
    after = with_compliance(STAGED.seen, ("X", "info", "60", True), ("SELF_APPROVAL", "info", "40", True))
    rows = timeline([event(EventKind.STAGED, 0, before), event(EventKind.APPROVED, 1, after)])
    assert rows[1].changes == ("SELF_APPROVAL: not applicable → info",)


def test_an_assessment_that_says_the_same_has_no_changes() -> None:
    again = event(EventKind.APPROVED, 5, STAGED.seen, to_status=OrderStatus.APPROVED)
    row = timeline([STAGED, again])[1]
    assert row.scores == ("risk 15.0, unchanged", "compliance 0.0, unchanged")
    assert row.changes == ()
    assert row.change == "pending review → approved"


def test_what_happened_meanwhile_names_who_did_what_and_when() -> None:
    approved = event(EventKind.APPROVED, 0, {})
    sent = event(EventKind.SUBMITTED, 1, {}, actor_name="tom")
    now = NOW + timedelta(minutes=1, seconds=3)
    assert told([approved, sent], now=now) == "rob approved it 63 s ago, tom submitted it 3 s ago"
    assert told([], now=now) == ""


def test_there_are_words_for_every_kind_of_event() -> None:
    assert set(DID) == set(EventKind)
