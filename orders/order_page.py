"""The order page: everything on record about one order, as texts from one moment. Templates only place them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder

from emo_site import display
from orders.choices import TONES, Instrument, OrderStatus, Side
from orders.models import ExecutedOrder, OrderEvent, OrderLeg, StagedOrder

NOT_ON_RECORD = "not on record"
SEVERITY_TONES = {"block": "bad", "warn": "warn", "info": "muted"}


@dataclass(frozen=True, kw_only=True)
class Fact:
    label: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of a score's table."""

    code: str
    severity: str
    tone: str
    message: str
    measured: str
    limit: str
    points: str
    citation: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score and the contributions it is the sum of. `doubt` says where the stored score is another number."""

    title: str
    scale: str
    rules: tuple[Rule, ...]
    total: str
    doubt: str


@dataclass(frozen=True, kw_only=True)
class LegRow:
    position: str
    action: str
    quantity: str
    instrument: str
    symbol: str
    strike: str
    expiry: str
    multiplier: str


@dataclass(frozen=True, kw_only=True)
class EventRow:
    at: str
    actor: str
    kind: str
    tone: str
    change: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FillRow:
    at: str
    execution_id: str
    leg: str
    quantity: str
    price: str
    fees: str
    slippage: str
    venue: str
    broker_order_id: str


@dataclass(frozen=True, kw_only=True)
class OrderPage:
    order: StagedOrder
    title: str
    status: str
    tone: str
    facts: tuple[Fact, ...]
    legs: tuple[LegRow, ...]
    legs_on_record: tuple[OrderLeg, ...]
    scores: tuple[Score, ...]
    seen: tuple[Fact, ...]
    notes: tuple[Fact, ...]
    events: tuple[EventRow, ...]
    fills: tuple[FillRow, ...]
    fills_note: str
    metadata: str


def build(order_id: UUID, *, now: datetime) -> OrderPage | None:
    """Four queries, whatever the order went through; None where there is no such order."""
    order = StagedOrder.objects.with_people().filter(pk=order_id).first()
    if order is None:
        return None
    legs = tuple(order.legs.order_by("position"))
    # A leg is named by its position; joining each fill to it would fetch it again.
    positions = {leg.pk: leg.position for leg in legs}
    assessment = order.workflow_state.get("assessment")
    return OrderPage(
        order=order,
        title=title(order),
        status=order.get_status_display(),
        tone=TONES.get(OrderStatus(order.status), "muted"),
        facts=_facts(order, now),
        legs=tuple(_leg(leg) for leg in legs),
        legs_on_record=legs,
        scores=_scores(order, assessment) if assessment else (),
        seen=_seen(assessment) if assessment else (),
        notes=_notes(order),
        events=tuple(_event(event) for event in order.events.order_by("sequence")),
        fills=tuple(_fill(fill, positions) for fill in order.executions.order_by("execution_timestamp", "id")),
        fills_note=_fills_note(order),
        metadata=json.dumps(order.metadata, indent=2, sort_keys=True, ensure_ascii=False, cls=DjangoJSONEncoder),
    )


def title(order: StagedOrder) -> str:
    """ "buy 2 SPY", or "1 SPY combination" where the legs say the sides."""
    quantity = display.number(order.quantity)
    if order.side == Side.AS_DEFINED:
        return f"{quantity} {order.symbol} combination"
    return f"{order.get_side_display()} {quantity} {order.symbol}"


def named(order: StagedOrder) -> str:
    """How a message about several orders tells them apart."""
    return f"{title(order)} [{order.client_order_id}]"


def _facts(order: StagedOrder, now: datetime) -> tuple[Fact, ...]:
    reviewer = order.reviewed_by.get_username() if order.reviewed_by else "nobody yet"
    reviewed = f"{reviewer}, {display.moment(order.reviewed_at)}" if order.reviewed_at else reviewer
    confidence = NOT_ON_RECORD if order.confidence is None else f"{order.confidence * 100:.0f} %"
    rows = (
        ("Type", order.get_order_type_display()),
        ("Price", _optional(order.price)),
        ("Stop price", _optional(order.stop_price)),
        ("Time in force", order.get_time_in_force_display()),
        ("Expires", display.moment(order.expires_at) if order.expires_at else "no date of its own"),
        ("Notional", display.money(order.notional)),
        ("Strategy", order.strategy or "none stated"),
        ("Confidence", confidence),
        ("Staged by", order.created_by.get_username()),
        ("Staged", f"{display.moment(order.created_at)}, {display.age(now - order.created_at)} ago"),
        ("Reviewed by", reviewed),
        ("Filled", f"{display.number(order.filled_quantity)} of {display.number(order.quantity)}"),
        ("Execution score", display.score(order.performance_score)),
        ("Environment", order.environment),
        ("Source", order.source or "none stated"),
        ("Source file", order.source_file or "none"),
        ("Client order id", order.client_order_id),
        ("Id", str(order.pk)),
    )
    return tuple(Fact(label=label, value=value) for label, value in rows)


def _optional(value: Decimal | None) -> str:
    return "none" if value is None else display.number(value)


def _leg(leg: OrderLeg) -> LegRow:
    return LegRow(
        position=str(leg.position),
        action=leg.get_action_display(),
        quantity=display.number(leg.quantity),
        instrument=leg.get_instrument_display(),
        symbol=leg.symbol,
        strike="" if leg.strike is None else display.number(leg.strike),
        expiry=f"{leg.expiry:%Y-%m-%d}" if leg.expiry else ("" if leg.instrument == Instrument.STOCK else "not stated"),
        multiplier=str(leg.multiplier),
    )


def _scores(order: StagedOrder, assessment: Mapping[str, Any]) -> tuple[Score, ...]:
    return (
        _score("Risk score", "0 safe to 100", order.risk_score, assessment["risk"]["contributions"]),
        _score(
            "Compliance score",
            "100 = every applicable rule passed",
            order.compliance_score,
            assessment["compliance"]["contributions"],
        ),
    )


def _score(name: str, scale: str, stored: Decimal | None, contributions: Iterable[Mapping[str, Any]]) -> Score:
    items = list(contributions)
    total = sum((Decimal(item["points"]) for item in items), Decimal(0))
    return Score(
        title=name,
        scale=scale,
        rules=tuple(_rule(item) for item in items),
        total=f"{total:.2f}",
        doubt="" if stored == total else f"The order's row says {display.score(stored)}.",
    )


def _rule(item: Mapping[str, Any]) -> Rule:
    severity = item["severity"] if item["applicable"] else "not applicable"
    return Rule(
        code=item["code"],
        severity=severity,
        tone=SEVERITY_TONES.get(severity, "muted"),
        message=item["message"],
        measured=item["measured"],
        limit=item["limit"],
        points=f"{Decimal(item['points']):.2f}",
        citation=item["citation"],
    )


def _seen(assessment: Mapping[str, Any]) -> tuple[Fact, ...]:
    """What the rules saw, each with its time."""
    seen = assessment["seen"]
    quote = seen["quote"]
    rows = (
        ("Judged", _when(seen["now"])),
        ("Quote", f"{quote['symbol']} {quote['price']}, {_when(quote['at'])}" if quote else NOT_ON_RECORD),
        ("Account equity", _dated(seen["equity"], seen["equity_at"])),
        ("IV rank", _dated(seen["iv_rank"], seen["iv_rank_at"])),
        ("Reviewer", seen["reviewer"] or "none: judged when it was staged"),
        ("Policy", assessment["policy_version"]),
    )
    return tuple(Fact(label=label, value=value) for label, value in rows)


def _when(text: str) -> str:
    return display.moment(datetime.fromisoformat(text))


def _dated(value: str | None, at: str | None) -> str:
    if value is None:
        return NOT_ON_RECORD
    return f"{display.number(Decimal(value))}, {_when(at)}" if at else display.number(Decimal(value))


def _notes(order: StagedOrder) -> tuple[Fact, ...]:
    rows = (("Note of the review", order.review_notes), ("Note of the ticket", str(order.metadata.get("note", ""))))
    return tuple(Fact(label=label, value=value) for label, value in rows if value)


def _event(event: OrderEvent) -> EventRow:
    to = OrderStatus(event.to_status)
    before = OrderStatus(event.from_status).label if event.from_status else "new"
    return EventRow(
        at=display.moment(event.at),
        actor=event.actor_name,
        kind=event.get_kind_display(),
        tone=TONES.get(to, "muted"),
        change=f"{before} → {to.label}",
        reason=event.reason,
    )


def _fill(fill: ExecutedOrder, positions: Mapping[int, int]) -> FillRow:
    return FillRow(
        at=display.moment(fill.execution_timestamp),
        execution_id=fill.execution_id,
        leg="whole order" if fill.leg_id is None else f"leg {positions[fill.leg_id]}",
        quantity=display.number(fill.execution_quantity),
        price=display.number(fill.execution_price),
        fees=display.number(fill.fees),
        slippage=slippage(fill),
        venue=fill.venue,
        broker_order_id=fill.broker_order_id,
    )


def slippage(fill: ExecutedOrder) -> str:
    """Basis points, positive = cost to us, or "n/a: reason"."""
    metrics = fill.performance_metrics
    if metrics.get("slippage_bps") is None:
        return str(metrics.get("reason", "n/a: not computed"))
    benchmark = f"{metrics['benchmark']} {display.number(Decimal(metrics['benchmark_price']))}"
    return f"{Decimal(metrics['slippage_bps']):+.2f} bps against the {benchmark}"


def _fills_note(order: StagedOrder) -> str:
    if order.filled_quantity == 0:
        return "Nothing has been filled."
    parts = [f"Filled {display.number(order.filled_quantity)} of {display.number(order.quantity)}"]
    if order.average_fill_price is not None:
        parts.append(f"average price {display.number(order.average_fill_price)}")
    parts.append(
        f"overfilled by {display.number(order.overfill)}"
        if order.overfill
        else f"{display.number(order.leaves_quantity)} left"
    )
    return ", ".join(parts) + "."
