"""The order page: everything on record about one order, as texts from one moment. Templates only place them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder

from emo_site import display
from orders.choices import OPEN, TONES, Instrument, OrderStatus
from orders.market_context import MarketContext, Reading, Snapshot, Waiting, not_waited, snapshot_of, waited
from orders.market_context import market_context as compared
from orders.models import OrderLeg, Position, RuleOverride, StagedOrder
from orders.options import max_loss
from orders.order_case import OrderCase, gather_case
from orders.order_costs import FillRow, OrderCosts, order_costs, side_of, slippage
from orders.order_names import named, title
from orders.order_timeline import EventRow, timeline
from orders.payoff_curve import payoff_of
from orders.payoff_diagram import PayoffDiagram, diagram
from orders.portfolio_effect import Loss, Market, PortfolioEffect, portfolio_effect
from orders.related_orders import RelatedOrder, related_orders
from orders.score_table import SEVERITY_TONES, Score, scores_of

__all__ = [
    "SEVERITY_TONES",
    "Fact",
    "OrderPage",
    "build",
    "build_from",
    "named",
    "seen_by_the_rules",
    "slippage",
    "title",
]

NOT_ON_RECORD = "not on record"


@dataclass(frozen=True, kw_only=True)
class Fact:
    label: str
    value: str


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
class OverrideRow:
    code: str
    given_by: str
    given_at: str
    expires_at: str
    reason: str
    in_force: bool


@dataclass(frozen=True, kw_only=True)
class PositionRow:
    """What is held now of the order's underlying; cost is positive where it was paid."""

    instrument: str
    strategy: str
    quantity: str
    cost: str
    updated: str


@dataclass(frozen=True, kw_only=True)
class KeyFigure:
    """One of the few figures that a reviewer looks at first."""

    label: str
    value: str
    note: str
    tone: str = ""


@dataclass(frozen=True, kw_only=True)
class OrderPage:
    """`payoff` and `effect` are None where they can't be told; their reasons say why."""

    order: StagedOrder
    title: str
    as_of: str
    status: str
    tone: str
    headline: tuple[KeyFigure, ...]
    facts: tuple[Fact, ...]
    legs: tuple[LegRow, ...]
    legs_on_record: tuple[OrderLeg, ...]
    payoff: PayoffDiagram | None
    payoff_reason: str
    scores: tuple[Score, ...]
    seen: tuple[Fact, ...]
    overrides: tuple[OverrideRow, ...]
    effect: PortfolioEffect | None
    effect_reason: str
    judged: str
    positions: tuple[PositionRow, ...]
    market: MarketContext
    notes: tuple[Fact, ...]
    events: tuple[EventRow, ...]
    fills: tuple[FillRow, ...]
    fills_note: str
    costs: OrderCosts
    related: tuple[RelatedOrder, ...]
    metadata: str


def build(order_id: UUID, *, now: datetime) -> OrderPage | None:
    """A constant number of queries, whatever the order went through; None where there is no such order."""
    case = gather_case(order_id, now=now)
    return None if case is None else build_from(case)


def build_from(case: OrderCase) -> OrderPage:
    order, now = case.order, case.now
    assessment = case.assessment
    payoff, payoff_reason = _payoff(case)
    effect = _effect(case)
    costs = _costs(case)
    market = _market(case)
    return OrderPage(
        order=order,
        title=title(order),
        as_of=display.moment(now),
        status=order.get_status_display(),
        tone=TONES.get(OrderStatus(order.status), "muted"),
        headline=_headline(case, payoff, market),
        facts=_facts(order, now),
        legs=tuple(_leg(leg) for leg in case.legs),
        legs_on_record=case.legs,
        payoff=payoff,
        payoff_reason=payoff_reason,
        scores=_scores(order, assessment) if assessment else (),
        seen=seen_by_the_rules(assessment) if assessment else (),
        overrides=tuple(_override(override, now) for override in case.overrides),
        effect=effect,
        effect_reason="" if effect else "The rules have not judged this order, so what they saw is not on record.",
        judged=display.moment(case.judged.now) if case.judged else "",
        positions=tuple(_position(position) for position in case.positions),
        market=market,
        notes=_notes(order),
        events=timeline(case.events),
        fills=costs.fills,
        fills_note=costs.note,
        costs=costs,
        related=related_orders(order, underlying=case.underlying, now=now),
        metadata=json.dumps(order.metadata, indent=2, sort_keys=True, ensure_ascii=False, cls=DjangoJSONEncoder),
    )


def _scores(order: StagedOrder, assessment: Mapping[str, Any]) -> tuple[Score, ...]:
    return scores_of(assessment, stored={"risk": order.risk_score, "compliance": order.compliance_score})


def _headline(case: OrderCase, payoff: PayoffDiagram | None, market: MarketContext) -> tuple[KeyFigure, ...]:
    order = case.order
    figures = [
        KeyFigure(label="Risk score", value=display.score(order.risk_score), note="0 safe to 100"),
        KeyFigure(label="Compliance score", value=display.score(order.compliance_score), note="100 passes every rule"),
    ]
    if payoff:
        figures += [
            KeyFigure(label=figure.label, value=figure.value, note="")
            for figure in payoff.figures
            if figure.label in ("Max loss", "Max profit")
        ]
    figures.append(KeyFigure(label="Notional", value=display.money(order.notional), note=""))
    waiting = market.waiting
    if order.status in OPEN and not case.was_at_broker:
        note = waiting.basis_points or waiting.reason
        figures.append(KeyFigure(label="Cost of waiting", value=waiting.money, note=note, tone=waiting.tone))
    return tuple(figures)


def _payoff(case: OrderCase) -> tuple[PayoffDiagram | None, str]:
    spot = case.spot
    price, price_name = case.unit_price
    try:
        payoff = payoff_of(
            case.signed_legs,
            spot=spot.value if spot else None,
            now=case.now,
            volatilities=case.market.volatilities,
            unit_price=price,
        )
    except ValueError as error:
        return None, f"No diagram: {error}."
    return diagram(
        payoff,
        underlying=case.underlying,
        spot_age=f"{display.age(case.now - spot.at)} old" if spot else "",
        premium_note=_premium_note(price, price_name),
        volatility_note=_volatility_note(case),
    ), ""


def _premium_note(price: Decimal | None, name: str) -> str:
    if price is None:
        return "No price is on record: the premium is not counted."
    return f"Counted at the {name} of {display.number(price)}."


def _volatility_note(case: OrderCase) -> str:
    """Where today's line has its volatilities from."""
    quotes = [quote for quote in case.market.options.values() if quote.volatility is not None]
    if not quotes:
        return ""
    oldest = display.age(case.now - min(quote.at for quote in quotes))
    how = "solved from prices" if any(quote.solved for quote in quotes) else "as quoted"
    return f"Today: Black-Scholes, implied volatilities {how}, the oldest {oldest} old, rate 0 %, no dividends."


def _effect(case: OrderCase) -> PortfolioEffect | None:
    if case.judged is None:
        return None
    return portfolio_effect(
        case.judged,
        case.signed_legs,
        underlying=case.underlying,
        loss=_loss(case),
        market=Market(spot=case.spot.value if case.spot else None, volatilities=case.market.volatilities, at=case.now),
    )


def _loss(case: OrderCase) -> Loss:
    """As the last assessment found it; an order from before that was kept is looked at by itself."""
    order = case.order
    if order.max_loss is not None or order.unbounded_loss:
        return Loss(amount=order.max_loss)
    if case.unit_price[0] is None:
        return Loss(amount=None, unknown="no price of the order is on record")
    return Loss(amount=max_loss(case.signed_legs))


def _market(case: OrderCase) -> MarketContext:
    contexts = [(case.staged, "When staged"), (case.judged, "Last judged")]
    taken = [snapshot_of(context, name) for context, name in contexts if context is not None]
    if len(taken) == 2 and taken[0].at == taken[1].at:
        del taken[1]
    symbols = tuple(dict.fromkeys([case.ticket.symbol, case.underlying]))
    return compared(
        (*taken, _snapshot_now(case, symbols)),
        symbols=symbols,
        waiting=_waiting(case),
        unavailable=case.market.unavailable,
    )


def _snapshot_now(case: OrderCase, symbols: tuple[str, ...]) -> Snapshot:
    market = case.market
    options = {symbol: Reading(value=quote.price, at=quote.at) for symbol, quote in market.options.items()}
    prices = {symbol: Reading(value=price.value, at=price.at) for symbol, price in market.prices.items()}
    found = {**options, **prices}
    nothing = Reading(value=None)
    return Snapshot(
        name="Now",
        at=case.now,
        quotes={symbol: found[symbol] for symbol in symbols if symbol in found},
        equity=Reading(value=market.equity.value, at=market.equity.at) if market.equity else nothing,
        iv_rank=Reading(value=market.iv_rank.value, at=market.iv_rank.at) if market.iv_rank else nothing,
    )


def _waiting(case: OrderCase) -> Waiting:
    """Of an order that was not sent yet: what its price has moved since it was staged."""
    order = case.order
    if order.status not in OPEN or case.was_at_broker:
        return not_waited("It waits no more.")
    then = order.decision_price
    if then is None and not case.ticket.legs and case.staged and case.staged.quote:
        then = case.staged.quote.price
    if then is None:
        return not_waited("No price of the order is on record for when it was staged.")
    if case.price_now is None:
        missing = "a leg" if case.ticket.legs else "the order"
        return not_waited(f"No price of {missing} is on record now.")
    return waited(
        side=side_of(order),
        price_then=then,
        price_now=case.price_now,
        quantity=order.quantity,
        multiplier=case.ticket.multiplier,
        name_then="when staged",
    )


def _costs(case: OrderCase) -> OrderCosts:
    return order_costs(
        case.order,
        case.fills,
        # A leg is named by its position; joining each fill to it would fetch it again.
        positions={leg.pk: leg.position for leg in case.legs},
        multiplier=case.ticket.multiplier,
        multipliers={leg.pk: leg.multiplier for leg in case.legs},
        end_price=case.end_price,
    )


def _override(override: RuleOverride, now: datetime) -> OverrideRow:
    return OverrideRow(
        code=override.code,
        given_by=override.given_by.get_username(),
        given_at=display.moment(override.given_at),
        expires_at=display.moment(override.expires_at),
        reason=override.reason,
        in_force=override.expires_at > now,
    )


def _position(position: Position) -> PositionRow:
    return PositionRow(
        instrument=position.instrument,
        strategy=position.strategy or "none stated",
        quantity=f"{position.quantity.normalize():+,f}",
        cost=f"{position.cost:+,.2f}",
        updated=display.moment(position.updated_at),
    )


def _facts(order: StagedOrder, now: datetime) -> tuple[Fact, ...]:
    nobody = "the policy" if order.approved_by_policy else "nobody yet"
    reviewer = order.reviewed_by.get_username() if order.reviewed_by else nobody
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
        ("Approval holds until", display.moment(order.approval_expires_at) if order.approval_expires_at else "no date"),
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


def seen_by_the_rules(assessment: Mapping[str, Any]) -> tuple[Fact, ...]:
    """What the rules saw, each with its time."""
    seen = assessment["seen"]
    quote = seen["quote"]
    rows = (
        ("Judged", _when(seen["now"])),
        (
            "Quote",
            f"{quote['symbol']} {display.number(Decimal(quote['price']))}, {_when(quote['at'])}"
            if quote
            else NOT_ON_RECORD,
        ),
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
