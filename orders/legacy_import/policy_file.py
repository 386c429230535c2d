"""A policy file among the bot's files: checked and held against the policy in force, never applied. Pure."""

from __future__ import annotations

from orders.policy import Policy
from orders.policy_diff import changes

_NOT_LIMITS = {"policy_version", "not_evaluated"}


def compared(stated: Policy, in_force: Policy) -> str:
    """One sentence: which limits differ from those in force."""
    differing = [
        f"{change.name} {change.after} instead of {change.before}"
        for change in changes(in_force, stated)
        if change.name not in _NOT_LIMITS
    ]
    if not differing:
        verdict = f"its limits equal those in force (version {in_force.version})"
    else:
        verdict = f"it differs from the one in force (version {in_force.version}): {', '.join(differing)}"
    unjudged = (
        f" (not compared, since no rule judges them: {', '.join(stated.not_evaluated)})" if stated.not_evaluated else ""
    )
    return f"policy, not applied: propose it with manage.py policy propose; {verdict}{unjudged}"
