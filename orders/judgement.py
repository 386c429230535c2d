"""What the rules say of an order at one moment: gathers, runs every rule, writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.conf import settings

from monitoring.prices import BidAsk
from orders import compliance, risk
from orders.assessment import Assessment, Context, Contribution, Severity, assessment_as_json, context_as_json
from orders.choices import Instrument, LegAction, OrderType, Side, TimeInForce
from orders.context import Question, gather_under_policy
from orders.models import OrderLeg, StagedOrder
from orders.policy import Policy
from orders.ticket import Objection, Ticket, TicketLeg

_MONEY = Decimal("1e-6")
_LONGEST = 512
# Sums of losses up to here fit their columns; a larger one counts as not known.
_LARGEST = Decimal(10) ** 12


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the rules say of an order at one moment, and what they saw."""

    risk: Assessment
    compliance: Assessment
    context: Context
    policy: Policy
    ticket: Ticket
    state_number: int
    """Of the trading state that was seen: a decision holds only while no other was declared since."""
    high_looked_until: datetime | None = None
    policy_number: int | None = None
    """The version's number in the database; None for a policy that is only a file."""
    quote: BidAsk | None = None
    """The last bid and ask, of what goes to the broker."""

    @property
    def blocks(self) -> tuple[Contribution, ...]:
        return (*self.risk.blocks, *self.compliance.blocks)

    @property
    def columns(self) -> dict[str, Any]:
        """What the order's row keeps of its last judgement."""
        loss, unbounded = self._worst_loss()
        return {
            "risk_score": self.risk.score,
            "compliance_score": self.compliance.score,
            "violations": self.violations,
            "notional": self._notional(),
            "max_loss": loss,
            "unbounded_loss": unbounded,
        }

    def _notional(self) -> Decimal | None:
        try:
            return risk.notional(self.ticket, self.context, self.policy).quantize(_MONEY)
        except risk.NotKnown:
            return None

    def _worst_loss(self) -> tuple[Decimal | None, bool]:
        try:
            loss = risk.worst_loss(self.ticket, self.context, self.policy)
        except risk.NotKnown:
            return None, False
        if loss is None:
            return None, True
        return (loss.quantize(_MONEY) if loss < _LARGEST else None), False

    @property
    def price(self) -> Decimal | None:
        """What one unit could be traded at: the last quote, if it is as recent as the policy wants it. None for a
        combination, which has no market price of its own.
        """
        quote = self.context.quote
        if quote is None or self.ticket.legs:
            return None
        return quote.price if self._is_recent(quote.at) else None

    @property
    def arrival(self) -> dict[str, Decimal | None]:
        """The columns of what the market was when the order came to the broker: one unit's price, bid and ask, each as
        recent as the policy wants it. None of a combination.
        """
        quote = self.quote if self.quote and self._is_recent(self.quote.at) else None
        return {
            "arrival_price": self.price,
            "arrival_bid": quote.bid if quote else None,
            "arrival_ask": quote.ask if quote else None,
        }

    def _is_recent(self, at: datetime) -> bool:
        limit = self.policy.max_quote_age_seconds
        return limit is None or (self.context.now - at).total_seconds() <= limit

    @property
    def violations(self) -> str:
        """The column of that name: "CODE:severity", blocks first."""
        found = [*self.risk.violations, *self.compliance.violations]
        found.sort(key=lambda item: item.severity != Severity.BLOCK)
        told = ",".join(dict.fromkeys(f"{item.code}:{item.severity}" for item in found))
        # More than the column holds is in the assessment itself; the worst come first.
        return told if len(told) <= _LONGEST else told[:_LONGEST].rpartition(",")[0]

    def as_json(self) -> dict[str, Any]:
        """The whole assessment with its inputs: what an event of the audit trail keeps. `manage.py review_as_of` makes
        it again, byte for byte. Made once: nobody may change it.
        """
        return self._document

    @property
    def basis(self) -> dict[str, Any]:
        """The part of `as_json` that the order's row keeps: the next step asks for it, the rest is in the trail."""
        seen = self._document["seen"]
        return {
            "policy_version": self._document["policy_version"],
            "seen": {name: seen[name] for name in ("quote", "underlying_quote")},
        }

    @cached_property
    def _document(self) -> dict[str, Any]:
        return {
            "policy_version": self.policy.version,
            "policy_number": self.policy_number,
            "code_version": settings.EMO_VERSION,
            "risk": assessment_as_json(self.risk),
            "compliance": assessment_as_json(self.compliance),
            "seen": context_as_json(self.context),
        }


def judge(question: Question, *, now: datetime) -> Judgement:
    """Runs every rule on the order as things stand at `now`. Writes nothing."""
    return judge_each([question], now=now)[0]


def judge_each(questions: Sequence[Question], *, now: datetime) -> list[Judgement]:
    """`judge` of many, gathered for at once."""
    in_force, gathered = gather_under_policy(questions, now=now)
    return [
        judge_in(
            question.ticket,
            context,
            in_force.policy,
            number=in_force.number,
            state_number=gathered.state_number,
            high_looked_until=gathered.high_looked_until,
            quote=gathered.quotes.get(place),
        )
        for place, (question, context) in enumerate(zip(questions, gathered.contexts, strict=True))
    ]


def judge_in(
    ticket: Ticket,
    context: Context,
    policy: Policy,
    *,
    number: int,
    state_number: int = 0,
    high_looked_until: datetime | None = None,
    quote: BidAsk | None = None,
) -> Judgement:
    """Runs every rule on the order in a context that was gathered before, under the policy of that number. Nothing may
    be decided on it without the number of the trading state that was seen.
    """
    return Judgement(
        risk=risk.assess(ticket, context, policy),
        compliance=compliance.assess(ticket, context, policy),
        context=context,
        policy=policy,
        policy_number=number,
        ticket=ticket,
        state_number=state_number,
        high_looked_until=high_looked_until,
        quote=quote,
    )


def ticket_of(order: StagedOrder, legs: Sequence[OrderLeg] | None = None) -> Ticket:
    """The order's row (and its legs, fetched where they are not given) as the ticket the rules judge."""
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
                instrument=Instrument(leg.instrument),
                symbol=leg.symbol,
                quantity=leg.quantity,
                strike=leg.strike,
                expiry=leg.expiry,
                multiplier=leg.multiplier,
            )
            for leg in (order.legs.all() if legs is None else legs)
        ),
        missing=tuple(kept.get("missing", ())),
        objections=tuple(Objection(**item) for item in kept.get("objections", ())),
        metadata=order.metadata,
    )


def listed(items: Sequence[Contribution]) -> str:
    return "; ".join(f"{item.code}: {item.message}" for item in items)
