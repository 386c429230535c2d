"""The limits the rules hold an order against: read from one YAML document in the bot's own shape. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from orders.policy_document import Document, NotYaml, Problem, name_of, read
from orders.policy_document import Path as Names


class InvalidPolicy(ValueError):
    """`problems` name line, key, value and the rule it breaks; `source` says of which document, where that is known."""

    def __init__(self, *problems: Problem, source: str = "") -> None:
        super().__init__((f"{source}: " if source else "") + "; ".join(map(str, problems)))
        self.problems, self.source = problems, source


@dataclass(frozen=True, kw_only=True)
class StrategyLimits:
    """Days to expiry, IV rank (0 to 1) and contracts per order; None where the policy sets no limit."""

    ivr_min: Decimal | None = None
    ivr_max: Decimal | None = None
    dte_min: int | None = None
    dte_max: int | None = None
    qty_cap: Decimal | None = None
    auto_eligible: bool = False
    auto_max_risk_score: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class ApprovalLimits:
    """How long an approval holds: seconds, and the largest move of the price since, as a fraction of it."""

    ttl_seconds: int | None = None
    max_price_drift: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class AutoApproval:
    """Where the policy itself approves orders of `auto_eligible` strategies: only in the environments it names, and
    only up to this risk score (a strategy's own `auto_max_risk_score` goes first)."""

    environments: frozenset[str] = frozenset()
    max_risk_score: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The policy in force. A limit that is None is not armed: its rule says so instead of judging."""

    version: str
    max_order_notional: Decimal | None = None
    max_order_quantity: Decimal | None = None
    max_risk_pct_trade: Decimal | None = None
    max_portfolio_risk_pct: Decimal | None = None
    max_daily_new_risk_pct: Decimal | None = None
    symbol_exposure_pct: Decimal | None = None
    max_positions: int | None = None
    max_drawdown: Decimal | None = None
    price_band_fraction: Decimal | None = None
    duplicate_window_seconds: int | None = None
    max_orders_per_window: int | None = None
    order_rate_window_seconds: int | None = None
    max_quote_age_seconds: int | None = None
    min_dte_warn: int | None = None
    allow_undefined_risk: bool = False
    restricted_symbols: frozenset[str] = frozenset()
    permitted_symbols: frozenset[str] = frozenset()
    strategies: Mapping[str, StrategyLimits] = field(default_factory=lambda: MappingProxyType({}))
    approval: ApprovalLimits = ApprovalLimits()
    auto_approval: AutoApproval = AutoApproval()
    not_evaluated: tuple[str, ...] = ()
    """Limits the document sets that no rule of this version of the desk holds an order against."""


SCHEMA: dict[str, Any] = json.loads(
    Path(__file__).with_name("policy_schema.json").read_text(encoding="utf-8"), parse_float=Decimal
)
# Stated by the bot's own file, so that it can be used as it is; no rule judges them.
_UNJUDGED = (("risk", "max_slippage_bps"), ("events",), ("windows",))
# Each needs the other: a number of orders means nothing without the time they are counted in.
_PAIRS = (("max_orders_per_window", "order_rate_window_seconds"),)
_SPANS = (("dte_min", "dte_max"), ("ivr_min", "ivr_max"))
_TYPES = {
    "number": "must be a number, such as 0.02 or 50000",
    "integer": "must be a whole number",
    "boolean": "must be true or false",
    "array": "must be a list",
    "object": "must be a mapping of names to values",
    "string": "must be a text",
}
# By the schema's keyword; a keyword that has no words here is a mistake in this file.
_RULES = {
    "exclusiveMinimum": "must be more than {limit}",
    "minimum": "must be at least {limit}",
    "maximum": "must be at most {limit}",
    "minLength": "must not be empty",
    "maxLength": "must have at most {limit} characters",
    "enum": "must be one of {limit}",
}
_MISSING = {"policy_version": "is missing: each decision names the version it was made under"}
_validator = Draft202012Validator(SCHEMA)


def parse_policy(text: str) -> Policy:
    """Reads a policy document; raises InvalidPolicy with everything that is wrong with it, in the document's order."""
    try:
        document = read(text, SCHEMA)
    except NotYaml as error:
        raise InvalidPolicy(error.problem) from error
    problems = [*document.problems, *_against_schema(document), *_against_each_other(document)]
    if problems:
        raise InvalidPolicy(*sorted(problems, key=lambda item: (item.line or 0, item.column or 0)))
    return _policy(document.values)


def _policy(values: dict[str, Any]) -> Policy:
    """Of values that the schema found right."""
    risk = {name: value for name, value in values.get("risk", {}).items() if ("risk", name) not in _UNJUDGED}
    for name in ("restricted_symbols", "permitted_symbols"):
        risk[name] = frozenset(symbol.upper() for symbol in risk.get(name, ()))
    automatic = dict(values.get("auto_approval", {}))
    automatic["environments"] = frozenset(automatic.get("environments", ()))
    strategies = values.get("strategies", {})
    return Policy(
        version=values["policy_version"],
        strategies=MappingProxyType({name: StrategyLimits(**limits) for name, limits in strategies.items()}),
        approval=ApprovalLimits(**values.get("approval", {})),
        auto_approval=AutoApproval(**automatic),
        not_evaluated=tuple(name_of(path) for path in _UNJUDGED if path[-1] in _section(values, *path[:-1])),
        **risk,
    )


def _against_schema(document: Document) -> Iterator[Problem]:
    for error in _validator.iter_errors(document.values):
        path: Names = tuple(error.absolute_path)
        known = sorted(error.schema.get("properties", ()))
        match error.validator:
            case "additionalProperties":
                # A mistyped limit would silently limit nothing.
                rule = f"is unknown; known are {', '.join(known)}"
                unknown = [name for name in error.instance if name not in known]
                yield from (document.problem_of_name((*path, name), rule) for name in unknown)
            case "pattern":
                # Only the names of strategies have one.
                rule = "must be 1 to 64 characters, none of them a capital: orders name their strategies so"
                yield document.problem_of_name((*path, error.instance), rule)
            case "required":
                missing = [name for name in error.validator_value if name not in error.instance]
                # The library tells each missing name by itself.
                name = next(name for name in missing if error.message.startswith(repr(name)))
                yield document.problem((*path, name), _MISSING.get(name, "is missing"))
            case _:
                yield document.problem(path, _rule(error))


def _rule(error: ValidationError) -> str:
    limit: Any = error.validator_value
    if error.validator == "type":
        return _TYPES[limit]
    if error.validator == "enum":
        limit = ", ".join(limit)
    percent = " (0.10 is 10 %)" if (error.validator, limit) == ("maximum", 1) else ""
    return _RULES[str(error.validator)].format(limit=limit) + percent


def _against_each_other(document: Document) -> Iterator[Problem]:
    """What no schema says: rules between two fields of one section."""
    risk = _section(document.values, "risk")
    for pair in _PAIRS:
        for name, other in (pair, pair[::-1]):
            if name in risk and other not in risk:
                yield document.problem(("risk", name), f"needs {other} beside it")
    for strategy in _section(document.values, "strategies"):
        limits = _section(document.values, "strategies", strategy)
        for low, high in _SPANS:
            if _is_number(limits.get(low)) and _is_number(limits.get(high)) and limits[low] > limits[high]:
                rule = f"must be at most {high}, which is {limits[high]}"
                yield document.problem(("strategies", strategy, low), rule)


def _is_number(value: object) -> bool:
    return isinstance(value, Decimal | int)


def _section(values: Any, *path: str | int) -> dict[str, Any]:
    """Empty where the document has something else there, which the schema refuses."""
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}
