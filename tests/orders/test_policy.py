"""The policy document: read exactly, or refused by line and key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from orders import policy
from orders.policy import (
    SCHEMA,
    ApprovalLimits,
    AutoApproval,
    InvalidPolicy,
    Policy,
    StrategyLimits,
    parse_policy,
)

D = Decimal

FULL = """
policy_version: "7"
risk:
  max_order_notional: 50000
  max_order_quantity: 500
  max_risk_pct_trade: 0.02
  max_quote_age_seconds: 15
  min_dte_warn: 0
  allow_undefined_risk: true
  restricted_symbols: [gme, AMC]
  permitted_symbols: []
  max_positions: 20
  max_portfolio_risk_pct: 0.10
  max_daily_new_risk_pct: 0.04
  symbol_exposure_pct: 0.10
  max_drawdown: 0.1
  price_band_fraction: 0.05
  duplicate_window_seconds: 60
  max_orders_per_window: 30
  order_rate_window_seconds: 60
strategies:
  iron_condor: { ivr_min: 0.30, ivr_max: 0.80, dte_min: 30, dte_max: 45, auto_eligible: true, qty_cap: 2 }
  covered_call: { auto_max_risk_score: 12.5 }
  bare: {}
approval: { ttl_seconds: 3600, max_price_drift: 0.02 }
windows: {}
"""


def test_document_is_read_exactly() -> None:
    assert parse_policy(FULL) == Policy(
        version="7",
        max_order_notional=D(50000),
        max_order_quantity=D(500),
        max_risk_pct_trade=D("0.02"),
        max_quote_age_seconds=15,
        min_dte_warn=0,
        allow_undefined_risk=True,
        restricted_symbols=frozenset({"GME", "AMC"}),
        max_positions=20,
        max_portfolio_risk_pct=D("0.10"),
        max_daily_new_risk_pct=D("0.04"),
        symbol_exposure_pct=D("0.10"),
        max_drawdown=D("0.1"),
        price_band_fraction=D("0.05"),
        duplicate_window_seconds=60,
        max_orders_per_window=30,
        order_rate_window_seconds=60,
        strategies={
            "iron_condor": StrategyLimits(
                ivr_min=D("0.30"), ivr_max=D("0.80"), dte_min=30, dte_max=45, qty_cap=D(2), auto_eligible=True
            ),
            "covered_call": StrategyLimits(auto_max_risk_score=D("12.5")),
            "bare": StrategyLimits(),
        },
        approval=ApprovalLimits(ttl_seconds=3600, max_price_drift=D("0.02")),
        not_evaluated=("windows",),
    )


def test_policy_without_limits_arms_none() -> None:
    assert parse_policy("policy_version: x") == Policy(version="x")


def test_fraction_never_passes_through_binary_floating_point() -> None:
    assert str(parse_policy("policy_version: x\nrisk: {max_risk_pct_trade: 0.1}").max_risk_pct_trade) == "0.1"


def test_policy_that_comes_with_the_desk_is_valid() -> None:
    policy = parse_policy((settings.BASE_DIR / "orders" / "default_policy.yaml").read_text(encoding="utf-8"))
    assert policy.version == "2025-10-27"
    assert policy.max_risk_pct_trade == D("0.02")


def risk(text: str) -> str:
    return f"policy_version: x\nrisk: {{{text}}}"


def strategy(text: str) -> str:
    return f"policy_version: x\nstrategies: {{s: {{{text}}}}}"


NOT_A_NUMBER = "must be a number, such as 0.02 or 50000"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: the document='': must be a mapping of names to values"),
        ("[1]", "line 1, column 1: the document=a list: must be a mapping of names to values"),
        (
            "risk: {}",
            "line 1, column 1: policy_version: is missing: each decision names the version it was made under",
        ),
        ('policy_version: ""', "line 1, column 17: policy_version='': must not be empty"),
        ("policy_version: [1]", "line 1, column 17: policy_version=a list: must be a text"),
        (
            "policy_version: x\nrisks: {}",
            "line 2, column 1: risks: is unknown; known are approval, auto_approval, events, policy_version, risk,"
            " strategies, windows",
        ),
        ("policy_version: x\nrisk: 5", "line 2, column 7: risk=5: must be a mapping of names to values"),
        (
            "policy_version: x\nstrategies: {s: 5}",
            "line 2, column 17: strategies.s=5: must be a mapping of names to values",
        ),
        (risk("max_order_notional: -1"), "line 2, column 28: risk.max_order_notional=-1: must be more than 0"),
        (risk("max_order_notional: 0"), "line 2, column 28: risk.max_order_notional=0: must be more than 0"),
        (risk("max_order_notional: inf"), f"line 2, column 28: risk.max_order_notional=inf: {NOT_A_NUMBER}"),
        (risk("max_order_notional: nan"), f"line 2, column 28: risk.max_order_notional=nan: {NOT_A_NUMBER}"),
        (risk("max_order_notional: 5k"), f"line 2, column 28: risk.max_order_notional=5k: {NOT_A_NUMBER}"),
        (risk("max_order_notional: "), f"line 2, column 27: risk.max_order_notional='': {NOT_A_NUMBER}"),
        (risk("max_order_notional: [1]"), f"line 2, column 28: risk.max_order_notional=a list: {NOT_A_NUMBER}"),
        (
            risk("max_order_notional: 10000000000000"),
            "line 2, column 28: risk.max_order_notional=10000000000000: must be at most 1000000000000",
        ),
        (risk("max_drawdown: 1.5"), "line 2, column 22: risk.max_drawdown=1.5: must be at most 1 (0.10 is 10 %)"),
        (risk("max_positions: 0"), "line 2, column 23: risk.max_positions=0: must be at least 1"),
        (
            risk("max_quote_age_seconds: 1.5"),
            "line 2, column 31: risk.max_quote_age_seconds=1.5: must be a whole number",
        ),
        (risk("allow_undefined_risk: yes"), "line 2, column 30: risk.allow_undefined_risk=yes: must be true or false"),
        (risk("restricted_symbols: GME"), "line 2, column 28: risk.restricted_symbols=GME: must be a list"),
        (risk('restricted_symbols: [A, ""]'), "line 2, column 32: risk.restricted_symbols[1]='': must not be empty"),
        (
            risk("max_orders_per_window: 30"),
            "line 2, column 31: risk.max_orders_per_window=30: needs order_rate_window_seconds beside it",
        ),
        (
            risk("order_rate_window_seconds: 60"),
            "line 2, column 35: risk.order_rate_window_seconds=60: needs max_orders_per_window beside it",
        ),
        (
            strategy("dte_min: 46, dte_max: 45"),
            "line 2, column 27: strategies.s.dte_min=46: must be at most dte_max, which is 45",
        ),
        (
            strategy("ivr_min: 0.9, ivr_max: 0.8"),
            "line 2, column 27: strategies.s.ivr_min=0.9: must be at most ivr_max, which is 0.8",
        ),
        (strategy("ivr_max: 80"), "line 2, column 27: strategies.s.ivr_max=80: must be at most 1 (0.10 is 10 %)"),
        (
            strategy("qty_kap: 2"),
            "line 2, column 18: strategies.s.qty_kap: is unknown; known are auto_eligible, auto_max_risk_score,"
            " dte_max, dte_min, ivr_max, ivr_min, qty_cap",
        ),
        (
            "policy_version: x\nstrategies: {Iron_Condor: {}}",
            "line 2, column 14: strategies.Iron_Condor: must be 1 to 64 characters, none of them a capital: orders name"
            " their strategies so",
        ),
        (
            "policy_version: x\nauto_approval: {environments: [moon]}",
            "line 2, column 16: auto_approval.max_risk_score: is missing; "
            "line 2, column 32: auto_approval.environments[0]=moon: must be one of dev, staging, prod",
        ),
        (
            "policy_version: x\nrisk: &r {}\nevents: *r",
            "line 3, column 9: can't be read: *r stands for a value elsewhere: state each value where it applies",
        ),
        (
            "policy_version: x\nrisk: [\n",
            "line 3, column 1: can't be read: expected the node content, but found '<stream end>'",
        ),
        ("policy_version: \x00", "line 1, column 17: can't be read: special characters are not allowed"),
    ],
)
def test_document_that_is_wrong_is_refused_by_line_and_key(text: str, message: str) -> None:
    with pytest.raises(InvalidPolicy) as error:
        parse_policy(text)
    assert str(error.value) == message


def test_everything_that_is_wrong_is_told_at_once_in_the_documents_order() -> None:
    text = """policy_version: x
risk:
  max_drawdown: 1.5
  max_positions: many
  max_order_notionel: 5
  max_positions: 3
strategies:
  s: { dte_min: 9, dte_max: 5, qty_cap: -1 }
"""
    with pytest.raises(InvalidPolicy) as error:
        parse_policy(text)
    assert [(problem.line, problem.name) for problem in error.value.problems] == [
        (3, "risk.max_drawdown"),
        (4, "risk.max_positions"),
        (5, "risk.max_order_notionel"),
        (6, "risk.max_positions"),
        (8, "strategies.s.dte_min"),
        (8, "strategies.s.qty_cap"),
    ]
    assert str(error.value) == "; ".join(map(str, error.value.problems))


def test_mistyped_limit_limits_nothing_silently_never() -> None:
    with pytest.raises(InvalidPolicy, match=r"risk\.max_order_notionel: is unknown; known are "):
        parse_policy(risk("max_order_notionel: 1"))


def test_symbol_both_restricted_and_permitted_is_allowed() -> None:
    policy = parse_policy(risk("restricted_symbols: [GME], permitted_symbols: [GME, SPY]"))
    assert policy.restricted_symbols < policy.permitted_symbols


def test_text_that_looks_like_another_type_stays_the_text_it_is() -> None:
    """A version 1.10 is not 1.1, and the symbol TRUE is no boolean."""
    policy = parse_policy("policy_version: 1.10\nrisk: {restricted_symbols: [TRUE, 7203, NO]}")
    assert policy.version == "1.10"
    assert policy.restricted_symbols == {"TRUE", "7203", "NO"}


def test_automatic_approval_is_off_unless_the_document_turns_it_on() -> None:
    assert parse_policy("policy_version: x").auto_approval.environments == frozenset()
    text = (settings.BASE_DIR / "orders" / "default_policy.yaml").read_text(encoding="utf-8")
    assert parse_policy(text).auto_approval == AutoApproval()
    on = parse_policy("policy_version: x\nauto_approval: {environments: [dev], max_risk_score: 20}")
    assert on.auto_approval == AutoApproval(environments=frozenset({"dev"}), max_risk_score=D(20))


def test_schema_is_valid_and_names_every_limit_there_is() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    sections = SCHEMA["properties"]
    unjudged = {"max_slippage_bps"}
    of_policy = {field.name for field in fields(Policy)}
    elsewhere = {"version", "strategies", "approval", "auto_approval", "not_evaluated"}
    assert set(sections["risk"]["properties"]) - unjudged == of_policy - elsewhere
    strategy_limits = sections["strategies"]["additionalProperties"]["properties"]
    for named, kind in (
        (strategy_limits, StrategyLimits),
        (sections["approval"]["properties"], ApprovalLimits),
        (sections["auto_approval"]["properties"], AutoApproval),
    ):
        assert set(named) == {field.name for field in fields(kind)}


def keywords(schema: object) -> Iterator[str]:
    """Every keyword that holds a value against a rule, wherever it stands in the schema."""
    if isinstance(schema, dict):
        for name, part in schema.items():
            if name in ("properties", "$defs"):
                for each in part.values():
                    yield from keywords(each)
            else:
                yield name
                yield from keywords(part)


def test_every_keyword_of_the_schema_has_words_for_its_breach() -> None:
    said = {"$schema", "$ref", "title", "description", "items"}
    by_themselves = {"type", "required", "additionalProperties", "propertyNames", "pattern"}
    assert set(keywords(SCHEMA)) == said | by_themselves | set(policy._RULES)


BOTS_OWN = """
policy_version: "2025-10-27"
risk:
  max_positions: 20
  max_risk_pct_trade: 0.02
  max_portfolio_risk_pct: 0.10
  max_daily_new_risk_pct: 0.04
  max_slippage_bps: 25
  symbol_exposure_pct: 0.10
events:
  block_earnings: true
  block_macro: true
strategies:
  iron_condor: { ivr_min: 0.30, ivr_max: 0.80, dte_min: 30, dte_max: 45, auto_eligible: true, qty_cap: 2 }
windows:
  autopromo: "US_RTH"
"""


def test_bots_own_file_is_accepted_and_what_no_rule_judges_is_named() -> None:
    policy = parse_policy(BOTS_OWN)
    assert policy.not_evaluated == ("risk.max_slippage_bps", "events", "windows")
    assert (policy.max_positions, policy.symbol_exposure_pct) == (20, D("0.10"))


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "!!python/object:os.system x", "? [a]\n: b", "\x00"])
def test_text_that_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy):
        parse_policy(text)


@given(st.text(max_size=80))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    try:
        assert parse_policy(text).version
    except InvalidPolicy:
        return


def test_a_limit_that_is_stated_twice_is_refused_with_its_line() -> None:
    text = 'policy_version: "1"\nrisk:\n  max_order_quantity: 5\n  max_order_quantity: 5000\n'
    with pytest.raises(InvalidPolicy, match=r"^line 4, column 3: risk\.max_order_quantity: is stated twice$"):
        parse_policy(text)
