"""What differs between two policies, and whether it lets more through. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from orders.policy import ApprovalLimits, AutoApproval, Policy, StrategyLimits


class Effect(StrEnum):
    LOOSENS = "loosens"
    TIGHTENS = "tightens"
    NEUTRAL = "neutral"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One limit that differs, by its name in the document; `before` and `after` are texts."""

    name: str
    before: str
    after: str
    effect: Effect


NOT_SET = "not set"
Number = Decimal | int | None
Differ = Callable[[str, Any, Any], Iterator[Change]]


def changes(before: Policy, after: Policy) -> tuple[Change, ...]:
    """Every limit that differs. What lets through any order that was refused before has an effect of LOOSENS."""
    return (*_of_fields(POLICY, "", before, after), *_of_strategies(before, after))


def loosens(found: tuple[Change, ...]) -> bool:
    return any(change.effect == Effect.LOOSENS for change in found)


def _more(name: str, before: Number, after: Number) -> Iterator[Change]:
    """A maximum: the higher, the looser; without one everything passes."""
    yield from _number(name, before, after, looser=after is None or (before is not None and after > before))


def _less(name: str, before: Number, after: Number) -> Iterator[Change]:
    """A minimum, or a time that counts against an order: the lower, the looser; without one everything passes."""
    yield from _number(name, before, after, looser=after is None or (before is not None and after < before))


def _number(name: str, before: Number, after: Number, *, looser: bool) -> Iterator[Change]:
    # 0.1 and 0.10 are one limit.
    if before != after:
        yield _change(name, before, after, Effect.LOOSENS if looser else Effect.TIGHTENS)


def _allows(name: str, before: bool, after: bool) -> Iterator[Change]:
    if before != after:
        yield _change(name, before, after, Effect.LOOSENS if after else Effect.TIGHTENS)


def _allowing(name: str, before: frozenset[str], after: frozenset[str]) -> Iterator[Change]:
    """A list of what is let through: each entry is a change of its own."""
    yield from _entries(name, before, after, added=Effect.LOOSENS, removed=Effect.TIGHTENS)


def _refusing(name: str, before: frozenset[str], after: frozenset[str]) -> Iterator[Change]:
    yield from _entries(name, before, after, added=Effect.TIGHTENS, removed=Effect.LOOSENS)


def _permitted(name: str, before: frozenset[str], after: frozenset[str]) -> Iterator[Change]:
    """Without an entry everything is permitted."""
    if before and after:
        yield from _allowing(name, before, after)
    elif before != after:
        everything = "every symbol"
        effect = Effect.TIGHTENS if after else Effect.LOOSENS
        yield Change(
            name=name,
            before=" ".join(sorted(before)) or everything,
            after=" ".join(sorted(after)) or everything,
            effect=effect,
        )


def _entries(
    name: str, before: frozenset[str], after: frozenset[str], *, added: Effect, removed: Effect
) -> Iterator[Change]:
    for entry in sorted(before ^ after):
        is_new = entry in after
        texts = ("no", "yes") if is_new else ("yes", "no")
        effect = added if is_new else removed
        yield Change(name=f"{name}[{entry}]", before=texts[0], after=texts[1], effect=effect)


def _neutral(name: str, before: object, after: object) -> Iterator[Change]:
    if before != after:
        yield _change(name, before, after, Effect.NEUTRAL)


def _elsewhere(name: str, before: object, after: object) -> Iterator[Change]:
    """Told by _of_strategies, which sees more than this one field."""
    yield from ()


def _approval(name: str, before: ApprovalLimits, after: ApprovalLimits) -> Iterator[Change]:
    yield from _of_fields(APPROVAL, f"{name}.", before, after)


def _automatic(name: str, before: AutoApproval, after: AutoApproval) -> Iterator[Change]:
    yield from _of_fields(AUTO_APPROVAL, f"{name}.", before, after)


# How each limit is compared. A test walks the dataclasses: a new limit without a line here fails it. Declared the wrong
# way round, a limit could be loosened by one person alone.
POLICY: Mapping[str, Differ] = MappingProxyType(
    {
        "version": _neutral,
        "max_order_notional": _more,
        "max_order_quantity": _more,
        "max_risk_pct_trade": _more,
        "max_portfolio_risk_pct": _more,
        "max_daily_new_risk_pct": _more,
        "symbol_exposure_pct": _more,
        "max_positions": _more,
        "max_drawdown": _more,
        "price_band_fraction": _more,
        "duplicate_window_seconds": _less,
        "max_orders_per_window": _more,
        "order_rate_window_seconds": _less,
        "max_quote_age_seconds": _more,
        "min_dte_warn": _less,
        "allow_undefined_risk": _allows,
        "restricted_symbols": _refusing,
        "permitted_symbols": _permitted,
        "strategies": _elsewhere,
        "approval": _approval,
        "auto_approval": _automatic,
        "not_evaluated": _neutral,
    }
)
STRATEGY: Mapping[str, Differ] = MappingProxyType(
    {
        "ivr_min": _less,
        "ivr_max": _more,
        "dte_min": _less,
        "dte_max": _more,
        "qty_cap": _more,
        "auto_eligible": _allows,
        "auto_max_risk_score": _elsewhere,
    }
)
APPROVAL: Mapping[str, Differ] = MappingProxyType({"ttl_seconds": _more, "max_price_drift": _more})
AUTO_APPROVAL: Mapping[str, Differ] = MappingProxyType({"environments": _allowing, "max_risk_score": _more})

_IN_RISK = frozenset(POLICY) - {"version", "strategies", "approval", "auto_approval", "not_evaluated"}
_NO_LIMITS = StrategyLimits()


def _of_fields(table: Mapping[str, Differ], prefix: str, before: Any, after: Any) -> Iterator[Change]:
    for field in fields(before):
        name = f"{prefix}{field.name}"
        if table is POLICY:
            name = _name_in_document(field.name)
        yield from table[field.name](name, getattr(before, field.name), getattr(after, field.name))


def _name_in_document(name: str) -> str:
    return f"risk.{name}" if name in _IN_RISK else {"version": "policy_version"}.get(name, name)


def _of_strategies(before: Policy, after: Policy) -> Iterator[Change]:
    """A strategy that the policy does not name has no limits: naming it can only tighten, no more naming it loosen."""
    for name in sorted(before.strategies.keys() | after.strategies.keys()):
        where = f"strategies.{name}"
        was, becomes = before.strategies.get(name, _NO_LIMITS), after.strategies.get(name, _NO_LIMITS)
        found = [*_of_fields(STRATEGY, f"{where}.", was, becomes), *_of_own_score(where, was, becomes, before, after)]
        if not found and (name in before.strategies) != (name in after.strategies):
            found = [_change(where, *_named(name, before, after), Effect.NEUTRAL)]
        yield from found


def _of_own_score(
    where: str, was: StrategyLimits, becomes: StrategyLimits, before: Policy, after: Policy
) -> Iterator[Change]:
    """A strategy's own score takes the place of the one for all: what holds in the end is compared."""
    if was.auto_max_risk_score == becomes.auto_max_risk_score:
        return
    old, new = _score(was, before), _score(becomes, after)
    effect = Effect.NEUTRAL if old == new else Effect.LOOSENS if new > old else Effect.TIGHTENS
    yield _change(f"{where}.auto_max_risk_score", was.auto_max_risk_score, becomes.auto_max_risk_score, effect)


def _score(limits: StrategyLimits, policy: Policy) -> Decimal:
    return policy.auto_approval.max_risk_score if limits.auto_max_risk_score is None else limits.auto_max_risk_score


def _named(name: str, before: Policy, after: Policy) -> tuple[str | None, str | None]:
    return ("named" if name in before.strategies else None, "named" if name in after.strategies else None)


def _change(name: str, before: object, after: object, effect: Effect) -> Change:
    return Change(name=name, before=_shown(before), after=_shown(after), effect=effect)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return " ".join(value) or "none"
    return NOT_SET if value is None else str(value)
