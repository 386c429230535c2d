"""Which changes of a policy let more through: none of them is missed, and none is called the opposite."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders import policy_diff
from orders.policy import ApprovalLimits, AutoApproval, Policy, StrategyLimits
from orders.policy_diff import Change, Effect, changes, loosens

D = Decimal
OPPOSITE = {Effect.LOOSENS: Effect.TIGHTENS, Effect.TIGHTENS: Effect.LOOSENS, Effect.NEUTRAL: Effect.NEUTRAL}


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (policy_diff.POLICY, Policy),
        (policy_diff.STRATEGY, StrategyLimits),
        (policy_diff.APPROVAL, ApprovalLimits),
        (policy_diff.AUTO_APPROVAL, AutoApproval),
    ],
)
def test_every_limit_has_a_declared_direction(table: Any, kind: Any) -> None:
    assert set(table) == {field.name for field in fields(kind)}


def policy(**limits: Any) -> Policy:
    return Policy(version="x", **limits)


def strategy(**limits: Any) -> Policy:
    return policy(strategies={"s": StrategyLimits(**limits)})


def automatic(*environments: str, score: int = 20, **limits: Any) -> Policy:
    auto = AutoApproval(environments=frozenset(environments), max_risk_score=D(score))
    return policy(auto_approval=auto, strategies={"s": StrategyLimits(**limits)} if limits else {})


@pytest.mark.parametrize(
    ("tight", "loose", "name"),
    [
        (policy(max_order_notional=D(10)), policy(max_order_notional=D(11)), "risk.max_order_notional"),
        (policy(max_order_notional=D(10)), policy(), "risk.max_order_notional"),
        (policy(max_order_quantity=D(1)), policy(max_order_quantity=D(2)), "risk.max_order_quantity"),
        (policy(max_risk_pct_trade=D("0.01")), policy(max_risk_pct_trade=D("0.02")), "risk.max_risk_pct_trade"),
        (policy(max_portfolio_risk_pct=D("0.1")), policy(), "risk.max_portfolio_risk_pct"),
        (policy(max_daily_new_risk_pct=D("0.1")), policy(), "risk.max_daily_new_risk_pct"),
        (policy(symbol_exposure_pct=D("0.1")), policy(symbol_exposure_pct=D("0.2")), "risk.symbol_exposure_pct"),
        (policy(max_positions=20), policy(max_positions=21), "risk.max_positions"),
        (policy(max_drawdown=D("0.1")), policy(max_drawdown=D("0.2")), "risk.max_drawdown"),
        (policy(price_band_fraction=D("0.1")), policy(price_band_fraction=D("0.2")), "risk.price_band_fraction"),
        (policy(duplicate_window_seconds=60), policy(duplicate_window_seconds=59), "risk.duplicate_window_seconds"),
        (policy(duplicate_window_seconds=60), policy(), "risk.duplicate_window_seconds"),
        (policy(max_orders_per_window=30), policy(max_orders_per_window=31), "risk.max_orders_per_window"),
        (policy(order_rate_window_seconds=60), policy(order_rate_window_seconds=30), "risk.order_rate_window_seconds"),
        (policy(max_quote_age_seconds=15), policy(max_quote_age_seconds=16), "risk.max_quote_age_seconds"),
        (policy(min_dte_warn=5), policy(min_dte_warn=4), "risk.min_dte_warn"),
        (policy(), policy(allow_undefined_risk=True), "risk.allow_undefined_risk"),
        (policy(restricted_symbols=frozenset({"GME"})), policy(), "risk.restricted_symbols[GME]"),
        (policy(permitted_symbols=frozenset({"SPY"})), policy(), "risk.permitted_symbols"),
        (
            policy(permitted_symbols=frozenset({"SPY"})),
            policy(permitted_symbols=frozenset({"SPY", "QQQ"})),
            "risk.permitted_symbols[QQQ]",
        ),
        (strategy(ivr_min=D("0.3")), strategy(ivr_min=D("0.2")), "strategies.s.ivr_min"),
        (strategy(ivr_max=D("0.3")), strategy(ivr_max=D("0.4")), "strategies.s.ivr_max"),
        (strategy(dte_min=30), strategy(dte_min=20), "strategies.s.dte_min"),
        (strategy(dte_max=30), policy(), "strategies.s.dte_max"),
        (strategy(qty_cap=D(2)), strategy(qty_cap=D(3)), "strategies.s.qty_cap"),
        (strategy(), strategy(auto_eligible=True), "strategies.s.auto_eligible"),
        (automatic("dev"), automatic("dev", "prod"), "auto_approval.environments[prod]"),
        (automatic("dev"), automatic("dev", score=21), "auto_approval.max_risk_score"),
        (
            automatic(auto_max_risk_score=D(10)),
            automatic(auto_max_risk_score=D(11)),
            "strategies.s.auto_max_risk_score",
        ),
        (automatic(auto_max_risk_score=D(10)), automatic(), "strategies.s.auto_max_risk_score"),
        (automatic(), automatic(auto_max_risk_score=D(30)), "strategies.s.auto_max_risk_score"),
        (
            policy(approval=ApprovalLimits(ttl_seconds=60)),
            policy(approval=ApprovalLimits(ttl_seconds=61)),
            "approval.ttl_seconds",
        ),
        (policy(approval=ApprovalLimits(max_price_drift=D("0.1"))), policy(), "approval.max_price_drift"),
    ],
)
def test_what_lets_more_through_loosens_and_its_reverse_tightens(tight: Policy, loose: Policy, name: str) -> None:
    (change,) = changes(tight, loose)
    assert (change.name, change.effect) == (name, Effect.LOOSENS)
    (back,) = changes(loose, tight)
    assert (back.name, back.effect) == (name, Effect.TIGHTENS)


def test_a_change_names_both_values_as_they_were_written() -> None:
    assert changes(policy(max_drawdown=D("0.10")), policy(max_drawdown=D("0.050"))) == (
        Change(name="risk.max_drawdown", before="0.10", after="0.050", effect=Effect.TIGHTENS),
    )
    assert changes(policy(max_positions=3), policy()) == (
        Change(name="risk.max_positions", before="3", after="not set", effect=Effect.LOOSENS),
    )
    assert changes(policy(permitted_symbols=frozenset({"B", "A"})), policy()) == (
        Change(name="risk.permitted_symbols", before="A B", after="every symbol", effect=Effect.LOOSENS),
    )


def test_a_symbol_put_in_the_place_of_another_is_both() -> None:
    found = changes(policy(restricted_symbols=frozenset({"A"})), policy(restricted_symbols=frozenset({"B"})))
    assert [(each.name, each.before, each.after, each.effect) for each in found] == [
        ("risk.restricted_symbols[A]", "yes", "no", Effect.LOOSENS),
        ("risk.restricted_symbols[B]", "no", "yes", Effect.TIGHTENS),
    ]


def test_what_limits_nothing_is_neutral() -> None:
    assert changes(policy(max_drawdown=D("0.1")), policy(max_drawdown=D("0.10"))) == ()
    found = changes(policy(), replace(strategy(), version="y", not_evaluated=("events",)))
    assert [(each.name, each.before, each.after, each.effect) for each in found] == [
        ("policy_version", "x", "y", Effect.NEUTRAL),
        ("not_evaluated", "none", "events", Effect.NEUTRAL),
        ("strategies.s", "not set", "named", Effect.NEUTRAL),
    ]
    same_in_the_end = changes(automatic(), automatic(auto_max_risk_score=D(20)))
    assert [each.effect for each in same_in_the_end] == [Effect.NEUTRAL]


# Small values, so that two policies often agree on a limit.
fraction = st.none() | st.sampled_from([D("0.1"), D("0.10"), D("0.2"), D("0.3")])
number = st.none() | st.integers(1, 3)
symbols = st.frozensets(st.sampled_from("AB"))
score = st.integers(0, 3).map(D)
limits = st.builds(
    StrategyLimits,
    ivr_min=fraction,
    ivr_max=fraction,
    dte_min=number,
    dte_max=number,
    qty_cap=number,
    auto_eligible=st.booleans(),
    auto_max_risk_score=st.none() | score,
)
policies = st.builds(
    Policy,
    version=st.just("x"),
    **dict.fromkeys(["max_order_notional", "max_order_quantity", "max_positions", "max_orders_per_window"], number),
    **dict.fromkeys(["max_risk_pct_trade", "max_portfolio_risk_pct", "max_daily_new_risk_pct"], fraction),
    **dict.fromkeys(["symbol_exposure_pct", "max_drawdown", "price_band_fraction"], fraction),
    **dict.fromkeys(["duplicate_window_seconds", "order_rate_window_seconds", "max_quote_age_seconds"], number),
    min_dte_warn=number,
    allow_undefined_risk=st.booleans(),
    restricted_symbols=symbols,
    permitted_symbols=symbols,
    strategies=st.dictionaries(st.just("s"), limits).map(MappingProxyType),
    approval=st.builds(ApprovalLimits, ttl_seconds=number, max_price_drift=fraction),
    auto_approval=st.builds(
        AutoApproval, environments=st.frozensets(st.sampled_from(["dev", "prod"])), max_risk_score=score
    ),
)


@given(policies, policies)
def test_a_change_and_its_reverse_have_opposite_effects(before: Policy, after: Policy) -> None:
    forth = {(each.name, each.before, each.after): each.effect for each in changes(before, after)}
    back = {(each.name, each.after, each.before): OPPOSITE[each.effect] for each in changes(after, before)}
    assert forth == back


@given(policies)
def test_a_policy_does_not_differ_from_itself(one: Policy) -> None:
    assert changes(one, one) == ()


def passes(limit: Any, measured: Any) -> bool:
    return limit is None or measured <= limit


def reaches(limit: Any, measured: Any) -> bool:
    return limit is None or measured >= limit


# An order, and everything around it, as figures to hold against the limits: told apart from how policies are compared.
facts = st.fixed_dictionaries(
    {
        "whole": st.integers(0, 4),
        "share": st.sampled_from([D("0.05"), D("0.15"), D("0.25"), D("0.5")]),
        "symbol": st.sampled_from("ABC"),
        "unbounded": st.booleans(),
        "environment": st.sampled_from(["dev", "prod", "staging"]),
        "score": score,
    }
)
AT_MOST = (
    "max_order_notional",
    "max_order_quantity",
    "max_positions",
    "max_orders_per_window",
    "max_quote_age_seconds",
)
SHARES = ("max_risk_pct_trade", "max_portfolio_risk_pct", "max_daily_new_risk_pct", "symbol_exposure_pct")
AT_LEAST = ("duplicate_window_seconds", "order_rate_window_seconds", "min_dte_warn")


def admitted_by(policy: Policy, fact: dict[str, Any]) -> set[str]:
    """The limits that let the facts through."""
    of_strategy = policy.strategies.get("s", StrategyLimits())
    auto, own = policy.auto_approval, of_strategy.auto_max_risk_score
    symbol = fact["symbol"]
    verdicts = {
        **{name: passes(getattr(policy, name), fact["whole"]) for name in AT_MOST},
        **{name: passes(getattr(policy, name), fact["share"]) for name in SHARES},
        "max_drawdown": passes(policy.max_drawdown, fact["share"]),
        "price_band_fraction": passes(policy.price_band_fraction, fact["share"]),
        # So many seconds since the last one like it; so many days to expiry.
        **{name: reaches(getattr(policy, name), fact["whole"]) for name in AT_LEAST},
        "undefined": policy.allow_undefined_risk or not fact["unbounded"],
        "restricted": symbol not in policy.restricted_symbols,
        "permitted": not policy.permitted_symbols or symbol in policy.permitted_symbols,
        "ivr": reaches(of_strategy.ivr_min, fact["share"]) and passes(of_strategy.ivr_max, fact["share"]),
        "dte": reaches(of_strategy.dte_min, fact["whole"]) and passes(of_strategy.dte_max, fact["whole"]),
        "cap": passes(of_strategy.qty_cap, fact["whole"]),
        "ttl": passes(policy.approval.ttl_seconds, fact["whole"]),
        "drift": passes(policy.approval.max_price_drift, fact["share"]),
        "automatic": of_strategy.auto_eligible
        and fact["environment"] in auto.environments
        and fact["score"] <= (auto.max_risk_score if own is None else own),
    }
    return {name for name, verdict in verdicts.items() if verdict}


@given(policies, policies, facts)
def test_whatever_any_limit_newly_lets_through_is_told_as_loosened(
    before: Policy, after: Policy, fact: dict[str, Any]
) -> None:
    if admitted_by(after, fact) - admitted_by(before, fact):
        assert loosens(changes(before, after))
