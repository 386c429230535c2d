"""What one rule says of one order, and how it becomes a contribution: exemption, points, override. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple, TypeVar

from orders.assessment import Context, Contribution, Severity
from orders.policy import Policy
from orders.protective import Reduction, reduction
from orders.rule_registry import Rule
from orders.ticket import Ticket

ZERO = Decimal(0)


@dataclass(frozen=True)
class Case:
    """One order in front of the rules, and what several of them ask of it."""

    order: Ticket
    context: Context
    policy: Policy

    @cached_property
    def reduction(self) -> Reduction:
        return reduction(self.order, self.context)

    @property
    def reduces(self) -> bool:
        return self.reduction != Reduction.NONE


class Verdict(NamedTuple):
    """A rule's word. `share`, from 0 to 1, is how much of its weight it adds to a risk score."""

    severity: Severity
    message: str
    share: Decimal = ZERO
    measured: str = ""
    limit: str = ""
    applicable: bool = True


EXEMPT = Verdict(Severity.INFO, "Not judged: exempt: reduces the position.", applicable=False)
AnyCase = TypeVar("AnyCase", bound=Case)


def not_judged(reason: str) -> Verdict:
    return Verdict(Severity.INFO, f"Not judged: {reason}.", applicable=False)


def not_armed(parameter: str) -> Verdict:
    return not_judged(f"the policy sets no {parameter}")


def not_evaluated(reason: str, limit: str = "") -> Verdict:
    """An armed rule whose input is missing blocks, and names what is missing."""
    return Verdict(Severity.BLOCK, f"Can't be evaluated: {reason}.", Decimal(1), "n/a", limit)


def judged(rule: Rule, judge: Callable[[AnyCase], Verdict], case: AnyCase) -> Verdict:
    """Runs the rule, unless it exempts orders that reduce and this is one."""
    return EXEMPT if rule.exempts_protective and case.reduces else judge(case)


def contribution(rule: Rule, verdict: Verdict, points: Decimal, context: Context | None = None) -> Contribution:
    """The verdict under its rule's name. A block that somebody set aside for this order, as the context says, warns and
    keeps its points.
    """
    overridden = _override(rule, context) if context and verdict.severity == Severity.BLOCK else ""
    return Contribution(
        code=rule.code,
        severity=Severity.WARN if overridden else verdict.severity,
        message=verdict.message,
        citation=rule.citation,
        points=points,
        measured=verdict.measured,
        limit=verdict.limit,
        applicable=verdict.applicable,
        overridden=overridden,
    )


def _override(rule: Rule, context: Context) -> str:
    """Who set the rule aside, until when and why; empty where nobody did or the time is over."""
    if not rule.overridable:
        return ""
    for item in context.overrides:
        if item.code == rule.code and item.expires_at > context.now:
            until = f"{item.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            return f"by {item.given_by} until {until}: {item.reason}"
    return ""
