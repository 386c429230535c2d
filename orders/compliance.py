"""Compliance rules: each judges one order by itself, none stops another. Pure: values in, values out.

compliance_score runs from 0 to 100: the weight of the applicable rules that passed over the weight of all applicable
ones. A rule that only warns has passed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from orders.assessment import POINT, Assessment, Context, Contribution, Severity, scored
from orders.policy import Policy, StrategyLimits
from orders.ticket import Objection, Ticket

WEIGHTS = {
    "STRATEGY_WINDOW": Decimal(15),
    "RESTRICTED_SYMBOL": Decimal(25),
    "EXPIRY": Decimal(20),
    "RECORD_COMPLETE": Decimal(20),
    "SELF_APPROVAL": Decimal(20),
}
OBJECTION_WEIGHT = Decimal(25)
CITATIONS = {
    "STRATEGY_WINDOW": "bot policy",
    "RESTRICTED_SYMBOL": "SEC 15c3-5(c)(2)(ii)",
    "EXPIRY": "exchange expiry; FIX 4.4 ExpireTime(126)",
    "RECORD_COMPLETE": "FINRA CAT; SEC 17a-4",
    "SELF_APPROVAL": "four eyes",
}
OBJECTION_CITATION = "the order's own source"
# Listed US options expire by the exchange's calendar day, whatever the day is in UTC.
EXCHANGE_ZONE = ZoneInfo("America/New_York")


def assess(order: Ticket, context: Context, policy: Policy) -> Assessment:
    """Runs every compliance rule. The contributions' points add up to the score."""
    return scored(
        _with_points(
            [
                _strategy_window(order, context, policy),
                _restricted_symbol(order, policy),
                _expiry(order, context, policy),
                _record_complete(order, context),
                self_approval(created_by=context.created_by, reviewer=context.reviewer),
                *(_objection(item) for item in order.objections),
            ]
        )
    )


def self_approval(*, created_by: str, reviewer: str) -> Contribution:
    """Four eyes: whoever staged an order does not approve it. Not applicable while nobody reviews it."""
    code = "SELF_APPROVAL"
    if not reviewer:
        return _contribution(code, Severity.INFO, "Judged when somebody reviews the order.", applicable=False)
    if reviewer == created_by:
        return _contribution(
            code,
            Severity.BLOCK,
            f"{reviewer} staged this order: somebody else must decide.",
            measured=reviewer,
            limit=f"not {created_by}",
        )
    return _contribution(code, Severity.INFO, f"Staged by {created_by}, reviewed by {reviewer}.", measured=reviewer)


def days_to_expiry(expiry: date, now: datetime) -> int:
    return (expiry - now.astimezone(EXCHANGE_ZONE).date()).days


def _strategy_window(order: Ticket, context: Context, policy: Policy) -> Contribution:
    code, limits = "STRATEGY_WINDOW", policy.strategies.get(order.strategy)
    if limits is None:
        return _contribution(
            code,
            Severity.INFO,
            f"Not judged: the policy has no window for {order.strategy or 'no strategy'!r}.",
            applicable=False,
        )
    expiry, rank = _dte_problem(order, context, limits), _iv_rank_problem(context, limits, order.underlying)
    problems = [problem for problem in (expiry, rank) if problem]
    shown_limit = (
        f"expiry in {_span(limits.dte_min, limits.dte_max)} days, IV rank {_span(limits.ivr_min, limits.ivr_max)}"
    )
    if problems:
        return _contribution(code, Severity.BLOCK, "; ".join(problems) + ".", measured="outside", limit=shown_limit)
    return _contribution(code, Severity.INFO, f"Inside the window of {order.strategy}.", limit=shown_limit)


def _dte_problem(order: Ticket, context: Context, limits: StrategyLimits) -> str:
    if limits.dte_min is None and limits.dte_max is None:
        return ""
    if not order.expiries or None in order.expiries:
        return "days to expiry can't be evaluated: an expiry is not stated"
    days = [days_to_expiry(expiry, context.now) for expiry in order.expiries if expiry is not None]
    low, high = min(days), max(days)
    if (limits.dte_min is not None and low < limits.dte_min) or (limits.dte_max is not None and high > limits.dte_max):
        measured = f"{low}" if low == high else f"{low} to {high}"
        return f"{measured} days to expiry are outside {_span(limits.dte_min, limits.dte_max)}"
    return ""


def _iv_rank_problem(context: Context, limits: StrategyLimits, underlying: str) -> str:
    if limits.ivr_min is None and limits.ivr_max is None:
        return ""
    rank = context.iv_rank
    if rank is None:
        return f"IV rank can't be evaluated: none is on record for {underlying}"
    if (limits.ivr_min is not None and rank < limits.ivr_min) or (limits.ivr_max is not None and rank > limits.ivr_max):
        return f"IV rank {rank.normalize():f} is outside {_span(limits.ivr_min, limits.ivr_max)}"
    return ""


def _restricted_symbol(order: Ticket, policy: Policy) -> Contribution:
    code = "RESTRICTED_SYMBOL"
    if restricted := [symbol for symbol in order.symbols if symbol.upper() in policy.restricted_symbols]:
        return _contribution(
            code, Severity.BLOCK, f"{', '.join(restricted)} is on the restricted list.", measured=", ".join(restricted)
        )
    underlyings = sorted({order.underlying, *(leg.underlying for leg in order.legs)})
    strange = [name for name in underlyings if name.upper() not in policy.permitted_symbols]
    if policy.permitted_symbols and strange:
        return _contribution(
            code, Severity.BLOCK, f"{', '.join(strange)} is not on the permitted list.", measured=", ".join(strange)
        )
    return _contribution(code, Severity.INFO, f"{order.underlying} may be traded.", measured=order.underlying)


def _expiry(order: Ticket, context: Context, policy: Policy) -> Contribution:
    code = "EXPIRY"
    if order.expires_at is not None and order.expires_at <= context.now:
        return _contribution(
            code,
            Severity.BLOCK,
            f"The order's own time ended at {order.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC.",
            measured=order.expires_at.isoformat(),
            limit=context.now.isoformat(),
        )
    expiries = order.expiries
    if not expiries:
        return _contribution(code, Severity.INFO, "Nothing in this order expires.", applicable=False)
    if None in expiries:
        return _contribution(code, Severity.BLOCK, "Can't be evaluated: an option has no expiry.", measured="n/a")
    first = min(expiry for expiry in expiries if expiry is not None)
    days = days_to_expiry(first, context.now)
    if days < 0:
        severity, message = Severity.BLOCK, f"An option expired on {first}, {-days} days ago."
    elif days == 0:
        severity, message = Severity.BLOCK, f"An option expires today ({first})."
    elif policy.min_dte_warn is not None and days < policy.min_dte_warn:
        severity, message = Severity.WARN, f"An option expires in {days} days, on {first}."
    else:
        severity, message = Severity.INFO, f"The first option expires in {days} days, on {first}."
    return _contribution(code, severity, message, measured=f"{days} days", limit="more than 0 days")


def _record_complete(order: Ticket, context: Context) -> Contribution:
    code = "RECORD_COMPLETE"
    missing = list(order.missing)
    if not order.strategy and "strategy" not in missing:
        missing.append("strategy")
    if not context.created_by:
        missing.append("created_by")
    if missing:
        return _contribution(
            code,
            Severity.BLOCK,
            f"Not stated by the source: {', '.join(missing)}.",
            measured=f"{len(missing)} missing",
            limit="0 missing",
        )
    return _contribution(
        code, Severity.INFO, "Every required field is stated.", measured="0 missing", limit="0 missing"
    )


def _objection(item: Objection) -> Contribution:
    return Contribution(
        code=item.code, severity=Severity.BLOCK, message=item.message, citation=OBJECTION_CITATION, measured="refused"
    )


def _with_points(contributions: Iterable[Contribution]) -> list[Contribution]:
    """Gives each rule that passed its share of 100; the last one takes the rounding, so that they add up."""
    items = list(contributions)
    total = sum((_weight(item) for item in items if item.applicable), Decimal(0))
    passed = [item for item in items if item.applicable and item.severity != Severity.BLOCK]
    score = (sum((_weight(item) for item in passed), Decimal(0)) * 100 / total).quantize(POINT)
    points = {id(item): (_weight(item) * 100 / total).quantize(POINT) for item in passed[:-1]}
    if passed:
        points[id(passed[-1])] = score - sum(points.values(), Decimal(0))
    return [replace(item, points=points.get(id(item), Decimal(0))) for item in items]


def _weight(item: Contribution) -> Decimal:
    return WEIGHTS.get(item.code, OBJECTION_WEIGHT)


def _span(low: object, high: object) -> str:
    if low is None and high is None:
        return "any"
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def _contribution(
    code: str, severity: Severity, message: str, *, measured: str = "", limit: str = "", applicable: bool = True
) -> Contribution:
    return Contribution(
        code=code,
        severity=severity,
        message=message,
        citation=CITATIONS[code],
        measured=measured,
        limit=limit,
        applicable=applicable,
    )
