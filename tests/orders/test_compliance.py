"""The compliance rules, as tables of cases and as properties. No database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders import compliance
from orders.assessment import Contribution, Holding, Severity
from orders.choices import Side, TimeInForce, TradingState
from orders.options import format_osi
from orders.policy import Policy, StrategyLimits
from orders.rule_registry import Module, rules_of
from orders.ticket import Objection, Ticket
from tests.factories import NOW, iron_condor, ticket
from tests.orders.test_risk import COMBINATIONS, SINGLES, leg, seen

D = Decimal
CODES = [rule.code for rule in rules_of(Module.COMPLIANCE)]
POLICY = Policy(
    version="test",
    min_dte_warn=5,
    strategies={
        "iron_condor": StrategyLimits(ivr_min=D("0.30"), ivr_max=D("0.80"), dte_min=30, dte_max=45),
        "covered_call": StrategyLimits(dte_min=20),
    },
)


def rule(code: str, order: Ticket, policy: Policy = POLICY, **context: Any) -> Contribution:
    values = {"iv_rank": D("0.5"), **context}
    [found] = [item for item in compliance.assess(order, seen(**values), policy).contributions if item.code == code]
    return found


def said(item: Contribution) -> tuple[str, str]:
    return str(item.severity), item.message


def option(day: date, **changes: Any) -> Ticket:
    return ticket(symbol=format_osi("SPY", day, "C", D(460)), **changes)


def condor(day: date | None) -> Ticket:
    return iron_condor(legs=tuple(replace(item, expiry=day) for item in iron_condor().legs))


TODAY = date(2025, 11, 3)


@pytest.mark.parametrize(
    ("order", "rank", "expected"),
    [
        (iron_condor(), D("0.5"), ("info", "Inside the window of iron_condor.")),
        (condor(TODAY + timedelta(30)), D("0.30"), ("info", "Inside the window of iron_condor.")),
        (condor(TODAY + timedelta(45)), D("0.80"), ("info", "Inside the window of iron_condor.")),
        (condor(TODAY + timedelta(29)), D("0.5"), ("block", "29 days to expiry are outside 30 to 45.")),
        (condor(TODAY + timedelta(46)), D("0.5"), ("block", "46 days to expiry are outside 30 to 45.")),
        (iron_condor(), D("0.29"), ("block", "IV rank 0.29 is outside 0.30 to 0.80.")),
        (iron_condor(), D("0.81"), ("block", "IV rank 0.81 is outside 0.30 to 0.80.")),
        (iron_condor(), None, ("block", "IV rank can't be evaluated: none is on record for SPY.")),
        (condor(None), D("0.5"), ("block", "days to expiry can't be evaluated: an expiry is not stated.")),
        (
            condor(TODAY + timedelta(46)),
            D("0.9"),
            ("block", "46 days to expiry are outside 30 to 45; IV rank 0.9 is outside 0.30 to 0.80."),
        ),
        (
            iron_condor(legs=(leg("buy", "put", 435), leg("sell", "put", 440, expiry=TODAY + timedelta(60)))),
            D("0.5"),
            ("block", "32 to 60 days to expiry are outside 30 to 45."),
        ),
        (ticket(), None, ("info", "Not judged: the policy has no window for 'momentum'.")),
        (ticket(strategy=""), None, ("info", "Not judged: the policy has no window for 'no strategy'.")),
        (
            ticket(strategy="covered_call"),
            None,
            ("block", "days to expiry can't be evaluated: an expiry is not stated."),
        ),
        (
            option(TODAY + timedelta(19), strategy="covered_call"),
            None,
            ("block", "19 days to expiry are outside at least 20."),
        ),
    ],
)
def test_strategy_window(order: Ticket, rank: Decimal | None, expected: tuple[str, str]) -> None:
    assert said(rule("STRATEGY_WINDOW", order, iv_rank=rank)) == expected


RESTRICTED = replace(POLICY, restricted_symbols=frozenset({"GME"}))
PERMITTED = replace(POLICY, permitted_symbols=frozenset({"SPY", "GME"}), restricted_symbols=frozenset({"GME"}))
OF_GME = format_osi("GME", TODAY + timedelta(32), "P", D(20))


@pytest.mark.parametrize(
    ("order", "policy", "expected"),
    [
        (ticket(), POLICY, ("info", "SPY may be traded.")),
        (ticket(), RESTRICTED, ("info", "SPY may be traded.")),
        (ticket(symbol="GME"), RESTRICTED, ("block", "GME is on the restricted list.")),
        (ticket(symbol="gme"), RESTRICTED, ("block", "GME is on the restricted list.")),
        (ticket(symbol=OF_GME), RESTRICTED, ("block", "GME is on the restricted list.")),
        (
            iron_condor(legs=(leg("buy", "put", 20, symbol=OF_GME, expiry=None),)),
            RESTRICTED,
            ("block", "GME is on the restricted list."),
        ),
        (ticket(symbol="QQQ"), PERMITTED, ("block", "QQQ is not on the permitted list.")),
        (
            iron_condor(legs=(leg("buy", "put", 435, symbol="QQQ"),)),
            PERMITTED,
            ("block", "QQQ is not on the permitted list."),
        ),
        (ticket(symbol="GME"), PERMITTED, ("block", "GME is on the restricted list.")),
        (ticket(), PERMITTED, ("info", "SPY may be traded.")),
    ],
)
def test_restricted_symbol(order: Ticket, policy: Policy, expected: tuple[str, str]) -> None:
    assert said(rule("RESTRICTED_SYMBOL", order, policy)) == expected


def gtd(at: datetime) -> Ticket:
    return ticket(time_in_force=TimeInForce.GTD, expires_at=at)


NEW_YORK = timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (ticket(), ("info", "Nothing in this order expires.")),
        (gtd(NOW), ("block", "The order's own time ended at 2025-11-03 15:00 UTC.")),
        (gtd(NOW.astimezone(NEW_YORK)), ("block", "The order's own time ended at 2025-11-03 15:00 UTC.")),
        (gtd(NOW + timedelta(microseconds=1)), ("info", "Nothing in this order expires.")),
        (option(TODAY - timedelta(1)), ("block", "An option expired on 2025-11-02, 1 days ago.")),
        (option(TODAY), ("block", "An option expires today (2025-11-03).")),
        (option(TODAY + timedelta(4)), ("warn", "An option expires in 4 days, on 2025-11-07.")),
        (option(TODAY + timedelta(5)), ("info", "The first option expires in 5 days, on 2025-11-08.")),
        (condor(None), ("block", "Can't be evaluated: an option has no expiry.")),
    ],
)
def test_expiry(order: Ticket, expected: tuple[str, str]) -> None:
    assert said(rule("EXPIRY", order)) == expected


def test_option_expires_by_the_day_of_its_exchange() -> None:
    before_midnight_in_new_york = datetime(2025, 11, 4, 4, 59, tzinfo=UTC)
    assert compliance.days_to_expiry(TODAY, before_midnight_in_new_york) == 0
    assert compliance.days_to_expiry(TODAY, before_midnight_in_new_york + timedelta(minutes=1)) == -1


@pytest.mark.parametrize(
    ("order", "creator", "expected"),
    [
        (ticket(), "trader", ("info", "Every required field is stated.")),
        (ticket(strategy=""), "trader", ("block", "Not stated by the source: strategy.")),
        (ticket(), "", ("block", "Not stated by the source: created_by.")),
        (
            ticket(strategy="", missing=("price", "strategy")),
            "",
            ("block", "Not stated by the source: price, strategy, created_by."),
        ),
    ],
)
def test_record_complete(order: Ticket, creator: str, expected: tuple[str, str]) -> None:
    assert said(rule("RECORD_COMPLETE", order, created_by=creator)) == expected


@pytest.mark.parametrize(
    ("reviewer", "expected", "applicable"),
    [
        ("", ("info", "Judged when somebody reviews the order."), False),
        ("reviewer", ("info", "Staged by trader, reviewed by reviewer."), True),
        ("trader", ("block", "trader staged this order: somebody else must decide."), True),
    ],
)
def test_self_approval(reviewer: str, expected: tuple[str, str], applicable: bool) -> None:
    found = rule("SELF_APPROVAL", ticket(), reviewer=reviewer)
    assert (said(found), found.applicable) == (expected, applicable)


def spread(low: str, high: str, strategy: str, **changes: Any) -> Ticket:
    return iron_condor(legs=(leg(low, "put", 435), leg(high, "put", 440)), strategy=strategy, **changes)


STOCK = Holding(right="S", strike=None, expiry=None, quantity=D(100), multiplier=1)
CALL_SOLD = iron_condor(legs=(leg("sell", "call", 460),), strategy="covered_call")


@pytest.mark.parametrize(
    ("order", "holdings", "expected"),
    [
        (iron_condor(), (), ("info", "The legs form iron_condor.")),
        (spread("buy", "sell", "put_credit_spread"), (), ("info", "The legs form put_credit_spread.")),
        (
            spread("sell", "buy", "put_credit_spread"),
            (),
            ("block", "The legs form bear_put_spread, not put_credit_spread."),
        ),
        (
            iron_condor(legs=iron_condor().legs[:2]),
            (),
            ("block", "The legs form bull_put_spread, not iron_condor."),
        ),
        # The wings of an iron condor are outside.
        (
            iron_condor(legs=(leg("sell", "put", 435), leg("buy", "put", 440), *iron_condor().legs[2:])),
            (),
            ("block", "The legs form no structure that has a name, not iron_condor."),
        ),
        (iron_condor(strategy="momentum"), (), ("info", "Not judged: 'momentum' is not the name of a structure.")),
        (iron_condor(strategy=""), (), ("info", "Not judged: 'no strategy' is not the name of a structure.")),
        (ticket(strategy="iron_condor"), (), ("info", "Not judged: the order has no legs.")),
        # Held shares complete what is named after them.
        (CALL_SOLD, (), ("block", "The legs form short_call, not covered_call.")),
        (CALL_SOLD, (STOCK,), ("info", "The legs form covered_call.")),
        (CALL_SOLD, (replace(STOCK, quantity=D(99)),), ("block", "The legs form short_call, not covered_call.")),
        (CALL_SOLD, (replace(STOCK, quantity=D(-100)),), ("block", "The legs form short_call, not covered_call.")),
        (
            iron_condor(legs=(leg("buy", "stock", None, 100),), strategy="covered_call", quantity=D(100)),
            (STOCK,),
            ("block", "The legs form long_stock, not covered_call."),
        ),
    ],
)
def test_leg_sanity(order: Ticket, holdings: tuple[Holding, ...], expected: tuple[str, str]) -> None:
    assert said(rule("LEG_SANITY", order, holdings=holdings)) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (TradingState.ACTIVE, ("info", "Trading is active.")),
        (TradingState.REDUCING, ("block", "Trading only reduces, and this order does not reduce what is held.")),
        (TradingState.HALTED, ("block", "Trading is halted: no order may pass.")),
    ],
)
def test_kill_switch(state: TradingState, expected: tuple[str, str]) -> None:
    assert said(rule("KILL_SWITCH", ticket(), trading_state=state)) == expected


def test_order_that_closes_is_not_held_to_the_rules_of_opening() -> None:
    """The reverse of an iron condor, on its last day and with no IV rank: nothing says that it may not be closed."""
    reverse = {"buy": "sell", "sell": "buy"}
    legs = tuple(replace(item, action=reverse[item.action], expiry=TODAY) for item in iron_condor().legs)
    order = iron_condor(legs=legs, price=D("0.50"))
    signs = {"buy": -1, "sell": 1}
    holdings = tuple(
        Holding(
            right=item.instrument[0].upper(),
            strike=item.strike,
            expiry=TODAY,
            quantity=signs[item.action] * item.quantity,
            multiplier=100,
        )
        for item in legs
    )
    closing = compliance.assess(order, seen(holdings=holdings, trading_state=TradingState.REDUCING), POLICY)
    assert not closing.blocks
    found = {item.code: item for item in closing.contributions}
    assert said(found["EXPIRY"]) == ("warn", "An option expires today (2025-11-03); the order reduces the position.")
    for code in ("STRATEGY_WINDOW", "LEG_SANITY"):
        assert said(found[code]) == ("info", "Not judged: exempt: reduces the position.")
    assert {item.code for item in compliance.assess(order, seen(), POLICY).blocks} == {
        *("STRATEGY_WINDOW", "LEG_SANITY", "EXPIRY")
    }


def test_objection_of_the_source_blocks() -> None:
    found = rule("SIGNATURE", ticket(objections=(Objection(code="SIGNATURE", message="The signature is broken."),)))
    assert (said(found), found.points) == (("block", "The signature is broken."), D(0))


@pytest.mark.parametrize(
    ("order", "reviewer", "score"),
    [
        (ticket(), "reviewer", D(100)),
        (ticket(), "", D(100)),
        # 20 of restricted, 15 of the kill switch, 15 of the record; what does not apply counts neither way.
        (ticket(strategy=""), "", D(70)),
        (iron_condor(), "trader", D(85)),
        (ticket(objections=(Objection(code="A", message="no"),)), "", D("66.67")),
    ],
)
def test_score_is_the_passed_share_of_the_applicable_weight(order: Ticket, reviewer: str, score: Decimal) -> None:
    assert compliance.assess(order, seen(iv_rank=D("0.5"), reviewer=reviewer), POLICY).score == score


OBJECTIONS = st.lists(
    st.builds(Objection, code=st.sampled_from(["A", "EXPIRY", "SIGNATURE"]), message=st.just("no")), max_size=5
)
CONTEXTS = st.builds(
    seen,
    iv_rank=st.none() | st.decimals("0", "1", places=2),
    created_by=st.sampled_from(["", "trader"]),
    trading_state=st.sampled_from(TradingState),
    reviewer=st.sampled_from(["", "trader", "reviewer"]),
)
STRATEGIES = st.sampled_from(["", "iron_condor", "covered_call", "momentum"])
MISSING = st.lists(st.sampled_from(["price", "strategy", "side"]), unique=True)


@given(SINGLES | COMBINATIONS, STRATEGIES, OBJECTIONS, MISSING, CONTEXTS)
def test_points_add_up_to_a_score_from_0_to_100_and_every_rule_speaks(
    order: Ticket, strategy: str, objections: list[Objection], missing: list[str], context: Any
) -> None:
    order = replace(order, strategy=strategy, objections=tuple(objections), missing=tuple(missing))
    assessment = compliance.assess(order, context, POLICY)
    assert [item.code for item in assessment.contributions] == CODES + [item.code for item in objections]
    assert sum(item.points for item in assessment.contributions) == assessment.score
    assert 0 <= assessment.score <= 100
    assert all(item.points >= 0 for item in assessment.contributions)
    assert all(item.points == 0 for item in assessment.contributions if item.severity == Severity.BLOCK)
    assert (assessment.score == 100) == (not assessment.blocks)


def test_side_of_an_order_changes_nothing_in_compliance() -> None:
    bought, sold = (compliance.assess(ticket(side=side), seen(), POLICY) for side in (Side.BUY, Side.SELL))
    assert bought == sold
