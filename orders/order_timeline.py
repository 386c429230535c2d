"""An order's events as rows of its timeline, each with what it changed of the assessment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from emo_site import display
from orders.choices import TONES, EventKind, OrderStatus
from orders.models import OrderEvent
from orders.score_table import NOT_APPLICABLE

# One contribution's JSON.
_Item = Mapping[str, Any]

# How the page says that somebody did it: "rob approved it 12 s ago".
DID: Mapping[EventKind, str] = {
    EventKind.STAGED: "staged it",
    EventKind.IMPORTED: "took over its history",
    EventKind.APPROVED: "approved it",
    EventKind.AUTO_APPROVED: "approved it by the policy",
    EventKind.REJECTED: "rejected it",
    EventKind.CHANGES_ASKED: "asked for changes",
    EventKind.OVERRIDDEN: "set a rule aside",
    EventKind.REJUDGED: "had it judged again",
    EventKind.RETURNED: "returned it to review",
    EventKind.SUBMITTED: "submitted it",
    EventKind.ACKNOWLEDGED: "recorded that the broker has it",
    EventKind.FILLED: "recorded a fill",
    EventKind.CORRECTED: "corrected a fill",
    EventKind.BUSTED: "took a fill back",
    EventKind.CANCELLED: "cancelled it",
    EventKind.EXPIRED: "let it expire",
    EventKind.BROKER_REJECTED: "recorded the broker's refusal",
    EventKind.UNANSWERED: "noted that the broker has not answered",
    EventKind.RECOVERED: "put its record right",
}


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """`scores` and `changes` say what the assessment with this event had become, empty where there was none."""

    at: str
    since: str
    actor: str
    kind: str
    tone: str
    change: str
    reason: str
    scores: tuple[str, ...]
    changes: tuple[str, ...]


def timeline(events: Sequence[OrderEvent]) -> tuple[EventRow, ...]:
    """Events by sequence; each is compared with the last assessment before it."""
    rows: list[EventRow] = []
    before: Mapping[str, Any] | None = None
    last_at: datetime | None = None
    for event in events:
        judged = event.seen if is_assessment(event.seen) else None
        rows.append(_row(event, last_at, before, judged))
        before, last_at = judged or before, event.at
    return tuple(rows)


def is_assessment(seen: Mapping[str, Any]) -> bool:
    return "risk" in seen and "compliance" in seen and "seen" in seen


def told(events: Iterable[OrderEvent], *, now: datetime) -> str:
    """ "rob approved it 12 s ago, tom submitted it 3 s ago": what happened while a page was open."""
    return ", ".join(
        f"{event.actor_name} {DID[EventKind(event.kind)]} {display.age(now - event.at)} ago" for event in events
    )


def _row(
    event: OrderEvent, last_at: datetime | None, before: Mapping[str, Any] | None, judged: Mapping[str, Any] | None
) -> EventRow:
    to = OrderStatus(event.to_status)
    was = OrderStatus(event.from_status).label if event.from_status else "new"
    return EventRow(
        at=display.moment(event.at),
        since="" if last_at is None else f"{display.age(event.at - last_at)} later",
        actor=event.actor_name,
        kind=event.get_kind_display(),
        tone=TONES.get(to, "muted"),
        change=to.label if was == to.label else f"{was} → {to.label}",
        reason=event.reason,
        scores=_scores(before, judged),
        changes=_changes(before, judged) if before and judged else (),
    )


def _scores(before: Mapping[str, Any] | None, judged: Mapping[str, Any] | None) -> tuple[str, ...]:
    if judged is None:
        return ()
    return tuple(_score(name, before, judged) for name in ("risk", "compliance"))


def _score(name: str, before: Mapping[str, Any] | None, judged: Mapping[str, Any]) -> str:
    now = Decimal(judged[name]["score"])
    then = None if before is None else Decimal(before[name]["score"])
    if then is None or then == now:
        return f"{name} {now:.1f}{'' if then is None else ', unchanged'}"
    return f"{name} {then:.1f} → {now:.1f}"


def _changes(before: Mapping[str, Any], judged: Mapping[str, Any]) -> tuple[str, ...]:
    """Each rule whose severity is another than before, and of the risk score's also those whose points are.

    The compliance score shares its hundred points out among the rules that apply: each has others once one more does.
    """
    risk = _compared(before, judged, "risk", _with_points)
    return (*risk, *_compared(before, judged, "compliance", _severity))


def _compared(
    before: Mapping[str, Any], judged: Mapping[str, Any], name: str, word: Callable[[_Item, _Item], str]
) -> Iterator[str]:
    then, now = ({item["code"]: item for item in each[name]["contributions"]} for each in (before, judged))
    for code in [*now, *(code for code in then if code not in now)]:
        if code not in then:
            yield f"{code}: new, {_said(now[code])}"
        elif code not in now:
            yield f"{code}: no longer judged"
        elif text := word(then[code], now[code]):
            yield f"{code}: {text}"


def _with_points(then: _Item, now: _Item) -> str:
    points = Decimal(now["points"]) - Decimal(then["points"])
    return ", ".join(part for part in (_severity(then, now), f"{points:+.2f} points" if points else "") if part)


def _severity(then: _Item, now: _Item) -> str:
    return "" if _said(then) == _said(now) else f"{_said(then)} → {_said(now)}"


def _said(item: _Item) -> str:
    return str(item["severity"]) if item["applicable"] else NOT_APPLICABLE
