"""What a set of legs is called."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.options import Leg, identify_strategy, is_strategy
from orders.options.strategies import NAMES

D = Decimal
NEAR, FAR = date(2025, 12, 5), date(2026, 1, 16)


def call(strike: int, quantity: int, expiry: date | None = NEAR) -> Leg:
    return Leg("C", D(strike), D(quantity), expiry=expiry)


def put(strike: int, quantity: int, expiry: date | None = NEAR) -> Leg:
    return Leg("P", D(strike), D(quantity), expiry=expiry)


def shares(quantity: int) -> Leg:
    return Leg("S", None, D(quantity), multiplier=D(1))


CASES = [
    ("long_call", [call(100, 3)]),
    ("short_call", [call(100, -1)]),
    ("long_put", [put(100, 1)]),
    ("short_put", [put(100, -2)]),
    ("long_stock", [shares(100)]),
    ("short_stock", [shares(-30)]),
    ("covered_call", [shares(200), call(105, -2)]),
    ("protective_put", [shares(100), put(95, 1)]),
    ("covered_put", [shares(-100), put(95, -1)]),
    ("protective_call", [shares(-100), call(105, 1)]),
    ("collar", [shares(100), put(95, 1), call(105, -1)]),
    ("bull_call_spread", [call(100, 1), call(105, -1)]),
    ("bear_call_spread", [call(100, -1), call(105, 1)]),
    ("bull_put_spread", [put(95, 1), put(100, -1)]),
    ("bear_put_spread", [put(95, -1), put(100, 1)]),
    ("straddle", [call(100, 2), put(100, 2)]),
    ("straddle", [call(100, -1), put(100, -1)]),
    ("strangle", [call(105, -1), put(95, -1)]),
    ("calendar", [call(100, -1), call(100, 1, FAR)]),
    ("diagonal", [put(95, -1), put(90, 1, FAR)]),
    ("ratio_spread", [call(100, 1), call(105, -2)]),
    ("butterfly", [call(95, 1), call(100, -2), call(105, 1)]),
    ("butterfly", [put(95, -1), put(100, 2), put(105, -1)]),
    ("broken_wing_butterfly", [call(95, 1), call(100, -2), call(110, 1)]),
    ("condor", [call(95, 1), call(100, -1), call(105, -1), call(110, 1)]),
    ("iron_condor", [put(90, 2), put(95, -2), call(105, -2), call(120, 2)]),
    ("iron_butterfly", [put(90, 1), put(100, -1), call(100, -1), call(110, 1)]),
    ("reverse_iron_condor", [put(90, -1), put(95, 1), call(105, 1), call(110, -1)]),
    ("reverse_iron_butterfly", [put(90, -1), put(100, 1), call(100, 1), call(110, -1)]),
    ("box", [call(95, 1), put(95, -1), call(105, -1), put(105, 1)]),
    ("box", [call(95, -1), put(95, 1), call(105, 1), put(105, -1)]),
    ("custom", []),
    ("custom", [call(100, 1), call(100, -1)]),
    ("custom", [call(100, 1), put(100, -1)]),
    ("custom", [call(95, 1), put(105, 1)]),
    ("custom", [call(100, 1), put(100, 1, FAR)]),
    ("custom", [call(100, 2), put(100, 1)]),
    ("custom", [call(100, 1), call(105, 1)]),
    ("custom", [call(100, -1, None), call(100, 1)]),
    ("custom", [call(100, -1), call(100, 2, FAR)]),
    ("custom", [shares(150), call(105, -1)]),
    ("custom", [shares(100), call(95, -1), put(105, 1)]),
    ("custom", [shares(100), put(100, 1), call(100, -1)]),
    ("custom", [put(90, 1), put(95, -1), call(105, -1), call(110, 1, FAR)]),
    ("custom", [put(95, 1), put(90, -1), call(105, -1), call(110, 1)]),
    ("custom", [put(90, 1), put(106, -1), call(105, -1), call(110, 1)]),
    ("custom", [put(90, 2), put(95, -1), call(105, -1), call(110, 1)]),
    ("custom", [call(95, 1), call(100, -1), call(105, 1), call(110, -1)]),
    ("custom", [call(95, 1), put(95, -1), call(105, 1), put(105, -1)]),
    ("custom", [call(95, 1), call(100, -3), call(105, 1)]),
    ("custom", [call(90 + step, 1) for step in range(5)]),
    ("custom", [call(100, 1), Leg("C", D(105), D(-1), expiry=NEAR, underlying="QQQ")]),
    ("custom", [call(100, 1), Leg("C", D(105), D(-1), multiplier=D(10), expiry=NEAR)]),
]


@pytest.mark.parametrize(("name", "legs"), CASES)
def test_strategy_is_named(name: str, legs: list[Leg]) -> None:
    assert identify_strategy(legs) == name


def test_every_name_is_tried() -> None:
    assert {name for name, _ in CASES} == NAMES | {"custom"}


@given(st.sampled_from(CASES), st.randoms(), st.integers(1, 5))
def test_name_depends_on_neither_order_nor_size_nor_lots(case: tuple[str, list[Leg]], random, times: int) -> None:
    name, legs = case
    many = [leg for leg in legs for _ in range(times)]
    random.shuffle(many)
    assert identify_strategy(many) == name


@pytest.mark.parametrize(
    ("name", "legs", "expected"),
    [
        ("put_credit_spread", [put(95, 1), put(100, -1)], True),
        ("put_credit_spread", [put(95, -1), put(100, 1)], False),
        ("call_credit_spread", [call(100, -1), call(105, 1)], True),
        ("call_debit_spread", [call(100, 1), call(105, -1)], True),
        ("put_debit_spread", [put(95, -1), put(100, 1)], True),
        ("straddle", [call(100, -1), put(100, -1)], True),
        ("long_straddle", [call(100, 1), put(100, 1)], True),
        ("long_straddle", [call(100, -1), put(100, -1)], False),
        ("short_strangle", [call(105, -1), put(95, -1)], True),
        ("long_calendar", [call(100, -1), call(100, 1, FAR)], True),
        ("long_butterfly", [call(95, 1), call(100, -2), call(105, 1)], True),
        ("short_butterfly", [call(95, 1), call(100, -2), call(105, 1)], False),
        ("iron_condor", [put(90, 1), put(95, -1), call(105, -1)], False),
        ("momentum", [call(100, 1)], None),
        ("long_term", [call(100, 1)], None),
    ],
)
def test_names_of_the_bot_are_understood(name: str, legs: list[Leg], expected: bool | None) -> None:
    assert is_strategy(legs, name) is expected
