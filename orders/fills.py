"""What brokers report: fills, what they put right, and what they take back. Each is a row of its own, never an edit."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from orders import journal, positions
from orders.choices import AT_BROKER, FILLABLE, OPEN, EventKind, FillKind, OrderStatus, Side
from orders.entitlement import require
from orders.execution_quality import (
    Filled,
    add_up,
    execution_score,
    slippage_bps,
    slippage_money,
    slippage_of_spread,
)
from orders.fill import Fill
from orders.holdings import moves
from orders.instruments import terms_of_symbol
from orders.journal import Change
from orders.models import ExecutedOrder, OrderLeg, StagedOrder
from orders.reading import Recorded, fill_sums
from orders.refusal import Refused
from orders.steps import change, found, not_written, require_reason

# Clocks of two machines differ a little; a fill from further ahead than this is a mistake.
CLOCK_TOLERANCE = timedelta(seconds=60)
RECORDS_FILLS = "orders.execute_stagedorder"
# A fill is never lost to another one: whoever was overtaken adds up anew. Each round somebody else was written.
TRIES = 100
# What fills come to, with any multiplier, fits the columns of positions.
_LARGEST = Decimal(10) ** 10


def takes_fills(order: StagedOrder) -> bool:
    """Whether the order is, or was, at the broker: a cancelled or expired one may never have been."""
    return OrderStatus(order.status) in FILLABLE and order.events.filter(to_status__in=AT_BROKER).exists()


def record_execution(order_id: UUID, fill: Fill, *, actor: User, now: datetime) -> ExecutedOrder:
    """Books a fill: its row, the order's filled quantity and status, the position and the event, whole or not at all.

    A fill that raced a cancel or an expiry is booked; what exceeds the order is booked and flagged. Raises Refused for
    an execution_id that was booked before, for an order that never went to a broker, and for an unknown leg.
    """
    require(actor, RECORDS_FILLS, "record fills")
    _check_not_ahead(fill, now)
    for _ in range(TRIES):
        recorded = found(order_id)
        _check_fill(recorded, fill)
        booking = booked(recorded, fill, actor=actor, now=now)
        if row := write(booking):
            return row
    raise not_written(booking)


def correct_execution(execution_id: str, fill: Fill, *, actor: User, now: datetime, reason: str) -> ExecutedOrder:
    """The broker puts a fill right: `fill` takes the place of the one with `execution_id`, under an id of its own.

    The old row stays as it was; positions and the order's sums follow the new one. Raises Refused.
    """
    require(actor, RECORDS_FILLS, "correct fills")
    require_reason(reason, "A correction needs the broker's reason.")
    _check_not_ahead(fill, now)
    return _set_aside(execution_id, fill, FillKind.CORRECTION, actor=actor, now=now, reason=reason)


def bust_execution(execution_id: str, *, bust_id: str, actor: User, now: datetime, reason: str) -> ExecutedOrder:
    """The broker takes a fill back: a row that says so, under the broker's id of the bust. Raises Refused.

    An executed order stays executed, with less filled than ordered; its history says why.
    """
    require(actor, RECORDS_FILLS, "take fills back")
    require_reason(reason, "A bust needs the broker's reason.")
    old = _holding(execution_id)
    fill = Fill(
        execution_id=bust_id,
        price=old.execution_price,
        quantity=old.execution_quantity,
        executed_at=now,
        venue=old.venue,
        broker_order_id=old.broker_order_id,
        leg=old.leg.position if old.leg else None,
    )
    return _set_aside(execution_id, fill, FillKind.BUST, actor=actor, now=now, reason=reason)


def booked(
    recorded: Recorded,
    fill: Fill,
    *,
    actor: User,
    now: datetime,
    kind: EventKind = EventKind.FILLED,
    reason: str = "",
    columns: dict[str, Any] | None = None,
) -> Change:
    """The change that books the fill, not yet written. Raises Refused for an unknown leg."""
    order, leg = recorded.order, _leg(recorded, fill.leg)
    filled = filled_so_far(recorded, (fill.leg, fill.quantity, fill.price))
    return change(
        order,
        status_after(order, filled),
        kind=kind,
        actor=actor,
        now=now,
        reason=reason or "; ".join(f"{what} overfilled by {by.normalize():f}" for what, by in filled.overfills.items()),
        seen=_seen(fill, filled),
        columns={**(columns or {}), **sums(recorded, filled, fill.executed_at), **_goes_on(order)},
        fill=_row(order, leg, fill, now),
        fill_sums=recorded.fill_sums.and_one_more(fill.fees, fill.executed_at),
        moves=moves(order, recorded.legs, fill.leg, fill.quantity, fill.price),
    )


def _goes_on(order: StagedOrder) -> dict[str, Any]:
    """A fill that comes after the order's end opens it again, or fills it: nothing was given up then."""
    return {} if order.end_price is None else {"end_price": None}


def filled_so_far(recorded: Recorded, *more: tuple[int | None, Decimal, Decimal]) -> Filled:
    """What the order's fills that hold add up to, with some more."""
    # Added up here and not by the database: SQLite adds in binary.
    legs = {leg.position: leg.quantity for leg in recorded.legs}
    return add_up(ordered=recorded.order.quantity, legs=legs, fills=[*recorded.fills, *more])


def status_after(order: StagedOrder, filled: Filled) -> OrderStatus:
    done = order.status == OrderStatus.EXECUTED or filled.quantity >= order.quantity
    return OrderStatus.EXECUTED if done else OrderStatus.PARTIALLY_FILLED


def status_of(order: StagedOrder, filled: Filled) -> OrderStatus:
    """Of an order whose fills are old: unlike a late one, they don't open again what was cancelled or has expired."""
    after = status_after(order, filled)
    return after if after == OrderStatus.EXECUTED or order.status in OPEN else OrderStatus(order.status)


def sums(recorded: Recorded, filled: Filled, last_at: datetime) -> dict[str, Any]:
    """The columns of an order that say what its fills add up to."""
    return {
        "filled_quantity": filled.quantity,
        "average_fill_price": filled.average_price,
        "performance_score": _performance_score(recorded, filled, last_at),
    }


def _check_not_ahead(fill: Fill, now: datetime) -> None:
    if fill.executed_at > now + CLOCK_TOLERANCE:
        raise Refused("FILL_IN_FUTURE", f"executed_at={fill.executed_at.isoformat()} is after {now.isoformat()}.")


def _check_fill(recorded: Recorded, fill: Fill) -> None:
    order = recorded.order
    if OrderStatus(order.status) not in FILLABLE or not recorded.was_at_broker:
        raise Refused("NOT_FILLABLE", f"This {order.get_status_display()} order was never at the broker.")
    if fill.executed_at < order.created_at - CLOCK_TOLERANCE:
        created = order.created_at.isoformat()
        raise Refused("FILL_BEFORE_ORDER", f"executed_at={fill.executed_at.isoformat()} is before {created}.")
    if abs(fill.price) * fill.quantity > _LARGEST:
        raise Refused("FILL_TOO_LARGE", f"price={fill.price} times quantity={fill.quantity} is beyond what is kept.")
    if fill.price <= 0 and order.side != Side.AS_DEFINED:
        raise Refused("PRICE_NOT_POSITIVE", f"price={fill.price}: only a combination trades at zero or less.")


def write(booking: Change) -> ExecutedOrder | None:
    """The fill's row, None where somebody else was faster. Refused where the broker's id of it is on record already."""
    row = booking.fill
    if row is None:
        raise ValueError("this change books no fill")
    try:
        return row if journal.write(booking) else None
    except IntegrityError as error:
        if ExecutedOrder.objects.filter(execution_id=row.execution_id).exists():
            raise Refused(
                "DUPLICATE_EXECUTION", f"execution_id={row.execution_id!r} was booked before; nothing was changed."
            ) from error
        raise


def _leg(recorded: Recorded, position: int | None) -> OrderLeg | None:
    if position is None:
        return None
    for leg in recorded.legs:
        if leg.position == position:
            return leg
    raise Refused("UNKNOWN_LEG", f"leg={position}: the order has {len(recorded.legs)} legs.")


def _row(order: StagedOrder, leg: OrderLeg | None, fill: Fill, now: datetime) -> ExecutedOrder:
    metrics = _slippage(order, fill, leg)
    return ExecutedOrder(
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
        recorded_at=now,
        slippage_bps=_decimal(metrics["slippage_bps"]),
        slippage_money=_decimal(metrics.get("slippage_money")),
        performance_metrics=metrics,
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _seen(fill: Fill, filled: Filled) -> dict[str, Any]:
    return {
        "execution_id": fill.execution_id,
        "price": str(fill.price),
        "quantity": str(fill.quantity),
        "fees": str(fill.fees),
        "filled_quantity": str(filled.quantity),
        "overfill": {what: str(by) for what, by in filled.overfills.items()},
    }


# ---- what takes the place of a fill ----------------------------------------------------------------------------------


def _holding(execution_id: str) -> ExecutedOrder:
    old = ExecutedOrder.objects.select_related("leg").filter(execution_id=execution_id).first()
    if old is None:
        raise Refused("UNKNOWN_EXECUTION", f"There is no fill with execution_id={execution_id!r}.")
    if old.kind == FillKind.BUST:
        raise Refused("NOT_A_FILL", f"execution_id={execution_id!r} takes another fill back: it is none itself.")
    if later := ExecutedOrder.objects.filter(corrects=old).first():
        raise Refused(
            "CORRECTED_BEFORE",
            f"execution_id={execution_id!r} was set aside before, by the {later.kind} {later.execution_id!r}.",
        )
    return old


def _set_aside(
    execution_id: str, fill: Fill, kind: FillKind, *, actor: User, now: datetime, reason: str
) -> ExecutedOrder:
    order_id = _holding(execution_id).staged_order_id
    for _ in range(TRIES):
        recorded = found(order_id)
        # Asked once the order is read: whoever sets the fill aside after this is seen by the write.
        old = _holding(execution_id)
        wanted = _replaced(recorded, old, fill, kind, actor=actor, now=now, reason=reason)
        with transaction.atomic():
            row = write(wanted)
            if row is None:
                continue
            positions.rebuild(recorded.order.environment, recorded.order.strategy, recorded.order.underlying, now=now)
            return row
    raise not_written(wanted)


def _replaced(
    recorded: Recorded, old: ExecutedOrder, fill: Fill, kind: FillKind, *, actor: User, now: datetime, reason: str
) -> Change:
    order, leg = recorded.order, _leg(recorded, fill.leg)
    kept = list(recorded.fills)
    kept.remove((old.leg.position if old.leg else None, old.execution_quantity, old.execution_price))
    others = ExecutedOrder.objects.filter(staged_order=order).holding().exclude(pk=old.pk)
    left = Recorded(
        order=order,
        legs=recorded.legs,
        fills=tuple(kept),
        was_at_broker=recorded.was_at_broker,
        fill_sums=fill_sums(others.values_list("fees", "execution_timestamp")),
    )
    if kind == FillKind.CORRECTION:
        _check_fill(recorded, fill)
    more = [(fill.leg, fill.quantity, fill.price)] if kind == FillKind.CORRECTION else []
    charged = left.fill_sums
    if kind == FillKind.CORRECTION:
        charged = charged.and_one_more(fill.fees, fill.executed_at)
    filled = filled_so_far(left, *more)
    row = _row(order, leg, fill, now)
    row.kind, row.corrects = kind, old
    return change(
        order,
        status_of(order, filled) if filled.quantity else OrderStatus(order.status),
        kind=EventKind.CORRECTED if kind == FillKind.CORRECTION else EventKind.BUSTED,
        actor=actor,
        now=now,
        reason=reason,
        seen={**_seen(fill, filled), "corrects": old.execution_id},
        columns=sums(left, filled, fill.executed_at),
        fill=row,
        fill_sums=charged,
    )


# ---- what it cost ----------------------------------------------------------------------------------------------------


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
    cost = slippage_money(order.side, fill.price, price, fill.quantity, terms_of_symbol(order.symbol).multiplier)
    return {
        "slippage_bps": str(slippage_bps(order.side, fill.price, price).quantize(Decimal("0.01"))),
        "slippage_money": str(cost.quantize(Decimal("0.000001"))),
        "benchmark": name,
        "benchmark_price": str(price),
    }


def _performance_score(recorded: Recorded, filled: Filled, filled_at: datetime) -> Decimal | None:
    order, average = recorded.order, filled.average_price
    benchmark = _benchmark(order, filled_at)
    slippage = None
    if average is not None and order.side != Side.AS_DEFINED and benchmark is not None and benchmark[1] > 0:
        slippage = slippage_bps(order.side, average, benchmark[1])
    total = execution_score(
        filled=filled.quantity,
        ordered=order.quantity,
        slippage=slippage,
        spread_slippage=_spread_slippage(order, average),
        latency=_latency(recorded, filled_at),
    ).total
    return None if total is None else total.quantize(Decimal("0.01"))


def _spread_slippage(order: StagedOrder, average: Decimal | None) -> Decimal | None:
    """Against the middle of the quote at the arrival; a combination has none."""
    bid, ask = order.arrival_bid, order.arrival_ask
    if average is None or bid is None or ask is None:
        return None
    return slippage_of_spread(order.side, average, (bid + ask) / 2, bid, ask)


def _latency(recorded: Recorded, filled_at: datetime) -> timedelta | None:
    """From submission to the first fill; clocks of two machines may put the fill a little before it."""
    submitted_at = recorded.order.submitted_at
    if submitted_at is None:
        return None
    first = min(filled_at, recorded.first_fill_at or filled_at)
    return max(timedelta(0), first - submitted_at)
