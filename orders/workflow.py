"""The life of an order: the only writer of orders, legs, fills and their events.

Each change is one conditional UPDATE that names the status it expects and must change exactly one row, together with
one row of the audit trail, in one transaction. Whoever comes second is refused, and nothing of theirs is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin, User
from django.db import IntegrityError, transaction
from django.db.models import F, Sum

from orders import audit, compliance, risk
from orders.assessment import Assessment, Context, Contribution, Severity, assessment_as_json, context_as_json
from orders.choices import FILLABLE, TRANSITIONS, EventKind, LegAction, OrderStatus, OrderType, Side, TimeInForce
from orders.context import gather, policy_in_force
from orders.execution_quality import average_fill_price, execution_score, slippage_bps
from orders.fill import Fill
from orders.models import ExecutedOrder, OrderLeg, StagedOrder
from orders.policy import Policy
from orders.ticket import Objection, Ticket, TicketLeg

# Clocks of two machines differ a little; a fill from further ahead than this is a mistake.
CLOCK_TOLERANCE = timedelta(seconds=60)


class Refused(Exception):
    """An action on an order is refused and changed nothing. `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the rules say of an order at one moment, and what they saw."""

    risk: Assessment
    compliance: Assessment
    context: Context
    policy_version: str

    @property
    def blocks(self) -> tuple[Contribution, ...]:
        return (*self.risk.blocks, *self.compliance.blocks)

    @property
    def violations(self) -> str:
        """The column of that name: "CODE:severity", blocks first."""
        found = [*self.risk.violations, *self.compliance.violations]
        found.sort(key=lambda item: item.severity != Severity.BLOCK)
        return ",".join(dict.fromkeys(f"{item.code}:{item.severity}" for item in found))

    def as_json(self) -> dict[str, Any]:
        return {
            "policy_version": self.policy_version,
            "risk": assessment_as_json(self.risk),
            "compliance": assessment_as_json(self.compliance),
            "seen": context_as_json(self.context),
        }

    def summary(self) -> dict[str, Any]:
        """What an event of the audit trail keeps of it."""
        return {
            "policy_version": self.policy_version,
            "risk_score": str(self.risk.score),
            "compliance_score": str(self.compliance.score),
            "violations": [
                {"code": item.code, "severity": str(item.severity), "message": item.message}
                for item in (*self.risk.violations, *self.compliance.violations)
            ],
            "seen": context_as_json(self.context),
        }


def judge(ticket: Ticket, *, created_by: str, now: datetime, reviewer: str = "") -> Judgement:
    """Runs every rule on the order as things stand at `now`. Writes nothing."""
    policy = policy_in_force()
    context = gather(ticket, created_by=created_by, now=now, reviewer=reviewer)
    return _judge(ticket, context, policy)


def stage(ticket: Ticket, *, created_by: User, now: datetime, created_at: datetime | None = None) -> StagedOrder:
    """Writes the order, its legs, its assessment and the first event: pending_review, or blocked where a rule blocks.

    `created_at` is when the source wrote the order, where that was earlier. Raises Refused for a client_order_id that
    this environment has already.
    """
    policy = policy_in_force()
    context = gather(ticket, created_by=created_by.get_username(), now=now)
    judgement = _judge(ticket, context, policy)
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
                seen=judgement.summary(),
            )
    except IntegrityError as error:
        if StagedOrder.objects.filter(environment=order.environment, client_order_id=order.client_order_id).exists():
            raise Refused(
                "DUPLICATE_CLIENT_ORDER_ID", f"client_order_id={order.client_order_id!r} is taken in {order.environment}."
            ) from error
        raise
    return order


def approve(order_id: UUID, *, actor: User, now: datetime, note: str = "") -> StagedOrder:
    """A second person says yes. The rules run once more: an approval must not rest on what was true yesterday."""
    _require(actor, "orders.review_stagedorder", "approve orders")
    order = _get(order_id)
    _check_four_eyes(order, actor)
    _check_legal(order, OrderStatus.APPROVED)
    judgement = judge(
        ticket_of(order), created_by=order.created_by.get_username(), now=now, reviewer=actor.get_username()
    )
    if judgement.blocks:
        raise Refused("RULES_BLOCK", "The rules block it now: " + _listed(judgement.blocks))
    return _transition(
        order,
        OrderStatus.APPROVED,
        kind=EventKind.APPROVED,
        actor=actor,
        now=now,
        reason=note,
        seen=judgement.summary(),
        changes={"reviewed_by": actor, "reviewed_at": now, "review_notes": note, **_assessed(judgement)},
    )


def reject(order_id: UUID, *, actor: User, now: datetime, reason: str) -> StagedOrder:
    """A reviewer says no; the reason is required."""
    _require(actor, "orders.review_stagedorder", "reject orders")
    if not reason.strip():
        raise Refused("REASON_REQUIRED", "A rejection needs its reason.")
    order = _get(order_id)
    _check_four_eyes(order, actor)
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
    if actor != order.created_by:
        _require(actor, "orders.cancel_stagedorder", "cancel orders of others")
    return _transition(
        order, OrderStatus.CANCELLED, kind=EventKind.CANCELLED, actor=actor, now=now, reason=reason
    )


def submit(order_id: UUID, *, actor: User, now: datetime) -> StagedOrder:
    """Marks an approved order as handed to the broker. Where the rules block it by now, it goes back to review.

    In that case the order is changed (pending_review, with an event) and Refused is raised all the same.
    """
    _require(actor, "orders.submit_stagedorder", "submit orders")
    order = _get(order_id)
    _check_legal(order, OrderStatus.SUBMITTED)
    judgement = judge(ticket_of(order), created_by=order.created_by.get_username(), now=now)
    if not judgement.blocks:
        return _transition(
            order, OrderStatus.SUBMITTED, kind=EventKind.SUBMITTED, actor=actor, now=now, seen=judgement.summary(),
            changes=_assessed(judgement),
        )
    reason = "The rules block it by now: " + _listed(judgement.blocks)
    _transition(
        order,
        OrderStatus.PENDING_REVIEW,
        kind=EventKind.RETURNED,
        actor=actor,
        now=now,
        reason=reason,
        seen=judgement.summary(),
        changes={"reviewed_by": None, "reviewed_at": None, "review_notes": "", **_assessed(judgement)},
    )
    raise Refused("RETURNED_TO_REVIEW", reason)


def broker_reject(order_id: UUID, *, actor: User, now: datetime, reason: str) -> StagedOrder:
    """The venue refused a submitted order."""
    _require(actor, "orders.execute_stagedorder", "record the broker's answers")
    if not reason.strip():
        raise Refused("REASON_REQUIRED", "The broker's reason is needed.")
    return _transition(
        _get(order_id), OrderStatus.BROKER_REJECTED, kind=EventKind.BROKER_REJECTED, actor=actor, now=now, reason=reason
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


def record_execution(order_id: UUID, fill: Fill, *, actor: User, now: datetime) -> ExecutedOrder:
    """Books a fill: its row, the order's filled quantity and status, and the event, in one transaction.

    A fill that raced a cancel or an expiry is booked; what exceeds the order is booked and flagged. Raises Refused for
    an execution_id that was booked before, for an order that never went to a broker, and for an unknown leg.
    """
    _require(actor, "orders.execute_stagedorder", "record fills")
    if fill.executed_at > now + CLOCK_TOLERANCE:
        raise Refused("FILL_IN_FUTURE", f"executed_at={fill.executed_at.isoformat()} is after {now.isoformat()}.")
    with transaction.atomic():
        # Fills of one order queue up here, so that none is lost to another that is being added up.
        order = StagedOrder.objects.select_for_update().filter(pk=order_id).first()
        if order is None:
            raise _unknown(order_id)
        if OrderStatus(order.status) not in FILLABLE:
            raise Refused("NOT_FILLABLE", f"A {order.get_status_display()} order was never at the broker.")
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
    if order.status not in (OrderStatus.PENDING_REVIEW, OrderStatus.BLOCKED):
        raise Refused("ILLEGAL_TRANSITION", f"A {order.get_status_display()} order has a history of its own.")
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


def ticket_of(order: StagedOrder) -> Ticket:
    """The order's row as the ticket the rules judge."""
    kept = order.workflow_state.get("ticket", {})
    return Ticket(
        symbol=order.symbol,
        side=Side(order.side),
        order_type=OrderType(order.order_type),
        quantity=order.quantity,
        price=order.price,
        stop_price=order.stop_price,
        time_in_force=TimeInForce(order.time_in_force),
        strategy=order.strategy,
        confidence=order.confidence,
        expires_at=order.expires_at,
        client_order_id=order.client_order_id,
        source=order.source,
        source_file=order.source_file,
        checksum=order.checksum,
        legs=tuple(
            TicketLeg(
                action=LegAction(leg.action),
                instrument=leg.instrument,
                symbol=leg.symbol,
                quantity=leg.quantity,
                strike=leg.strike,
                expiry=leg.expiry,
                multiplier=leg.multiplier,
            )
            for leg in order.legs.all()
        ),
        missing=tuple(kept.get("missing", ())),
        objections=tuple(Objection(**item) for item in kept.get("objections", ())),
        metadata=order.metadata,
    )


def _judge(ticket: Ticket, context: Context, policy: Policy) -> Judgement:
    return Judgement(
        risk=risk.assess(ticket, context, policy),
        compliance=compliance.assess(ticket, context, policy),
        context=context,
        policy_version=policy.version,
    )


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
        raise Refused("ILLEGAL_TRANSITION", f"A {order.get_status_display()} order can't become {to.label}.")


def _listed(items: Sequence[Contribution]) -> str:
    return "; ".join(f"{item.code}: {item.message}" for item in items)


def _transition(
    order: StagedOrder,
    to: OrderStatus,
    *,
    kind: EventKind,
    actor: AbstractBaseUser | str,
    now: datetime,
    reason: str = "",
    seen: dict[str, Any] | None = None,
    changes: dict[str, Any] | None = None,
) -> StagedOrder:
    _check_legal(order, to)
    with transaction.atomic():
        return _update(
            order, to, kind=kind, actor=actor, now=now, reason=reason, seen=seen or {}, changes=changes or {}
        )


def _update(
    order: StagedOrder,
    to: OrderStatus,
    *,
    kind: EventKind,
    actor: AbstractBaseUser | str,
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


def _book(
    order: StagedOrder, fill: Fill, *, actor: User, now: datetime, kind: EventKind, reason: str
) -> ExecutedOrder:
    leg = _filled_leg(order, fill)
    execution = _insert_execution(order, leg, fill)
    fills = list(order.executions.filter(leg__isnull=True).values_list("execution_quantity", "execution_price"))
    filled = _filled_quantity(order)
    average = average_fill_price(fills)
    changes: dict[str, Any] = {
        "filled_quantity": filled,
        "average_fill_price": None if average is None else average.quantize(Decimal("1e-6")),
        "performance_score": _performance_score(order, filled, average),
    }
    status = OrderStatus.EXECUTED if filled >= order.quantity else OrderStatus.PARTIALLY_FILLED
    if order.status == OrderStatus.EXECUTED:
        status = OrderStatus.EXECUTED
    overfill = max(Decimal(0), filled - order.quantity)
    _update(
        order,
        status,
        kind=kind,
        actor=actor,
        now=now,
        reason=reason or (f"overfilled by {overfill.normalize():f}" if overfill else ""),
        seen={
            "execution_id": fill.execution_id,
            "price": str(fill.price),
            "quantity": str(fill.quantity),
            "fees": str(fill.fees),
            "filled_quantity": str(filled),
            "overfill": str(overfill),
        },
        changes=changes,
    )
    return execution


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


def _filled_quantity(order: StagedOrder) -> Decimal:
    """Whole-order fills, and as many combinations as the least filled leg makes."""
    whole = order.executions.filter(leg__isnull=True).aggregate(q=Sum("execution_quantity"))["q"] or Decimal(0)
    by_leg = dict(
        order.executions.filter(leg__isnull=False).order_by().values_list("leg").annotate(q=Sum("execution_quantity"))
    )
    if not by_leg:
        return Decimal(whole)
    shares = [by_leg.get(leg.pk, Decimal(0)) / leg.quantity for leg in order.legs.all()]
    return Decimal(whole + min(shares) * order.quantity).quantize(Decimal("1e-8"))


def _benchmark(order: StagedOrder) -> tuple[str, Decimal] | None:
    """What the order should have cost: the quote seen when it was staged, else its limit price."""
    seen = order.workflow_state.get("assessment", {}).get("seen", {}).get("quote")
    if seen:
        return "quote at the last assessment", Decimal(seen["price"])
    return None if order.price is None else ("limit price", order.price)


def _slippage(order: StagedOrder, fill: Fill, leg: OrderLeg | None) -> dict[str, Any]:
    benchmark = _benchmark(order)
    if order.side == Side.AS_DEFINED or leg is not None:
        return {"slippage_bps": None, "reason": "n/a: a combination has no single benchmark price"}
    if benchmark is None or benchmark[1] <= 0:
        return {"slippage_bps": None, "reason": "n/a: neither a quote nor a limit price is on record"}
    name, price = benchmark
    bps = slippage_bps(order.side, fill.price, price).quantize(Decimal("0.01"))
    return {"slippage_bps": str(bps), "benchmark": name, "benchmark_price": str(price)}


def _performance_score(order: StagedOrder, filled: Decimal, average: Decimal | None) -> Decimal | None:
    benchmark = _benchmark(order)
    slippage = None
    if average is not None and order.side != Side.AS_DEFINED and benchmark is not None and benchmark[1] > 0:
        slippage = slippage_bps(order.side, average, benchmark[1])
    total = execution_score(filled=filled, ordered=order.quantity, slippage=slippage).total
    return None if total is None else total.quantize(Decimal("0.01"))
