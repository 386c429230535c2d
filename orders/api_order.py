"""Orders and fills as the API hears of them and tells them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from emo_site.api.fields import At, Body, Day, Document, Figure, Moment, Number, Reason
from orders.choices import FillKind, Instrument, LegAction, OrderStatus, OrderType, Side, TimeInForce
from orders.fill import Fill
from orders.models import ExecutedOrder, StagedOrder
from orders.ticket import OPTION_MULTIPLIER, STOCK_MULTIPLIER, InvalidTicket, Ticket, TicketLeg

SOURCE = "api"
MOST_LEGS = 20
MOST_ORDERS = 100
_Name = Annotated[str, StringConstraints(max_length=255)]


# ---- requests --------------------------------------------------------------------------------------------------------


class LegBody(Body):
    """One leg: `quantity` is positive, `action` says the side."""

    action: LegAction
    instrument: Instrument
    symbol: _Name
    quantity: Number
    strike: Number | None = None
    expiry: Day | None = None
    multiplier: Annotated[int, Field(strict=True)] | None = None
    """100 for options and 1 for stock, where it is not said."""

    def leg(self) -> TicketLeg:
        """Raises InvalidTicket."""
        usual = STOCK_MULTIPLIER if self.instrument == Instrument.STOCK else OPTION_MULTIPLIER
        return TicketLeg(
            action=self.action,
            instrument=self.instrument,
            symbol=self.symbol,
            quantity=self.quantity,
            strike=self.strike,
            expiry=self.expiry,
            multiplier=usual if self.multiplier is None else self.multiplier,
        )


class OrderBody(Body):
    """An order to stage. With legs its side is as_defined, and its price the net price: negative for a credit."""

    symbol: _Name
    side: Side
    order_type: OrderType
    quantity: Number
    price: Number | None = None
    stop_price: Number | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    strategy: _Name = ""
    confidence: Number | None = None
    expires_at: Moment | None = None
    client_order_id: _Name = ""
    source: _Name = SOURCE
    legs: Annotated[list[LegBody], Field(max_length=MOST_LEGS)] = []
    metadata: Document = {}

    def ticket(self) -> Ticket:
        """Raises InvalidTicket."""
        return Ticket(
            symbol=self.symbol,
            side=self.side,
            order_type=self.order_type,
            quantity=self.quantity,
            price=self.price,
            stop_price=self.stop_price,
            time_in_force=self.time_in_force,
            strategy=self.strategy,
            confidence=self.confidence,
            expires_at=self.expires_at,
            client_order_id=self.client_order_id,
            source=self.source,
            legs=tuple(_legs(self.legs)),
            metadata=self.metadata,
        )


class OrdersBody(Body):
    """Several orders, each by itself."""

    orders: Annotated[list[OrderBody], Field(min_length=1, max_length=MOST_ORDERS)]


class CancelBody(Body):
    """Why, where there is a reason."""

    reason: Reason = ""


class ReasonBody(Body):
    """Why: needed."""

    reason: Reason


class AcknowledgementBody(Body):
    """The broker's own id of the order."""

    broker_order_id: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class FillBody(Body):
    """What the broker reports. `leg` is the position of the leg that was filled, from 1; null for the whole order."""

    execution_id: _Name
    price: Number
    quantity: Number
    executed_at: Moment
    fees: Number = Decimal(0)
    venue: _Name = ""
    broker_order_id: _Name = ""
    leg: Annotated[int, Field(strict=True, ge=1, le=MOST_LEGS)] | None = None

    def fill(self) -> Fill:
        """Raises InvalidTicket."""
        return Fill(
            execution_id=self.execution_id,
            price=self.price,
            quantity=self.quantity,
            executed_at=self.executed_at,
            fees=self.fees,
            venue=self.venue,
            broker_order_id=self.broker_order_id,
            leg=self.leg,
        )


class CorrectionBody(FillBody):
    """The fill as it should have been, under an execution_id of its own."""

    reason: Reason


class BustBody(Body):
    """The broker's id of the bust, and its reason."""

    bust_id: _Name
    reason: Reason


class OrderFilter(Body):
    """Exact values. `symbol` is the underlying, so that options on it are found, too."""

    status: OrderStatus | None = None
    strategy: _Name | None = None
    symbol: _Name | None = None
    """The underlying."""
    environment: _Name | None = None
    """No other than the token's."""
    client_order_id: _Name | None = None
    created_from: Moment | None = None
    """The first moment that is meant, with its offset."""
    created_to: Moment | None = None
    """The first moment that is not meant any more."""
    cursor: Annotated[str, StringConstraints(max_length=200)] | None = None
    """`next` of the page before."""
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    """Orders on a page."""


def _legs(bodies: Iterable[LegBody]) -> Iterable[TicketLeg]:
    for place, body in enumerate(bodies):
        try:
            yield body.leg()
        except InvalidTicket as error:
            raise InvalidTicket(f"legs.{place}.{error.field_name}", error.value, error.rule) from error


# ---- answers ---------------------------------------------------------------------------------------------------------


class Violation(BaseModel):
    """A rule that blocked or warned at the last assessment."""

    code: str
    severity: str


class Leg(BaseModel):
    """`position` counts from 1."""

    position: int
    action: LegAction
    instrument: Instrument
    symbol: str
    quantity: Figure
    strike: Figure | None
    expiry: date | None
    multiplier: int


class ToldFill(BaseModel):
    """A fill; `corrects` is the execution_id of the one that it takes the place of, or takes back."""

    execution_id: str
    kind: FillKind
    corrects: str | None
    leg: int | None
    price: Figure
    quantity: Figure
    executed_at: At
    fees: Figure
    venue: str
    broker_order_id: str
    recorded_at: At
    slippage_bps: Figure | None


class Order(BaseModel):
    """An order as it is now. Its ETag is its event_count."""

    id: UUID
    client_order_id: str
    status: OrderStatus
    symbol: str
    underlying: str
    side: Side
    order_type: OrderType
    quantity: Figure
    price: Figure | None
    stop_price: Figure | None
    time_in_force: TimeInForce
    strategy: str
    confidence: Figure | None
    environment: str
    source: str
    created_at: At
    created_by: str
    updated_at: At
    expires_at: At | None
    reviewed_by: str | None
    reviewed_at: At | None
    review_notes: str
    changes_asked_at: At | None
    approved_by_policy: bool
    approval_expires_at: At | None
    submitted_at: At | None
    risk_score: Figure | None
    compliance_score: Figure | None
    performance_score: Figure | None
    violations: list[Violation]
    notional: Figure | None
    max_loss: Figure | None
    unbounded_loss: bool
    filled_quantity: Figure
    leaves_quantity: Figure
    average_fill_price: Figure | None
    replaces: UUID | None
    event_count: int
    metadata: dict[str, Any]
    legs: list[Leg]
    fills: list[ToldFill]


class OrderList(BaseModel):
    """A page of orders, newest first; `next` is the cursor of the following one, null on the last."""

    orders: list[Order]
    next: str | None


class Assessed(BaseModel):
    """What would become of the order, and the assessment as the trail would keep it."""

    status: OrderStatus
    assessment: dict[str, Any]


def told(order: StagedOrder, *, fills: Iterable[ExecutedOrder]) -> Order:
    """`fills` oldest first, with their leg and what they correct; legs and people are the order's."""
    return Order(
        violations=[Violation(code=code, severity=severity) for code, severity in order.violation_codes],
        created_by=order.created_by.get_username(),
        reviewed_by=order.reviewed_by.get_username() if order.reviewed_by else None,
        replaces=order.replaces_id,
        leaves_quantity=order.leaves_quantity,
        legs=[
            Leg(
                position=leg.position,
                action=LegAction(leg.action),
                instrument=Instrument(leg.instrument),
                symbol=leg.symbol,
                quantity=leg.quantity,
                strike=leg.strike,
                expiry=leg.expiry,
                multiplier=leg.multiplier,
            )
            for leg in order.legs.all()
        ],
        fills=[_fill(row) for row in fills],
        **{name: getattr(order, name) for name in _SAME},
    )


_SAME = (
    *("id", "client_order_id", "status", "symbol", "underlying", "side", "order_type", "quantity", "price"),
    *("stop_price", "time_in_force", "strategy", "confidence", "environment", "source", "created_at", "updated_at"),
    *("expires_at", "reviewed_at", "review_notes", "changes_asked_at", "approved_by_policy", "approval_expires_at"),
    *("submitted_at", "risk_score", "compliance_score", "performance_score", "notional", "max_loss"),
    *("unbounded_loss", "filled_quantity", "average_fill_price", "event_count", "metadata"),
)


def _fill(row: ExecutedOrder) -> ToldFill:
    return ToldFill(
        execution_id=row.execution_id,
        kind=FillKind(row.kind),
        corrects=row.corrects.execution_id if row.corrects else None,
        leg=row.leg.position if row.leg else None,
        price=row.execution_price,
        quantity=row.execution_quantity,
        executed_at=row.execution_timestamp,
        fees=row.fees,
        venue=row.venue,
        broker_order_id=row.broker_order_id,
        recorded_at=row.recorded_at,
        slippage_bps=row.slippage_bps,
    )
