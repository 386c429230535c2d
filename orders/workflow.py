"""The life of an order: the only writer of orders, legs, fills and their events.

Each change is one conditional UPDATE that names the status it expects and must change exactly one row, together with
one row of the audit trail, in one transaction. Whoever comes second is refused, and nothing of theirs is written.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin, User
from django.db import IntegrityError, transaction
from django.db.models import F

from orders import audit, compliance, risk
from orders.assessment import Severity
from orders.choices import (
    AT_BROKER,
    FILLABLE,
    OPEN,
    REVIEWED,
    TRANSITIONS,
    EventKind,
    OrderStatus,
    Side,
)
from orders.context import gather, policy_in_force
from orders.execution_quality import Filled, add_up, execution_score, slippage_bps
from orders.fill import Fill
from orders.judgement import Judgement, judge, judge_in, listed, ticket_of
from orders.models import ExecutedOrder, OrderLeg, StagedOrder
from orders.ticket import Ticket, TicketLeg

# Clocks of two machines differ a little; a fill from further ahead than this is a mistake.
CLOCK_TOLERANCE = timedelta(seconds=60)


# What a person needs to lead an order to a status. (Its creator may cancel it without.)
PERMISSIONS = {
    OrderStatus.APPROVED: ("orders.review_stagedorder", "approve orders"),
    OrderStatus.REJECTED: ("orders.review_stagedorder", "reject orders"),
    OrderStatus.CANCELLED: ("orders.cancel_stagedorder", "cancel orders of others"),
    OrderStatus.SUBMITTED: ("orders.submit_stagedorder", "submit orders"),
    OrderStatus.BROKER_REJECTED: ("orders.execute_stagedorder", "record the broker's answers"),
}
RECORDS_FILLS = "orders.execute_stagedorder"


class Refused(Exception):
    """An action on an order is refused and changed nothing. `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def stage(ticket: Ticket, *, created_by: User, now: datetime, created_at: datetime | None = None) -> StagedOrder:
    """Writes the order, its legs, its assessment and the first event: pending_review, or blocked where a rule blocks.

    `created_at` is when the source wrote the order, where that was earlier. Raises Refused for a client_order_id that
    this environment has already.
    """
    policy = policy_in_force()
    context = gather(ticket, created_by=created_by.get_username(), now=now)
    judgement = judge_in(ticket, context, policy)
    order = _order(ticket, judgement, created_by=created_by, now=now, created_at=created_at or now)
    try:
        order.notional = risk.notional(ticket, context, policy)
    except risk.NotKnown:
        order.notional = None
    try:
        with transaction.atomic():
            order.save(force_insert=True)
            OrderLeg.objects.bulk_create(
                [_leg(order, position, leg) for position, leg in enumerate(ticket.legs, start=1)]
            )
            audit.append(
                order,
                kind=EventKind.STAGED,
                actor=created_by,
                from_status="",
                at=now,
                reason="; ".join(f"{item.code}: {item.message}" for item in judgement.blocks),
                seen=judgement.as_json(),
            )
    except IntegrityError as error:
        if StagedOrder.objects.filter(environment=order.environment, client_order_id=order.client_order_id).exists():
            raise Refused(
                "DUPLICATE_CLIENT_ORDER_ID",
                f"client_order_id={order.client_order_id!r} is taken in {order.environment}.",
            ) from error
        raise
    return order


def check(order: StagedOrder, to: OrderStatus, *, actor: User) -> None:
    """Raises the refusal that the order's row and the actor alone tell: permission, four eyes, status.

    Pages ask it what to offer; it reads nothing, and the rules may still refuse.
    """
    permission, what = PERMISSIONS[to]
    if to != OrderStatus.CANCELLED or actor != order.created_by:
        _require(actor, permission, what)
    if to in (OrderStatus.APPROVED, OrderStatus.REJECTED):
        _check_four_eyes(order, actor)
    _check_legal(order, to)


def approve(order_id: UUID, *, actor: User, now: datetime, note: str = "") -> StagedOrder:
    """A second person says yes. The rules run once more: an approval must not rest on what was true yesterday."""
    order = _get(order_id)
    check(order, OrderStatus.APPROVED, actor=actor)
    judgement = judge(
        ticket_of(order), created_by=order.created_by.get_username(), now=now, reviewer=actor.get_username()
    )
    if judgement.blocks:
        raise Refused("RULES_BLOCK", "The rules block it now: " + listed(judgement.blocks))
    return _transition(
        order,
        OrderStatus.APPROVED,
        kind=EventKind.APPROVED,
        actor=actor,
        now=now,
        reason=note,
        seen=judgement.as_json(),
        changes={"reviewed_by": actor, "reviewed_at": now, "review_notes": note, **_assessed(judgement)},
    )


def reject(order_id: UUID, *, actor: User, now: datetime, reason: str) -> StagedOrder:
    """A reviewer says no; the reason is required."""
    order = _get(order_id)
    check(order, OrderStatus.REJECTED, actor=actor)
    if not reason.strip():
        raise Refused("REASON_REQUIRED", "A rejection needs its reason.")
    return _transition(
        order,
        OrderStatus.REJECTED,
        kind=EventKind.REJECTED,
        actor=actor,
        now=now,
        reason=reason,
        changes={"reviewed_by": actor, "reviewed_at": now, "review_notes": reason},
    )


def cancel(order_id: UUID, *, actor: User, now: datetime, reason: str = "") -> StagedOrder:
    """Withdraws an open order; its creator may, and whoever has the permission."""
    order = _get(order_id)
    check(order, OrderStatus.CANCELLED, actor=actor)
    return _transition(order, OrderStatus.CANCELLED, kind=EventKind.CANCELLED, actor=actor, now=now, reason=reason)


def submit(order_id: UUID, *, actor: User, now: datetime) -> StagedOrder:
    """Marks an approved order as handed to the broker. Where the rules block it by now, it goes back to review.

    In that case the order is changed (pending_review, with an event) and Refused is raised all the same.
    """
    order = _get(order_id)
    check(order, OrderStatus.SUBMITTED, actor=actor)
    judgement = judge(
        ticket_of(order),
        created_by=order.created_by.get_username(),
        now=now,
        reviewer=order.reviewed_by.get_username() if order.reviewed_by else "",
    )
    if not judgement.blocks:
        return _transition(
            order,
            OrderStatus.SUBMITTED,
            kind=EventKind.SUBMITTED,
            actor=actor,
            now=now,
            seen=judgement.as_json(),
            changes=_assessed(judgement),
        )
    reason = "The rules block it by now: " + listed(judgement.blocks)
    _transition(
        order,
        OrderStatus.PENDING_REVIEW,
        kind=EventKind.RETURNED,
        actor=actor,
        now=now,
        reason=reason,
        seen=judgement.as_json(),
        changes={"reviewed_by": None, "reviewed_at": None, "review_notes": "", **_assessed(judgement)},
    )
    raise Refused("RETURNED_TO_REVIEW", reason)


def broker_reject(order_id: UUID, *, actor: User, now: datetime, reason: str) -> StagedOrder:
    """The venue refused a submitted order."""
    order = _get(order_id)
    check(order, OrderStatus.BROKER_REJECTED, actor=actor)
    if not reason.strip():
        raise Refused("REASON_REQUIRED", "The broker's reason is needed.")
    return _transition(
        order, OrderStatus.BROKER_REJECTED, kind=EventKind.BROKER_REJECTED, actor=actor, now=now, reason=reason
    )


def expire(*, now: datetime) -> list[StagedOrder]:
    """Expires every open order whose expires_at has passed; an order that somebody else changes meanwhile is left."""
    expired = []
    for order in StagedOrder.objects.overdue(now):
        try:
            expired.append(
                _transition(
                    order,
                    OrderStatus.EXPIRED,
                    kind=EventKind.EXPIRED,
                    actor="expire_orders",
                    now=now,
                    reason=f"expires_at {order.expires_at:%Y-%m-%d %H:%M:%S} UTC has passed",
                )
            )
        except Refused:
            continue
    return expired


def takes_fills(order: StagedOrder) -> bool:
    """Whether the order is, or was, at the broker: a cancelled or expired one may never have been."""
    return OrderStatus(order.status) in FILLABLE and order.events.filter(to_status__in=AT_BROKER).exists()


def record_execution(order_id: UUID, fill: Fill, *, actor: User, now: datetime) -> ExecutedOrder:
    """Books a fill: its row, the order's filled quantity and status, and the event, in one transaction.

    A fill that raced a cancel or an expiry is booked; what exceeds the order is booked and flagged. Raises Refused for
    an execution_id that was booked before, for an order that never went to a broker, and for an unknown leg.
    """
    _require(actor, RECORDS_FILLS, "record fills")
    if fill.executed_at > now + CLOCK_TOLERANCE:
        raise Refused("FILL_IN_FUTURE", f"executed_at={fill.executed_at.isoformat()} is after {now.isoformat()}.")
    with transaction.atomic():
        # Fills of one order queue up here, so that none is lost to another that is being added up.
        order = StagedOrder.objects.select_for_update().filter(pk=order_id).first()
        if order is None:
            raise _unknown(order_id)
        if not takes_fills(order):
            raise Refused("NOT_FILLABLE", f"This {order.get_status_display()} order was never at the broker.")
        if fill.executed_at < order.created_at - CLOCK_TOLERANCE:
            created = order.created_at.isoformat()
            raise Refused("FILL_BEFORE_ORDER", f"executed_at={fill.executed_at.isoformat()} is before {created}.")
        if fill.price <= 0 and order.side != Side.AS_DEFINED:
            raise Refused("PRICE_NOT_POSITIVE", f"price={fill.price}: only a combination trades at zero or less.")
        return _book(order, fill, actor=actor, now=now, kind=EventKind.FILLED, reason="")


def import_history(
    order_id: UUID,
    *,
    status: OrderStatus,
    actor: User,
    now: datetime,
    reason: str,
    reviewer: User | None = None,
    reviewed_at: datetime | None = None,
    fill: Fill | None = None,
) -> StagedOrder:
    """Takes over how an order ended in another system, as one event that says so. For imports only.

    The order must be one that was just staged. Nothing is judged anew: it has happened.
    """
    order = _get(order_id)
    if order.event_count != 1:
        raise Refused("ILLEGAL_TRANSITION", f"This {order.get_status_display()} order has a history of its own.")
    if reviewer is not None:
        _check_four_eyes(order, reviewer)
    if status in REVIEWED and (reviewer is None or reviewed_at is None):
        raise Refused("REVIEWER_REQUIRED", f"An order that became {status.label} had a reviewer: who, and when?")
    if fill is not None and status not in FILLABLE:
        raise Refused("NOT_FILLABLE", f"An order that became {status.label} has no fills.")
    with transaction.atomic():
        order = _update(
            order,
            status,
            now=now,
            changes={"reviewed_by": reviewer, "reviewed_at": reviewed_at, "review_notes": reason if reviewer else ""},
            kind=EventKind.IMPORTED,
            actor=actor,
            reason=reason,
            seen={},
        )
        if fill is not None:
            _book(order, fill, actor=actor, now=now, kind=EventKind.IMPORTED, reason=reason)
    return _get(order_id)


def mark_unanswered(order_id: UUID, *, now: datetime, actor: str, since: datetime) -> StagedOrder:
    """Writes into the order's history that the broker's answer is missing. The order stays submitted.

    It is not sent again, and neither a fill nor a refusal is made up: a person asks the broker and records the answer.
    """
    order = _get(order_id)
    if order.status != OrderStatus.SUBMITTED:
        raise Refused("ILLEGAL_TRANSITION", f"This {order.get_status_display()} order waits for no answer.")
    if order.events.filter(kind=EventKind.UNANSWERED, at__gte=since).exists():
        raise Refused("MARKED_BEFORE", "Its history says so already.")
    reason = f"no answer since {since:%Y-%m-%d %H:%M:%S} UTC: to be reconciled with the broker, not to be sent again"
    with transaction.atomic():
        return _same_status(order, kind=EventKind.UNANSWERED, now=now, actor=actor, reason=reason, seen=_seen(order))


def can_rebook(order: StagedOrder, filled: Filled) -> bool:
    """Whether the order's row may be made to say what its fills on record add up to: they tell of no less than it."""
    if filled.quantity == 0 or filled.quantity < order.filled_quantity or not takes_fills(order):
        return False
    # An order that was executed here with fewer fills than that lacks one of them.
    return order.status != OrderStatus.EXECUTED or filled.quantity >= order.quantity or is_imported(order)


def is_imported(order: StagedOrder) -> bool:
    """Whether its end was taken over from another system; what that one executed may come with fewer fills, or none."""
    return order.events.filter(kind=EventKind.IMPORTED).exists()


def rebook(order_id: UUID, *, now: datetime, actor: str) -> StagedOrder:
    """Adds an order's fills up anew where its row is behind them. Refused where the row tells of more than they do."""
    with transaction.atomic():
        order = StagedOrder.objects.select_for_update().filter(pk=order_id).first()
        if order is None:
            raise _unknown(order_id)
        filled = filled_so_far(order)
        if not can_rebook(order, filled):
            raise Refused("FILLS_MISSING", "Its fills on record don't account for what the order says.")
        status = _status_of(order, filled)
        said = (order.status, order.filled_quantity, order.average_fill_price)
        if said == (status, filled.quantity, filled.average_price):
            raise Refused("FILLS_AGREE", "Its row says by now what its fills add up to.")
        last_at = order.executions.latest("execution_timestamp").execution_timestamp
        return _update(
            order,
            status,
            kind=EventKind.RECOVERED,
            actor=actor,
            now=now,
            reason="added up anew from the fills on record",
            seen={
                "before": {"status": order.status, "filled_quantity": str(order.filled_quantity)},
                "filled_quantity": str(filled.quantity),
                "overfill": {what: str(by) for what, by in filled.overfills.items()},
            },
            changes=_columns(order, filled, last_at),
        )


def recount_events(order_id: UUID, *, now: datetime, actor: str) -> StagedOrder:
    """Sets an order's event_count right where its complete trail is longer: each further event would be refused.

    Refused where events are missing: a lower count would hide that they are.
    """
    with transaction.atomic():
        order = StagedOrder.objects.select_for_update().filter(pk=order_id).first()
        if order is None:
            raise _unknown(order_id)
        trail = list(order.events.order_by("sequence").values_list("sequence", "to_status"))
        whole = [sequence for sequence, _ in trail] == list(range(1, len(trail) + 1))
        if not whole or len(trail) <= order.event_count or trail[-1][1] != order.status:
            raise Refused("EVENTS_MISSING", "Its events on record don't account for what the order says.")
        said = order.event_count
        StagedOrder.objects.filter(pk=order.pk, event_count=said).update(event_count=len(trail))
        order.event_count = len(trail)
        reason = f"event_count said {said}, the trail holds {len(trail)}"
        return _same_status(order, kind=EventKind.RECOVERED, now=now, actor=actor, reason=reason, seen={"before": said})


def _order(
    ticket: Ticket, judgement: Judgement, *, created_by: User, now: datetime, created_at: datetime
) -> StagedOrder:
    order = StagedOrder(
        symbol=ticket.symbol,
        side=ticket.side,
        order_type=ticket.order_type,
        quantity=ticket.quantity,
        price=ticket.price,
        stop_price=ticket.stop_price,
        time_in_force=ticket.time_in_force,
        strategy=ticket.strategy,
        confidence=ticket.confidence,
        expires_at=ticket.expires_at,
        source=ticket.source,
        source_file=ticket.source_file,
        checksum=ticket.checksum,
        metadata=ticket.metadata,
        status=OrderStatus.BLOCKED if judgement.blocks else OrderStatus.PENDING_REVIEW,
        created_by=created_by,
        created_at=created_at,
        updated_at=now,
        event_count=1,
        risk_score=judgement.risk.score,
        compliance_score=judgement.compliance.score,
        violations=judgement.violations,
        workflow_state={
            # What the order's row has no column for, so that it can be judged again.
            "ticket": {
                "missing": list(ticket.missing),
                "objections": [{"code": item.code, "message": item.message} for item in ticket.objections],
            },
            "assessment": judgement.as_json(),
        },
    )
    if ticket.client_order_id:
        order.client_order_id = ticket.client_order_id
    return order


def _leg(order: StagedOrder, position: int, leg: TicketLeg) -> OrderLeg:
    return OrderLeg(
        order=order,
        position=position,
        action=leg.action,
        instrument=leg.instrument,
        symbol=leg.symbol,
        strike=leg.strike,
        expiry=leg.expiry,
        quantity=leg.quantity,
        multiplier=leg.multiplier,
    )


def _assessed(judgement: Judgement) -> dict[str, Any]:
    return {
        "risk_score": judgement.risk.score,
        "compliance_score": judgement.compliance.score,
        "violations": judgement.violations,
        "assessment": judgement.as_json(),
    }


def _require(actor: PermissionsMixin | AnonymousUser, permission: str, what: str) -> None:
    if not actor.has_perm(permission):
        raise Refused("NOT_PERMITTED", f"{actor} may not {what}: the permission {permission} is missing.")


def _get(order_id: UUID) -> StagedOrder:
    order = StagedOrder.objects.with_people().filter(pk=order_id).first()
    if order is None:
        raise _unknown(order_id)
    return order


def _unknown(order_id: UUID) -> Refused:
    return Refused("UNKNOWN_ORDER", f"There is no order {order_id}.")


def _check_four_eyes(order: StagedOrder, actor: AbstractBaseUser) -> None:
    verdict = compliance.self_approval(created_by=order.created_by.get_username(), reviewer=actor.get_username())
    if verdict.severity == Severity.BLOCK:
        raise Refused(verdict.code, verdict.message)


def _check_legal(order: StagedOrder, to: OrderStatus) -> None:
    if to not in TRANSITIONS[OrderStatus(order.status)]:
        raise Refused("ILLEGAL_TRANSITION", f"This {order.get_status_display()} order can't become {to.label}.")


def _seen(order: StagedOrder) -> dict[str, Any]:
    """What a decision that judges nothing anew was made on: the last assessment."""
    return {
        "risk_score": None if order.risk_score is None else str(order.risk_score),
        "compliance_score": None if order.compliance_score is None else str(order.compliance_score),
        "violations": order.violations,
        "policy_version": order.workflow_state.get("assessment", {}).get("policy_version"),
    }


def _transition(
    order: StagedOrder,
    to: OrderStatus,
    *,
    kind: EventKind,
    actor: User | str,
    now: datetime,
    reason: str = "",
    seen: dict[str, Any] | None = None,
    changes: dict[str, Any] | None = None,
) -> StagedOrder:
    _check_legal(order, to)
    with transaction.atomic():
        return _update(
            order, to, kind=kind, actor=actor, now=now, reason=reason, seen=seen or _seen(order), changes=changes or {}
        )


def _same_status(
    order: StagedOrder, *, kind: EventKind, now: datetime, actor: str, reason: str, seen: dict[str, Any]
) -> StagedOrder:
    status = OrderStatus(order.status)
    return _update(order, status, kind=kind, actor=actor, now=now, reason=reason, seen=seen, changes={})


def _update(
    order: StagedOrder,
    to: OrderStatus,
    *,
    kind: EventKind,
    actor: User | str,
    now: datetime,
    reason: str,
    seen: dict[str, Any],
    changes: dict[str, Any],
) -> StagedOrder:
    """The conditional UPDATE and its event. `order` is as its reader saw it; another status by now is a refusal."""
    columns = dict(changes)
    if "assessment" in columns:
        columns["workflow_state"] = {**order.workflow_state, "assessment": columns.pop("assessment")}
    changed = StagedOrder.objects.filter(pk=order.pk, status=order.status, event_count=order.event_count).update(
        status=to, updated_at=now, event_count=F("event_count") + 1, **columns
    )
    if changed != 1:
        current = _get(order.pk)
        raise Refused(
            "CHANGED_MEANWHILE", f"Somebody else was faster: the order is {current.get_status_display()} by now."
        )
    fresh = _get(order.pk)
    audit.append(fresh, kind=kind, actor=actor, from_status=order.status, at=now, reason=reason, seen=seen)
    return fresh


def _book(order: StagedOrder, fill: Fill, *, actor: User, now: datetime, kind: EventKind, reason: str) -> ExecutedOrder:
    execution = _insert_execution(order, _filled_leg(order, fill), fill)
    filled = filled_so_far(order)
    _update(
        order,
        _status_after(order, filled),
        kind=kind,
        actor=actor,
        now=now,
        reason=reason or "; ".join(f"{what} overfilled by {by.normalize():f}" for what, by in filled.overfills.items()),
        seen={
            "execution_id": fill.execution_id,
            "price": str(fill.price),
            "quantity": str(fill.quantity),
            "fees": str(fill.fees),
            "filled_quantity": str(filled.quantity),
            "overfill": {what: str(by) for what, by in filled.overfills.items()},
        },
        changes=_columns(order, filled, fill.executed_at),
    )
    return execution


def filled_so_far(order: StagedOrder) -> Filled:
    """What the order's fills on record add up to."""
    # Added up here and not by the database: SQLite adds in binary.
    fills = order.executions.values_list("leg__position", "execution_quantity", "execution_price")
    legs = dict(order.legs.values_list("position", "quantity"))
    return add_up(ordered=order.quantity, legs=legs, fills=list(fills))


def _status_after(order: StagedOrder, filled: Filled) -> OrderStatus:
    done = order.status == OrderStatus.EXECUTED or filled.quantity >= order.quantity
    return OrderStatus.EXECUTED if done else OrderStatus.PARTIALLY_FILLED


def _status_of(order: StagedOrder, filled: Filled) -> OrderStatus:
    """Of an order whose fills are old: unlike a late one, they don't open again what was cancelled or has expired."""
    after = _status_after(order, filled)
    return after if after == OrderStatus.EXECUTED or order.status in OPEN else OrderStatus(order.status)


def _columns(order: StagedOrder, filled: Filled, last_at: datetime) -> dict[str, Any]:
    return {
        "filled_quantity": filled.quantity,
        "average_fill_price": filled.average_price,
        "performance_score": _performance_score(order, filled.quantity, filled.average_price, last_at),
    }


def _filled_leg(order: StagedOrder, fill: Fill) -> OrderLeg | None:
    if fill.leg is None:
        return None
    leg = order.legs.filter(position=fill.leg).first()
    if leg is None:
        raise Refused("UNKNOWN_LEG", f"leg={fill.leg}: the order has {order.legs.count()} legs.")
    return leg


def _insert_execution(order: StagedOrder, leg: OrderLeg | None, fill: Fill) -> ExecutedOrder:
    execution = ExecutedOrder(
        staged_order=order,
        leg=leg,
        execution_id=fill.execution_id,
        symbol=leg.symbol if leg else order.symbol,
        side=leg.action if leg else order.side,
        execution_price=fill.price,
        execution_quantity=fill.quantity,
        execution_timestamp=fill.executed_at,
        fees=fill.fees,
        venue=fill.venue,
        broker_order_id=fill.broker_order_id,
        environment=order.environment,
        performance_metrics=_slippage(order, fill, leg),
    )
    try:
        with transaction.atomic():
            execution.save(force_insert=True)
    except IntegrityError as error:
        if ExecutedOrder.objects.filter(execution_id=fill.execution_id).exists():
            raise Refused(
                "DUPLICATE_EXECUTION", f"execution_id={fill.execution_id!r} was booked before; nothing was changed."
            ) from error
        raise
    return execution


def _benchmark(order: StagedOrder, filled_at: datetime) -> tuple[str, Decimal] | None:
    """What the order should have cost: the quote seen when it was last judged, else its limit price."""
    seen = order.workflow_state.get("assessment", {}).get("seen", {}).get("quote")
    # An imported fill may be older than every quote that was on record when the order came in.
    if seen and datetime.fromisoformat(seen["at"]) <= filled_at + CLOCK_TOLERANCE:
        return "quote at the last assessment", Decimal(seen["price"])
    return None if order.price is None else ("limit price", order.price)


def _slippage(order: StagedOrder, fill: Fill, leg: OrderLeg | None) -> dict[str, Any]:
    benchmark = _benchmark(order, fill.executed_at)
    if order.side == Side.AS_DEFINED or leg is not None:
        return {"slippage_bps": None, "reason": "n/a: a combination has no single benchmark price"}
    if benchmark is None or benchmark[1] <= 0:
        return {"slippage_bps": None, "reason": "n/a: neither a quote nor a limit price is on record"}
    name, price = benchmark
    bps = slippage_bps(order.side, fill.price, price).quantize(Decimal("0.01"))
    return {"slippage_bps": str(bps), "benchmark": name, "benchmark_price": str(price)}


def _performance_score(
    order: StagedOrder, filled: Decimal, average: Decimal | None, filled_at: datetime
) -> Decimal | None:
    benchmark = _benchmark(order, filled_at)
    slippage = None
    if average is not None and order.side != Side.AS_DEFINED and benchmark is not None and benchmark[1] > 0:
        slippage = slippage_bps(order.side, average, benchmark[1])
    total = execution_score(filled=filled, ordered=order.quantity, slippage=slippage).total
    return None if total is None else total.quantize(Decimal("0.01"))
