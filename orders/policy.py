"""The limits the rules hold an order against: read from one YAML document in the bot's own shape. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

import yaml


class InvalidPolicy(ValueError):
    """The message names the key, its value and the rule it breaks."""


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


# Known to the bot, judged by later rules. They are accepted, so that the bot's own file can be used as it is, and
# named in `Policy.not_evaluated`. An unknown name is refused: a mistyped limit would silently limit nothing.
_LATER_RISK = frozenset(
    {
        "max_positions",
        "max_portfolio_risk_pct",
        "max_daily_new_risk_pct",
        "max_slippage_bps",
        "symbol_exposure_pct",
        "max_drawdown",
        "price_band_fraction",
        "duplicate_window_seconds",
        "max_orders_per_window",
        "order_rate_window_seconds",
    }
)
_TOP_LEVEL = frozenset({"policy_version", "risk", "strategies", "events", "windows"})
_MONEY = ("max_order_notional", "max_order_quantity")
_WHOLE = ("max_quote_age_seconds", "min_dte_warn")
_SYMBOLS = ("restricted_symbols", "permitted_symbols")


class _Loader(yaml.BaseLoader):
    """Keeps every scalar as it was written (0.10 must not pass through binary floating point), and refuses a name that
    is stated twice: of two limits, nobody can tell which one is meant.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for place, (key, _) in enumerate(node.value):
            if key.value in names[:place]:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is stated twice", problem_mark=key.start_mark)
        return super().construct_mapping(node, deep=deep)


def parse_policy(text: str) -> Policy:
    """Reads a policy document; raises InvalidPolicy, also for what YAML itself refuses (with its line)."""
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  # it makes nothing but text, lists, mappings
    except yaml.YAMLError as error:
        raise InvalidPolicy(f"not YAML: {error}") from error
    top = _mapping("the document", document)
    _refuse_unknown("the document", top, _TOP_LEVEL)
    version = top.get("policy_version")
    if not isinstance(version, str) or not version:
        raise InvalidPolicy("policy_version is missing: each decision names the version it was made under")
    risk = _mapping("risk", top.get("risk", {}))
    _refuse_unknown(
        "risk", risk, {*_MONEY, *_WHOLE, *_SYMBOLS, *_LATER_RISK, "max_risk_pct_trade", "allow_undefined_risk"}
    )
    strategies = _mapping("strategies", top.get("strategies", {}))
    later = [f"risk.{name}" for name in sorted(_LATER_RISK & risk.keys())]
    later += [name for name in ("events", "windows") if name in top]
    return Policy(
        version=version,
        max_order_notional=_number("risk.max_order_notional", risk.get("max_order_notional")),
        max_order_quantity=_number("risk.max_order_quantity", risk.get("max_order_quantity")),
        max_risk_pct_trade=_fraction("risk.max_risk_pct_trade", risk.get("max_risk_pct_trade")),
        max_quote_age_seconds=_whole("risk.max_quote_age_seconds", risk.get("max_quote_age_seconds")),
        min_dte_warn=_whole("risk.min_dte_warn", risk.get("min_dte_warn")),
        allow_undefined_risk=_boolean("risk.allow_undefined_risk", risk.get("allow_undefined_risk", "false")),
        restricted_symbols=_symbols("risk.restricted_symbols", risk.get("restricted_symbols", [])),
        permitted_symbols=_symbols("risk.permitted_symbols", risk.get("permitted_symbols", [])),
        strategies=MappingProxyType({name: _strategy(name, limits) for name, limits in strategies.items()}),
        not_evaluated=tuple(later),
    )


def _strategy(name: str, limits: object) -> StrategyLimits:
    where = f"strategies.{name}"
    values = _mapping(where, limits)
    _refuse_unknown(where, values, {"ivr_min", "ivr_max", "dte_min", "dte_max", "qty_cap", "auto_eligible"})
    found = StrategyLimits(
        ivr_min=_fraction(f"{where}.ivr_min", values.get("ivr_min")),
        ivr_max=_fraction(f"{where}.ivr_max", values.get("ivr_max")),
        dte_min=_whole(f"{where}.dte_min", values.get("dte_min")),
        dte_max=_whole(f"{where}.dte_max", values.get("dte_max")),
        qty_cap=_number(f"{where}.qty_cap", values.get("qty_cap")),
        auto_eligible=_boolean(f"{where}.auto_eligible", values.get("auto_eligible", "false")),
    )
    if found.dte_min is not None and found.dte_max is not None and found.dte_min > found.dte_max:
        raise InvalidPolicy(f"{where}.dte_min={found.dte_min} is more than dte_max={found.dte_max}")
    if found.ivr_min is not None and found.ivr_max is not None and found.ivr_min > found.ivr_max:
        raise InvalidPolicy(f"{where}.ivr_min={found.ivr_min} is more than ivr_max={found.ivr_max}")
    return found


def _mapping(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InvalidPolicy(f"{where} must be a mapping of names to values")
    return value


def _refuse_unknown(where: str, values: Mapping[str, Any], known: set[str] | frozenset[str]) -> None:
    if unknown := sorted(values.keys() - known):
        raise InvalidPolicy(f"{where} has unknown names: {', '.join(unknown)}; known are {', '.join(sorted(known))}")


def _number(name: str, value: object) -> Decimal | None:
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise InvalidPolicy(f"{name}={value!r} is not a number") from error
    if not number.is_finite() or number <= 0:
        raise InvalidPolicy(f"{name}={value!r} must be more than 0")
    return number


def _fraction(name: str, value: object) -> Decimal | None:
    number = _number(name, value)
    if number is not None and number > 1:
        raise InvalidPolicy(f"{name}={value!r} must be a fraction, at most 1 (0.02 is 2 %)")
    return number


def _whole(name: str, value: object) -> int | None:
    number = None if value == "0" else _number(name, value)
    if value == "0":
        return 0
    if number is not None and number != int(number):
        raise InvalidPolicy(f"{name}={value!r} must be a whole number")
    return None if number is None else int(number)


def _boolean(name: str, value: object) -> bool:
    if value not in ("true", "false"):
        raise InvalidPolicy(f"{name}={value!r} must be true or false")
    return value == "true"


def _symbols(name: str, value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise InvalidPolicy(f"{name}={value!r} must be a list of symbols")
    return frozenset(item.upper() for item in value)
