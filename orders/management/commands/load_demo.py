"""manage.py load_demo: a few made-up orders, so that a fresh desk has something to show. Every page says so."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from monitoring import events
from monitoring.choices import EventType
from orders import demo_month, workflow
from orders.choices import Instrument, LegAction, OrderType, Side
from orders.demo_month import PREFIX, person
from orders.fill import Fill
from orders.models import StagedOrder
from orders.options import format_osi
from orders.querysets import DEMO_SOURCE
from orders.ticket import Ticket, TicketLeg


class Command(BaseCommand):
    help = "Loads demo orders through the real workflow. Refuses where any order exists; --if-empty then does nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--if-empty", action="store_true", help="no error where there are orders already")
        parser.add_argument("--month", action="store_true", help="and the month before today, from staging to fills")

    def handle(self, *args: Any, **options: Any) -> None:
        if StagedOrder.objects.exists():
            if options["if_empty"]:
                self.stdout.write("There are orders: no demo was loaded.")
                return
            raise CommandError("There are orders already: demo data would mix with them.")
        now = datetime.now(UTC)
        with transaction.atomic():
            number = demo_month.load(now=now) if options["month"] else 0
            events.record(_market(now))
            number += _stage_all(now)
        self.stdout.write(f"Loaded {number} demo orders.")


def _market(now: datetime) -> list[events.Event]:
    def event(event_type: EventType, symbol: str, price: str) -> events.Event:
        return events.Event(
            symbol=symbol,
            event_type=event_type,
            timestamp=now,
            price=Decimal(price),
            source=DEMO_SOURCE,
            metadata={"demo": True},
        )

    return [
        event(EventType.EQUITY, "", "250000"),
        event(EventType.QUOTE, "SPY", "450.20"),
        event(EventType.QUOTE, "QQQ", "382.10"),
        event(EventType.IV_RANK, "SPY", "0.42"),
        event(EventType.IV_RANK, "QQQ", "0.18"),
    ]


def _stage_all(now: datetime) -> int:
    trader, reviewer = person("demo_trader", "trader"), person("demo_reviewer", "reviewer")
    orders = [
        workflow.stage(ticket, created_by=trader, now=now, created_at=now - timedelta(minutes=5 * place))
        for place, ticket in enumerate(_tickets(now))
    ]
    condor, bought, partial, refused, withdrawn = orders[0], *orders[3:7]
    workflow.approve(condor.pk, actor=reviewer, now=now, note="Inside the window.")
    for order, quantity in ((bought, bought.quantity), (partial, Decimal(1))):
        workflow.approve(order.pk, actor=reviewer, now=now)
        workflow.submit(order.pk, actor=trader, now=now)
        workflow.record_execution(
            order.pk,
            Fill(
                execution_id=f"{PREFIX}fill-{order.client_order_id}",
                price=(order.price or Decimal(1)) - Decimal("0.04"),
                quantity=quantity,
                executed_at=now,
                fees=Decimal("0.65"),
                venue="DEMO",
            ),
            actor=trader,
            now=now,
        )
    workflow.reject(refused.pk, actor=reviewer, now=now, reason="Earnings tomorrow: not before them.")
    workflow.cancel(withdrawn.pk, actor=trader, now=now, reason="Entered twice.")
    return len(orders)


def _tickets(now: datetime) -> list[Ticket]:
    expiry = (now + timedelta(days=37)).date()

    def leg(action: LegAction, instrument: Instrument, strike: int, symbol: str = "SPY") -> TicketLeg:
        right = "C" if instrument == Instrument.CALL else "P"
        osi = format_osi(symbol, expiry, right, Decimal(strike))
        return TicketLeg(
            action=action, instrument=instrument, symbol=osi, strike=Decimal(strike), expiry=expiry, quantity=Decimal(1)
        )

    buy, sell, call, put = LegAction.BUY, LegAction.SELL, Instrument.CALL, Instrument.PUT
    spread = (leg(buy, put, 430), leg(sell, put, 435))
    condor = (*spread, leg(sell, call, 465), leg(buy, call, 470))

    def combination(name: str, strategy: str, legs: tuple[TicketLeg, ...], credit: str, symbol: str = "SPY") -> Ticket:
        return Ticket(
            symbol=symbol,
            side=Side.AS_DEFINED,
            order_type=OrderType.LIMIT,
            quantity=Decimal(1),
            price=-Decimal(credit),
            strategy=strategy,
            legs=legs,
            client_order_id=PREFIX + name,
            source=DEMO_SOURCE,
            confidence=Decimal("0.62"),
        )

    def shares(name: str, symbol: str, quantity: int, price: str, side: Side = Side.BUY) -> Ticket:
        return Ticket(
            symbol=symbol,
            side=side,
            order_type=OrderType.LIMIT,
            quantity=Decimal(quantity),
            price=Decimal(price),
            strategy="momentum",
            client_order_id=PREFIX + name,
            source=DEMO_SOURCE,
        )

    return [
        combination("iron-condor", "iron_condor", condor, "1.20"),
        combination("put-spread", "put_credit_spread", spread, "0.65"),
        combination(
            "qqq-condor",
            "iron_condor",
            (
                leg(buy, put, 360, "QQQ"),
                leg(sell, put, 365, "QQQ"),
                leg(sell, call, 400, "QQQ"),
                leg(buy, call, 405, "QQQ"),
            ),
            "1.05",
            "QQQ",
        ),
        shares("spy-shares", "SPY", 2, "450.00"),
        shares("qqq-shares", "QQQ", 4, "382.00"),
        shares("spy-refused", "SPY", 3, "449.00"),
        shares("spy-withdrawn", "SPY", 2, "449.50"),
        shares("spy-too-large", "SPY", 40, "450.00"),
        combination("naked-call", "short_call", (leg(sell, call, 470),), "2.10"),
        shares("qqq-sale", "QQQ", 2, "383.00", Side.SELL),
    ]
