"""The risk rules, as tables of cases and as properties. No database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders import risk
from orders.assessment import Context, Contribution, Quote
from orders.choices import NEEDS_PRICE, NEEDS_STOP_PRICE, Instrument, LegAction, OrderType, Side
from orders.options import format_osi
from orders.policy import Policy, StrategyLimits
from orders.rule_registry import Module, rules_of
from orders.ticket import Ticket, TicketLeg, combination_quantity
from tests.factories import EXPIRY, NOW, iron_condor, ticket

D = Decimal
CODES = [rule.code for rule in rules_of(Module.RISK)]
POLICY = Policy(
    version="test",
    max_order_notional=D(50000),
    max_order_quantity=D(500),
    max_risk_pct_trade=D("0.02"),
    max_quote_age_seconds=15,
    strategies={"iron_condor": StrategyLimits(qty_cap=D(2))},
)
UNARMED = Policy(version="none")
CALL = format_osi("SPY", EXPIRY, "C", D(460))
PUT = format_osi("SPY", EXPIRY, "P", D(440))
MARKET = {"order_type": OrderType.MARKET, "price": None}
STOP = {"order_type": OrderType.STOP, "price": None}


def seen(**changes: Any) -> Context:
    values: dict[str, Any] = {"now": NOW, "equity": D(100000), "equity_at": NOW, "created_by": "trader"}
    return Context(**{**values, **changes})


def quote(price: str, age: float = 1, symbol: str = "SPY") -> Quote:
    return Quote(symbol=symbol, price=D(price), at=NOW - timedelta(seconds=age))


def rule(code: str, order: Ticket, context: Context | None = None, policy: Policy = POLICY) -> Contribution:
    [found] = [item for item in risk.assess(order, context or seen(), policy).contributions if item.code == code]
    return found


def said(item: Contribution) -> tuple[str, str, Decimal]:
    return str(item.severity), item.message, item.points


NO_QUOTE = "Can't be evaluated: no quote newer than 15 s: none is on record for SPY."
OLD_QUOTE = "Can't be evaluated: no quote newer than 15 s: the last one for SPY is 16 s old."
NO_PRICE = "Can't be evaluated: the combination has no net price."


@pytest.mark.parametrize(
    ("order", "context", "expected"),
    [
        (ticket(), seen(), ("info", "Notional 801.00 is within the limit of 50,000.00.", D("0.13"))),
        (
            ticket(quantity=D(100), price=D(400)),
            seen(),
            ("warn", "Notional 40,000.00 is near the limit of 50,000.00.", D("6.4")),
        ),
        (
            ticket(quantity=D(125), price=D(400)),
            seen(),
            ("warn", "Notional 50,000.00 is near the limit of 50,000.00.", D(8)),
        ),
        (
            ticket(quantity=D(125), price=D("400.01")),
            seen(),
            ("block", "Notional 50,001.25 is over the limit of 50,000.00.", D(8)),
        ),
        (
            ticket(symbol=CALL, price=D(3)),
            seen(),
            ("info", "Notional 600.00 is within the limit of 50,000.00.", D("0.10")),
        ),
        (iron_condor(), seen(), ("info", "Notional 120.00 is within the limit of 50,000.00.", D("0.02"))),
        (ticket(**MARKET), seen(), ("block", NO_QUOTE, D(8))),
        (
            ticket(**MARKET),
            seen(quote=quote("450", 15)),
            ("info", "Notional 900.00 is within the limit of 50,000.00.", D("0.14")),
        ),
        (ticket(**MARKET), seen(quote=quote("450", 16)), ("block", OLD_QUOTE, D(8))),
        (iron_condor(**MARKET), seen(), ("block", NO_PRICE, D(8))),
        # A stop that is reached already trades at the market, at once.
        (ticket(**STOP, stop_price=D("0.01")), seen(), ("block", NO_QUOTE, D(8))),
        (
            ticket(**STOP, stop_price=D("0.01")),
            seen(quote=quote("450", 15)),
            ("info", "Notional 900.00 is within the limit of 50,000.00.", D("0.14")),
        ),
        (
            ticket(**STOP, stop_price=D(460)),
            seen(quote=quote("450", 15)),
            ("info", "Notional 920.00 is within the limit of 50,000.00.", D("0.15")),
        ),
        # A sale at a penny fills at the market.
        (
            ticket(side=Side.SELL, quantity=D(200), price=D("0.01")),
            seen(quote=quote("450", 3600)),
            ("block", "Notional 90,000.00 is over the limit of 50,000.00.", D(8)),
        ),
        (
            ticket(quantity=D("1e10"), price=D("1e10")),
            seen(),
            ("block", "Can't be evaluated: a notional of 1.00E+20 is beyond every figure that is kept.", D(8)),
        ),
    ],
)
def test_order_notional(order: Ticket, context: Context, expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("ORDER_NOTIONAL", order, context)) == expected


def leg(action: LegAction, instrument: Instrument, strike: int | None, quantity: int = 1, **changes: Any) -> TicketLeg:
    values: dict[str, Any] = {
        "action": action,
        "instrument": instrument,
        "symbol": "SPY",
        "quantity": D(quantity),
        "strike": None if strike is None else D(strike),
        "expiry": None if strike is None else EXPIRY,
        "multiplier": 1 if strike is None else 100,
    }
    return TicketLeg(**{**values, **changes})


def combination(*legs: TicketLeg, price: str | None = "-1.20", **changes: Any) -> Ticket:
    values = {"price": None if price is None else D(price), "quantity": combination_quantity(legs), "strategy": "x"}
    return iron_condor(legs=legs, **{**values, **changes})


BUY, SELL = LegAction.BUY, LegAction.SELL
C, P, S = Instrument.CALL, Instrument.PUT, Instrument.STOCK
COVERED = (leg(BUY, S, None, 100), leg(SELL, C, 460))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (ticket(quantity=D(399)), ("info", "Quantity 399 is within the limit of 500.", D("4.79"))),
        (ticket(quantity=D(400)), ("warn", "Quantity 400 is near the limit of 500.", D("4.8"))),
        (ticket(quantity=D(500)), ("warn", "Quantity 500 is near the limit of 500.", D(6))),
        (ticket(quantity=D("500.5")), ("block", "Quantity 500.5 is over the limit of 500.", D(6))),
        (iron_condor(), ("info", "Quantity 1 is within the limit of 2.", D(3))),
        (
            combination(leg(SELL, P, 440, 3), leg(BUY, P, 435, 3), strategy="iron_condor"),
            ("block", "Quantity 3 is over the limit of 2.", D(6)),
        ),
        # Shares of a combination are not contracts of its strategy, but they are an order's quantity.
        (combination(*COVERED, strategy="iron_condor"), ("info", "Quantity 1 is within the limit of 2.", D(3))),
        (
            combination(leg(BUY, S, None, 501), leg(SELL, C, 460)),
            ("block", "Quantity 501 is over the limit of 500.", D(6)),
        ),
    ],
)
def test_order_quantity(order: Ticket, expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("ORDER_QUANTITY", order)) == expected


def loss(share: str, money: str) -> str:
    return f"Worst-case loss of equity {share} % ({money} of 100,000.00)"


@pytest.mark.parametrize(
    ("order", "context", "expected"),
    [
        (ticket(), seen(), ("info", f"{loss('0.80', '801.00')} is within the limit of 2.00 %.", D("7.21"))),
        (iron_condor(), seen(), ("info", f"{loss('0.38', '380.00')} is within the limit of 2.00 %.", D("3.42"))),
        (
            combination(leg(BUY, P, 420), leg(SELL, P, 440), leg(SELL, C, 460), leg(BUY, C, 465)),
            seen(),
            ("warn", f"{loss('1.88', '1,880.00')} is near the limit of 2.00 %.", D("16.92")),
        ),
        (
            ticket(side=Side.SELL, symbol=PUT, quantity=D(1), price=D(2)),
            seen(),
            ("block", f"{loss('43.80', '43,800.00')} is over the limit of 2.00 %.", D(18)),
        ),
        (
            ticket(side=Side.SELL, symbol=CALL, quantity=D(1), price=D(2)),
            seen(),
            ("block", "Can't be evaluated: the worst-case loss is unbounded.", D(18)),
        ),
        (
            combination(leg(SELL, P, 440), leg(BUY, P, 435), price=None, order_type=OrderType.MARKET),
            seen(),
            ("info", f"{loss('0.50', '500.00')} is within the limit of 2.00 %.", D("4.5")),
        ),
        (
            combination(leg(BUY, P, 440), leg(SELL, P, 435), price=None, order_type=OrderType.MARKET),
            seen(),
            ("block", "Can't be evaluated: the combination has no net price, and its loss is the premium paid.", D(18)),
        ),
        (
            combination(leg(SELL, P, 440), leg(BUY, P, 435, symbol="QQQ")),
            seen(),
            ("block", f"{loss('43.88', '43,880.00')} is over the limit of 2.00 %.", D(18)),
        ),
        (ticket(), seen(equity=None), ("block", "Can't be evaluated: no equity of the account is on record.", D(18))),
        (ticket(), seen(equity=D(0)), ("block", "Can't be evaluated: no equity of the account is on record.", D(18))),
        (ticket(), seen(equity=D(-5)), ("block", "Can't be evaluated: no equity of the account is on record.", D(18))),
        (ticket(**MARKET), seen(), ("block", NO_QUOTE, D(18))),
    ],
)
def test_max_trade_risk(order: Ticket, context: Context, expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("MAX_TRADE_RISK", order, context)) == expected


UNBOUNDED = "Net short calls: the loss is unbounded."
SHORT_SALE = "A sale of 2 SPY where 0 are held and free is short: the loss is unbounded."


@pytest.mark.parametrize(
    ("order", "policy", "expected"),
    [
        (ticket(), POLICY, ("info", "The worst-case loss is bounded.", D(0))),
        (iron_condor(), POLICY, ("info", "The worst-case loss is bounded.", D(0))),
        (combination(*COVERED), POLICY, ("info", "The worst-case loss is bounded.", D(0))),
        (ticket(side=Side.SELL), POLICY, ("block", SHORT_SALE, D(10))),
        (ticket(side=Side.SELL, symbol=CALL), POLICY, ("block", UNBOUNDED, D(10))),
        (combination(leg(BUY, C, 450), leg(SELL, C, 460, 2)), POLICY, ("block", UNBOUNDED, D(10))),
        (combination(leg(BUY, S, None, 99), leg(SELL, C, 460)), POLICY, ("block", UNBOUNDED, D(10))),
        (combination(leg(SELL, C, 450), leg(BUY, C, 450, symbol="QQQ")), POLICY, ("block", UNBOUNDED, D(10))),
        (
            combination(leg(SELL, C, 450), leg(BUY, C, 450, expiry=date(2026, 1, 16))),
            POLICY,
            ("block", UNBOUNDED, D(10)),
        ),
        (
            ticket(side=Side.SELL, symbol=CALL),
            replace(POLICY, allow_undefined_risk=True),
            ("warn", "Net short calls: the loss is unbounded; the policy allows it.", D(10)),
        ),
    ],
)
def test_undefined_risk(order: Ticket, policy: Policy, expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("UNDEFINED_RISK", order, policy=policy)) == expected


@pytest.mark.parametrize(
    ("code", "parameter"),
    [
        ("ORDER_NOTIONAL", "max_order_notional"),
        ("ORDER_QUANTITY", "max_order_quantity"),
        ("MAX_TRADE_RISK", "max_risk_pct_trade"),
    ],
)
def test_rule_without_a_limit_says_that_it_judges_nothing(code: str, parameter: str) -> None:
    found = rule(code, ticket(), policy=UNARMED)
    assert said(found) == ("info", f"Not judged: the policy sets no {parameter}.", D(0))
    assert not found.applicable


def test_block_lifts_the_score_to_ninety_and_says_so() -> None:
    assessment = risk.assess(ticket(), seen(equity=None), POLICY)
    assert assessment.score == D(90)
    floor = assessment.contributions[-1]
    assert (floor.code, floor.message, floor.points) == (
        "HARD_BLOCK_FLOOR",
        "A rule blocks this order: the score is lifted from 18.15 to 90.",
        D("71.85"),
    )


def test_score_of_an_order_that_uses_little_is_low() -> None:
    assert risk.assess(iron_condor(), seen(), POLICY).score == D("6.44")


PRICES = st.decimals("0.01", "9000000000", places=2)
SIZES = st.decimals("0.00000001", "10000000000", places=8)
SYMBOLS = st.sampled_from(["SPY", CALL, PUT])
LEGS = st.builds(
    leg,
    st.sampled_from(LegAction),
    st.sampled_from([C, P]),
    st.integers(1, 1000),
    st.integers(1, 1000),
    expiry=st.sampled_from([EXPIRY, date(2026, 1, 16), None]),
    symbol=st.sampled_from(["SPY", "QQQ"]),
)


def single(order_type: OrderType, price: D, stop_price: D, **others: object) -> Ticket:
    """Only the prices that the type uses."""
    return ticket(
        order_type=order_type,
        price=price if order_type in NEEDS_PRICE else None,
        stop_price=stop_price if order_type in NEEDS_STOP_PRICE else None,
        **others,
    )


SINGLES = st.builds(
    single,
    symbol=SYMBOLS,
    side=st.sampled_from([Side.BUY, Side.SELL]),
    order_type=st.sampled_from(OrderType),
    quantity=SIZES,
    price=PRICES,
    stop_price=PRICES,
)
COMBINATIONS = st.builds(
    lambda legs, price, kind: combination(
        *legs, price=None if kind == OrderType.MARKET else str(price), order_type=kind
    ),
    st.lists(LEGS, min_size=1, max_size=5),
    st.decimals("-900000", "900000", places=2),
    st.sampled_from([OrderType.LIMIT, OrderType.MARKET]),
)
CONTEXTS = st.builds(
    seen,
    equity=st.none() | st.decimals("-1000", "1000000000", places=2),
    quote=st.none() | st.builds(quote, st.decimals("0.01", "99999", places=2).map(str), st.floats(0, 100)),
)
LIMITS = st.none() | st.decimals("0.01", "100000000", places=2)
POLICIES = st.builds(
    Policy,
    version=st.just("p"),
    max_order_notional=LIMITS,
    max_order_quantity=LIMITS,
    max_risk_pct_trade=st.none() | st.decimals("0.0001", "1", places=4),
    max_quote_age_seconds=st.none() | st.integers(0, 60),
    allow_undefined_risk=st.booleans(),
)


@given(SINGLES | COMBINATIONS, CONTEXTS, POLICIES)
def test_points_add_up_to_a_score_from_0_to_100_and_every_rule_speaks(
    order: Ticket, context: Context, policy: Policy
) -> None:
    assessment = risk.assess(order, context, policy)
    assert [item.code for item in assessment.contributions][: len(CODES)] == CODES
    assert sum(item.points for item in assessment.contributions) == assessment.score
    assert 0 <= assessment.score <= 100
    assert all(0 <= item.points <= 90 and item.message and item.citation for item in assessment.contributions)
    assert not assessment.blocks or assessment.score >= 90
    assert assessment.blocks or [item.code for item in assessment.contributions] == CODES


@given(COMBINATIONS, CONTEXTS)
def test_combination_never_loses_more_than_is_said(order: Ticket, context: Context) -> None:
    try:
        found = risk.worst_loss(order, context, POLICY)
    except risk.NotKnown:
        return
    if found is None or order.order_type == OrderType.MARKET or len(set(order.expiries)) > 1:
        return
    paid = order.price * order.quantity * 100
    for spot in (D(0), D(50), D(333), D(999), D(10**6)):
        for name in ("SPY", "QQQ"):
            value = sum(
                (1 if leg.action == BUY else -1)
                * leg.quantity
                * 100
                * max(D(0), (spot - leg.strike) if leg.instrument == C else (leg.strike - spot))
                for leg in order.legs
                if leg.symbol == name
            )
            if all(leg.symbol == name for leg in order.legs):
                assert paid - value <= found
