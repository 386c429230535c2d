"""The policy document: read exactly, or refused by key."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from orders.policy import InvalidPolicy, Policy, StrategyLimits, parse_policy

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
strategies:
  iron_condor: { ivr_min: 0.30, ivr_max: 0.80, dte_min: 30, dte_max: 45, auto_eligible: true, qty_cap: 2 }
  bare: {}
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
        strategies={
            "iron_condor": StrategyLimits(
                ivr_min=D("0.30"), ivr_max=D("0.80"), dte_min=30, dte_max=45, qty_cap=D(2), auto_eligible=True
            ),
            "bare": StrategyLimits(),
        },
        not_evaluated=("risk.max_positions", "windows"),
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the document must be a mapping of names to values"),
        ("[1]", "the document must be a mapping of names to values"),
        ("risk: {}", "policy_version is missing: each decision names the version it was made under"),
        ('policy_version: ""', "policy_version is missing: each decision names the version it was made under"),
        ("policy_version: [1]", "policy_version is missing: each decision names the version it was made under"),
        (
            "policy_version: x\nrisks: {}",
            "the document has unknown names: risks; known are events, policy_version, risk, strategies, windows",
        ),
        ("policy_version: x\nrisk: 5", "risk must be a mapping of names to values"),
        ("policy_version: x\nstrategies: {s: 5}", "strategies.s must be a mapping of names to values"),
        (risk("max_order_notional: -1"), "risk.max_order_notional='-1' must be more than 0"),
        (risk("max_order_notional: 0"), "risk.max_order_notional='0' must be more than 0"),
        (risk("max_order_notional: inf"), "risk.max_order_notional='inf' must be more than 0"),
        (risk("max_order_notional: nan"), "risk.max_order_notional='nan' must be more than 0"),
        (risk("max_order_notional: 5k"), "risk.max_order_notional='5k' is not a number"),
        (risk("max_order_notional: "), "risk.max_order_notional='' is not a number"),
        (risk("max_order_notional: [1]"), "risk.max_order_notional=['1'] is not a number"),
        (risk("max_risk_pct_trade: 2"), "risk.max_risk_pct_trade='2' must be a fraction, at most 1 (0.02 is 2 %)"),
        (risk("max_quote_age_seconds: 1.5"), "risk.max_quote_age_seconds='1.5' must be a whole number"),
        (risk("allow_undefined_risk: yes"), "risk.allow_undefined_risk='yes' must be true or false"),
        (risk("restricted_symbols: GME"), "risk.restricted_symbols='GME' must be a list of symbols"),
        (risk('restricted_symbols: [""]'), "risk.restricted_symbols=[''] must be a list of symbols"),
        (strategy("dte_min: 46, dte_max: 45"), "strategies.s.dte_min=46 is more than dte_max=45"),
        (strategy("ivr_min: 0.9, ivr_max: 0.8"), "strategies.s.ivr_min=0.9 is more than ivr_max=0.8"),
        (strategy("ivr_max: 80"), "strategies.s.ivr_max='80' must be a fraction, at most 1 (0.02 is 2 %)"),
        (
            strategy("qty_kap: 2"),
            "strategies.s has unknown names: qty_kap; known are auto_eligible, dte_max, dte_min, ivr_max, ivr_min,"
            " qty_cap",
        ),
    ],
)
def test_document_that_is_wrong_is_refused_by_key(text: str, message: str) -> None:
    with pytest.raises(InvalidPolicy) as error:
        parse_policy(text)
    assert str(error.value) == message


def test_mistyped_limit_limits_nothing_silently_never() -> None:
    with pytest.raises(InvalidPolicy, match=r"^risk has unknown names: max_order_notionel; known are "):
        parse_policy(risk("max_order_notionel: 1"))


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


def test_missing_policy_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orders.context import policy_in_force

    monkeypatch.setattr(settings, "EMO_POLICY_FILE", tmp_path / "none.yaml")
    with pytest.raises(InvalidPolicy) as error:
        policy_in_force()
    assert str(error.value) == f"EMO_POLICY_FILE={tmp_path / 'none.yaml'}: can't be read (No such file or directory)"


def test_changed_policy_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from orders.context import policy_in_force

    path = tmp_path / "policy.yaml"
    monkeypatch.setattr(settings, "EMO_POLICY_FILE", path)
    path.write_text("policy_version: one")
    assert policy_in_force().version == "one"
    path.write_text("policy_version: two")
    os.utime(path, ns=(1, 1))
    assert policy_in_force().version == "two"
    path.write_text("policy_version: [")
    os.utime(path, ns=(2, 2))
    with pytest.raises(InvalidPolicy, match=f"^EMO_POLICY_FILE={path}: not YAML: "):
        policy_in_force()


def test_a_limit_that_is_stated_twice_is_refused_with_its_line() -> None:
    text = 'policy_version: "1"\nrisk:\n  max_order_quantity: 5\n  max_order_quantity: 5000\n'
    with pytest.raises(InvalidPolicy, match=r"'max_order_quantity' is stated twice\n.*line 4"):
        parse_policy(text)
