"""docs/rules.md is written from the registry, and the registry is complete."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from orders import rules_page
from orders.policy import Policy, StrategyLimits
from orders.rule_registry import BY_CODE, RULES, Module, can_be_overridden, objection, rules_of
from tests.run import PROJECT


def test_page_is_what_the_registry_says() -> None:
    assert (PROJECT / "docs/rules.md").read_text() == rules_page.page()
    call_command("write_docs", "--check")


def test_page_that_is_not_current_is_told_and_written(tmp_path: Path, settings: LazySettings) -> None:
    settings.BASE_DIR = tmp_path
    page = tmp_path / "docs" / "rules.md"
    page.parent.mkdir()
    page.write_text("old")
    with pytest.raises(CommandError, match="not what the code says: run"):
        call_command("write_docs", "--check")
    assert page.read_text() == "old"
    call_command("write_docs")
    assert page.read_text() == rules_page.page()


def test_every_rule_is_on_the_page_with_its_weight_and_explanation() -> None:
    text = rules_page.page()
    for rule in RULES:
        assert f"| {rule.code} | {rule.weight} |" in text
        assert " ".join(rule.explanation.split()) in " ".join(text.split())


def test_every_rule_of_the_table_exists_once() -> None:
    assert sorted(BY_CODE) == sorted(rule.code for rule in RULES)
    assert set(BY_CODE) == {
        *("ORDER_NOTIONAL", "ORDER_QUANTITY", "PRICE_COLLAR", "STALE_QUOTE", "DUPLICATE_ORDER", "ORDER_RATE"),
        *("MAX_TRADE_RISK", "MAX_PORTFOLIO_RISK", "DAILY_NEW_RISK", "SYMBOL_EXPOSURE", "MAX_POSITIONS"),
        *("DRAWDOWN_BREAKER", "RESTRICTED_SYMBOL", "STRATEGY_WINDOW", "UNDEFINED_RISK", "LEG_SANITY", "EXPIRY"),
        *("KILL_SWITCH", "SELF_APPROVAL", "RECORD_COMPLETE"),
    }


def test_weights_of_risk_add_up_to_a_hundred() -> None:
    assert sum(rule.weight for rule in rules_of(Module.RISK)) == Decimal(100)


def test_parameters_are_limits_that_the_policy_has() -> None:
    for rule in RULES:
        for name in rule.parameters:
            owner = StrategyLimits if name.startswith("strategies.*.") else Policy
            assert name.removeprefix("strategies.*.") in owner.__dataclass_fields__, (rule.code, name)


def test_rules_of_size_exposure_drawdown_and_opening_exempt_protective_orders_and_no_other_does() -> None:
    assert {rule.code for rule in RULES if rule.exempts_protective} == {
        *("ORDER_NOTIONAL", "ORDER_QUANTITY", "MAX_TRADE_RISK", "MAX_PORTFOLIO_RISK", "DAILY_NEW_RISK"),
        *("SYMBOL_EXPOSURE", "MAX_POSITIONS", "DRAWDOWN_BREAKER", "STRATEGY_WINDOW", "LEG_SANITY"),
    }


def test_four_eyes_and_the_kill_switch_can_not_be_overridden_under_any_name() -> None:
    assert {code for code in BY_CODE if not can_be_overridden(code)} == {"SELF_APPROVAL", "KILL_SWITCH"}
    assert can_be_overridden("SIGNATURE")
    assert not objection("KILL_SWITCH").overridable
