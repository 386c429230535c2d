"""Margin by strategy, grouped for the least total; held against every grouping there is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orders.options import Leg, margin, margin_requirement, max_loss

D = Decimal
NEAR, FAR = date(2025, 12, 5), date(2026, 1, 16)


def call(strike: int, quantity: int, price: str = "0", expiry: date | None = NEAR) -> Leg:
    return Leg("C", D(strike), D(quantity), D(price), expiry=expiry)


def put(strike: int, quantity: int, price: str = "0", expiry: date | None = NEAR) -> Leg:
    return Leg("P", D(strike), D(quantity), D(price), expiry=expiry)


def shares(quantity: int) -> Leg:
    return Leg("S", None, D(quantity), D(100), multiplier=D(1))


# The underlying is at 100.
KNOWN = {
    "nothing": ([], 0),
    "long call": ([call(105, 2, "3")], 600),
    "short call, 5 out of the money": ([call(105, -1, "2")], 200 + 1500),
    "short call, far out of the money: 10 % of the spot": ([call(150, -2, "0.10")], 2 * (10 + 1000)),
    "short put, 5 out of the money": ([put(95, -1, "2")], 200 + 1500),
    "short put, far out of the money: 10 % of the strike": ([put(50, -1, "0.10")], 10 + 500),
    "short put, in the money": ([put(110, -1, "11")], 1100 + 2000),
    "bear call spread": ([call(105, -3, "2"), call(110, 3, "1")], 1500),
    "bull put spread": ([put(95, -1, "2"), put(90, 1, "1")], 500),
    "bull call spread": ([call(105, 1, "3"), call(110, -1, "1")], 200),
    "bear put spread": ([put(95, 1, "3"), put(90, -1, "1")], 200),
    "credit spread wider than the naked option needs": ([put(95, -1, "2"), put(20, 1, "0.01")], 7500),
    "short straddle": ([call(100, -1, "4"), put(100, -1, "3")], 400 + 2000 + 300),
    "short strangle": ([call(105, -1, "2"), put(90, -1, "3")], 200 + 1500 + 300),
    "iron condor": ([put(90, 1, "1"), put(95, -1, "2"), call(105, -1, "2"), call(110, 1, "1")], 500),
    "iron condor, wider call wing": ([put(90, 1), put(95, -1), call(105, -1), call(120, 1)], 1500),
    "iron condor, wider put wing": ([put(80, 1), put(95, -1), call(105, -1), call(110, 1)], 1500),
    "iron butterfly": ([put(95, 1), put(100, -1), call(100, -1), call(110, 1)], 1000),
    "reverse iron condor": ([put(90, -1, "1"), put(95, 1, "2"), call(105, 1, "2"), call(110, -1, "1")], 200),
    "long butterfly": ([call(95, 1, "6"), call(100, -2, "3"), call(105, 1, "1")], 100),
    "short butterfly": ([call(95, -1, "6"), call(100, 2, "3"), call(105, -1, "1")], 500),
    "condor": ([call(95, 1, "6"), call(100, -1, "3"), call(105, -1, "1"), call(110, 1, "0.50")], 250),
    "long box": ([call(95, 1, "6"), call(105, -1, "1"), put(105, 1, "6"), put(95, -1, "1.20")], 980),
    "short box": ([call(95, -1, "6"), call(105, 1, "1"), put(105, -1, "6"), put(95, 1, "1")], 1000),
    "ratio spread: one is naked": ([call(105, 1, "3"), call(110, -2, "1")], 200 + 100 + 1000),
    "calendar": ([call(105, -1, "2"), call(105, 1, "3", FAR)], 100),
    "diagonal for a credit": ([put(95, -1, "2"), put(90, 1, "2.50", FAR)], 500 + 50),
    "long one that ends sooner covers nothing": ([call(105, 1, "3"), call(105, -1, "4", FAR)], 300 + 400 + 1500),
    "stock": ([shares(150)], 7500),
    "short stock": ([shares(-100)], 15000),
    "covered call": ([shares(100), call(105, -1, "2")], 5000),
    "covered call in the money": ([shares(100), call(90, -1, "12")], 10000 - 4500),
    "stock covers one call of two": ([shares(150), call(105, -2, "2")], 7500 + 1700),
    "covered put in the money": ([shares(-100), put(105, -1, "6")], 15000 + 500),
    "protective put": ([shares(100), put(95, 1, "2")], 5200),
    "collar": ([shares(100), put(95, 1, "2"), call(105, -1, "2")], 5200),
}


@pytest.mark.parametrize(("legs", "expected"), KNOWN.values(), ids=KNOWN.keys())
def test_margin_of_known_strategies(legs: list[Leg], expected: int) -> None:
    assert margin_requirement(legs, D(100)) == expected


def test_broad_index_needs_less_when_naked() -> None:
    assert margin_requirement([put(95, -1, "2")], D(100), broad_index=True) == 200 + 1000
    assert margin_requirement([put(95, -1, "2"), put(90, 1)], D(100), broad_index=True) == 500


def test_book_is_grouped_for_the_least_and_not_greedily() -> None:
    # Greedily, the near short call takes the nearest long one, and the far short one stays naked: 300 + 1300 + 100.
    legs = [call(105, -1, "2"), call(106, 1, "4", FAR), call(110, 1, "1"), call(110, -1, "3", FAR)]
    assert margin_requirement(legs, D(100)) == margin_requirement(legs[::-1], D(100)) == 500 + 100
    # Crossed, these pairs would need 100 + 300.
    legs = [call(110, -1, "1"), call(105, -1, "2"), call(108, 1, "1"), call(104, 1, "2")]
    assert margin_requirement(legs, D(100)) == margin_requirement(legs[::-1], D(100)) == 0


def _spread(legs: tuple[Leg, ...]) -> Decimal:
    """Loss on a grid as fine as the strikes, and net debit."""

    def value(leg: Leg, spot: int) -> Decimal:
        return leg.quantity * 100 * max(D(0), (spot - leg.strike) * (1 if leg.right == "C" else -1))

    worst = min(sum(value(leg, spot) for leg in legs) for spot in range(200))
    return max(D(0), -worst) + max(D(0), sum(leg.quantity * leg.price * 100 for leg in legs))


def _naked(leg: Leg, spot: int) -> Decimal:
    out = max(D(0), leg.strike - spot if leg.right == "C" else spot - leg.strike)
    least = D(spot) / 10 if leg.right == "C" else leg.strike / 10
    return 100 * (leg.price + max(D(spot) / 5 - out, least))


def _alone(leg: Leg, spot: int) -> tuple[int, Decimal] | None:
    if leg.right == "S":
        return 0, D(spot) * (50 if leg.quantity > 0 else 150)
    return (0, leg.price * 100) if leg.quantity > 0 else (1, _naked(leg, spot))


def _pair(one: Leg, other: Leg, spot: int) -> tuple[int, Decimal] | None:  # noqa: PLR0911  # one return a rule
    short, cover = sorted((one, other), key=lambda leg: (leg.right == "S", leg.quantity > 0))
    if short.right == "S" or short.quantity > 0:
        return None
    if cover.right == "S":
        if short.right == "C" and cover.quantity > 0:
            return 0, 100 * (spot - min(D(spot), short.strike) / 2)
        if short.right == "P" and cover.quantity < 0:
            return 0, 100 * (D(spot) * 3 / 2 + max(D(0), short.strike - spot))
        return None
    if cover.quantity < 0:
        if short.right == cover.right:
            return None
        sides = [(_naked(short, spot), cover.price * 100), (_naked(cover, spot), short.price * 100)]
        return 2, sum(max(sides), D(0))
    covers = short.right == cover.right and cover.expiry >= short.expiry
    return (0, _spread((short, cover))) if covers else None


def _four(legs: tuple[Leg, ...]) -> tuple[int, Decimal] | None:
    if any(leg.right == "S" for leg in legs) or len({leg.expiry for leg in legs}) > 1:
        return None
    for place in (1, 2, 3):
        halves = (legs[0], legs[place]), tuple(leg for index, leg in enumerate(legs) if index not in (0, place))
        leans = []
        for one, other in halves:
            if one.right == other.right and one.quantity == -other.quantity:
                leans.append(one.strike * one.quantity + other.strike * other.quantity)
        if len(leans) == 2 and min(leans) < 0 < max(leans):
            return 0, _spread(legs)
    return None


def every_grouping(legs: tuple[Leg, ...], spot: int) -> Iterator[tuple[int, Decimal]]:
    """Naked options and total margin of each way to divide the units."""
    if not legs:
        yield 0, D(0)
        return
    first, rest = legs[0], legs[1:]
    for size in (0, 1, 3):
        for chosen in combinations(range(len(rest)), size):
            group = (first, *(rest[place] for place in chosen))
            found = {1: lambda g: _alone(*g, spot), 2: lambda g: _pair(*g, spot), 4: _four}[len(group)](group)
            if found is not None:
                left = tuple(leg for place, leg in enumerate(rest) if place not in chosen)
                for naked, total in every_grouping(left, spot):
                    yield naked + found[0], total + found[1]


@st.composite
def units(draw: st.DrawFn, most: int = 6) -> list[Leg]:
    """Single contracts and lots of stock; few strikes, so that they meet."""
    legs = []
    stock_sign = draw(st.sampled_from([1, -1]))
    for _ in range(draw(st.integers(1, most))):
        right, quantity = draw(st.sampled_from("CCCPPPS")), D(draw(st.sampled_from([1, -1, -1])))
        if right == "S":
            legs.append(Leg("S", None, D(stock_sign)))
        else:
            strike, price = D(draw(st.integers(16, 24)) * 5), D(draw(st.integers(0, 12))) / 2
            legs.append(Leg(right, strike, quantity, price, expiry=draw(st.sampled_from([NEAR, NEAR, FAR]))))
    return legs


@settings(max_examples=150, deadline=None)
@given(units())
def test_margin_is_the_least_of_every_grouping(legs: list[Leg]) -> None:
    ways = list(every_grouping(tuple(legs), 100))
    covered = any(naked == 0 for naked, _ in ways)
    expected = min(total for naked, total in ways if naked == 0 or not covered)
    assert margin_requirement(legs, D(100)) == expected


@st.composite
def covered_books(draw: st.DrawFn) -> list[Leg]:
    """Options of one expiry with as many long ones as short ones of each right, or more."""
    legs = []
    for right in draw(st.lists(st.sampled_from("CP"), min_size=1, max_size=4)):
        quantity = draw(st.integers(1, 3))
        for sign in (1, -1) if draw(st.booleans()) else (1, -1, 1):
            strike, price = D(draw(st.integers(1, 60)) * 5), D(draw(st.integers(0, 200))) / 10
            legs.append(Leg(right, strike, D(sign * quantity), price, expiry=NEAR))
    return legs


@settings(max_examples=60, deadline=None)
@given(covered_books(), st.integers(20, 300))
def test_margin_is_never_below_the_worst_loss_where_all_is_covered(legs: list[Leg], spot: int) -> None:
    loss = max_loss(legs)
    assert loss is not None
    assert margin_requirement(legs, D(spot)) >= loss


@settings(max_examples=60, deadline=None)
@given(units(5), st.integers(1, 3))
def test_quantities_count_as_so_many_single_contracts(legs: list[Leg], times: int) -> None:
    together = [Leg(leg.right, leg.strike, leg.quantity * times, leg.price, leg.multiplier, leg.expiry) for leg in legs]
    assert margin_requirement(together, D(100)) == margin_requirement(legs * times, D(100))


@settings(max_examples=60, deadline=None)
@given(units(7))
def test_large_book_is_never_grouped_for_less_than_the_least(legs: list[Leg]) -> None:
    exactly = margin_requirement(legs, D(100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(margin, "MAX_WORK", 0)
        quickly = margin_requirement(legs, D(100))
    assert exactly <= quickly


def test_large_books_end() -> None:
    condor = [put(90, 7), put(95, -11), call(105, -13), call(110, 17)]
    assert margin_requirement([Leg(**{**vars(leg), "quantity": leg.quantity * 1000}) for leg in condor], D(100)) > 0
    ladder = [call(100 + step, (-1) ** step * (step + 1), "1") for step in range(30)]
    assert margin_requirement(ladder, D(100)) > 0
    assert margin_requirement([put(90, 997), put(95, -997), call(105, -997), call(110, 997)], D(100)) == 997 * 500


@pytest.mark.parametrize(
    ("legs", "spot", "reason"),
    [
        ([call(100, 1), Leg("C", D(100), D(1), underlying="QQQ")], "100", "several underlyings"),
        ([Leg("C", D(100), D("0.5"))], "100", "whole contracts"),
        ([call(100, 1)], "-1", "must not be negative"),
        ([call(100, 1)], "x", "underlying_price='x'"),
    ],
)
def test_book_without_a_margin_is_refused(legs: list[Leg], spot: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        margin_requirement(legs, spot)  # type: ignore[arg-type]


def test_options_of_another_multiplier_cover_nothing() -> None:
    legs = [call(105, -1, "2"), Leg("C", D(105), D(1), D(1), D(10), NEAR)]
    assert margin_requirement(legs, D(100)) == 1700 + 10


def test_short_call_and_put_of_different_multipliers_are_margined_apart() -> None:
    legs = [call(105, -1, "2"), Leg("P", D(95), D(-1), D(2), D(10), NEAR)]
    assert margin_requirement(legs, D(100)) == 1700 + 170


def test_equal_sides_of_a_strangle_take_the_dearer_premium() -> None:
    legs = [call(105, -1, "2"), put(96, -1, "1")]
    assert margin_requirement(legs, D(100)) == margin_requirement(legs[::-1], D(100)) == 1700 + 200
