"""Tickets, legs and fills: one that exists is well-formed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.choices import Instrument, LegAction, OrderType, Side, TimeInForce
from orders.fill import Fill
from orders.options import Leg
from orders.ticket import InvalidTicket, Objection, Ticket, TicketLeg, combination_quantity
from tests.factories import EXPIRY, NOW, iron_condor, ticket

D = Decimal
OSI = "SPY   251205P00440000"
LINE_BREAK = "holds a line break or another control character"
BLANKS = "must be 1 to 32 printable characters, no blanks around them"
QUANTITIES = "must be from 0.00000001 to 10000000000"
SIDES = "must be one of buy, sell, as_defined"
OTHER_OPTION = "is an option of another kind, strike or expiry than the leg's"


def leg(**changes: Any) -> TicketLeg:
    values = {
        "action": LegAction.BUY,
        "instrument": Instrument.PUT,
        "symbol": "SPY",
        "quantity": D(1),
        "strike": D(440),
        "expiry": EXPIRY,
    }
    return TicketLeg(**{**values, **changes})


def stock(quantity: int = 100, **changes: Any) -> TicketLeg:
    values = {"instrument": Instrument.STOCK, "strike": None, "expiry": None, "multiplier": 1, "quantity": D(quantity)}
    return leg(**{**values, **changes})


def combination(*legs: TicketLeg, **changes: Any) -> Ticket:
    return iron_condor(legs=legs, **changes)


def fill(**changes: Any) -> Fill:
    values = {"execution_id": "x1", "price": D("400.50"), "quantity": D(1), "executed_at": NOW}
    return Fill(**{**values, **changes})


REFUSED: list[tuple[Callable[..., object], dict[str, Any], str]] = [
    (ticket, {"symbol": ""}, f"symbol='': {BLANKS}"),
    (ticket, {"symbol": " SPY"}, f"symbol=' SPY': {BLANKS}"),
    (ticket, {"symbol": "SP\x00Y"}, f"symbol='SP\\x00Y': {BLANKS}"),
    (ticket, {"symbol": "S" * 33}, f"symbol='{'S' * 33}': {BLANKS}"),
    (
        ticket,
        {"symbol": "S-Y251219C00440000"},
        "symbol='S-Y251219C00440000': looks like an option and is none ('S-Y251219C00440000': the root 'S-Y' is not 1"
        " to 6 capital letters or digits)",
    ),
    (
        ticket,
        {"symbol": "SPY251219P0044000"},
        "symbol='SPY251219P0044000': looks like an option and is none ('SPY251219P0044000': the right '9' is neither"
        " C nor P)",
    ),
    (ticket, {"side": "long"}, f"side='long': {SIDES}"),
    (ticket, {"side": Side.AS_DEFINED}, "side=Side.AS_DEFINED: is as_defined exactly where the order has legs"),
    (iron_condor, {"side": Side.BUY}, "side=Side.BUY: is as_defined exactly where the order has legs"),
    (ticket, {"order_type": "peg"}, "order_type='peg': must be one of market, limit, stop, stop_limit"),
    (ticket, {"time_in_force": "moc"}, "time_in_force='moc': must be one of day, gtc, gtd, ioc, fok"),
    (ticket, {"quantity": D(0)}, f"quantity=0: {QUANTITIES}"),
    (ticket, {"quantity": D(-1)}, f"quantity=-1: {QUANTITIES}"),
    (ticket, {"quantity": D("1e11")}, f"quantity=1E+11: {QUANTITIES}"),
    (ticket, {"quantity": D("NaN")}, "quantity=NaN: must be a finite decimal number"),
    (ticket, {"quantity": D("sNaN")}, "quantity=sNaN: must be a finite decimal number"),
    (ticket, {"quantity": D("Infinity")}, "quantity=Infinity: must be a finite decimal number"),
    (ticket, {"quantity": 2.0}, "quantity=2.0: must be a finite decimal number"),
    (ticket, {"quantity": D("1.000000001")}, "quantity=1.000000001: must be a multiple of 0.00000001"),
    (ticket, {"price": None}, "price=None: a limit order needs it"),
    (ticket, {"price": D(0)}, "price=0: must be from 0.000001 to 10000000000"),
    (ticket, {"price": D("-1")}, "price=-1: must be from 0.000001 to 10000000000"),
    (ticket, {"price": D("1.0000001")}, "price=1.0000001: must be a multiple of 0.000001"),
    (ticket, {"order_type": OrderType.STOP, "price": None}, "stop_price=None: a stop order needs it"),
    (ticket, {"order_type": OrderType.STOP_LIMIT}, "stop_price=None: a stop_limit order needs it"),
    (ticket, {"confidence": D("1.1")}, "confidence=1.1: must be from 0 to 1"),
    (
        ticket,
        {"expires_at": datetime(2025, 1, 1)},  # noqa: DTZ001
        "expires_at=datetime.datetime(2025, 1, 1, 0, 0): needs a time zone",
    ),
    (ticket, {"time_in_force": TimeInForce.GTD}, "expires_at=None: an order good till a date needs the date"),
    (ticket, {"strategy": "s" * 65}, f"strategy='{'s' * 65}': has more than 64 characters"),
    (ticket, {"strategy": "a\x00b"}, f"strategy='a\\x00b': {LINE_BREAK}"),
    (ticket, {"client_order_id": "a\nb"}, f"client_order_id='a\\nb': {LINE_BREAK}"),
    (ticket, {"source_file": "\ud800"}, f"source_file='\\ud800': {LINE_BREAK}"),
    (ticket, {"checksum": "c" * 65}, f"checksum='{'c' * 65}': has more than 64 characters"),
    (ticket, {"metadata": {"a": "\x00"}}, "metadata={'a': '\\x00'}: NUL characters can't be stored"),
    (
        ticket,
        {"metadata": {"a": D(1)}},
        "metadata={'a': Decimal('1')}: Object of type Decimal is not JSON serializable",
    ),
    (ticket, {"objections": (Objection(code="A", message=""),) * 6}, "objections=6: are more than 5"),
    (iron_condor, {"symbol": OSI}, f"symbol='{OSI}': a combination is named by its underlying"),
    (iron_condor, {"quantity": D(10)}, "quantity=10: the legs make 1 combinations"),
    (
        iron_condor,
        {"legs": (leg(), leg(multiplier=10))},
        "legs=2: options of different multipliers have no common net price",
    ),
    (leg, {"action": "hold"}, "action='hold': must be one of buy, sell"),
    (leg, {"instrument": "future"}, "instrument='future': must be one of call, put, stock"),
    (leg, {"strike": None}, "strike=None: a put leg needs a strike"),
    (leg, {"strike": D(0)}, "strike=0: must be from 0.000001 to 10000000000"),
    (leg, {"quantity": D(0)}, f"quantity=0: {QUANTITIES}"),
    (leg, {"multiplier": 0}, "multiplier=0: must be from 1 to 1000000"),
    (leg, {"symbol": OSI, "strike": D(400)}, f"symbol='{OSI}': {OTHER_OPTION}"),
    (leg, {"symbol": OSI, "instrument": Instrument.CALL}, f"symbol='{OSI}': {OTHER_OPTION}"),
    (leg, {"symbol": OSI, "expiry": date(2025, 12, 6)}, f"symbol='{OSI}': {OTHER_OPTION}"),
    (stock, {"strike": D(1)}, "strike=1: stock has neither strike nor expiry"),
    (stock, {"expiry": EXPIRY}, "strike=None: stock has neither strike nor expiry"),
    (stock, {"multiplier": 100}, "multiplier=100: stock is counted in shares: 1"),
    (stock, {"symbol": OSI}, f"symbol='{OSI}': {OTHER_OPTION}"),
    (fill, {"execution_id": ""}, "execution_id='': the broker's id of the fill is needed"),
    (fill, {"execution_id": " "}, "execution_id=' ': the broker's id of the fill is needed"),
    (fill, {"execution_id": "x" * 129}, f"execution_id='{'x' * 78}…: has more than 128 characters"),
    (fill, {"venue": "a\x00"}, f"venue='a\\x00': {LINE_BREAK}"),
    (fill, {"quantity": D(0)}, f"quantity=0: {QUANTITIES}"),
    (fill, {"price": D("Infinity")}, "price=Infinity: must be a finite decimal number"),
    (fill, {"fees": D("1e11")}, "fees=1E+11: must be from -10000000000 to 10000000000"),
    (
        fill,
        {"executed_at": datetime(2025, 1, 1)},  # noqa: DTZ001
        "executed_at=datetime.datetime(2025, 1, 1, 0, 0): needs a time zone",
    ),
    (
        fill,
        {"executed_at": datetime(1969, 1, 1, tzinfo=UTC)},
        "executed_at=datetime.datetime(1969, 1, 1, 0, 0, tzinfo=datetime.timezone.utc): is before 1971",
    ),
    (Objection, {"code": "A,B", "message": ""}, "code='A,B': must be 1 to 32 capital letters, digits or underscores"),
    (Objection, {"code": "A", "message": "\x00"}, "message='\\x00': NUL characters can't be stored"),
]


@pytest.mark.parametrize(("make", "changes", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_value_that_breaks_a_rule_is_refused_by_field(
    make: Callable[..., object], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidTicket) as error:
        make(**changes)
    assert str(error.value) == message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", b"", datetime(2025, 1, 1, tzinfo=UTC)])
def test_metadata_that_no_database_takes_is_refused(value: object) -> None:
    with pytest.raises(InvalidTicket, match=r"^metadata="):
        ticket(metadata={"deep": [{"value": value}]})


@pytest.mark.parametrize(
    "changes",
    [
        {"price": None, "order_type": OrderType.MARKET},
        {"price": None, "order_type": OrderType.STOP, "stop_price": D(390)},
        {"quantity": D("0.00000001")},
        {"quantity": D("1E+10")},
        {"symbol": OSI},
        {"symbol": "BRK.B"},
        {"confidence": D("0.6200")},
        {"metadata": {"text": "back\\u0000slash", "Ü": [1, None, 0.5]}},
        {"time_in_force": TimeInForce.GTD, "expires_at": NOW},
    ],
)
def test_well_formed_ticket_is_taken(changes: dict[str, Any]) -> None:
    made = ticket(**changes)
    assert all(getattr(made, name) == value for name, value in changes.items())


@pytest.mark.parametrize("price", [D("-1.20"), D(0), D("1.20")])
def test_combination_may_trade_at_a_credit_or_at_nothing(price: Decimal) -> None:
    assert iron_condor(price=price).price == price


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_any_number_is_a_quantity_or_refused(number: Decimal) -> None:
    try:
        made = ticket(quantity=number)
    except InvalidTicket:
        return
    assert D("1e-8") <= made.quantity <= D("1e10")


@given(st.text(max_size=40))
def test_any_text_is_a_symbol_or_refused(text: str) -> None:
    try:
        made = ticket(symbol=text)
    except InvalidTicket:
        return
    assert made.symbol == text.upper()
    assert len(text) <= 32


@pytest.mark.parametrize(
    ("quantities", "count"),
    [([1, 1], 1), ([2, 4], 2), ([3, 6, 9], 3), ([100, 1], 1), (["0.5", 1], 1), ([7], 7)],
)
def test_legs_make_as_many_combinations_as_their_common_divisor(quantities: list[Any], count: int) -> None:
    assert combination_quantity([leg(quantity=D(quantity)) for quantity in quantities]) == count


def test_option_is_judged_at_its_underlying_multiplier_and_expiry() -> None:
    made = ticket(symbol=OSI)
    assert (made.underlying, made.multiplier, made.expiries) == ("SPY", 100, [EXPIRY])
    assert made.option_legs(D(2)) == [Leg("P", D(440), D(2), D(2), expiry=EXPIRY, underlying="SPY")]


def test_share_has_a_multiplier_of_one_and_no_expiry() -> None:
    made = ticket(side=Side.SELL)
    assert (made.underlying, made.multiplier, made.expiries) == ("SPY", 1, [])
    assert made.option_legs(D(2)) == [Leg("S", None, D(-2), D(2), D(1), underlying="SPY")]


def test_legs_are_signed_by_their_action_and_keep_their_underlying() -> None:
    bought, sold, held = leg(), leg(action=LegAction.SELL, symbol="QQQ"), stock()
    made = combination(bought, sold, held)
    assert made.option_legs(None) == [
        Leg("P", D(440), D(1), expiry=EXPIRY, underlying="SPY"),
        Leg("P", D(440), D(-1), expiry=EXPIRY, underlying="QQQ"),
        Leg("S", None, D(100), multiplier=D(1), underlying="SPY"),
    ]


def test_expiries_are_those_of_the_option_legs() -> None:
    assert combination(leg(), leg(expiry=None), stock()).expiries == [EXPIRY, None]


def test_symbols_name_every_leg_and_its_underlying() -> None:
    assert combination(leg(symbol=OSI), leg(symbol="QQQ")).symbols == ["QQQ", "SPY", OSI]


def test_names_that_limits_are_looked_up_by_are_in_one_case() -> None:
    made = ticket(symbol="spy   251219c00440000", strategy="Iron_Condor")
    assert (made.symbol, made.strategy, made.underlying) == ("SPY   251219C00440000", "iron_condor", "SPY")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"order_type": OrderType.MARKET}, "price=400.50: a market order has none"),
        ({"order_type": OrderType.STOP, "stop_price": D(390)}, "price=400.50: a stop order has none"),
        ({"stop_price": D(390)}, "stop_price=390: a limit order has none"),
    ],
)
def test_a_price_that_the_type_does_not_use_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidTicket) as refused:
        ticket(**changes)
    assert str(refused.value) == text
