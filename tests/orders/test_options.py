"""Option symbols, and the worst a set of legs can do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orders.options import (
    InvalidOptionSymbol,
    Leg,
    OptionSymbol,
    breakevens,
    format_osi,
    max_loss,
    max_profit,
    parse_osi,
    payoff,
)

D = Decimal
NEAR, FAR = date(2025, 12, 5), date(2026, 1, 16)

ROOTS = st.from_regex(r"[A-Z0-9.]{1,6}", fullmatch=True)
EXPIRIES = st.dates(min_value=date(2000, 1, 1), max_value=date(2099, 12, 31))
STRIKES = st.integers(0, 10**8 - 1).map(lambda thousandths: D(thousandths).scaleb(-3))


@given(ROOTS, EXPIRIES, st.sampled_from("CP"), STRIKES, st.booleans())
def test_symbol_comes_back_as_it_was(root: str, expiry: date, right: str, strike: Decimal, compact: bool) -> None:
    symbol = format_osi(root, expiry, right, strike, compact)
    assert parse_osi(symbol) == OptionSymbol(root, expiry, right, strike)
    assert compact or len(symbol) == 21


@given(st.text(max_size=24))
def test_any_text_is_an_option_or_refused(text: str) -> None:
    try:
        option = parse_osi(text)
    except InvalidOptionSymbol as error:
        assert str(error).startswith(repr(text))  # noqa: PT017  # either outcome is allowed
    else:
        assert text in (
            format_osi(option.root, option.expiry, option.right, option.strike),
            format_osi(option.root, option.expiry, option.right, option.strike, compact=True),
        )


def test_known_symbol() -> None:
    assert parse_osi("SPY   251219P00440500") == OptionSymbol("SPY", date(2025, 12, 19), "P", D("440.5"))


@pytest.mark.parametrize(
    ("symbol", "reason"),
    [
        ("", "the root is empty or the symbol too short"),
        ("SPY", "the root is empty or the symbol too short"),
        ("251219P00440000", "the root is empty or the symbol too short"),
        ("      251219P00440000", "the root is empty or the symbol too short"),
        ("SPY  251219P00440000", "a padded symbol has 21 characters, this one 20"),
        ("SPY    251219P00440000", "a padded symbol has 21 characters, this one 22"),
        ("TOOLONG251219P00440000", "the root 'TOOLONG' is not 1 to 6 capital letters or digits"),
        ("spy251219P00440000", "the root 'spy' is not 1 to 6 capital letters or digits"),
        ("S Y   251219P00440000", "the root 'S Y' is not 1 to 6 capital letters or digits"),
        ("SPY251219X00440000", "the right 'X' is neither C nor P"),
        ("SPY251219p00440000", "the right 'p' is neither C nor P"),
        ("SPY251219P0044000", "the right '9' is neither C nor P"),
        ("SPY251219P004400.0", "the strike '004400.0' is not eight digits"),
        ("SPY251219P0044000٣", "the strike '0044000٣' is not eight digits"),
        ("SPY25121XP00440000", "the expiry '25121X' is not six digits"),
        ("SPY250230P00440000", "the expiry '250230' is not a date (day is out of range for month)"),
        ("SPY251319P00440000", "the expiry '251319' is not a date (month must be in 1..12)"),
        ("SPY230229P00440000", "the expiry '230229' is not a date (day is out of range for month)"),
    ],
)
def test_symbol_that_is_none_is_refused_by_its_part(symbol: str, reason: str) -> None:
    with pytest.raises(InvalidOptionSymbol) as error:
        parse_osi(symbol)
    assert str(error.value) == f"{symbol!r}: {reason}"


@pytest.mark.parametrize(
    ("root", "expiry", "right", "strike"),
    [
        ("SPY", NEAR, "P", D("100000")),
        ("SPY", NEAR, "P", D("0.0001")),
        ("SPY", NEAR, "P", D(-1)),
        ("SPY", date(1999, 12, 31), "P", D(1)),
        ("SPY", date(2100, 1, 1), "P", D(1)),
        ("SPY", datetime(2025, 12, 5), "P", D(1)),  # noqa: DTZ001
        ("", NEAR, "P", D(1)),
        ("TOOLONG", NEAR, "P", D(1)),
        ("SPY", NEAR, "X", D(1)),
    ],
)
def test_option_without_a_symbol_is_refused(root: str, expiry: date, right: str, strike: Decimal) -> None:
    with pytest.raises(InvalidOptionSymbol):
        format_osi(root, expiry, right, strike)


def call(strike: int, quantity: int, price: str = "0", expiry: date | None = NEAR, underlying: str = "SPY") -> Leg:
    return Leg("C", D(strike), D(quantity), D(price), expiry=expiry, underlying=underlying)


def put(strike: int, quantity: int, price: str = "0", expiry: date | None = NEAR, underlying: str = "SPY") -> Leg:
    return Leg("P", D(strike), D(quantity), D(price), expiry=expiry, underlying=underlying)


def shares(quantity: int, price: str = "0", underlying: str = "SPY") -> Leg:
    return Leg("S", None, D(quantity), D(price), multiplier=D(1), underlying=underlying)


STRATEGIES = {
    "nothing": ([], D(0)),
    "long call": ([call(450, 1, "3.20")], D(320)),
    "long put": ([put(450, 2, "3.20")], D(640)),
    "short put": ([put(440, -1, "2")], D(43800)),
    "short call": ([call(450, -1, "3.20")], None),
    "call ratio": ([call(450, 1), call(460, -2)], None),
    "bull call spread": ([call(450, 1, "5"), call(460, -1, "2")], D(300)),
    "bear call spread": ([call(450, -1, "5"), call(460, 1, "2")], D(700)),
    "bull put spread": ([put(440, -1, "3"), put(435, 1, "2")], D(400)),
    "bear put spread": ([put(440, 1, "3"), put(435, -1, "2")], D(100)),
    "long straddle": ([call(450, 1, "5"), put(450, 1, "4")], D(900)),
    "short straddle": ([call(450, -1, "5"), put(450, -1, "4")], None),
    "iron condor": ([put(435, 1), put(440, -1), call(460, -1), call(465, 1)], D(500)),
    "iron condor, wider call wing": ([put(435, 1), put(440, -1), call(460, -1), call(470, 1)], D(1000)),
    "iron condor, wider put wing": ([put(420, 1), put(440, -1), call(460, -1), call(465, 1)], D(2000)),
    "iron condor for a credit": (
        [put(435, 1, "1"), put(440, -1, "1.60"), call(460, -1, "1.60"), call(465, 1, "1")],
        D(380),
    ),
    "butterfly": ([call(440, 1, "12"), call(450, -2, "5"), call(460, 1, "1")], D(300)),
    "covered call": ([shares(100, "450"), call(460, -1, "2")], D(44800)),
    "half covered call": ([shares(50, "450"), call(460, -1, "2")], None),
    "protective put": ([shares(100, "450"), put(440, 1, "3")], D(1300)),
    "collar of two expiries": ([shares(100, "450"), call(460, -1, "2"), put(440, 1, "3", FAR)], D(45100)),
    "shares": ([shares(10, "400")], D(4000)),
    "short shares": ([shares(-10, "400")], None),
    "short shares with a call": ([shares(-100, "450"), call(460, 1, "2")], D(1200)),
    "calendar: the far call does not cover at the near expiry": ([call(450, -1, "3"), call(450, 1, "5", FAR)], None),
    "call of another underlying covers nothing": ([call(450, -1), call(450, 1, underlying="QQQ")], None),
    "shares of another underlying cover nothing": ([call(450, -1), shares(100, underlying="QQQ")], None),
    "wing of another underlying does not limit": ([put(440, -1), put(435, 1, underlying="QQQ")], D(44000)),
    "put that ends before the one it protects": ([shares(100), put(440, 1), put(440, -1, "0", FAR)], D(44000)),
}


@pytest.mark.parametrize(("legs", "loss"), STRATEGIES.values(), ids=STRATEGIES.keys())
def test_worst_loss_of_known_strategies(legs: list[Leg], loss: Decimal | None) -> None:
    assert max_loss(legs) == loss


@st.composite
def books(draw: st.DrawFn, expiries: tuple[date, ...] = (NEAR,)) -> list[Leg]:
    legs = []
    for _ in range(draw(st.integers(1, 6))):
        right, quantity = draw(st.sampled_from("CPS")), D(draw(st.integers(-3, 3)))
        price = D(draw(st.integers(0, 40))).scaleb(-1)
        if right == "S":
            legs.append(Leg("S", None, quantity, price))
        else:
            strike, expiry = D(draw(st.integers(1, 20))), draw(st.sampled_from(expiries))
            legs.append(Leg(right, strike, quantity, price, expiry=expiry))
    return legs


GRID = [D(step) / 4 for step in range(25 * 4)]


@given(books())
def test_worst_loss_is_the_worst_on_a_fine_grid(legs: list[Leg]) -> None:
    paid = sum((leg.quantity * leg.multiplier * leg.price for leg in legs), D(0))
    on_grid = max(paid - payoff(legs, spot) for spot in GRID)
    far = max(paid - payoff(legs, spot) for spot in (D(10**6), D(10**6 + 1)))
    found = max_loss(legs)
    if found is None:
        assert far > 10**6 - 10**5
    else:
        assert found == max(D(0), on_grid)
        assert far <= found


@given(books((NEAR, FAR)))
def test_legs_of_two_expiries_lose_no_more_than_said(legs: list[Leg]) -> None:
    found = max_loss(legs)
    assume(found is not None)
    assert found is not None
    options = [leg for leg in legs if leg.right != "S"]
    near, far = ([leg for leg in options if leg.expiry == day] for day in (NEAR, FAR))
    stock = [leg for leg in legs if leg.right == "S"]
    paid = sum((leg.quantity * leg.multiplier * leg.price for leg in legs), D(0))
    ways = []
    for with_near, with_far in ([(stock, [])] if near or not far else []) + ([([], stock)] if far else []):
        lowest = [min(payoff(group, spot) for spot in GRID) for group in ([*near, *with_near], [*far, *with_far])]
        highest = [payoff(group, D(10**6)) for group in ([*near, *with_near], [*far, *with_far])]
        if all(value > -(10**5) for value in highest):
            ways.append(paid - sum(lowest))
    assert found >= max(ways, default=D(0))


@given(books(), st.integers(1, 5))
def test_worst_loss_grows_with_the_size(legs: list[Leg], times: int) -> None:
    found = max_loss(legs)
    larger = [Leg(leg.right, leg.strike, leg.quantity * times, leg.price, expiry=leg.expiry) for leg in legs]
    assert max_loss(larger) == (None if found is None else found * times)


@pytest.mark.parametrize(("right", "strike"), [("X", D(1)), ("C", None), ("S", D(1))])
def test_leg_that_is_none_is_refused(right: str, strike: Decimal | None) -> None:
    with pytest.raises(ValueError, match=r"is needed|stock has none"):
        Leg(right, strike, D(1))


def test_numbers_given_as_int_or_text_count_as_decimals() -> None:
    leg = Leg("C", 450, "-2", "3.20", "100")  # type: ignore[arg-type]
    assert leg == Leg("C", D(450), D(-2), D("3.20"), D(100))
    assert all(isinstance(value, D) for value in (leg.strike, leg.quantity, leg.price, leg.multiplier))
    assert payoff([leg], 460) == payoff([leg], "460") == D(-2000)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["one", "NaN", D("Infinity"), float("nan")])
def test_leg_with_a_number_that_is_none_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(ValueError, match="price="):
        Leg("C", D(1), D(1), value)  # type: ignore[arg-type]


PROFITS = {
    "nothing": ([], D(0), []),
    "long call": ([call(450, 1, "3.20")], None, [D("453.20")]),
    "long put": ([put(450, 1, "3.20")], D(44680), [D("446.80")]),
    "short call": ([call(450, -1, "3.20")], D(320), [D("453.20")]),
    "bull call spread": ([call(450, 1, "5"), call(460, -1, "2")], D(700), [D(453)]),
    "short straddle": ([call(450, -1, "5"), put(450, -1, "4")], D(900), [D(441), D(459)]),
    "iron condor": (
        [put(435, 1, "1"), put(440, -1, "1.60"), call(460, -1, "1.60"), call(465, 1, "1")],
        D(120),
        [D("438.8"), D("461.2")],
    ),
    "covered call": ([shares(100, "450"), call(460, -1, "2")], D(1200), [D(448)]),
    "call ratio": ([call(100, 1, "3"), call(110, -3, "1")], D(1000), [D(0), D(100), D(115)]),
    "zero from one strike to the next": ([put(90, 1), call(110, 1)], None, [D(90), D(110)]),
    "zero for ever from a strike": ([put(90, 1)], D(9000), [D(90)]),
    "zero everywhere": ([call(90, 1), call(90, -1)], D(0), [D(0), D(90)]),
    "nothing to win": ([call(90, 1, "2"), call(90, -1, "1")], D(0), []),
}


@pytest.mark.parametrize(("legs", "profit", "spots"), PROFITS.values(), ids=PROFITS.keys())
def test_best_profit_and_breakevens_of_known_strategies(legs: list[Leg], profit: D | None, spots: list[D]) -> None:
    assert max_profit(legs) == profit
    assert breakevens(legs) == spots


@given(books())
def test_best_profit_is_the_best_on_a_fine_grid(legs: list[Leg]) -> None:
    paid = sum((leg.quantity * leg.multiplier * leg.price for leg in legs), D(0))
    on_grid = max(payoff(legs, spot) - paid for spot in GRID)
    far, further = (payoff(legs, spot) - paid for spot in (D(10**6), D(10**6 + 1)))
    found = max_profit(legs)
    if found is None:
        assert further > far
    else:
        assert further <= far
        assert found == max(D(0), on_grid)


@given(books())
def test_breakevens_are_where_profit_changes_its_sign(legs: list[Leg]) -> None:
    paid = sum((leg.quantity * leg.multiplier * leg.price for leg in legs), D(0))
    spots = breakevens(legs)
    assert spots == sorted(set(spots))
    assert all(abs(payoff(legs, spot) - paid) < D("1e-15") for spot in spots)
    grid = [*GRID, D(10**6)]
    signs = [(spot, payoff(legs, spot) - paid) for spot in grid]
    for (left, low), (right, high) in pairwise(signs):
        assert low * high >= 0 or any(left < spot < right for spot in spots)


@pytest.mark.parametrize("figure", [max_profit, breakevens])
@pytest.mark.parametrize(
    ("legs", "reason"),
    [
        ([call(450, -1), call(450, 1, "0", FAR)], r"several days \(2025-12-05, 2026-01-16\)"),
        ([call(450, -1), call(450, 1, underlying="QQQ")], r"several underlyings \(QQQ, SPY\)"),
    ],
)
def test_figure_at_one_expiry_is_refused_for_several(
    figure: Callable[..., object], legs: list[Leg], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        figure(legs)
