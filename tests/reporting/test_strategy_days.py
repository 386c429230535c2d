"""Trading days: which there are, what ends on them, and that no money is lost between them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orders.instruments import Terms, terms_of_symbol
from reporting.strategy_days import Day, Statement, days, end_of, start_of, stock
from reporting.trades import Deal, Ending, Method, unrealised

D = Decimal
MONDAY = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CALL = "SPY251205C00460000"
PUT = "SPY251205P00440000"
# 16:00 and 17:00 in New York.
CLOSE, SETTLED = datetime(2025, 12, 5, 21, 0, tzinfo=UTC), datetime(2025, 12, 5, 22, 0, tzinfo=UTC)


def deal(day: float, quantity: str | int, price: str | int, instrument: str = "SPY", **changes: Any) -> Deal:
    size, multiplier = D(quantity), 1 if instrument == "SPY" else 100
    values: dict[str, Any] = {
        "instrument": instrument,
        "quantity": size,
        "cost": (size * D(price) * multiplier).quantize(D("1e-6")),
        "price": D(price),
        "at": MONDAY + day * DAY,
        "multiplier": multiplier,
    }
    return Deal(**{**values, **changes})


def stated(day: float, quantity: int, price: str | None) -> Statement:
    given = None if price is None else D(price)
    return Statement(instrument="SPY", quantity=D(quantity), price=given, at=MONDAY + day * DAY, multiplier=1)


def made(
    events: list[Any],
    *,
    until: datetime = MONDAY + 60 * DAY,
    prices: dict[datetime, str] | None = None,
    method: Method = Method.FIFO,
) -> list[Day]:
    known: dict[str, Terms] = {
        "SPY": stock("SPY"),
        CALL: terms_of_symbol(CALL),
        PUT: terms_of_symbol(PUT),
    }

    def spot(terms: Terms, at: datetime) -> Decimal | None:
        found = (prices or {}).get(at) if terms.key == "SPY" else None
        return None if found is None else D(found)

    return list(days(events, terms=known, spot=spot, now=until, method=method))


def test_there_is_a_day_for_each_fill_and_for_each_weekday_on_which_something_is_held() -> None:
    found = made([deal(0, 1, 400), deal(0.1, -1, 401), deal(2, 1, 400), deal(8, -1, 402)])
    # Flat on Tuesday; held over the weekend.
    assert [each.day.day for each in found] == [3, 5, 6, 7, 10, 11]
    assert [each.fills for each in found] == [2, 1, 0, 0, 0, 1]


def test_fill_of_a_saturday_has_a_day_of_its_own() -> None:
    found = made([deal(3, 1, 400), deal(5, -1, 402)])
    assert [each.day for each in found] == [date(2025, 11, 6), date(2025, 11, 7), date(2025, 11, 8)]


def test_day_ends_at_midnight_in_new_york_also_when_clocks_change() -> None:
    [found] = made([deal(-1, 1, 400), deal(-0.9, -1, 400)])
    assert (found.start, found.end) == (
        datetime(2025, 11, 2, 4, tzinfo=UTC),
        datetime(2025, 11, 3, 5, tzinfo=UTC),
    )
    late = datetime(2025, 11, 4, 4, 59, 59, tzinfo=UTC)
    found_days = made([deal(0, 1, 1, at=late), deal(0, -1, 1, at=late + timedelta(seconds=1))])
    assert [each.day.day for each in found_days] == [3, 4]
    assert end_of(date(2025, 11, 3)) == start_of(date(2025, 11, 4)) == late + timedelta(seconds=1)


def test_what_ends_on_a_day_is_told_on_it_once() -> None:
    found = made([deal(0, 2, 400, fees=D("0.3")), deal(1, -1, 405, fees=D("0.1")), deal(2, -1, 410)])
    assert [each.realised for each in found] == [D(0), D(5), D(10)]
    assert [len(each.closed) for each in found] == [0, 0, 1]
    assert [each.fees for each in found] == [D("0.3"), D("0.1"), D(0)]
    assert [each.cost for each in found] == [D(800), D(-405), D(-410)]
    assert found[2].closed[0].net == D("14.6")


def test_last_prices_are_those_of_the_fills_of_what_is_held() -> None:
    found = made([deal(0, 1, 400), deal(0.1, 1, 403), deal(1, -2, 404)], until=MONDAY + DAY)
    assert found[0].last_prices == {"SPY": (D(403), MONDAY + 0.1 * DAY)}
    assert found[1].last_prices == {}


def test_option_settles_at_the_last_price_by_the_close_of_its_expiry() -> None:
    found = made([deal(0, -1, "1.2", CALL)], prices={CLOSE: "450"}, until=SETTLED + DAY)
    assert (found[-1].day, found[-1].realised, found[-1].held) == (date(2025, 12, 5), D(120), ())
    assert found[-1].closed[0].closed_at == SETTLED
    assert found[-1].used == {f"SPY {CLOSE.isoformat()}": "450"}
    early = made([deal(0, -1, "1.2", CALL)], prices={CLOSE: "450"}, until=SETTLED - timedelta(seconds=1))
    assert early[-1].held[0].instrument == CALL


def test_fill_after_the_close_of_the_expiry_still_counts() -> None:
    late = deal(0, 1, "0.5", CALL, at=CLOSE + timedelta(minutes=10))
    found = made([deal(0, -1, "1.2", CALL), late], prices={CLOSE: "450"})
    assert found[-1].closed[0].closings[0].ending == Ending.FILL
    again = deal(0, -1, "0.1", CALL, at=SETTLED + timedelta(hours=1))
    found = made([deal(0, -1, "1.2", CALL), again], prices={CLOSE: "450"})
    assert [trip.pnl for trip in found[-1].closed] == [D(120), D(10)]
    booked_late = deal(0, -1, "1.2", CALL, at=SETTLED + timedelta(hours=1))
    found = made([booked_late], prices={CLOSE: "450"})
    assert found[-1].closed[0].closings[0].ending == Ending.EXPIRED


def test_option_that_expired_on_a_saturday_settles_on_the_day_that_follows() -> None:
    saturday = "SPY251206C00460000"
    close = datetime(2025, 12, 6, 21, 0, tzinfo=UTC)
    terms = {saturday: terms_of_symbol(saturday), "SPY": stock("SPY")}
    events = [deal(0, -1, 1, saturday), deal(34, 1, 400), deal(36, -1, 400)]
    found = list(days(events, terms=terms, spot=lambda _, at: D(450) if at == close else None, now=MONDAY + 40 * DAY))
    # Somebody traded on Sunday.
    assert [(each.day.day, each.realised) for each in found[-3:]] == [(7, D(100)), (8, D(0)), (9, D(0))]


def test_assigned_shares_are_held_from_then_on_and_legs_that_settle_together_are_set_off() -> None:
    found = made([deal(0, -1, "5", PUT)], prices={CLOSE: "430"}, until=SETTLED)
    assert [(part.instrument, part.quantity, part.cost) for part in found[-1].held] == [("SPY", D(100), D(43000))]
    both = [deal(0, -1, 5, PUT, order="a"), deal(0, -1, 3, CALL, order="a")]
    found = made(both, prices={CLOSE: "460.50"}, until=SETTLED)
    # The put lapses, 100 shares are called away.
    assert [(part.instrument, part.quantity) for part in found[-1].held] == [("SPY", D(-100))]
    assert found[-1].realised == D(800 - 50)


def test_option_whose_end_is_not_known_stays_open_and_every_day_says_so() -> None:
    found = made([deal(0, -1, "1.2", CALL)], until=SETTLED + 5 * DAY)
    note = f"{CALL} has expired, and no price of SPY from 2025-12-05 is on record: open"
    assert [each.notes for each in found[-4:]] == [(note,)] * 4
    assert found[-5].notes == ()
    closed = made([deal(0, -1, "1.2", CALL), deal(0, 1, "0.2", CALL, at=SETTLED + DAY)], until=SETTLED + 5 * DAY)
    assert (closed[-1].realised, closed[-1].notes) == (D(100), ())


def test_statement_without_a_price_takes_the_market_and_else_says_that_money_is_not_known() -> None:
    found = made([stated(0, 5, None), deal(1, -5, 400)], prices={MONDAY: "390"})
    assert (found[1].realised, found[1].gaps) == (D(50), ())
    found = made([stated(0, 5, None), deal(1, -5, 400)])
    text = "the statement of 2025-11-03 15:00 says no average price of SPY, and no market price is on record"
    assert [each.gaps for each in found] == [(text,), (text,)]


def test_inputs_change_with_what_happened_and_with_what_was_held_and_with_nothing_else() -> None:
    plain = made([deal(0, 1, 400), deal(0.1, -1, 401), deal(7, 1, 400), deal(7.1, -1, 401)])
    flat = made([deal(0, 2, 399), deal(0.1, -2, 401), deal(7, 1, 400), deal(7.1, -1, 401)])
    carried = made([deal(0, 2, 400), deal(0.1, -1, 401), deal(7, 1, 400), deal(7.1, -1, 401)])
    assert plain[0].inputs != flat[0].inputs
    assert plain[-1].inputs == flat[-1].inputs
    again = next(each for each in carried if each.day == plain[-1].day)
    assert again.inputs != plain[-1].inputs


def test_time_of_the_look_does_not_change_days_that_are_over() -> None:
    events = [deal(0, -1, "1.2", CALL), deal(1, 3, 400), deal(9, -1, 402)]
    whole = made(events, prices={CLOSE: "450"}, until=SETTLED + DAY)
    for number in range(0, 30):
        until = MONDAY + number * DAY
        early = made([each for each in events if each.at <= until], prices={CLOSE: "450"}, until=until)
        assert early[:-1] == whole[: len(early) - 1]


INSTRUMENTS = ("SPY", CALL, PUT)


@st.composite
def histories(draw: Any) -> list[Deal]:
    moments = sorted(draw(st.lists(st.floats(0, 31), max_size=20)))
    return [
        deal(
            moment,
            draw(st.integers(-4, 4).filter(bool)),
            draw(st.decimals("0.01", "500", places=2)),
            draw(st.sampled_from(INSTRUMENTS)),
            fees=draw(st.decimals("-1", "2", places=2)),
            order=draw(st.sampled_from(["a", "b", "c"])),
        )
        for moment in moments
    ]


@given(
    events=histories(),
    spot=st.decimals("400", "500", places=2),
    mark=st.decimals("400", "500", places=2),
    method=st.sampled_from(Method),
)
@settings(deadline=None)
def test_days_lose_no_money_through_expiry_and_assignment(
    events: list[Deal], spot: Decimal, mark: Decimal, method: Method
) -> None:
    found = made(events, prices={CLOSE: str(spot)}, method=method)
    realised, cost = (sum((getattr(each, name) for each in found), D(0)) for name in ("realised", "cost"))
    held = found[-1].held if found else ()
    assert {part.instrument for part in held} <= {"SPY"}
    value = sum((part.quantity * mark for part in held), D(0))
    assert realised + unrealised(held, {"SPY": mark}) == value - cost
    assert sum((each.fees for each in found), D(0)) == sum((each.fees for each in events), D(0))
    assert sum(each.fills for each in found) == len(events)
    # What settles costs what the strikes say, beside what fills paid.
    units = {name: sum((each.quantity for each in events if each.instrument == name), D(0)) for name in (CALL, PUT)}
    delivered = units[CALL] * 460 * (spot - 460 >= D("0.01")) - units[PUT] * 440 * (440 - spot >= D("0.01"))
    assert cost == sum((each.cost for each in events), D(0)) + delivered * 100


@pytest.mark.parametrize("method", list(Method))
def test_nothing_dealt_in_has_no_days(method: Method) -> None:
    assert made([], method=method) == []
