"""What the rules say of an order at one moment: gathers, runs every rule, writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from orders import compliance, risk
from orders.assessment import Assessment, Context, Contribution, Severity, assessment_as_json, context_as_json
from orders.choices import Instrument, LegAction, OrderType, Side, TimeInForce
from orders.context import gather, policy_in_force
from orders.models import StagedOrder
from orders.policy import Policy
from orders.ticket import Objection, Ticket, TicketLeg


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the rules say of an order at one moment, and what they saw."""

    risk: Assessment
    compliance: Assessment
    context: Context
    policy_version: str
    policy_number: int | None = None
    """The version's number in the database; None for a policy that is only a file."""

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
        """The whole assessment with its inputs: what an event of the audit trail keeps, and the order's row of the last
        one. `manage.py review_as_of` makes it again, byte for byte.
        """
        return {
            "policy_version": self.policy_version,
            "policy_number": self.policy_number,
            "code_version": settings.EMO_VERSION,
            "risk": assessment_as_json(self.risk),
            "compliance": assessment_as_json(self.compliance),
            "seen": context_as_json(self.context),
        }


def judge(ticket: Ticket, *, created_by: str, now: datetime, reviewer: str = "") -> Judgement:
    """Runs every rule on the order as things stand at `now`. Writes nothing."""
    policy = policy_in_force()
    context = gather(ticket, created_by=created_by, now=now, reviewer=reviewer)
    return judge_in(ticket, context, policy)


def judge_in(ticket: Ticket, context: Context, policy: Policy) -> Judgement:
    """Runs every rule on the order in a context that was gathered before."""
    return Judgement(
        risk=risk.assess(ticket, context, policy),
        compliance=compliance.assess(ticket, context, policy),
        context=context,
        policy_version=policy.version,
    )


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
                instrument=Instrument(leg.instrument),
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


def listed(items: Sequence[Contribution]) -> str:
    return "; ".join(f"{item.code}: {item.message}" for item in items)
