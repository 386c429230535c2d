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
from orders.assessment import BookEntry, Commitment, Context, Contribution, Quote
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


COLLAR = replace(POLICY, price_band_fraction=D("0.05"))
AWAY = "Distance of the limit price from the market price"
LIMIT_STOP = {"order_type": OrderType.STOP_LIMIT}


@pytest.mark.parametrize(
    ("order", "context", "expected"),
    [
        (
            ticket(price=D(441)),
            seen(quote=quote("450")),
            ("info", f"{AWAY} 2.00 % (441 against 450) is within the limit of 5.00 %.", D("3.2")),
        ),
        (
            ticket(price=D(468)),
            seen(quote=quote("450")),
            ("warn", f"{AWAY} 4.00 % (468 against 450) is near the limit of 5.00 %.", D("6.4")),
        ),
        (
            ticket(price=D("472.5")),
            seen(quote=quote("450", 15)),
            ("warn", f"{AWAY} 5.00 % (472.5 against 450) is near the limit of 5.00 %.", D(8)),
        ),
        (
            ticket(price=D("472.51")),
            seen(quote=quote("450")),
            ("block", f"{AWAY} 5.00 % (472.51 against 450) is over the limit of 5.00 %.", D(8)),
        ),
        # Two-sided: a purchase far below the market is as likely a mistake.
        (
            ticket(price=D("427.49")),
            seen(quote=quote("450")),
            ("block", f"{AWAY} 5.00 % (427.49 against 450) is over the limit of 5.00 %.", D(8)),
        ),
        (
            ticket(symbol=CALL, price=D(3)),
            seen(quote=quote("2", symbol=CALL)),
            ("block", f"{AWAY} 50.00 % (3 against 2) is over the limit of 5.00 %.", D(8)),
        ),
        (ticket(), seen(), ("block", NO_QUOTE, D(8))),
        (ticket(), seen(quote=quote("450", 16)), ("block", OLD_QUOTE, D(8))),
        (
            ticket(),
            seen(quote=quote("0")),
            ("block", "Can't be evaluated: the last price of SPY, 0, is not more than 0.", D(8)),
        ),
        (ticket(**MARKET), seen(), ("info", "Not judged: a market order has no limit price.", D(0))),
        (ticket(**STOP, stop_price=D(1)), seen(), ("info", "Not judged: a stop order has no limit price.", D(0))),
        # A stop far below the market protects; its limit is measured where it works.
        (
            ticket(**LIMIT_STOP, side=Side.SELL, stop_price=D(300), price=D(297)),
            seen(),
            (
                "info",
                "Distance of the limit price from the stop price 1.00 % (297 against 300) is within the limit of"
                " 5.00 %.",
                D("1.6"),
            ),
        ),
        (
            ticket(**LIMIT_STOP, side=Side.SELL, stop_price=D(300), price=D(1)),
            seen(),
            (
                "block",
                "Distance of the limit price from the stop price 99.67 % (1 against 300) is over the limit of 5.00 %.",
                D(8),
            ),
        ),
        (iron_condor(), seen(), ("info", "Not judged: a combination has no one market price.", D(0))),
    ],
)
def test_price_collar(order: Ticket, context: Context, expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("PRICE_COLLAR", order, context, COLLAR)) == expected


NO_UNDERLYING = "Not judged: no quote of SPY is on record, and the net price is the order's own."


def aged(seconds: int, word: str) -> str:
    return f"Age of the quote of SPY, {seconds} s, is {word} the limit of 15 s."


@pytest.mark.parametrize(
    ("order", "context", "policy", "expected"),
    [
        (ticket(**MARKET), seen(quote=quote("450", 3)), POLICY, ("info", aged(3, "within"), D(1))),
        (ticket(**MARKET), seen(quote=quote("450", 12)), POLICY, ("warn", aged(12, "near"), D(4))),
        (ticket(**MARKET), seen(quote=quote("450", 15)), POLICY, ("warn", aged(15, "near"), D(5))),
        (ticket(**MARKET), seen(quote=quote("450", 16)), POLICY, ("block", aged(16, "over"), D(5))),
        (ticket(**MARKET), seen(quote=quote("450", -1)), POLICY, ("info", aged(0, "within"), D(0))),
        (ticket(**MARKET), seen(), POLICY, ("block", NO_QUOTE, D(5))),
        (ticket(**STOP, stop_price=D(460)), seen(), POLICY, ("block", NO_QUOTE, D(5))),
        # A limit order depends on a quote where a rule holds it against the market.
        (
            ticket(),
            seen(),
            POLICY,
            ("info", "Not judged: no rule holds the limit price against the market.", D(0)),
        ),
        (ticket(), seen(), COLLAR, ("block", NO_QUOTE, D(5))),
        (ticket(), seen(quote=quote("450", 16)), COLLAR, ("block", aged(16, "over"), D(5))),
        (
            ticket(**LIMIT_STOP, stop_price=D(400)),
            seen(),
            COLLAR,
            ("info", "Not judged: the limit is measured from the stop price.", D(0)),
        ),
        (iron_condor(), seen(), COLLAR, ("info", NO_UNDERLYING, D(0))),
        (iron_condor(), seen(underlying_quote=quote("450", 3)), COLLAR, ("info", aged(3, "within"), D(1))),
        (iron_condor(), seen(underlying_quote=quote("450", 16)), COLLAR, ("block", aged(16, "over"), D(5))),
        (iron_condor(**MARKET), seen(), POLICY, ("block", NO_QUOTE, D(5))),
        (
            ticket(**MARKET),
            seen(quote=quote("450", 1)),
            replace(POLICY, max_quote_age_seconds=0),
            ("block", "Age of the quote of SPY, 1 s, is over the limit of 0 s.", D(5)),
        ),
    ],
)
def test_stale_quote(order: Ticket, context: Context, policy: Policy, expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("STALE_QUOTE", order, context, policy)) == expected


WINDOWS = replace(POLICY, duplicate_window_seconds=60, max_orders_per_window=5, order_rate_window_seconds=60)


@pytest.mark.parametrize(
    ("duplicates", "expected"),
    [
        ((), ("info", "No order like it that still stands was staged within 60 s.", D(0))),
        (("a",), ("block", "The same order was staged within 60 s and still stands: a.", D(6))),
        (
            ("a", "b", "c", "d", "e"),
            ("block", "The same order was staged within 60 s and still stands: a; b; c and 2 more.", D(6)),
        ),
    ],
)
def test_duplicate_order(duplicates: tuple[str, ...], expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("DUPLICATE_ORDER", ticket(), seen(duplicates=duplicates), WINDOWS)) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (0, ("info", "1 is within the limit of 5.", D("0.8"))),
        (3, ("warn", "4 is near the limit of 5.", D("3.2"))),
        # The order itself counts: the fifth is the last.
        (4, ("warn", "5 is near the limit of 5.", D(4))),
        (5, ("block", "6 is over the limit of 5.", D(4))),
    ],
)
def test_order_rate(before: int, expected: tuple[str, str, Decimal]) -> None:
    severity, message, points = expected
    found = rule("ORDER_RATE", ticket(), seen(orders_in_window=before), WINDOWS)
    assert said(found) == (severity, f"Orders of momentum within 60 s, with this one: {message}", points)


def test_order_rate_of_none_blocks_the_first_order() -> None:
    found = rule("ORDER_RATE", ticket(), policy=replace(WINDOWS, max_orders_per_window=0))
    assert (found.severity, found.points) == ("block", D(4))


def entry(loss: str | None, strategy: str = "iron_condor", underlying: str = "QQQ") -> BookEntry:
    return BookEntry(strategy=strategy, underlying=underlying, max_loss=None if loss is None else D(loss))


def commitment(loss: str, strategy: str = "iron_condor", underlying: str = "QQQ", **changes: int) -> Commitment:
    return Commitment(strategy=strategy, underlying=underlying, orders=2, max_loss=D(loss), **changes)


ACCOUNT = replace(
    POLICY,
    max_portfolio_risk_pct=D("0.10"),
    max_daily_new_risk_pct=D("0.04"),
    symbol_exposure_pct=D("0.05"),
    max_positions=3,
    max_drawdown=D("0.10"),
)
ALLOWING = replace(ACCOUNT, allow_undefined_risk=True)
NO_EQUITY = "Can't be evaluated: no equity of the account is on record."
ALL = "Worst-case loss of all there is"


@pytest.mark.parametrize(
    ("context", "policy", "expected"),
    [
        # The condor loses 380 at worst.
        (
            seen(book=(entry("1000"),), commitments=(commitment("620"),)),
            ACCOUNT,
            ("info", f"{ALL} 2.00 % (2,000.00 of 100,000.00) is within the limit of 10.00 %.", D(2)),
        ),
        (
            seen(book=(entry("5000"),), commitments=(commitment("2620"),)),
            ACCOUNT,
            ("warn", f"{ALL} 8.00 % (8,000.00 of 100,000.00) is near the limit of 10.00 %.", D(8)),
        ),
        (
            seen(book=(entry("5000"),), commitments=(commitment("4620"),)),
            ACCOUNT,
            ("warn", f"{ALL} 10.00 % (10,000.00 of 100,000.00) is near the limit of 10.00 %.", D(10)),
        ),
        (
            seen(book=(entry("5000"),), commitments=(commitment("4620.01"),)),
            ACCOUNT,
            ("block", f"{ALL} 10.00 % (10,000.01 of 100,000.00) is over the limit of 10.00 %.", D(10)),
        ),
        (seen(equity=None), ACCOUNT, ("block", NO_EQUITY, D(10))),
        (
            seen(book=(entry(None),), commitments=(commitment("0", unbounded=1, unknown=2),)),
            ACCOUNT,
            (
                "block",
                "Can't be evaluated: position of iron_condor in QQQ with an unbounded loss; orders of iron_condor in"
                " QQQ with an unbounded loss: 1; orders of iron_condor in QQQ with a loss that is not known: 2.",
                D(10),
            ),
        ),
        (
            seen(book=(entry(None), entry("1000"))),
            ALLOWING,
            ("warn", "Position of iron_condor in QQQ with an unbounded loss; the policy allows it.", D(10)),
        ),
        # Whatever is allowed to have no bound, what is known has to fit.
        (
            seen(book=(entry(None), entry("20000"))),
            ALLOWING,
            ("block", f"{ALL} 20.38 % (20,380.00 of 100,000.00) is over the limit of 10.00 %.", D(10)),
        ),
    ],
)
def test_max_portfolio_risk(context: Context, policy: Policy, expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("MAX_PORTFOLIO_RISK", iron_condor(), context, policy)) == expected


def test_risk_of_an_unbounded_order_is_unbounded_in_every_sum() -> None:
    order, context = ticket(side=Side.SELL, symbol=CALL, price=D(2)), seen(staged_today=commitment("0", "", ""))
    for code in ("MAX_TRADE_RISK", "MAX_PORTFOLIO_RISK", "DAILY_NEW_RISK", "SYMBOL_EXPOSURE"):
        assert said(rule(code, order, context, ACCOUNT))[:2] == (
            "block",
            "Can't be evaluated: the worst-case loss is unbounded.",
        )
        assert said(rule(code, order, context, ALLOWING))[:2] == (
            "warn",
            "The worst-case loss is unbounded; the policy allows it.",
        )


TODAY_RISK = "Worst-case loss of what is new today"


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (
            seen(staged_today=commitment("620", "", "")),
            ("info", f"{TODAY_RISK} 1.00 % (1,000.00 of 100,000.00) is within the limit of 4.00 %.", D(2)),
        ),
        (
            seen(staged_today=commitment("2820", "", "")),
            ("warn", f"{TODAY_RISK} 3.20 % (3,200.00 of 100,000.00) is near the limit of 4.00 %.", D("6.4")),
        ),
        (
            seen(staged_today=commitment("3620", "", "")),
            ("warn", f"{TODAY_RISK} 4.00 % (4,000.00 of 100,000.00) is near the limit of 4.00 %.", D(8)),
        ),
        (
            seen(staged_today=commitment("3621", "", "")),
            ("block", f"{TODAY_RISK} 4.00 % (4,001.00 of 100,000.00) is over the limit of 4.00 %.", D(8)),
        ),
        (seen(), ("block", "Can't be evaluated: what was staged today is not on record.", D(8))),
        (
            seen(staged_today=commitment("0", "", "", unbounded=1)),
            ("block", "Can't be evaluated: orders of today with an unbounded loss: 1.", D(8)),
        ),
    ],
)
def test_daily_new_risk(context: Context, expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("DAILY_NEW_RISK", iron_condor(), context, ACCOUNT)) == expected


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (
            seen(book=(entry("50000"), entry("620", "x", "SPY")), commitments=(commitment("70000", unknown=1),)),
            ("info", "Worst-case loss in SPY 1.00 % (1,000.00 of 100,000.00) is within the limit of 5.00 %.", D("1.6")),
        ),
        (
            seen(book=(entry("4000", "x", "SPY"),), commitments=(commitment("620", "y", "SPY"),)),
            ("warn", "Worst-case loss in SPY 5.00 % (5,000.00 of 100,000.00) is near the limit of 5.00 %.", D(8)),
        ),
        (
            seen(book=(entry("4000", "x", "SPY"),), commitments=(commitment("621", "y", "SPY"),)),
            ("block", "Worst-case loss in SPY 5.00 % (5,001.00 of 100,000.00) is over the limit of 5.00 %.", D(8)),
        ),
        (
            seen(book=(entry(None, "", "SPY"),)),
            ("block", "Can't be evaluated: position of no strategy in SPY with an unbounded loss.", D(8)),
        ),
        (seen(equity=D(0)), ("block", NO_EQUITY, D(8))),
    ],
)
def test_symbol_exposure(context: Context, expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("SYMBOL_EXPOSURE", iron_condor(), context, ACCOUNT)) == expected


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (seen(), ("info", "1 is within the limit of 3.", D("1.33"))),
        (
            seen(book=(entry("1"), entry("1", "x")), commitments=(commitment("1"),)),
            ("warn", "3 is near the limit of 3.", D(4)),
        ),
        (
            seen(book=(entry("1"), entry("1", "x")), commitments=(commitment("1", "x", "DIA"),)),
            ("block", "4 is over the limit of 3.", D(4)),
        ),
        # An order in a pair that is there already adds none.
        (
            seen(book=(entry("1", underlying="SPY"), entry("1", "x")), commitments=(commitment("1", "x", "DIA"),)),
            ("warn", "3 is near the limit of 3.", D(4)),
        ),
    ],
)
def test_max_positions(context: Context, expected: tuple[str, str, Decimal]) -> None:
    severity, message, points = expected
    found = rule("MAX_POSITIONS", iron_condor(), context, ACCOUNT)
    assert said(found) == (severity, f"Positions, with this one: {message}", points)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (
            seen(equity_high=D(100000)),
            ("info", "Drawdown of equity 0.00 % is within the limit of 10.00 %.", D(0)),
        ),
        (seen(equity_high=D(90000)), ("info", "Drawdown of equity 0.00 % is within the limit of 10.00 %.", D(0))),
        (
            seen(equity=D(95000), equity_high=D(100000)),
            ("info", "Drawdown of equity 5.00 % is within the limit of 10.00 %.", D("2.5")),
        ),
        (
            seen(equity=D(91000), equity_high=D(100000)),
            ("warn", "Drawdown of equity 9.00 % is near the limit of 10.00 %.", D("4.5")),
        ),
        (
            seen(equity=D(90000), equity_high=D(100000)),
            ("block", "Drawdown of equity 10.00 % has reached the limit of 10.00 %.", D(5)),
        ),
        (
            seen(equity=D(80000), equity_high=D(100000)),
            ("block", "Drawdown of equity 20.00 % is over the limit of 10.00 %.", D(5)),
        ),
        (
            seen(equity=D(-1), equity_high=D(100000)),
            ("block", "Drawdown of equity 100.00 % is over the limit of 10.00 %.", D(5)),
        ),
        (seen(), ("block", "Can't be evaluated: no highest equity of the account is on record.", D(5))),
        (
            seen(equity_high=D(0)),
            ("block", "Can't be evaluated: no highest equity of the account is on record.", D(5)),
        ),
        (seen(equity=None, equity_high=D(1)), ("block", NO_EQUITY, D(5))),
    ],
)
def test_drawdown_breaker(context: Context, expected: tuple[str, str, Decimal]) -> None:
    assert said(rule("DRAWDOWN_BREAKER", ticket(), context, ACCOUNT)) == expected


@pytest.mark.parametrize(
    ("code", "parameter"),
    [
        ("ORDER_NOTIONAL", "max_order_notional"),
        ("ORDER_QUANTITY", "max_order_quantity"),
        ("PRICE_COLLAR", "price_band_fraction"),
        ("STALE_QUOTE", "max_quote_age_seconds"),
        ("DUPLICATE_ORDER", "duplicate_window_seconds"),
        ("ORDER_RATE", "max_orders_per_window"),
        ("MAX_TRADE_RISK", "max_risk_pct_trade"),
        ("MAX_PORTFOLIO_RISK", "max_portfolio_risk_pct"),
        ("DAILY_NEW_RISK", "max_daily_new_risk_pct"),
        ("SYMBOL_EXPOSURE", "symbol_exposure_pct"),
        ("MAX_POSITIONS", "max_positions"),
        ("DRAWDOWN_BREAKER", "max_drawdown"),
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
