"""A policy file among the bot's files: checked and held against the policy in force, never applied. Pure."""

from __future__ import annotations

from dataclasses import fields

from orders.policy import Policy

_NOT_LIMITS = {"version", "strategies", "not_evaluated"}


def compared(stated: Policy, in_force: Policy) -> str:
    """One sentence: which limits differ from those in force."""
    differing = [
        _difference(item.name, getattr(stated, item.name), getattr(in_force, item.name))
        for item in fields(Policy)
        if item.name not in _NOT_LIMITS and getattr(stated, item.name) != getattr(in_force, item.name)
    ]
    names = sorted(stated.strategies.keys() | in_force.strategies.keys())
    differing += [
        f"strategies.{name}" for name in names if stated.strategies.get(name) != in_force.strategies.get(name)
    ]
    if not differing:
        verdict = f"its limits equal those in force (version {in_force.version})"
    else:
        verdict = f"it differs from the one in force (version {in_force.version}): {', '.join(differing)}"
    unjudged = (
        f" (not compared, since no rule judges them: {', '.join(stated.not_evaluated)})" if stated.not_evaluated else ""
    )
    return f"policy, not applied: set EMO_POLICY_FILE; {verdict}{unjudged}"


def _difference(name: str, stated: object, in_force: object) -> str:
    return f"{name} {_shown(stated)} instead of {_shown(in_force)}"


def _shown(value: object) -> str:
    if isinstance(value, frozenset):
        return " ".join(sorted(value)) or "none"
    return "not set" if value is None else str(value)
