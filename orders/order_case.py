"""Everything on record that an order's page is made from, gathered at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from itertools import takewhile
from typing import Any
from uuid import UUID

from orders.assessment import Context, context_from_json
from orders.choices import AT_BROKER, TERMINAL, OrderStatus
from orders.judgement import ticket_of
from orders.market_now import Dated, MarketNow, market_now
from orders.models import ExecutedOrder, OrderEvent, OrderLeg, Position, RuleOverride, StagedOrder
from orders.options import Leg
from orders.order_legs import legs_of, net_unit_price, osi_of
from orders.order_timeline import is_assessment
from orders.portfolio_effect import holdings_as_legs
from orders.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class OrderCase:
    """`staged` and `judged` are what the rules saw at the first and the last assessment, None where there is none."""

    order: StagedOrder
    ticket: Ticket
    legs: tuple[OrderLeg, ...]
    events: tuple[OrderEvent, ...]
    fills: tuple[ExecutedOrder, ...]
    overrides: tuple[RuleOverride, ...]
    positions: tuple[Position, ...]
    staged: Context | None
    judged: Context | None
    assessment: Mapping[str, Any] | None
    """The last one, whole, as its event keeps it."""
    market: MarketNow
    end_market: MarketNow | None
    """The market when an order ended of which something was left and which has no price of its end; else None."""
    now: datetime

    @property
    def underlying(self) -> str:
        return self.order.underlying or self.ticket.underlying

    @cached_property
    def spot(self) -> Dated | None:
        """The underlying's last price on record, else the one that the rules saw."""
        if self.underlying in self.market.prices:
            return self.market.prices[self.underlying]
        quotes = (self.judged.underlying_quote, self.judged.quote) if self.judged else ()
        found = (quote for quote in quotes if quote is not None and quote.symbol == self.underlying)
        return next((Dated(value=quote.price, at=quote.at) for quote in found), None)

    @cached_property
    def price_now(self) -> Decimal | None:
        """What one unit of the order costs at its last quotes: of a combination its net price."""
        return self._price_in(self.market)

    @property
    def end_price(self) -> Decimal | None:
        """What one unit cost where the order ended, as it was stored then or as the market tells; of one that is open
        still, what it costs now.
        """
        stored: Decimal | None = self.order.end_price
        if stored is not None:
            return stored
        return self.price_now if self.end_market is None else self._price_in(self.end_market)

    @cached_property
    def unit_price(self) -> tuple[Decimal | None, str]:
        """What one unit of the order costs or cost, as well as it is known, and whose price that is."""
        order = self.order
        known = (
            (order.average_fill_price, "average fill price"),
            (order.price, "limit price"),
            (order.decision_price, "price when it was staged"),
            (self.price_now, "last quote"),
        )
        return next(((price, name) for price, name in known if price is not None), (None, ""))

    @cached_property
    def signed_legs(self) -> list[Leg]:
        return legs_of(self.ticket, self.unit_price[0])

    @property
    def was_at_broker(self) -> bool:
        return any(event.to_status in AT_BROKER for event in self.events)

    def _price_in(self, market: MarketNow) -> Decimal | None:
        prices = [_price_of(leg, market) for leg in legs_of(self.ticket, None)]
        return net_unit_price(self.ticket, prices) if self.ticket.legs else prices[0]


def gather_case(order_id: UUID, *, now: datetime) -> OrderCase | None:
    """A constant number of queries, whatever the order went through; None where there is no such order."""
    order = (
        StagedOrder.objects.with_people()
        .select_related("replaces", "replaced_by")
        .prefetch_related("legs")
        .filter(pk=order_id)
        .first()
    )
    if order is None:
        return None
    ticket = ticket_of(order)
    underlying = order.underlying or ticket.underlying
    events = tuple(order.events.order_by("sequence"))
    assessments = [event.seen for event in events if is_assessment(event.seen)]
    assessment = assessments[-1] if assessments else None
    judged = context_of(assessment)
    symbols, options = _symbols(ticket, judged, underlying)
    return OrderCase(
        order=order,
        ticket=ticket,
        legs=tuple(order.legs.all()),
        events=events,
        fills=tuple(order.executions.order_by("execution_timestamp", "id")),
        overrides=tuple(order.overrides.select_related("given_by").defer("given_by__password").order_by("given_at")),
        positions=tuple(
            Position.objects.filter(environment=order.environment, underlying=underlying).exclude(quantity=0)
        ),
        staged=context_of(assessments[0]) if assessments else None,
        judged=judged,
        assessment=assessment,
        market=market_now(symbols=symbols, options=options, underlying=underlying, now=now),
        end_market=_end_market(order, ticket, underlying, events),
        now=now,
    )


def context_of(assessment: Mapping[str, Any] | None) -> Context | None:
    """What the rules saw; None without an assessment, and for one that another version of the desk wrote."""
    if assessment is None:
        return None
    try:
        return context_from_json(assessment["seen"])
    except KeyError:
        return None


def _symbols(ticket: Ticket, judged: Context | None, underlying: str) -> tuple[list[str], list[str]]:
    """What to look up: the underlying and the order's own symbol, and every option that it is or meets."""
    legs = [*legs_of(ticket, None), *(holdings_as_legs(judged, underlying) if judged else ())]
    return [underlying, ticket.underlying, ticket.symbol], [osi for leg in legs if (osi := osi_of(leg))]


def _end_market(
    order: StagedOrder, ticket: Ticket, underlying: str, events: tuple[OrderEvent, ...]
) -> MarketNow | None:
    """Only an order that ended at the broker before prices of ends were stored asks it, of its own symbols; and a
    combination, whose price is that of its legs.
    """
    at_broker = any(event.to_status in AT_BROKER for event in events)
    given_up = OrderStatus(order.status) in TERMINAL and order.leaves_quantity and at_broker
    if not given_up or order.end_price is not None:
        return None
    # A fill that is put right or taken back after the end does not move the end.
    since = list(takewhile(lambda event: event.to_status == order.status, reversed(events)))
    if not since:
        return None
    ended = since[-1].at
    symbols, options = _symbols(ticket, None, underlying)
    return market_now(symbols=symbols, options=options, underlying=underlying, now=ended)


def _price_of(leg: Leg, market: MarketNow) -> Decimal | None:
    symbol = leg.underlying if leg.right == "S" else osi_of(leg)
    return market.price_of(symbol)
