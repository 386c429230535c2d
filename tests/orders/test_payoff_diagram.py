"""The payoff diagram: exact figures, lines where they belong, words for what can't be drawn."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.options import Leg, black_scholes, max_loss, payoff
from orders.options.legs import net_premium
from orders.order_legs import legs_of, osi_of
from orders.payoff_curve import Payoff, close_of, payoff_of, years_until
from orders.payoff_diagram import PayoffDiagram, diagram
from tests.factories import EXPIRY, NOW, iron_condor, ticket

FAR = date(2026, 1, 16)


def curve(legs: list[Leg], *, spot: str | None = "450", volatility: float | None = 0.2, now: datetime = NOW) -> Payoff:
    known = {} if volatility is None else {osi_of(leg): volatility for leg in legs if leg.right != "S"}
    return payoff_of(legs, spot=D(spot) if spot else None, now=now, volatilities=known, unit_price=D(1))


def drawn(found: Payoff) -> PayoffDiagram:
    return diagram(
        found,
        underlying="SPY",
        spot_age="9 s old",
        premium_note="Counted at 1.",
        volatility_note="Volatility as quoted.",
    )


def words(found: Payoff) -> dict[str, str]:
    return {figure.label: figure.value for figure in drawn(found).figures}


def option(right: str, strike: int, quantity: int, price: str = "0", expiry: date | None = EXPIRY) -> Leg:
    return Leg(right, D(strike), D(quantity), D(price), D(100), expiry, "SPY")


CONDOR = legs_of(iron_condor(), D("-1.20"))


# ---- the lines -------------------------------------------------------------------------------------------------------


def test_the_line_at_expiry_is_the_exact_payoff_less_the_premium() -> None:
    found = curve(CONDOR)
    assert len(found.at_expiry) > 90
    assert all(profit == payoff(CONDOR, spot) + 120 for spot, profit in found.at_expiry)
    places = [spot for spot, _ in found.at_expiry]
    assert places == sorted(places)
    assert {D(435), D(440), D(460), D(465), D("438.8"), D("461.2")} <= set(places)


def test_the_line_of_today_is_what_black_and_scholes_say() -> None:
    leg = option("C", 450, 2, "3.00")
    spot, profit = curve([leg]).today[40]
    worth = black_scholes("C", float(spot), 450, years_until(EXPIRY, NOW), 0, 0.2)
    assert float(profit) == pytest.approx(200 * worth - 600)


@given(st.sampled_from("CP"), st.integers(50, 900), st.integers(-5, 5).filter(bool), st.integers(0, 400))
def test_no_order_loses_more_than_the_figure_says(right: str, strike: int, quantity: int, cents: int) -> None:
    legs = [option(right, strike, quantity, str(D(cents) / 100))]
    found = curve(legs, volatility=None)
    assert found.max_loss == max_loss(legs)
    if found.max_loss is not None:
        assert min(profit for _, profit in found.at_expiry) >= -found.max_loss
    if found.max_profit is not None:
        assert max(profit for _, profit in found.at_expiry) <= found.max_profit


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (curve(CONDOR, volatility=None), "no implied volatility is on record for put 435 and 3 more"),
        (curve(CONDOR, now=close_of(EXPIRY)), "options of it expired on 2025-12-05"),
        (curve([option("C", 450, 1, expiry=None)]), "the expiry of an option is not stated"),
    ],
)
def test_without_what_it_needs_there_is_no_line_of_today_and_the_caption_says_why(found: Payoff, reason: str) -> None:
    assert found.today == ()
    assert found.at_expiry
    picture = drawn(found)
    assert picture.caption[-1] == f"No line for today: {reason}."
    assert not picture.shows_today
    assert all(drawing.today == "" for drawing in picture.drawings)


def test_at_a_known_volatility_the_caption_says_where_it_is_from() -> None:
    assert drawn(curve(CONDOR)).caption == ("In account currency, without fees. Counted at 1.", "Volatility as quoted.")


def test_an_option_that_expires_today_has_time_until_the_close_in_new_york() -> None:
    assert close_of(date(2025, 11, 3)) == datetime(2025, 11, 3, 21, 0, tzinfo=UTC)
    assert close_of(date(2025, 7, 3)) == datetime(2025, 7, 3, 20, 0, tzinfo=UTC)
    assert years_until(date(2025, 11, 3), NOW) == pytest.approx(6 / 24 / 365)
    assert years_until(date(2025, 11, 3), NOW + timedelta(hours=7)) == 0


# ---- several expiries ------------------------------------------------------------------------------------------------

CALENDAR = [option("P", 450, -1, "0"), option("P", 450, 1, "3.10", FAR)]


def test_a_calendar_is_drawn_at_its_first_expiry_with_the_far_leg_at_its_volatility() -> None:
    found = curve(CALENDAR)
    profit = dict(found.at_expiry)[D(450)]
    far = black_scholes("P", 450, 450, years_until(FAR, close_of(EXPIRY)), 0, 0.2)
    assert float(profit) == pytest.approx(100 * far - 310)
    assert found.estimated
    low, high = found.breakevens
    assert low < 450 < high
    # They were read off the line, which has a point there.
    assert {(low, D(0)), (high, D(0))} <= set(found.at_expiry)
    assert words(found)["Max profit"].startswith("about ")
    assert words(found)["Breakevens"].startswith("about ")
    assert words(found)["Max loss"] == "at most 45,310.00"
    assert drawn(found).expiry_name == "When the first leg ends, 2025-12-05"


def test_the_breakevens_of_a_calendar_are_found_far_from_its_strike_too() -> None:
    low, high = curve(CALENDAR, volatility=0.8).breakevens
    assert low < 380
    assert high > 530
    assert curve(CALENDAR, volatility=0.8).at_expiry[0][0] < low


def test_a_calendar_without_volatilities_is_not_drawn_and_says_why() -> None:
    found = curve(CALENDAR, volatility=None)
    reason = (
        "the legs end on several days, and no implied volatility is on record for put 450, which outlives 2025-12-05"
    )
    picture = drawn(found)
    assert picture.drawings == ()
    assert words(found)["Max profit"] == words(found)["Breakevens"] == f"n/a: {reason}"
    assert f"No line at expiry: {reason}." in picture.caption


def test_only_what_outlives_the_first_expiry_needs_a_volatility_there() -> None:
    known = {osi_of(CALENDAR[1]): 0.2}
    found = payoff_of(CALENDAR, spot=D(450), now=NOW, volatilities=known, unit_price=None)
    assert found.at_expiry
    assert found.today == ()


def test_legs_of_several_underlyings_are_refused() -> None:
    with pytest.raises(ValueError, match="several underlyings"):
        curve([option("C", 450, 1), Leg("C", D(380), D(1), D(0), D(100), EXPIRY, "QQQ")])


# ---- the words -------------------------------------------------------------------------------------------------------


def test_the_figures_say_in_words_what_the_picture_shows() -> None:
    assert words(curve(CONDOR)) == {
        "Max loss": "380.00",
        "Max profit": "120.00",
        "Breakevens": "438.8 and 461.2",
        "Spot": "450, 9 s old",
        "Premium": "120.00 received",
    }
    assert drawn(curve(CONDOR)).description == (
        "Profit and loss of this order by the price of SPY. Max loss: 380.00. Max profit: 120.00."
        " Breakevens: 438.8 and 461.2. Spot: 450, 9 s old. Premium: 120.00 received."
    )


def test_what_has_no_bound_is_said_in_words() -> None:
    assert words(curve([option("C", 450, -1, "2.10")]))["Max loss"] == "unbounded"
    shares = legs_of(ticket(), D("400.50"))
    assert words(curve(shares))["Max profit"] == "unbounded"
    assert words(curve(shares))["Max loss"] == "801.00"
    assert words(curve(shares))["Premium"] == "801.00 paid"
    assert drawn(curve(shares)).caption == ("In account currency, without fees. Counted at 1.",)


def test_without_a_price_of_the_underlying_there_is_no_mark_for_it() -> None:
    found = curve(CONDOR, spot=None)
    assert words(found)["Spot"] == "n/a: no price of the underlying is on record"
    assert [mark.kind for mark in drawn(found).drawings[0].marks] == ["breakeven", "breakeven"]


# ---- the drawing -----------------------------------------------------------------------------------------------------


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


@pytest.mark.parametrize(
    "legs",
    [
        CONDOR,
        CALENDAR,
        legs_of(ticket(), D("400.50")),
        [option("C", 450, -1, "2.10")],
        [option("P", 1, 1, "0.01")],
        [option("P", 450, 1, "451")],
        [option("C", 9000, 500, "80")],
    ],
)
@pytest.mark.parametrize("spot", ["450", "0.05", "9001", None])
def test_everything_lies_inside_the_picture_and_no_label_covers_another(legs: list[Leg], spot: str | None) -> None:
    for drawing in drawn(curve(legs, spot=spot)).drawings:
        for x, y in [*points(drawing.expiry), *points(drawing.today), *points(drawing.gain), *points(drawing.loss)]:
            assert drawing.left - 0.1 <= x <= drawing.right + 0.1
            assert drawing.top <= y <= drawing.bottom
        assert drawing.top <= drawing.zero_y <= drawing.bottom
        assert drawing.top < drawing.bottom <= drawing.height
        boxes = [
            (mark.label_x - 3 * len(mark.label), mark.label_x + 3 * len(mark.label), mark.label_y)
            for mark in drawing.marks
        ]
        for low, high, y in boxes:
            assert drawing.left - 30 <= low
            assert high <= drawing.width
            assert all(
                other == (low, high, y) or other[2] != y or other[1] <= low or other[0] >= high for other in boxes
            )


def test_gains_lie_above_zero_and_losses_below() -> None:
    drawing = drawn(curve(CONDOR)).drawings[0]
    assert min(y for _, y in points(drawing.gain)) < drawing.zero_y == max(y for _, y in points(drawing.gain))
    assert max(y for _, y in points(drawing.loss)) > drawing.zero_y == min(y for _, y in points(drawing.loss))


def test_the_most_that_is_lost_and_made_is_marked_where_the_plot_reaches_it() -> None:
    wide, narrow = drawn(curve(CONDOR)).drawings
    assert [level.label for level in wide.levels] == ["Max profit 120.00", "Max loss 380.00"]
    assert wide.levels[0].y == min(y for _, y in points(wide.expiry))
    assert wide.levels[1].y == max(y for _, y in points(wide.expiry))
    assert (wide.name, narrow.name) == ("wide", "narrow")
    assert narrow.width < wide.width
    # What a share loses at zero is far off to the left.
    assert drawn(curve(legs_of(ticket(), D("400.50")))).drawings[0].levels == ()


def test_the_money_scale_shows_zero_and_both_lines() -> None:
    drawing = drawn(curve([option("C", 450, -1, "2.10")], spot="470")).drawings[0]
    assert "0" in [tick.label for tick in drawing.money_ticks]
    assert net_premium([option("C", 450, -1, "2.10")]) == D(-210)
    assert len({tick.at for tick in drawing.price_ticks}) == len(drawing.price_ticks) >= 3
