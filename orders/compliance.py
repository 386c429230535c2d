"""Compliance rules: each judges one order by itself, none stops another. Pure: values in, values out.

compliance_score runs from 0 to 100: the weight of the applicable rules that passed over the weight of all applicable
ones. A rule that only warns has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from orders.assessment import POINT, Assessment, Context, Contribution, Severity, scored
from orders.choices import TradingState
from orders.cover import ZERO, position, shares
from orders.options import Leg, identify_strategy, is_strategy
from orders.options.strategies import CUSTOM
from orders.policy import Policy, StrategyLimits
from orders.rule_registry import BY_CODE, Module, Rule, objection, rules_of
from orders.ticket import Objection, Ticket
from orders.verdict import Case, Verdict, contribution, judged, not_evaluated, not_judged

# Listed US options expire by the exchange's calendar day, whatever the day is in UTC.
EXCHANGE_ZONE = ZoneInfo("America/New_York")


def assess(order: Ticket, context: Context, policy: Policy) -> Assessment:
    """Runs every compliance rule. The contributions' points add up to the score."""
    case = Case(order, context, policy)
    found = [(rule, judged(rule, judge, case)) for rule, judge in _RULES]
    found += [(objection(item.code), _refused(item)) for item in order.objections]
    points = _points(found)
    return scored(
        [contribution(rule, verdict, each, context) for (rule, verdict), each in zip(found, points, strict=True)]
    )


def self_approval(*, created_by: str, reviewer: str) -> Contribution:
    """Four eyes: whoever staged an order does not approve it. Not applicable while nobody reviews it."""
    return contribution(BY_CODE["SELF_APPROVAL"], _four_eyes(created_by, reviewer), ZERO)


def _four_eyes(created_by: str, reviewer: str) -> Verdict:
    if not reviewer:
        return Verdict(Severity.INFO, "Judged when somebody reviews the order.", applicable=False)
    if reviewer == created_by:
        message = f"{reviewer} staged this order: somebody else must decide."
        return Verdict(Severity.BLOCK, message, measured=reviewer, limit=f"not {created_by}")
    return Verdict(Severity.INFO, f"Staged by {created_by}, reviewed by {reviewer}.", measured=reviewer)


def days_to_expiry(expiry: date, now: datetime) -> int:
    return (expiry - now.astimezone(EXCHANGE_ZONE).date()).days


def _strategy_window(case: Case) -> Verdict:
    order, context = case.order, case.context
    limits = case.policy.strategies.get(order.strategy)
    if limits is None:
        return not_judged(f"the policy has no window for {order.strategy or 'no strategy'!r}")
    expiry, rank = _dte_problem(order, context, limits), _iv_rank_problem(context, limits, order.underlying)
    problems = [problem for problem in (expiry, rank) if problem]
    shown_limit = (
        f"expiry in {_span(limits.dte_min, limits.dte_max)} days, IV rank {_span(limits.ivr_min, limits.ivr_max)}"
    )
    if problems:
        return Verdict(Severity.BLOCK, "; ".join(problems) + ".", measured="outside", limit=shown_limit)
    return Verdict(Severity.INFO, f"Inside the window of {order.strategy}.", limit=shown_limit)


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


def _restricted_symbol(case: Case) -> Verdict:
    order, policy = case.order, case.policy
    if restricted := [symbol for symbol in order.symbols if symbol.upper() in policy.restricted_symbols]:
        names = ", ".join(restricted)
        return Verdict(Severity.BLOCK, f"{names} is on the restricted list.", measured=names)
    underlyings = sorted({order.underlying, *(leg.underlying for leg in order.legs)})
    strange = [name for name in underlyings if name.upper() not in policy.permitted_symbols]
    if policy.permitted_symbols and strange:
        names = ", ".join(strange)
        return Verdict(Severity.BLOCK, f"{names} is not on the permitted list.", measured=names)
    return Verdict(Severity.INFO, f"{order.underlying} may be traded.", measured=order.underlying)


def _leg_sanity(case: Case) -> Verdict:
    order, name = case.order, case.order.strategy
    if not order.legs:
        return not_judged("the order has no legs")
    legs = order.unpriced_legs
    is_named = is_strategy(legs, name)
    if is_named is None:
        return not_judged(f"{name or 'no strategy'!r} is not the name of a structure")
    if is_named or is_strategy([*legs, *_held_shares(case, legs)], name):
        return Verdict(Severity.INFO, f"The legs form {name}.", measured=name, limit=name)
    formed = identify_strategy(legs)
    said = "no structure that has a name" if formed == CUSTOM else formed
    return Verdict(Severity.BLOCK, f"The legs form {said}, not {name}.", measured=formed, limit=name)


def _held_shares(case: Case, legs: Sequence[Leg]) -> list[Leg]:
    """As many of the shares held as the options are about: they complete a covered call without being traded."""
    held = shares(position(case.context.holdings))
    needed = max((abs(leg.units) for leg in legs if leg.right != "S"), default=ZERO)
    if needed == 0 or abs(held) < needed:
        return []
    return [Leg("S", None, needed.copy_sign(held), multiplier=Decimal(1), underlying=case.order.underlying)]


def _expiry(case: Case) -> Verdict:
    order, now = case.order, case.context.now
    if order.expires_at is not None and order.expires_at <= now:
        message = f"The order's own time ended at {order.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
        return Verdict(Severity.BLOCK, message, measured=order.expires_at.isoformat(), limit=now.isoformat())
    expiries = order.expiries
    if not expiries:
        return Verdict(Severity.INFO, "Nothing in this order expires.", applicable=False)
    stated = [expiry for expiry in expiries if expiry is not None]
    if len(stated) < len(expiries):
        return not_evaluated("an option has no expiry")
    first = min(stated)
    days = days_to_expiry(first, now)
    severity, message = _days_left(case, first, days)
    return Verdict(severity, message, measured=f"{days} days", limit="more than 0 days")


def _days_left(case: Case, first: date, days: int) -> tuple[Severity, str]:
    warned_below = case.policy.min_dte_warn
    if days < 0:
        return Severity.BLOCK, f"An option expired on {first}, {-days} days ago."
    if days == 0 and case.reduces:
        # Whoever may not close today what ends today is left with it.
        return Severity.WARN, f"An option expires today ({first}); the order reduces the position."
    if days == 0:
        return Severity.BLOCK, f"An option expires today ({first})."
    if warned_below is not None and days < warned_below:
        return Severity.WARN, f"An option expires in {days} days, on {first}."
    return Severity.INFO, f"The first option expires in {days} days, on {first}."


def _kill_switch(case: Case) -> Verdict:
    state = case.context.trading_state
    if state == TradingState.ACTIVE:
        return Verdict(Severity.INFO, "Trading is active.", measured=state)
    if state == TradingState.HALTED:
        message = "Trading is halted: no order may pass."
        return Verdict(Severity.BLOCK, message, measured=state, limit=TradingState.ACTIVE)
    if case.reduces:
        return Verdict(Severity.INFO, "Trading only reduces, and so does this order.", measured=state)
    message = "Trading only reduces, and this order does not reduce what is held."
    return Verdict(Severity.BLOCK, message, measured=state, limit=TradingState.ACTIVE)


def _record_complete(case: Case) -> Verdict:
    missing = list(case.order.missing)
    if not case.order.strategy and "strategy" not in missing:
        missing.append("strategy")
    if not case.context.created_by:
        missing.append("created_by")
    if missing:
        message = f"Not stated by the source: {', '.join(missing)}."
        return Verdict(Severity.BLOCK, message, measured=f"{len(missing)} missing", limit="0 missing")
    return Verdict(Severity.INFO, "Every required field is stated.", measured="0 missing", limit="0 missing")


def _self_approval(case: Case) -> Verdict:
    return _four_eyes(case.context.created_by, case.context.reviewer)


def _refused(item: Objection) -> Verdict:
    return Verdict(Severity.BLOCK, item.message, measured="refused")


def _points(found: Sequence[tuple[Rule, Verdict]]) -> list[Decimal]:
    """Each passed rule gets its share of 100, the others 0; the last one takes the rounding, so that they add up.

    A rule that was set aside warns in the end, but it has not passed.
    """
    total = sum((rule.weight for rule, verdict in found if verdict.applicable), ZERO)
    passed = [
        place for place, (_, verdict) in enumerate(found) if verdict.applicable and verdict.severity != Severity.BLOCK
    ]
    points = [ZERO] * len(found)
    for place in passed:
        points[place] = (found[place][0].weight * 100 / total).quantize(POINT)
    if passed:
        score = (sum((found[place][0].weight for place in passed), ZERO) * 100 / total).quantize(POINT)
        points[passed[-1]] += score - sum(points, ZERO)
    return points


def _span(low: object, high: object) -> str:
    if low is None and high is None:
        return "any"
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


_JUDGES: dict[str, Callable[[Case], Verdict]] = {
    "STRATEGY_WINDOW": _strategy_window,
    "RESTRICTED_SYMBOL": _restricted_symbol,
    "LEG_SANITY": _leg_sanity,
    "EXPIRY": _expiry,
    "KILL_SWITCH": _kill_switch,
    "RECORD_COMPLETE": _record_complete,
    "SELF_APPROVAL": _self_approval,
}
# A registered rule that is not written fails here, when the desk starts; one that is not registered is never run.
_RULES = [(rule, _JUDGES[rule.code]) for rule in rules_of(Module.COMPLIANCE)]
