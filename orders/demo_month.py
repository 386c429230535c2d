"""A made-up month of orders through the workflow's own doors: what a desk looks like that has been at work.

Every kind of end is in it: filled in parts, flat by the evening, held over weeks, closed leg by leg, lapsed, refused by
a person, by a rule and by the broker, overtaken by its expiry, given up half filled, put right and taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group, User
from django.db import transaction

from monitoring import events
from monitoring.choices import EventType
from monitoring.prices import ASK, BID
from orders import workflow
from orders.choices import Instrument, LegAction, OrderStatus, OrderType, Side
from orders.demo_market import DemoMarket, moment, trading_days
from orders.fill import Fill
from orders.models import StagedOrder
from orders.options import format_osi
from orders.querysets import DEMO_SOURCE
from orders.refusal import Refused
from orders.standing import trading_day
from orders.ticket import Ticket, TicketLeg

DAYS = 21
LAST = {"SPY": Decimal("450.20"), "QQQ": Decimal("382.10")}
EQUITY = Decimal(250_000)
PREFIX = "demo-"
VENUE = "DEMO"
FEE_OF_CONTRACT, FEE_OF_SHARES = Decimal("0.65"), Decimal("0.35")
"""For each fill."""
# The rules take a price of the last fifteen seconds.
_QUOTED_BEFORE = timedelta(seconds=4)
_CENT = Decimal("0.01")
_OTHER = {LegAction.BUY: LegAction.SELL, LegAction.SELL: LegAction.BUY}


def load(*, now: datetime) -> int:
    """The month before `now`'s trading day, in one transaction; returns the number of orders."""
    month = _Month(trading_days(trading_day(now), DAYS))
    with transaction.atomic():
        month.write()
        return StagedOrder.objects.demo().count()


def person(name: str, *groups: str) -> User:
    """A demo account: in its groups, so that the workflow's own checks hold, but nobody can log in with it."""
    user, created = User.objects.get_or_create(username=name, defaults={"first_name": "Demo"})
    if created:
        user.set_unusable_password()
        user.save()
        user.groups.set(Group.objects.filter(name__in=groups))
    return user


@dataclass(frozen=True, kw_only=True)
class _Step:
    at: datetime
    symbols: tuple[str, ...]
    do: Callable[[datetime], object]


@dataclass(frozen=True)
class _Order:
    name: str
    symbol: str
    side: Side
    quantity: int
    strategy: str

    def closed(self) -> _Order:
        return replace(self, name=f"{self.name}-out", side=Side.SELL)


class _Month:
    """Plans all steps first, for the market must be on record before any is taken; then takes them by the clock."""

    def __init__(self, days: list[date]) -> None:
        self.days = days
        self.market = DemoMarket(days, LAST)
        self.trader = person("demo_trader", "trader")
        self.reviewers = (person("demo_reviewer", "reviewer"), person("demo_second_reviewer", "reviewer"))
        self.lead = person("demo_lead", "trader", "reviewer")
        self.officer = person("demo_risk_officer", "risk officer")
        self.ids: dict[str, UUID] = {}
        self.limits: dict[str, Decimal] = {}
        self.steps: list[_Step] = []
        self.options: set[str] = set()
        for place in range(len(days)):
            self._momentum(place)
            self._mean_reversion(place)
            self._condor(place)
        self._call(2, days_held=None, distance=18)
        self._call(6, days_held=3, distance=4)
        self._refusals()
        self._given_up_half_filled()
        self._over_the_limit()
        self._mistyped()

    def write(self) -> None:
        steps = sorted(self.steps, key=lambda step: step.at)
        events.record(self._events(steps))
        for step in steps:
            step.do(step.at.astimezone(UTC))

    # ---- what happens ------------------------------------------------------------------------------------------------

    def _momentum(self, place: int) -> None:
        """Buys in the morning; sells in the afternoon, on every third day on the next morning only."""
        order = _Order(f"momentum-{place:02d}", "SPY", Side.BUY, 5 + place % 4, "momentum")
        self._traded(order, self._at(place, f"10:{2 + place % 5:02d}"), place)
        if place % 3:
            self._traded(order.closed(), self._at(place, "15:10"), place + 3)
        elif place + 1 < len(self.days):
            self._traded(order.closed(), self._at(place + 1, "10:40"), place + 3)

    def _mean_reversion(self, place: int) -> None:
        """Every second day, held for three; the last ones are held still."""
        if place % 2:
            return
        order = _Order(f"reversion-{place:02d}", "QQQ", Side.BUY, 4, "mean_reversion")
        self._traded(order, self._at(place, "11:20"), place + 1)
        if place + 3 < len(self.days):
            self._traded(order.closed(), self._at(place + 3, "14:05"), place + 5)

    def _condor(self, place: int) -> None:
        """One a week, closed after four days, leg by leg at prices of their own."""
        if place % 5:
            return
        opened = self._at(place, "13:00")
        spot, expiry = int(self.market.price("SPY", opened)), self.days[place] + timedelta(days=37)
        middle = spot - spot % 5
        legs = (
            _leg(LegAction.BUY, Instrument.PUT, middle - 25, expiry),
            _leg(LegAction.SELL, Instrument.PUT, middle - 20, expiry),
            _leg(LegAction.SELL, Instrument.CALL, middle + 20, expiry),
            _leg(LegAction.BUY, Instrument.CALL, middle + 25, expiry),
        )
        self._combined(f"condor-{place:02d}", legs, opened, place)
        if place + 4 < len(self.days):
            closing = tuple(replace(leg, action=_OTHER[leg.action]) for leg in legs)
            self._combined(f"condor-{place:02d}-out", closing, self._at(place + 4, "13:00"), place + 2)

    def _call(self, place: int, *, days_held: int | None, distance: int) -> None:
        """A bought call; without days it is held until it lapses, ten trading days later."""
        bought = self._at(place, "12:00")
        strike = Decimal(int(self.market.price("SPY", bought)) + distance)
        expiry = self.days[place + 10] if days_held is None else self.days[place] + timedelta(days=40)
        symbol = format_osi("SPY", expiry, "C", strike)
        self.options.add(symbol)
        order = _Order(f"call-{place:02d}", symbol, Side.BUY, 1, "long_call")
        self._traded(order, bought, place)
        if days_held is not None:
            self._traded(order.closed(), self._at(place + days_held, "12:30"), place)

    def _refusals(self) -> None:
        """By a person, by a rule, by the broker, by the clock; and an approval of one's own order that was tried."""
        self._staged(_Order("refused", "QQQ", Side.BUY, 10, "momentum"), self._at(3, "14:00"))
        self._decided("refused", "reject", self._at(3, "14:12"), 0, reason="Earnings tomorrow: not before them.")

        self._staged(_Order("too-large", "SPY", Side.BUY, 40, "momentum"), self._at(4, "13:00"))
        self._withdrawn("too-large", self._at(5, "09:45"), "Too large for this account.")

        self._sent(_Order("broker-refused", "SPY", Side.BUY, 5, "momentum"), self._at(8, "13:10"), 0)
        self._add(self._at(8, "13:21"), (), self._refused_by_broker)

        late = _Order("overtaken", "QQQ", Side.BUY, 4, "momentum")
        self._staged(late, self._at(9, "14:30"), expires_at=self._at(9, "16:00"))
        self._add(self._at(9, "16:01"), (), lambda at: workflow.expire(now=at))

        self._staged(_Order("own", "QQQ", Side.BUY, 3, "momentum"), self._at(12, "13:00"), by=self.lead)
        self._add(self._at(12, "13:04"), ("QQQ",), self._try_to_approve_own)
        self._decided("own", "reject", self._at(12, "13:30"), 1, reason="Entered without a signal.")

    def _given_up_half_filled(self) -> None:
        order = _Order("given-up", "QQQ", Side.BUY, 8, "mean_reversion")
        self._sent(order, self._at(7, "13:30"), 1)
        self._filled(order, 3, self._at(7, "13:52"), 1)
        self._withdrawn("given-up", self._at(7, "15:45"), "The rest would no longer pay.")
        self._traded(replace(order.closed(), quantity=3), self._at(8, "10:15"), 2)

    def _over_the_limit(self) -> None:
        """A risk officer sets one rule aside for one order."""
        order = _Order("over-limit", "SPY", Side.BUY, 12, "momentum")
        self._staged(order, self._at(11, "12:00"))
        self._add(self._at(11, "12:06"), ("SPY",), self._override_trade_risk)
        self._approved(order.name, self._at(11, "12:09"), "SPY", 0)
        self._submitted(order.name, self._at(11, "12:10"), "SPY")
        self._filled(order, 12, self._at(11, "12:11"), 1)
        self._traded(order.closed(), self._at(11, "14:40"), 4)

    def _mistyped(self) -> None:
        """The broker first reports a price three cents off."""
        order = _Order("mistyped", "QQQ", Side.BUY, 2, "mean_reversion")
        self._traded(order, self._at(14, "12:40"), 0)
        self._add(self._at(14, "15:30"), (), self._put_right)
        self._traded(order.closed(), self._at(15, "12:40"), 3)

    def _refused_by_broker(self, at: datetime) -> None:
        reason = "The account is being reconciled."
        workflow.broker_reject(self.ids["broker-refused"], actor=self.trader, now=at, reason=reason)

    def _try_to_approve_own(self, at: datetime) -> None:
        with suppress(Refused):
            workflow.approve(self.ids["own"], actor=self.lead, now=at)

    def _override_trade_risk(self, at: datetime) -> None:
        workflow.override(
            self.ids["over-limit"],
            code="MAX_TRADE_RISK",
            actor=self.officer,
            now=at,
            reason="Sold again today; the account is flat otherwise.",
            expires_at=at + timedelta(hours=1),
        )

    def _put_right(self, at: datetime) -> None:
        execution = f"{PREFIX}fill-mistyped-1"
        old = StagedOrder.objects.get(pk=self.ids["mistyped"]).executions.get(execution_id=execution)
        right = Fill(
            execution_id=f"{execution}-right",
            price=old.execution_price + Decimal("0.03"),
            quantity=old.execution_quantity,
            executed_at=old.execution_timestamp,
            fees=old.fees,
            venue=old.venue,
        )
        reason = "The broker's confirmation says another price."
        workflow.correct_execution(execution, right, actor=self.trader, now=at, reason=reason)

    # ---- what becomes of one order -----------------------------------------------------------------------------------

    def _traded(self, order: _Order, at: datetime, pace: int) -> None:
        """Staged, approved, sent and filled, shares in two parts. `pace` says how quick people and broker are."""
        sent = self._sent(order, at, pace)
        half = 0 if order.symbol in self.options else order.quantity // 3
        for part, quantity in enumerate(filter(None, (order.quantity - half, half)), start=1):
            self._filled(order, quantity, sent + timedelta(seconds=(25 + 17 * pace % 90) * part), part)

    def _sent(self, order: _Order, at: datetime, pace: int) -> datetime:
        self._staged(order, at)
        decided = at + timedelta(minutes=3 + pace * 7 % 19)
        self._approved(order.name, decided, order.symbol, pace)
        sent = decided + timedelta(seconds=15 + pace * 11 % 50)
        self._submitted(order.name, sent, order.symbol)
        return sent

    def _staged(self, order: _Order, at: datetime, by: User | None = None, **more: Any) -> None:
        # A limit beyond the quote, as of an order that is to be filled once somebody has looked at it.
        slack = Decimal("0.045") if order.symbol in self.options else Decimal("0.004")
        price = self.market.price(order.symbol, at) * (1 + slack if order.side == Side.BUY else 1 - slack)
        self.limits[order.name] = price.quantize(_CENT)
        ticket = Ticket(
            symbol=order.symbol,
            side=order.side,
            order_type=OrderType.LIMIT,
            quantity=Decimal(order.quantity),
            price=self.limits[order.name],
            strategy=order.strategy,
            client_order_id=PREFIX + order.name,
            source=DEMO_SOURCE,
            **more,
        )
        self._stage(order.name, at, (order.symbol,), ticket, by or self.trader)

    def _combined(self, name: str, legs: tuple[TicketLeg, ...], at: datetime, pace: int) -> None:
        """Staged at its net price, filled leg by leg."""
        symbols = tuple(leg.symbol for leg in legs)
        self.options.update(symbols)
        net = sum((_sign(leg) * self.market.price(leg.symbol, at) for leg in legs), Decimal("0.10"))
        ticket = Ticket(
            symbol="SPY",
            side=Side.AS_DEFINED,
            order_type=OrderType.LIMIT,
            quantity=Decimal(1),
            price=net,
            strategy="iron_condor",
            legs=legs,
            client_order_id=PREFIX + name,
            source=DEMO_SOURCE,
            confidence=Decimal("0.62"),
        )
        self._stage(name, at, ("SPY", *symbols), ticket, self.trader)
        decided = at + timedelta(minutes=4 + pace * 3 % 11)
        self._approved(name, decided, "SPY", pace)
        self._submitted(name, decided + timedelta(seconds=40), "SPY")
        done = decided + timedelta(seconds=95)
        for position, leg in enumerate(legs, start=1):
            bid, ask = self.market.bid_ask(leg.symbol, done)
            price = ask if leg.action == LegAction.BUY else max(bid, _CENT)
            fill = Fill(
                execution_id=f"{PREFIX}fill-{name}-{position}",
                price=price,
                quantity=Decimal(1),
                executed_at=done,
                fees=FEE_OF_CONTRACT,
                venue=VENUE,
                leg=position,
            )
            self._booked(name, fill)

    def _stage(self, name: str, at: datetime, symbols: tuple[str, ...], ticket: Ticket, by: User) -> None:
        def do(now: datetime) -> None:
            self.ids[name] = workflow.stage(ticket, created_by=by, now=now).pk

        self._add(at, symbols, do)

    def _approved(self, name: str, at: datetime, symbol: str, pace: int) -> None:
        self._decided(name, "approve", at, pace % 2, symbol)

    def _decided(self, name: str, what: str, at: datetime, who: int, symbol: str = "", **more: str) -> None:
        def do(now: datetime) -> None:
            order = StagedOrder.objects.get(pk=self.ids[name])
            # Policy may have approved a combination by itself.
            if order.status == OrderStatus.PENDING_REVIEW:
                getattr(workflow, what)(order.pk, actor=self.reviewers[who], now=now, **more)

        self._add(at, (symbol,) if symbol else (), do)

    def _submitted(self, name: str, at: datetime, symbol: str) -> None:
        self._add(at, (symbol,), lambda now: workflow.submit(self.ids[name], actor=self.trader, now=now))

    def _filled(self, order: _Order, quantity: int, at: datetime, part: int) -> None:
        # A buyer pays the ask, a seller gets the bid; the first part a cent better, by luck.
        bid, ask = self.market.bid_ask(order.symbol, at)
        luck, limit = _CENT if part == 1 else Decimal(0), self.limits[order.name]
        fill = Fill(
            execution_id=f"{PREFIX}fill-{order.name}-{part}",
            price=min(ask - luck, limit) if order.side == Side.BUY else max(bid + luck, limit),
            quantity=Decimal(quantity),
            executed_at=at,
            fees=FEE_OF_CONTRACT if order.symbol in self.options else FEE_OF_SHARES,
            venue=VENUE,
        )
        self._booked(order.name, fill)

    def _booked(self, name: str, fill: Fill) -> None:
        def do(now: datetime) -> None:
            workflow.record_execution(self.ids[name], fill, actor=self.trader, now=now)

        self._add(fill.executed_at, (), do)

    def _withdrawn(self, name: str, at: datetime, reason: str) -> None:
        self._add(at, (), lambda now: workflow.cancel(self.ids[name], actor=self.trader, now=now, reason=reason))

    # ---- the clock and the market ------------------------------------------------------------------------------------

    def _at(self, place: int, clock: str) -> datetime:
        return moment(self.days[place], clock)

    def _add(self, at: datetime, symbols: tuple[str, ...], do: Callable[[datetime], object]) -> None:
        self.steps.append(_Step(at=at, symbols=symbols, do=do))

    def _events(self, steps: list[_Step]) -> Iterator[events.Event]:
        # What the first day's return is of.
        yield _event(EventType.EQUITY, "", moment(self.days[0] - timedelta(days=1), "16:00"), EQUITY)
        for day in self.days:
            opened = moment(day, "09:30")
            yield _event(EventType.EQUITY, "", opened, EQUITY)
            yield _event(EventType.IV_RANK, "SPY", opened, Decimal("0.42"))
            for clock in ("09:30", "12:00", "15:59:50"):
                for symbol in LAST:
                    yield from self._traded_and_quoted(symbol, moment(day, clock))
            for symbol in sorted(self.options):
                yield from self._quoted(symbol, moment(day, "15:59:50"))
        for step in steps:
            at = step.at - _QUOTED_BEFORE
            for symbol in step.symbols:
                yield from self._traded_and_quoted(symbol, at)

    def _traded_and_quoted(self, symbol: str, at: datetime) -> Iterator[events.Event]:
        yield _event(EventType.TRADE, symbol, at, self.market.price(symbol, at), volume=Decimal(100))
        yield from self._quoted(symbol, at)

    def _quoted(self, symbol: str, at: datetime) -> Iterator[events.Event]:
        bid, ask = self.market.bid_ask(symbol, at)
        kind = EventType.OPTION_QUOTE if symbol in self.options else EventType.QUOTE
        yield _event(kind, symbol, at, (bid + ask) / 2, stated={BID: str(bid), ASK: str(ask)})


def _event(
    kind: EventType,
    symbol: str,
    at: datetime,
    price: Decimal,
    *,
    volume: Decimal | None = None,
    stated: dict[str, str] | None = None,
) -> events.Event:
    return events.Event(
        symbol=symbol,
        event_type=kind,
        timestamp=at.astimezone(UTC),
        price=price,
        volume=volume,
        source=DEMO_SOURCE,
        metadata={"demo": True, **(stated or {})},
    )


def _leg(action: LegAction, instrument: Instrument, strike: int, expiry: date) -> TicketLeg:
    right = "C" if instrument == Instrument.CALL else "P"
    return TicketLeg(
        action=action,
        instrument=instrument,
        symbol=format_osi("SPY", expiry, right, Decimal(strike)),
        strike=Decimal(strike),
        expiry=expiry,
        quantity=Decimal(1),
    )


def _sign(leg: TicketLeg) -> int:
    return 1 if leg.action == LegAction.BUY else -1
