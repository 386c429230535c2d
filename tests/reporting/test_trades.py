"""Round trips: by hand where the numbers are few, and that no money is lost however the fills come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orders.holdings import Move, after
from orders.instruments import terms
from reporting.trades import (
    Book,
    Deal,
    Ending,
    Event,
    InvalidDeal,
    Method,
    Settlement,
    Stated,
    Trades,
    round_trips,
)

D = Decimal
AT = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)
BOTH = pytest.mark.parametrize("method", list(Method))


def deal(minute: int, quantity: str | int, price: str | int, instrument: str = "SPY", **changes: Any) -> Deal:
    """A fill of stock at a price, `minute` minutes after the first."""
    size, each, multiplier = D(quantity), D(price), changes.pop("multiplier", 1)
    values: dict[str, Any] = {
        "instrument": instrument,
        "quantity": size,
        "cost": size * each * multiplier,
        "price": each,
        "at": AT + timedelta(minutes=minute),
        "multiplier": multiplier,
    }
    return Deal(**{**values, **changes})


def settlement(instrument: str, right: str, strike: int, spot: str, minute: int = 100) -> Settlement:
    return Settlement(
        instrument=instrument,
        right=right,
        strike=D(strike),
        underlying="SPY",
        spot=D(spot),
        at=AT + timedelta(minutes=minute),
    )


def pnls(trades: Trades) -> list[Decimal]:
    return [trip.pnl for trip in trades.closed]


# ---- one instrument --------------------------------------------------------------------------------------------------


def test_oldest_fill_is_closed_first_at_fifo_and_the_same_share_of_all_at_average_cost() -> None:
    events = [deal(0, 10, 100), deal(1, 10, 110), deal(2, -10, 120)]
    fifo, average = round_trips(events), round_trips(events, method=Method.AVERAGE)
    assert (fifo.realised, average.realised) == (D(200), D(150))
    assert pnls(fifo) == [D(200)]
    # At average cost there is one position, and it is still open.
    assert pnls(average) == []
    for trades in (fifo, average):
        assert trades.realised + trades.unrealised({"SPY": D(120)}) == D(300)
        assert trades.cost == D(900)


@BOTH
def test_position_that_is_flat_at_the_end_of_the_day_is_one_round_trip(method: Method) -> None:
    trades = round_trips([deal(0, 3, 100, fees=D("0.35")), deal(90, -3, "101.5", fees=D("0.35"))], method=method)
    [trip] = trades.closed
    assert (trip.opened_at, trip.closed_at) == (AT, AT + timedelta(minutes=90))
    assert (trip.pnl, trip.fees, trip.net, trades.open) == (D("4.5"), D("0.70"), D("3.80"), ())


@BOTH
def test_short_position_earns_what_the_price_falls(method: Method) -> None:
    trades = round_trips([deal(0, -5, 100), deal(1, 5, 97)], method=method)
    assert pnls(trades) == [D(15)]
    assert trades.closed[0].closings[0].quantity == D(-5)


@BOTH
def test_partial_closes_are_realised_and_the_trip_ends_with_the_last_of_them(method: Method) -> None:
    events = [deal(0, 4, 100, fees=D(1)), deal(1, -1, 101), deal(2, -3, 103, fees=D(1))]
    early = round_trips(events[:2], method=method)
    assert early.closed == ()
    [trip] = early.open
    assert (trip.pnl, trip.closed_at, trip.held[0].quantity, trip.held[0].fees) == (D(1), None, D(3), D("0.75"))
    [trip] = round_trips(events, method=method).closed
    assert ([each.pnl for each in trip.closings], trip.pnl, trip.fees) == ([D(1), D(9)], D(10), D(2))


@BOTH
def test_parts_of_one_order_are_one_position(method: Method) -> None:
    events = [deal(0, 1, 100, order="a"), deal(1, 2, 101, order="a"), deal(2, -3, 102)]
    assert pnls(round_trips(events, method=method)) == [D(4)]


@BOTH
def test_fill_that_turns_a_position_over_ends_one_trip_and_begins_another(method: Method) -> None:
    trades = round_trips([deal(0, 2, 100), deal(1, -5, 110, fees=D("0.50")), deal(2, 3, 108)], method=method)
    assert pnls(trades) == [D(20), D(6)]
    assert [trip.fees for trip in trades.closed] == [D("0.20"), D("0.30")]


@BOTH
def test_position_that_is_never_closed_is_shown_open_at_the_last_price(method: Method) -> None:
    trades = round_trips([deal(0, 2, 100), deal(1, -1, 104)], method=method)
    [trip] = trades.open
    assert (trip.closed_at, trip.pnl, trades.unrealised({"SPY": D("105.25")})) == (None, D(4), D("5.25"))
    with pytest.raises(KeyError, match="SPY"):
        trades.unrealised({})


@BOTH
def test_options_count_with_their_multiplier_and_quantities_may_be_fractions(method: Method) -> None:
    option = [deal(0, -2, "1.25", "SPY251205P440", multiplier=100), deal(1, 2, "0.30", "SPY251205P440", multiplier=100)]
    assert pnls(round_trips(option, method=method)) == [D("190.00")]
    coin = [deal(0, "0.00000003", 100, cost=D("0.000003")), deal(1, "-0.00000001", 100, cost=D("-0.000001"))]
    trades = round_trips(coin, method=method)
    assert trades.open[0].held[0].quantity == D("0.00000002")
    assert trades.realised == D(0)


def test_what_does_not_divide_is_not_lost() -> None:
    events = [deal(0, 3, 0, cost=D(100), fees=D(1)), *(deal(minute, -1, 40) for minute in (1, 2, 3))]
    [trip] = round_trips(events).closed
    assert [each.cost for each in trip.closings] == [D("33.333333"), D("33.333333"), D("33.333334")]
    assert (trip.pnl, trip.fees) == (D(20), D(1))


# ---- several legs ----------------------------------------------------------------------------------------------------


def condor(*, order: str = "condor") -> list[Deal]:
    """Sold for a credit of 1.20, all of which stands on one leg: that is all a net price tells."""
    sides = {"P435": 1, "P440": -1, "C460": -1, "C465": 1}
    return [
        Deal(
            instrument=name,
            quantity=D(side),
            cost=D(-120) if name == "P435" else D(0),
            fees=D("2.60") if name == "P435" else D(0),
            at=AT,
            multiplier=100,
            order=order,
        )
        for name, side in sides.items()
    ]


@BOTH
def test_combination_that_is_closed_leg_by_leg_is_one_trip_that_ends_with_its_last_leg(method: Method) -> None:
    closes = [
        deal(10, 1, "0.20", "P440", multiplier=100),
        deal(11, -1, "0.05", "P435", multiplier=100),
        deal(12, 1, "0.40", "C460", multiplier=100),
    ]
    trades = round_trips([*condor(), *closes], method=method)
    assert trades.closed == ()
    [trip] = trades.open
    assert [part.instrument for part in trip.held] == ["C465"]
    last = deal(13, -1, "0.10", "C465", multiplier=100)
    [trip] = round_trips([*condor(), *closes, last], method=method).closed
    assert trip.instruments == ("C460", "C465", "P435", "P440")
    # 120 received, 20 + 40 paid, 5 + 10 received.
    assert (trip.pnl, trip.fees, trip.closed_at) == (D(75), D("2.60"), AT + timedelta(minutes=13))


def test_positions_that_share_a_leg_are_one_at_average_cost_and_two_at_fifo() -> None:
    second = [deal(1, 1, 2, "P435", multiplier=100, order="b"), deal(1, -1, 3, "P450", multiplier=100, order="b")]
    closes = [deal(2, -2, 1, "P435", multiplier=100), deal(2, 1, 1, "P450", multiplier=100)]
    rest = [deal(3, 1, 0, "P440", multiplier=100), deal(3, 1, 0, "C460", multiplier=100)]
    events = [*condor(), *second, *closes, *rest, deal(3, -1, 0, "C465", multiplier=100)]
    assert sorted(pnls(round_trips(events))) == [D(100), D(220)]
    assert pnls(round_trips(events, method=Method.AVERAGE)) == [D(320)]


def test_order_that_two_positions_lead_to_links_them_at_average_cost() -> None:
    events = [deal(0, 1, 1, "A", order="a"), deal(1, 1, 1, "B", order="b"), deal(2, 1, 1, "A", order="b")]
    assert [trip.order for trip in round_trips(events, method=Method.AVERAGE).open] == ["a"]
    ends = [deal(3, -2, 2, "A"), deal(4, -1, 2, "B")]
    [trip] = round_trips([*events, *ends], method=Method.AVERAGE).closed
    assert (trip.opened_at, trip.closed_at, trip.pnl) == (AT, AT + timedelta(minutes=4), D(3))


# ---- expiry, assignment, statements ----------------------------------------------------------------------------------


@BOTH
def test_option_that_lapses_keeps_its_premium(method: Method) -> None:
    events = [deal(0, -1, "1.20", "P440", multiplier=100), settlement("P440", "P", 440, "441")]
    [trip] = round_trips(events, method=method).closed
    assert (trip.pnl, trip.closings[0].ending) == (D("120.00"), Ending.EXPIRED)


@pytest.mark.parametrize(
    ("side", "right", "spot", "ending", "shares"),
    [
        (-1, "P", "430", Ending.ASSIGNED, 100),
        (1, "P", "430", Ending.EXERCISED, -100),
        (-1, "C", "450", Ending.ASSIGNED, -100),
        (1, "C", "450", Ending.EXERCISED, 100),
    ],
)
@BOTH
def test_delivery_costs_the_strike_in_all(
    method: Method, side: int, right: str, spot: str, ending: Ending, shares: int
) -> None:
    events: list[Event] = [deal(0, side, 2, "OPTION", multiplier=100), settlement("OPTION", right, 440, spot)]
    trades = round_trips(events, method=method)
    [trip], [stock] = trades.closed, trades.open
    assert trip.closings[0].ending == ending
    assert trip.pnl == side * (10 - 2) * 100
    assert (stock.held[0].quantity, stock.held[0].cost) == (D(shares), shares * D(spot))
    # Premium and shares at the strike: what went through the account.
    assert trades.cost == side * 200 + shares * 440


@BOTH
def test_shares_of_options_that_settle_together_are_set_off(method: Method) -> None:
    spread = [deal(0, -1, 5, "P440", multiplier=100, order="s"), deal(0, 1, 3, "P435", multiplier=100, order="s")]
    both = [settlement("P440", "P", 440, "430"), settlement("P435", "P", 435, "430")]
    trades = round_trips([*spread, *both], method=method)
    assert (pnls(trades), trades.open) == ([D(-300)], ())


def test_option_in_the_money_by_less_than_a_cent_lapses() -> None:
    events = [deal(0, 1, 1, "C440", multiplier=100), settlement("C440", "C", 440, "440.009")]
    trades = round_trips(events)
    assert (pnls(trades), trades.open) == ([D(-100)], ())
    assert settlement("C440", "C", 440, "440.01").worth == D("0.01")


def test_settlement_of_what_is_not_held_changes_nothing() -> None:
    trades = round_trips([settlement("C440", "C", 440, "450")])
    assert (trades.closed, trades.open, trades.cost) == ((), (), D(0))


@BOTH
def test_statement_sets_what_is_held_at_the_price_that_it_states(method: Method) -> None:
    stated = Stated(instrument="SPY", quantity=D(10), price=D(90), at=AT + timedelta(minutes=1))
    trades = round_trips([stated, deal(2, -10, 100)], method=method)
    assert pnls(trades) == [D(100)]
    same = round_trips([deal(0, 10, 80), stated, deal(2, -10, 100)], method=method)
    assert pnls(same) == [D(200)]
    less = round_trips([deal(0, 12, 90), stated], method=method)
    assert (less.open[0].closings[0].ending, less.open[0].held[0].quantity) == (Ending.STATEMENT, D(10))


# ---- no money is lost ------------------------------------------------------------------------------------------------

INSTRUMENTS = {"SPY": 1, "SPY251205P440": 100, "SPY251205C460": 100}
prices = st.decimals("0", "1000", places=2)
quantities = st.one_of(
    st.integers(-5, 5).filter(bool).map(D),
    st.decimals("-3", "3", places=8).filter(bool),
)


@st.composite
def fills(draw: Any) -> list[Deal]:
    found = []
    for minute in range(draw(st.integers(0, 25))):
        name = draw(st.sampled_from(sorted(INSTRUMENTS)))
        quantity, price, multiplier = draw(quantities), draw(prices), INSTRUMENTS[name]
        cost = (quantity * price * multiplier).quantize(D("1e-6"))
        fees = draw(st.decimals("-1", "5", places=2))
        order = draw(st.sampled_from(["", "a", "b", "c"]))
        found.append(
            deal(minute, quantity, price, name, cost=cost, fees=fees, multiplier=multiplier, order=order),
        )
    return found


def _value(events: Sequence[Deal], marks: dict[str, Decimal]) -> Decimal:
    return sum((each.quantity * marks[each.instrument] * each.multiplier for each in events), D(0))


@given(events=fills(), marks=st.fixed_dictionaries(dict.fromkeys(INSTRUMENTS, prices)), method=st.sampled_from(Method))
@settings(deadline=None)
def test_realised_and_unrealised_are_cash_flow_and_value(
    events: list[Deal], marks: dict[str, Decimal], method: Method
) -> None:
    trades = round_trips(events, method=method)
    with localcontext(prec=60):
        paid = sum((each.cost for each in events), D(0))
        assert trades.realised + trades.unrealised(marks) == -paid + _value(events, marks)
        trips = (*trades.closed, *trades.open)
        assert sum((trip.fees for trip in trips), D(0)) == sum((each.fees for each in events), D(0))
    assert trades.cost == paid


@given(events=fills(), method=st.sampled_from(Method))
@settings(deadline=None)
def test_parts_add_up_to_their_trips_and_closed_trips_hold_nothing(events: list[Deal], method: Method) -> None:
    trades = round_trips(events, method=method)
    left = {name: sum((each.quantity for each in events if each.instrument == name), D(0)) for name in INSTRUMENTS}
    open_now = dict.fromkeys(INSTRUMENTS, D(0))
    for trip in (*trades.closed, *trades.open):
        assert trip.pnl == sum((each.proceeds - each.cost for each in trip.closings), D(0))
        assert (trip.closed_at is None) == bool(trip.held)
        for part in trip.held:
            open_now[part.instrument] += part.quantity
    assert open_now == left


@given(events=fills())
@settings(deadline=None)
def test_both_methods_make_the_same_of_what_is_flat_again(events: list[Deal]) -> None:
    ends = []
    for name, multiplier in INSTRUMENTS.items():
        left = sum((each.quantity for each in events if each.instrument == name), D(0))
        if left:
            cost = (-left * 10 * multiplier).quantize(D("1e-6"))
            ends.append(deal(60, -left, 10, name, cost=cost, multiplier=multiplier))
    fifo, average = (round_trips([*events, *ends], method=method) for method in Method)
    assert fifo.open == average.open == ()
    assert fifo.realised == average.realised == -fifo.cost


@given(events=fills())
@settings(deadline=None)
def test_average_cost_is_that_of_the_table_of_positions(events: list[Deal]) -> None:
    kept = {name: (D(0), D(0)) for name in INSTRUMENTS}
    for each in events:
        what = terms("S", each.instrument, None, None, 1)
        move = Move(terms=what, quantity=each.quantity, cost=each.cost)
        kept[each.instrument] = after(*kept[each.instrument], move)
    book = Book(Method.AVERAGE)
    for each in events:
        book.add([each])
    held = {part.instrument: (part.quantity, part.cost) for part in book.held()}
    assert held == {name: pair for name, pair in kept.items() if pair[0]}


@given(events=fills(), method=st.sampled_from(Method), cut=st.integers(0, 25))
@settings(deadline=None)
def test_what_comes_later_changes_nothing_of_what_was_closed(events: list[Deal], method: Method, cut: int) -> None:
    early, late = (round_trips(each, method=method) for each in (events[:cut], events))
    assert late.closed[: len(early.closed)] == early.closed


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantity": D(0)}, "quantity=0: must not be 0"),
        ({"quantity": D("NaN")}, "quantity=NaN: must be finite and at most 1"),
        ({"quantity": D("1e-9")}, "quantity=1E-9: must have at most 8 digits after the point"),
        ({"cost": D("Infinity")}, "cost=Infinity: must be finite"),
        ({"cost": D("0.0000001")}, "cost=1E-7: must have at most 6 digits after the point"),
        ({"fees": 0.1}, "fees=0.1: must be a Decimal, not float"),
        ({"price": D("1e30")}, "price=1E.30: must be finite and at most 1"),
        ({"at": AT.replace(tzinfo=None)}, "at=2025-11-03T15:00:00: needs a time zone"),
        ({"instrument": ""}, "instrument='': what was dealt in is needed"),
        ({"multiplier": 0}, "multiplier=0: must be above 0"),
    ],
)
def test_deal_that_makes_no_sense_is_refused_by_field(changes: dict[str, Any], message: str) -> None:
    values = {"instrument": "SPY", "quantity": D(1), "cost": D(1), "at": AT, "multiplier": 1, "price": D(1)}
    with pytest.raises(InvalidDeal, match=message):
        Deal(**{**values, **changes})


def test_settlement_needs_a_right_and_prices_that_there_are() -> None:
    with pytest.raises(InvalidDeal, match="right='S': C or P is needed"):
        settlement("X", "S", 440, "1")
    with pytest.raises(InvalidDeal, match="spot=-1: must not be below 0"):
        settlement("X", "C", 440, "-1")


def test_book_refuses_what_is_out_of_order_or_has_another_multiplier_and_keeps_what_it_had() -> None:
    book = Book()
    book.add([deal(1, 1, 100)])
    with pytest.raises(InvalidDeal, match=r"at=2025-11-03T15:00:00.00:00: must not be before the last event"):
        book.add([deal(0, 1, 100)])
    with pytest.raises(InvalidDeal, match="multiplier=100: SPY is held with 1"):
        book.add([deal(2, 1, 100, multiplier=100)])
    assert (book.quantity("SPY"), book.cost) == (D(1), D(100))
