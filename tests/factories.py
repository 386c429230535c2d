"""Small makers of people, tickets and events for tests. Everything goes through the real writers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group, User

from monitoring import events
from monitoring.choices import EventType
from orders import workflow
from orders.choices import Instrument, LegAction, OrderType, Side
from orders.models import StagedOrder
from orders.order_timeline import is_assessment
from orders.ticket import Ticket, TicketLeg

NOW = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)
EXPIRY = date(2025, 12, 5)


def person(name: str, *groups: str, password: str = "correct horse battery") -> User:
    """A member of the desk's groups (created by migration)."""
    user = User.objects.create_user(name, password=password, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    assert user.groups.count() == len(groups), f"unknown group among {groups}"
    return user


def equity(amount: str = "100000", *, at: datetime = NOW - timedelta(minutes=1)) -> None:
    """The account's equity, which MAX_TRADE_RISK needs."""
    events.record(
        [events.Event(symbol="", event_type=EventType.EQUITY, timestamp=at, price=Decimal(amount), source="test")]
    )


def ticket(**changes: Any) -> Ticket:
    """A small limit order that every rule lets through once there is equity on record."""
    values: dict[str, Any] = {
        "symbol": "SPY",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "quantity": Decimal(2),
        "price": Decimal("400.50"),
        "strategy": "momentum",
        "source": "test",
    }
    return Ticket(**{**values, **changes})


def iron_condor(**changes: Any) -> Ticket:
    """Short 460 call and 440 put, wings 5 outside, for a credit of 1.20."""
    rows = [
        (LegAction.BUY, Instrument.PUT, 435),
        (LegAction.SELL, Instrument.PUT, 440),
        (LegAction.SELL, Instrument.CALL, 460),
        (LegAction.BUY, Instrument.CALL, 465),
    ]
    legs = tuple(
        TicketLeg(
            action=action,
            instrument=instrument,
            symbol="SPY",
            strike=Decimal(strike),
            expiry=EXPIRY,
            quantity=Decimal(1),
        )
        for action, instrument, strike in rows
    )
    values: dict[str, Any] = {
        "side": Side.AS_DEFINED,
        "quantity": Decimal(1),
        "price": Decimal("-1.20"),
        "strategy": "iron_condor",
        "legs": legs,
    }
    return ticket(**{**values, **changes})


def staged(created_by: User, *, now: datetime = NOW, **changes: Any) -> StagedOrder:
    return workflow.stage(ticket(**changes), created_by=created_by, now=now)


def assessment_of(order: StagedOrder) -> dict[str, Any]:
    """The last one, as the trail keeps it."""
    return next(event.seen for event in order.events.order_by("-sequence") if is_assessment(event.seen))
