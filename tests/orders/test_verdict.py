"""Overrides, exemption and points: what holds for every rule, of whatever order. No database."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders import compliance, risk
from orders.assessment import (
    Assessment,
    BookEntry,
    Commitment,
    Context,
    Contribution,
    Override,
    Quote,
    Severity,
    context_as_json,
    context_from_json,
)
from orders.choices import TradingState
from orders.policy import Policy, StrategyLimits
from orders.rule_registry import BY_CODE, Module, can_be_overridden, rules_of
from orders.ticket import Objection, Ticket
from tests.factories import NOW, iron_condor, ticket
from tests.orders.test_protective import HOLDINGS, ORDERS, OTHERS
from tests.orders.test_risk import COMBINATIONS, SINGLES, seen

D = Decimal
UNTIL = NOW + timedelta(hours=1)
ARMED = Policy(version="t", max_order_notional=D(100), max_risk_pct_trade=D("0.5"))


def override(code: str, **changes: Any) -> Override:
    values = {"code": code, "given_by": "officer", "reason": "agreed by phone", "expires_at": UNTIL, **changes}
    return Override(**values)


def judged(order: Ticket, context: Context, policy: Policy) -> tuple[Assessment, Assessment]:
    return risk.assess(order, context, policy), compliance.assess(order, context, policy)


def every(order: Ticket, context: Context, policy: Policy) -> list[Contribution]:
    first, second = judged(order, context, policy)
    return [*first.contributions, *second.contributions]


def one(code: str, order: Ticket, context: Context, policy: Policy = ARMED) -> Contribution:
    [found] = [item for item in every(order, context, policy) if item.code == code]
    return found


def test_rule_that_was_set_aside_warns_and_says_by_whom_until_when_and_why() -> None:
    blocked = one("ORDER_NOTIONAL", ticket(), seen())
    aside = one("ORDER_NOTIONAL", ticket(), seen(overrides=(override("MAX_TRADE_RISK"), override("ORDER_NOTIONAL"))))
    assert blocked.severity == "block"
    said = "by officer until 2025-11-03 16:00 UTC: agreed by phone"
    assert aside == replace(blocked, severity=Severity.WARN, overridden=said)


def test_score_of_an_order_whose_blocks_are_set_aside_has_no_floor() -> None:
    assert risk.assess(ticket(), seen(), ARMED).score == 90
    # All 8 points of the notional, and 18 x 0.00801 / 0.5 of the worst-case loss.
    assert risk.assess(ticket(), seen(overrides=(override("ORDER_NOTIONAL"),)), ARMED).score == D("8.29")


def test_rule_that_was_set_aside_has_not_passed_in_the_compliance_score() -> None:
    blocked = compliance.assess(ticket(strategy=""), seen(), ARMED)
    aside = compliance.assess(ticket(strategy=""), seen(overrides=(override("RECORD_COMPLETE"),)), ARMED)
    assert (len(blocked.blocks), len(aside.blocks)) == (1, 0)
    assert aside.score == blocked.score < 100


@pytest.mark.parametrize(("left", "severity"), [(timedelta(0), "block"), (timedelta(microseconds=1), "warn")])
def test_override_ends(left: timedelta, severity: str) -> None:
    given_until = override("ORDER_NOTIONAL", expires_at=NOW + left)
    assert one("ORDER_NOTIONAL", ticket(), seen(overrides=(given_until,))).severity == severity


def test_override_changes_nothing_of_a_rule_that_passes() -> None:
    codes = tuple(override(code) for code in BY_CODE)
    assert every(iron_condor(), seen(overrides=codes), Policy(version="t")) == every(
        iron_condor(), seen(), Policy(version="t")
    )


@pytest.mark.parametrize(
    ("code", "context"),
    [("SELF_APPROVAL", {"reviewer": "trader"}), ("KILL_SWITCH", {"trading_state": TradingState.HALTED})],
)
def test_four_eyes_and_the_kill_switch_are_never_set_aside(code: str, context: dict[str, Any]) -> None:
    assert one(code, ticket(), seen(**context, overrides=(override(code),))).severity == "block"


def test_objection_of_the_source_can_be_set_aside_but_not_under_the_name_of_the_kill_switch() -> None:
    for code, severity in (("SIGNATURE", "warn"), ("KILL_SWITCH", "block")):
        order = ticket(objections=(Objection(code=code, message="no"),))
        found = compliance.assess(order, seen(overrides=(override(code),)), ARMED).contributions[-1]
        assert (found.code, found.severity) == (code, severity)


# ---- properties ------------------------------------------------------------------------------------------------------

MONEY = st.decimals("0", "1000000", places=2)
NAMES = st.sampled_from(["SPY", "QQQ", ""])
COUNTS = st.integers(0, 2)
COMMITMENTS = st.builds(
    Commitment, strategy=NAMES, underlying=NAMES, orders=COUNTS, max_loss=MONEY, unbounded=COUNTS, unknown=COUNTS
)
QUOTES = st.builds(
    Quote,
    symbol=NAMES,
    price=st.decimals("0", "99999", places=2),
    at=st.integers(-5, 100).map(lambda seconds: NOW - timedelta(seconds=seconds)),
)
OVERRIDES = st.lists(
    st.builds(override, st.sampled_from([*BY_CODE, "A"]), expires_at=st.sampled_from([NOW, UNTIL])), max_size=6
).map(tuple)
CONTEXTS = st.builds(
    seen,
    quote=st.none() | QUOTES,
    underlying_quote=st.none() | QUOTES,
    equity=st.none() | st.decimals("-1000", "1000000", places=2),
    equity_high=st.none() | st.decimals("-1000", "1000000", places=2),
    iv_rank=st.none() | st.decimals("0", "1", places=2),
    reviewer=st.sampled_from(["", "trader", "reviewer"]),
    trading_state=st.sampled_from(TradingState),
    holdings=HOLDINGS,
    open_orders=OTHERS,
    book=st.lists(st.builds(BookEntry, strategy=NAMES, underlying=NAMES, max_loss=st.none() | MONEY), max_size=3).map(
        tuple
    ),
    commitments=st.lists(COMMITMENTS, max_size=3).map(tuple),
    staged_today=st.none() | COMMITMENTS,
    duplicates=st.sampled_from([(), ("a",), ("a", "b", "c", "d")]),
    orders_in_window=st.integers(0, 10),
    overrides=OVERRIDES,
)
FRACTIONS = st.none() | st.decimals("0.0001", "1", places=4)
NUMBERS = st.none() | st.decimals("0.01", "100000", places=2)
WHOLE = st.none() | st.integers(0, 50)
WINDOW = {
    "ivr_min": FRACTIONS,
    "ivr_max": FRACTIONS,
    "dte_min": WHOLE,
    "dte_max": WHOLE,
    "qty_cap": NUMBERS,
}
LIMITS = {
    "max_order_notional": NUMBERS,
    "max_order_quantity": NUMBERS,
    "max_risk_pct_trade": FRACTIONS,
    "max_portfolio_risk_pct": FRACTIONS,
    "max_daily_new_risk_pct": FRACTIONS,
    "symbol_exposure_pct": FRACTIONS,
    "max_positions": WHOLE,
    "max_drawdown": FRACTIONS,
    "price_band_fraction": FRACTIONS,
    "duplicate_window_seconds": WHOLE,
    "max_orders_per_window": WHOLE,
    "order_rate_window_seconds": WHOLE,
    "max_quote_age_seconds": WHOLE,
}
POLICIES = st.builds(
    Policy,
    version=st.just("p"),
    **LIMITS,
    min_dte_warn=WHOLE,
    allow_undefined_risk=st.booleans(),
    restricted_symbols=st.sampled_from([frozenset(), frozenset({"QQQ"})]),
    permitted_symbols=st.sampled_from([frozenset(), frozenset({"SPY"}), frozenset({"SPY", "QQQ"})]),
    strategies=st.dictionaries(
        st.sampled_from(["momentum", "iron_condor"]), st.builds(StrategyLimits, **WINDOW), max_size=2
    ),
)
ANY_ORDER = st.builds(
    lambda order, strategy, objections: replace(order, strategy=strategy, objections=tuple(objections)),
    SINGLES | COMBINATIONS | ORDERS,
    st.sampled_from(["", "momentum", "iron_condor", "covered_call"]),
    st.lists(st.builds(Objection, code=st.sampled_from(["A", "EXPIRY"]), message=st.just("no")), max_size=2),
)


@given(ANY_ORDER, CONTEXTS, POLICIES)
def test_every_rule_speaks_once_and_the_points_add_up(order: Ticket, context: Context, policy: Policy) -> None:
    of_risk, of_compliance = judged(order, context, policy)
    floor = [item for item in of_risk.contributions if item.code == risk.FLOOR_CODE]
    assert [item.code for item in of_risk.contributions] == [
        *(rule.code for rule in rules_of(Module.RISK)),
        *(item.code for item in floor),
    ]
    assert [item.code for item in of_compliance.contributions] == [
        *(rule.code for rule in rules_of(Module.COMPLIANCE)),
        *(item.code for item in order.objections),
    ]
    for assessment in (of_risk, of_compliance):
        assert sum(item.points for item in assessment.contributions) == assessment.score
        assert 0 <= assessment.score <= 100
        assert all(item.message and item.citation and item.points >= 0 for item in assessment.contributions)
        assert all(item.severity == Severity.WARN for item in assessment.contributions if item.overridden)
    assert all(item.points <= BY_CODE[item.code].weight for item in of_risk.contributions if item not in floor)
    assert not of_risk.blocks or of_risk.score >= 90
    assert bool(of_compliance.score < 100) == any(
        item.severity == Severity.BLOCK or item.overridden for item in of_compliance.contributions
    )


@given(ANY_ORDER, CONTEXTS, POLICIES)
def test_rule_that_was_set_aside_never_blocks(order: Ticket, context: Context, policy: Policy) -> None:
    codes = {item.code for item in every(order, context, policy)}
    aside = replace(context, overrides=tuple(override(code) for code in codes))
    assert {item.code for item in every(order, aside, policy) if item.severity == Severity.BLOCK} <= {
        code for code in codes if not can_be_overridden(code)
    }


@given(ANY_ORDER, CONTEXTS, POLICIES)
def test_halted_blocks_every_order(order: Ticket, context: Context, policy: Policy) -> None:
    found = compliance.assess(order, replace(context, trading_state=TradingState.HALTED), policy)
    assert "KILL_SWITCH" in [item.code for item in found.blocks]


@given(ANY_ORDER, CONTEXTS, POLICIES)
def test_judgement_is_the_same_from_the_inputs_that_were_kept(order: Ticket, context: Context, policy: Policy) -> None:
    assert judged(order, context_from_json(context_as_json(context)), policy) == judged(order, context, policy)


def stricter(first: Any, second: Any, *, least: bool) -> Any:
    """The stricter of two limits; one that is None limits nothing."""
    known = [value for value in (first, second) if value is not None]
    return (min(known) if least else max(known)) if known else None


def strictest(first: Policy, second: Policy) -> Policy:
    """Each limit as the stricter of the two has it."""
    permitted = [each.permitted_symbols for each in (first, second) if each.permitted_symbols]
    windows: dict[str, StrategyLimits] = {}
    for name in {*first.strategies, *second.strategies}:
        one, two = (each.strategies.get(name, StrategyLimits()) for each in (first, second))
        windows[name] = StrategyLimits(
            **{key: stricter(getattr(one, key), getattr(two, key), least=not key.endswith("_min")) for key in WINDOW}
        )
    # A limit and the window that it holds for are of one piece.
    pair = first if None not in (first.max_orders_per_window, first.order_rate_window_seconds) else second
    return Policy(
        version="both",
        **{
            **{key: stricter(getattr(first, key), getattr(second, key), least=True) for key in LIMITS},
            # A longer window finds more; what it found is in the context.
            "duplicate_window_seconds": stricter(
                first.duplicate_window_seconds, second.duplicate_window_seconds, least=False
            ),
            "max_orders_per_window": pair.max_orders_per_window,
            "order_rate_window_seconds": pair.order_rate_window_seconds,
        },
        allow_undefined_risk=first.allow_undefined_risk and second.allow_undefined_risk,
        restricted_symbols=first.restricted_symbols | second.restricted_symbols,
        permitted_symbols=frozenset.intersection(*permitted) if permitted else frozenset(),
        strategies=windows,
    )


@given(ANY_ORDER, CONTEXTS, POLICIES, POLICIES)
def test_stricter_policy_turns_no_block_into_a_pass(
    order: Ticket, context: Context, first: Policy, second: Policy
) -> None:
    # Both lists of permitted symbols have SPY, so that the common one is not empty: an empty one permits all.
    both = strictest(first, second)
    blocked = {item.code for item in every(order, context, first) if item.severity == Severity.BLOCK}
    assert blocked <= {item.code for item in every(order, context, both) if item.severity == Severity.BLOCK}


def test_stricter_is_asked_of_every_limit() -> None:
    """A limit that a later policy knows has to be drawn above, or nothing is said of it."""
    others = {"version", "min_dte_warn", "approval", "auto_approval", "not_evaluated"}
    drawn = {*LIMITS, "allow_undefined_risk", "restricted_symbols", "permitted_symbols", "strategies"}
    assert {item.name for item in fields(Policy)} == others | drawn
