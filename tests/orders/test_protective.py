"""What is held covers an order once, and which orders reduce what is held. No database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders import compliance, risk
from orders.assessment import Contribution, Holding, OpenOrder, Severity
from orders.choices import Instrument, LegAction, OrderType, Side, TradingState
from orders.cover import position as added_up
from orders.cover import uncovered
from orders.options import format_osi
from orders.policy import Policy
from orders.protective import Reduction, reduction
from orders.rule_registry import RULES
from orders.ticket import Ticket
from tests.factories import EXPIRY, iron_condor, ticket
from tests.orders.test_risk import BUY, SELL, C, P, S, combination, leg, quote, seen

D = Decimal
LATER = date(2026, 1, 16)


def held(right: str, quantity: int, strike: int | None = None, expiry: date = EXPIRY) -> Holding:
    if right == "S":
        return Holding(right="S", strike=None, expiry=None, quantity=D(quantity), multiplier=1, price=D(450))
    return Holding(right=right, strike=D(strike or 0), expiry=expiry, quantity=D(quantity), multiplier=100)


def pending(*legs: Holding) -> OpenOrder:
    return OpenOrder(
        client_order_id="o", status="approved", strategy="x", max_loss=D(0), unbounded=False, notional=D(1), legs=legs
    )


def option(side: Side, right: str, strike: int, quantity: int = 1, price: str | None = "3") -> Ticket:
    return ticket(
        symbol=format_osi("SPY", EXPIRY, right, D(strike)),
        side=side,
        quantity=D(quantity),
        price=None if price is None else D(price),
        order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
    )


def shares(side: Side, quantity: int, price: str | None = "450") -> Ticket:
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    return ticket(side=side, quantity=D(quantity), price=None if price is None else D(price), order_type=kind)


def risk_rule(code: str, order: Ticket, policy: Policy | None = None, **context: Any) -> Contribution:
    assessment = risk.assess(order, seen(**context), policy or Policy(version="t", max_risk_pct_trade=D("0.02")))
    [found] = [item for item in assessment.contributions if item.code == code]
    return found


BOUNDED = ("info", "The worst-case loss is bounded.")
COVERED = ("info", "What is held covers it: the worst-case loss is bounded.")
NAKED = ("block", "Net short calls: the loss is unbounded.")
STOCK = held("S", 100)


def sold(quantity: int, free: int) -> tuple[str, str]:
    return "block", f"A sale of {quantity} SPY where {free} are held and free is short: the loss is unbounded."


@pytest.mark.parametrize(
    ("order", "holdings", "open_orders", "expected", "loss"),
    [
        # Sales of held shares, and beyond.
        (shares(Side.SELL, 100), (STOCK,), (), COVERED, D(0)),
        (shares(Side.SELL, 101), (STOCK,), (), sold(101, 100), None),
        (shares(Side.SELL, 1), (), (), sold(1, 0), None),
        (shares(Side.SELL, 60), (held("S", 30), replace(held("S", 30), strategy="y")), (), COVERED, D(0)),
        # Covered calls; the share that covers one call covers no other, and can't be sold.
        (option(Side.SELL, "C", 460), (STOCK,), (), COVERED, D(0)),
        (option(Side.SELL, "C", 460), (held("S", 99),), (), NAKED, None),
        (option(Side.SELL, "C", 460, 2), (STOCK,), (), NAKED, None),
        (option(Side.SELL, "C", 460), (STOCK, held("C", -1, 470)), (), NAKED, None),
        (option(Side.SELL, "C", 460), (held("S", 200), held("C", -1, 470, LATER)), (), COVERED, D(0)),
        (shares(Side.SELL, 100), (STOCK, held("C", -1, 470)), (), sold(100, 0), None),
        # Short legs of other open orders take cover away; long ones give none.
        (option(Side.SELL, "C", 460), (STOCK,), (pending(held("C", -1, 465)),), NAKED, None),
        (shares(Side.SELL, 100), (STOCK,), (pending(held("S", -1)),), sold(100, 99), None),
        (shares(Side.SELL, 100), (held("S", 1),), (pending(held("S", 99)),), sold(100, 1), None),
        (option(Side.SELL, "C", 460), (held("P", 1, 440),), (pending(held("C", 1, 465)),), NAKED, None),
        # Long calls cover calls of their own expiry, with the loss of the spread that they make.
        (option(Side.SELL, "C", 460), (held("C", 1, 450),), (), COVERED, D(0)),
        (option(Side.SELL, "C", 460), (held("C", 1, 470),), (), COVERED, D(700)),
        (option(Side.SELL, "C", 460), (held("C", 1, 450), held("C", 1, 470)), (), COVERED, D(700)),
        (option(Side.SELL, "C", 460), (held("C", 1, 450, LATER),), (), NAKED, None),
        (option(Side.SELL, "C", 460), (held("C", 1, 450), held("C", -1, 455)), (), NAKED, None),
        (option(Side.SELL, "C", 450), (held("C", 1, 450), held("S", -100)), (), NAKED, None),
        # What needs no cover is judged by itself, whatever is held.
        (iron_condor(), (STOCK, held("C", -1, 470)), (), BOUNDED, D(380)),
        (option(Side.SELL, "P", 440, price="2"), (held("P", 1, 430),), (), BOUNDED, D(43800)),
        (combination(leg(SELL, C, 460), leg(SELL, P, 440)), (STOCK,), (), COVERED, D(43880)),
    ],
)
def test_cover_counts_once(
    order: Ticket,
    holdings: tuple[Holding, ...],
    open_orders: tuple[OpenOrder, ...],
    expected: tuple[str, str],
    loss: Decimal | None,
) -> None:
    found = risk_rule("UNDEFINED_RISK", order, holdings=holdings, open_orders=open_orders)
    assert (str(found.severity), found.message) == expected
    assert risk.worst_loss(order, seen(holdings=holdings, open_orders=open_orders), Policy(version="t")) == loss


CONDOR = (held("P", 1, 435), held("P", -1, 440), held("C", -1, 460), held("C", 1, 465))
CLOSING_CONDOR = combination(
    leg(SELL, P, 435), leg(BUY, P, 440), leg(BUY, C, 460), leg(SELL, C, 465), price="0.60", strategy="iron_condor"
)
NONE, CLOSES, HEDGES = Reduction.NONE, Reduction.CLOSES, Reduction.HEDGES


@pytest.mark.parametrize(
    ("order", "holdings", "expected"),
    [
        (shares(Side.SELL, 100), (STOCK,), CLOSES),
        (shares(Side.SELL, 100, None), (STOCK,), CLOSES),
        (shares(Side.SELL, 101), (STOCK,), NONE),
        (shares(Side.BUY, 1), (STOCK,), NONE),
        (shares(Side.BUY, 100), (held("S", -100),), CLOSES),
        (shares(Side.SELL, 100), (), NONE),
        (CLOSING_CONDOR, CONDOR, CLOSES),
        (CLOSING_CONDOR, (), NONE),
        (iron_condor(), CONDOR, NONE),
        (option(Side.BUY, "C", 460), CONDOR, CLOSES),
        # Taking the wings away leaves the short legs naked.
        (option(Side.SELL, "C", 465), CONDOR, NONE),
        (option(Side.SELL, "P", 435), CONDOR, NONE),
        (combination(leg(SELL, P, 435), leg(BUY, P, 440), price="0.5"), CONDOR, CLOSES),
        (combination(leg(SELL, P, 435), leg(BUY, P, 440, 2), price="0.5"), CONDOR, NONE),
        (option(Side.SELL, "C", 450), (held("C", 1, 450, LATER),), NONE),
        # Shares that cover a call stay, and so does the put that protects them.
        (shares(Side.SELL, 100), (STOCK, held("C", -1, 460)), NONE),
        (option(Side.SELL, "P", 440), (STOCK, held("P", 1, 440)), NONE),
        (shares(Side.SELL, 100), (STOCK, held("P", 1, 440)), CLOSES),
        (combination(leg(SELL, S, None, 100), leg(BUY, C, 460)), (STOCK, held("C", -1, 460)), CLOSES),
        # A calendar, closed.
        (
            combination(leg(BUY, C, 460), leg(SELL, C, 460, expiry=LATER)),
            (held("C", -1, 460), held("C", 1, 460, LATER)),
            CLOSES,
        ),
        # Hedges: a put for each share, wings for naked legs, no more.
        (option(Side.BUY, "P", 440), (STOCK,), HEDGES),
        (option(Side.BUY, "P", 440, 2), (STOCK,), NONE),
        (option(Side.BUY, "P", 440), (held("S", 50),), NONE),
        (option(Side.BUY, "P", 440, price="440"), (STOCK,), NONE),
        (option(Side.BUY, "P", 440, price=None), (STOCK,), NONE),
        (option(Side.BUY, "P", 440), (STOCK, held("P", 1, 430)), NONE),
        (option(Side.BUY, "P", 435), (held("P", -1, 440),), HEDGES),
        (option(Side.BUY, "P", 445), (held("C", -1, 460),), NONE),
        (option(Side.BUY, "C", 465), (held("C", -1, 460),), HEDGES),
        (option(Side.BUY, "C", 465), (held("C", -1, 460, LATER),), NONE),
        (option(Side.BUY, "C", 465), (STOCK, held("C", -1, 460)), NONE),
        (option(Side.BUY, "C", 465), (STOCK,), NONE),
        (
            combination(leg(BUY, P, 435), leg(BUY, C, 465), price="2"),
            (held("P", -1, 440), held("C", -1, 460)),
            HEDGES,
        ),
        (combination(leg(BUY, P, 440), leg(SELL, P, 400), price="2"), (STOCK,), HEDGES),
        # A call spread leaves a naked call as naked as it was.
        (combination(leg(BUY, C, 465), leg(SELL, C, 470), price="2"), (held("C", -1, 460),), NONE),
        # A collar can lose more than it costs, a covered call protects from nothing.
        (combination(leg(BUY, P, 440), leg(SELL, C, 460), price="0"), (STOCK,), NONE),
        (option(Side.SELL, "C", 460), (STOCK,), NONE),
        (shares(Side.BUY, 100), (held("C", -1, 460),), NONE),
        (combination(leg(BUY, P, 440), leg(BUY, P, 440, symbol="QQQ"), price="2"), (STOCK,), NONE),
        # The legs of one contract are one.
        (combination(leg(BUY, P, 440), leg(SELL, P, 440), price="2"), (STOCK,), NONE),
    ],
)
def test_what_reduces(order: Ticket, holdings: tuple[Holding, ...], expected: Reduction) -> None:
    assert reduction(order, seen(holdings=holdings)) == expected


def test_market_price_tells_what_an_order_without_a_limit_costs_or_takes_in() -> None:
    bought, sold_shares = option(Side.BUY, "P", 440, price=None), shares(Side.SELL, 100, None)
    assert reduction(bought, seen(holdings=(STOCK,), quote=quote("3", symbol=bought.symbol))) == HEDGES
    protected = (STOCK, held("P", 1, 440))
    assert reduction(sold_shares, seen(holdings=protected)) == NONE
    assert reduction(sold_shares, seen(holdings=protected, quote=quote("450"))) == CLOSES


@pytest.mark.parametrize(
    ("order", "holdings", "other"),
    [
        (shares(Side.SELL, 100), (STOCK,), (held("S", -100),)),
        (shares(Side.BUY, 100), (held("S", -100),), (held("S", 100),)),
        (option(Side.BUY, "C", 460), (held("C", -1, 460),), (held("C", 1, 460),)),
        (CLOSING_CONDOR, CONDOR, (held("P", 1, 440),)),
        # Of two others, the one that sells may be filled alone.
        (shares(Side.SELL, 100), (STOCK,), (held("S", -100), held("S", 100))),
        (option(Side.BUY, "P", 440), (STOCK,), (held("P", 1, 430),)),
        (option(Side.BUY, "P", 440), (STOCK,), (held("S", -100),)),
        # What may be sold but is not held yet is nothing to hedge.
        (option(Side.BUY, "P", 435), (held("P", 1, 430, LATER),), (held("P", -1, 440),)),
    ],
)
def test_second_order_on_one_position_is_not_protective(
    order: Ticket, holdings: tuple[Holding, ...], other: tuple[Holding, ...]
) -> None:
    assert reduction(order, seen(holdings=holdings, open_orders=(pending(*other),))) == NONE


@pytest.mark.parametrize(
    ("order", "holdings", "loss"),
    [
        (shares(Side.SELL, 100, "1"), (STOCK,), D(0)),
        (CLOSING_CONDOR, CONDOR, D(0)),
        # It takes 500 of risk away and pays 520 for that.
        (replace(CLOSING_CONDOR, price=D("5.20")), CONDOR, D(20)),
        (replace(CLOSING_CONDOR, price=None, order_type=OrderType.MARKET), CONDOR, D(0)),
        (option(Side.BUY, "C", 460, price="90"), (held("C", -1, 460),), D(0)),
        (option(Side.BUY, "P", 440), (STOCK,), D(300)),
    ],
)
def test_worst_loss_of_an_order_that_reduces(order: Ticket, holdings: tuple[Holding, ...], loss: Decimal) -> None:
    assert risk.worst_loss(order, seen(holdings=holdings), Policy(version="t")) == loss


STRICT = Policy(
    version="strict",
    max_order_notional=D(1),
    max_order_quantity=D("0.1"),
    max_risk_pct_trade=D("0.0001"),
    max_portfolio_risk_pct=D("0.0001"),
    max_daily_new_risk_pct=D("0.0001"),
    symbol_exposure_pct=D("0.0001"),
    max_positions=0,
    max_drawdown=D("0.01"),
)
EXEMPTED = {rule.code for rule in RULES if rule.exempts_protective}


@pytest.mark.parametrize(
    ("order", "holdings"), [(shares(Side.SELL, 100), (STOCK,)), (option(Side.BUY, "P", 440), (STOCK,))]
)
def test_protective_order_passes_the_rules_of_size_exposure_and_drawdown(
    order: Ticket, holdings: tuple[Holding, ...]
) -> None:
    context = seen(holdings=holdings, equity=None)
    found = {item.code: item for item in risk.assess(order, context, STRICT).contributions}
    for code in EXEMPTED & found.keys():
        item = found[code]
        assert (item.severity, item.message) == ("info", "Not judged: exempt: reduces the position.")
        assert (item.points, item.applicable) == (0, False)
    assert risk.assess(order, context, STRICT).score == 0
    assert len(risk.assess(order, seen(equity=None), STRICT).blocks) >= 8


def test_stop_out_that_is_mistyped_is_still_held_against_the_market() -> None:
    policy = replace(STRICT, price_band_fraction=D("0.05"), duplicate_window_seconds=60)
    context = seen(holdings=(STOCK,), quote=quote("450"), duplicates=("a",))
    assessment = risk.assess(shares(Side.SELL, 100, "45"), context, policy)
    assert [item.code for item in assessment.blocks] == ["PRICE_COLLAR", "DUPLICATE_ORDER"]


@pytest.mark.parametrize(
    ("state", "order", "severity"),
    [
        (TradingState.ACTIVE, shares(Side.BUY, 1), "info"),
        (TradingState.REDUCING, shares(Side.BUY, 1), "block"),
        (TradingState.REDUCING, shares(Side.SELL, 100), "info"),
        (TradingState.REDUCING, shares(Side.SELL, 101), "block"),
        (TradingState.HALTED, shares(Side.SELL, 100), "block"),
        (TradingState.HALTED, shares(Side.BUY, 1), "block"),
    ],
)
def test_while_trading_only_reduces_only_what_reduces_passes(state: TradingState, order: Ticket, severity: str) -> None:
    context = seen(holdings=(STOCK,), trading_state=state)
    [found] = [
        item
        for item in compliance.assess(order, context, Policy(version="t")).contributions
        if item.code == "KILL_SWITCH"
    ]
    assert found.severity == severity


STRIKES, SIZES = st.integers(430, 470), st.integers(-3, 3).filter(bool)
HOLDINGS = st.lists(
    st.builds(held, st.sampled_from("CP"), SIZES, STRIKES, st.sampled_from([EXPIRY, LATER]))
    | st.builds(held, st.just("S"), st.sampled_from([-200, -100, 100, 200])),
    max_size=5,
).map(tuple)
OTHERS = HOLDINGS.map(lambda legs: (pending(*legs),) if legs else ())
LEGS = st.builds(
    leg,
    st.sampled_from(LegAction),
    st.sampled_from([Instrument.CALL, Instrument.PUT]),
    STRIKES,
    st.integers(1, 3),
    expiry=st.sampled_from([EXPIRY, LATER]),
)
ORDERS = (
    st.builds(option, st.sampled_from([Side.BUY, Side.SELL]), st.sampled_from("CP"), STRIKES, st.integers(1, 3))
    | st.builds(shares, st.sampled_from([Side.BUY, Side.SELL]), st.sampled_from([50, 100, 200]))
    | st.lists(LEGS, min_size=1, max_size=4).map(lambda legs: combination(*legs, price="1"))
)


def worth(legs: tuple[Holding, ...], spot: int, day: date) -> Decimal:
    """At `spot` on `day`, by hand; shares, and the options that end then."""
    total = D(0)
    for each in legs:
        if each.right == "S":
            total += each.quantity * spot
        elif each.expiry == day:
            inner = spot - each.strike if each.right == "C" else each.strike - spot
            total += each.quantity * 100 * max(D(0), inner)
    return total


def as_holdings(order: Ticket) -> tuple[Holding, ...]:
    return tuple(
        Holding(
            right=each.right,
            strike=each.strike,
            expiry=each.expiry,
            quantity=each.quantity,
            multiplier=int(each.multiplier),
        )
        for each in order.unpriced_legs
    )


@given(ORDERS, HOLDINGS, OTHERS)
def test_what_reduces_makes_no_worst_case_worse(
    order: Ticket, holdings: tuple[Holding, ...], others: tuple[OpenOrder, ...]
) -> None:
    """On each expiry, at 0 and at every strike; beyond the strikes by what is left uncovered."""
    if reduction(order, seen(holdings=holdings, open_orders=others)) == NONE:
        return
    taken = tuple(each for other in others for each in other.legs if each.quantity < 0)
    proceeds = order.price * order.quantity * order.multiplier if order.side == Side.SELL else D(0)
    spots = [0, *range(430, 471)]
    for before in (holdings, (*holdings, *taken)):
        after = (*before, *as_holdings(order))
        assert uncovered(added_up(after)) <= uncovered(added_up(before))
        for day in (EXPIRY, LATER):
            worst = [min(worth(legs, spot, day) for spot in spots) for legs in (before, after)]
            assert worst[1] + proceeds >= worst[0]


@given(ORDERS, HOLDINGS, OTHERS)
def test_protective_leg_raises_no_score_through_the_rules_of_size(
    order: Ticket, holdings: tuple[Holding, ...], others: tuple[OpenOrder, ...]
) -> None:
    context = seen(holdings=holdings, open_orders=others)
    if reduction(order, context) == NONE:
        return
    found = {item.code: item.points for item in risk.assess(order, context, STRICT).contributions}
    assert all(found[code] == 0 for code in EXEMPTED & found.keys())


@given(ORDERS, HOLDINGS, OTHERS)
def test_order_that_is_covered_leaves_no_more_uncovered_than_before(
    order: Ticket, holdings: tuple[Holding, ...], others: tuple[OpenOrder, ...]
) -> None:
    found = risk_rule("UNDEFINED_RISK", order, holdings=holdings, open_orders=others)
    if found.severity != Severity.INFO:
        return
    taken = (*holdings, *(each for other in others for each in other.legs if each.quantity < 0))
    assert uncovered(added_up((*taken, *as_holdings(order)))) <= uncovered(added_up(taken))
