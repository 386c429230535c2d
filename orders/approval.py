"""When an approval holds, and when the policy itself may give one. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from orders.assessment import Assessment, Context, Quote
from orders.choices import TradingState
from orders.policy import Policy


def expires_at(policy: Policy, approved_at: datetime) -> datetime | None:
    """When an approval given now ends by itself; None where the policy sets no time to live."""
    seconds = policy.approval.ttl_seconds
    return None if seconds is None else approved_at + timedelta(seconds=seconds)


def staleness(*, expires: datetime | None, seen: Quote | None, context: Context, policy: Policy) -> str:
    """Why an approval does not hold any more, empty while it does (RTS 6 article 15; order states of domain rules).

    `expires` is when it ends by itself, `seen` the quote that the approver decided on. A price that was known then must
    be known now, as recent as the policy wants it, and within the drift that it allows.
    """
    if expires is not None and context.now >= expires:
        return f"the approval ended at {expires:%Y-%m-%d %H:%M:%S} UTC"
    allowed = policy.approval.max_price_drift
    if allowed is None or seen is None or seen.price == 0:
        return ""
    quotes = [each for each in (context.quote, context.underlying_quote) if each and each.symbol == seen.symbol]
    if not quotes:
        return f"there is no quote for {seen.symbol} any more"
    age = (context.now - quotes[0].at).total_seconds()
    oldest = policy.max_quote_age_seconds
    if oldest is not None and age > oldest:
        return f"the last quote for {seen.symbol} is {age:.0f} s old, {oldest} s are allowed"
    drift = abs(quotes[0].price / seen.price - 1)
    if drift <= allowed:
        return ""
    return (
        f"{seen.symbol} went from {seen.price} to {quotes[0].price}:"
        f" {drift * 100:.2f} %, {allowed * 100:.2f} % are allowed"
    )


def by_policy(
    *, strategy: str, environment: str, risk: Assessment, compliance: Assessment, context: Context, policy: Policy
) -> str:
    """Why the policy approves the order by itself, empty where it does not: it names the environment, the strategy is
    eligible, no rule blocks or even warns, and the risk score is at most the threshold.
    """
    limits = policy.strategies.get(strategy)
    if limits is None or not limits.auto_eligible or environment not in policy.auto_approval.environments:
        return ""
    if risk.violations or compliance.violations or context.trading_state != TradingState.ACTIVE:
        return ""
    threshold = _threshold(limits.auto_max_risk_score, policy)
    if risk.score > threshold:
        return ""
    return (
        f"policy {policy.version} approves {strategy} in {environment}:"
        f" no rule objects, risk score {risk.score} of at most {threshold}"
    )


def _threshold(own: Decimal | None, policy: Policy) -> Decimal:
    return policy.auto_approval.max_risk_score if own is None else own
