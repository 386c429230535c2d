"""Sums of orders: however orders are parted, the parts add up to the whole; and they are kept to the last digit."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reporting import order_dictionaries, order_document, order_tally
from reporting.order_tally import SPREAD, SUMMED, Tally, coarse, total
from tests.factories import NOW
from tests.reporting.test_order_review_of_dictionaries import ORDERS


def facts(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the database has them: orders by UUID, people by number."""
    people = {"rob": 1, "ann": 2, None: None}
    return [
        {**order_dictionaries.facts_of(order), "order": uuid.UUID(int=place), "reviewer": people[order["reviewer"]]}
        for place, order in enumerate(orders)
    ]


@given(orders=ORDERS, parts=st.lists(st.integers(0, 3), min_size=12, max_size=12))
@settings(deadline=None)
def test_parts_add_up_to_the_whole(orders: list[dict[str, Any]], parts: list[int]) -> None:
    rows = facts(orders)
    whole = order_tally.tally(rows)
    parted = [
        order_tally.tally([row for row, part in zip(rows, parts, strict=False) if part == wanted])
        for wanted in range(4)
    ]
    assert total(parted) == whole
    assert total(parted[::-1]) == whole
    assert total([total(parted[:2]), Tally(), total(parted[2:])]) == whole
    assert total([]) == Tally()


@given(orders=ORDERS)
@settings(deadline=None)
def test_a_document_is_read_as_it_was_written(orders: list[dict[str, Any]]) -> None:
    tally = order_tally.tally(facts(orders))
    days, document = order_document.days_text(tally), order_document.document_text(tally)
    assert order_document.tally_of(days, document) == tally
    assert order_document.days_of(days) == tally.days


def test_a_sum_beyond_64_bits_is_kept_to_the_last_digit() -> None:
    row = {**facts([order()])[0], "value": 10**15}
    one = order_tally.tally([row])
    many = total([one] * 20_000)
    assert many.sums.total["value"] == 20_000 * 10**15 > 2**63
    text = order_document.days_text(many)
    assert order_document.days_of(text) == many.days


@given(value=st.integers(-(10**12), 10**12))
def test_a_distribution_is_off_by_two_and_a_half_percent_at_most(value: int) -> None:
    kept = coarse(value)
    assert abs(kept - value) <= 0.025 * abs(value)
    assert coarse(kept) == kept
    assert coarse(-value) == -kept
    assert kept == value or abs(value) >= 100


@pytest.mark.parametrize(("value", "kept"), [(99, 99), (102, 100), (103, 105), (-1234, -1250), (9976, 10_000)])
def test_values_go_to_the_nearest_five_of_the_third_digit(value: int, kept: int) -> None:
    assert coarse(value) == kept


def test_a_distribution_of_any_number_of_orders_has_some_hundred_values() -> None:
    # From a millisecond to a day, and slippage up to ten percent either way.
    assert len({coarse(value) for value in range(0, 86_400_000, 7)}) < 1200
    assert len({coarse(value) for value in range(-10_000, 10_001)}) < 1000


def test_the_mean_of_a_distribution_is_of_the_values_themselves() -> None:
    spread = order_tally.spread({1_010: 1, 1_030: 3})
    assert (spread.total, dict(spread.counts), spread.n) == (4_100, {1_000: 1, 1_050: 3}, 4)


def test_every_column_that_is_summed_is_in_the_whole() -> None:
    row = {**facts([order()])[0], **dict.fromkeys((*SUMMED, *SPREAD), 7)}
    twice = total([order_tally.tally([row]), order_tally.tally([{**row, "order": uuid.UUID(int=9)}])])
    assert dict(twice.sums.total) == dict.fromkeys(SUMMED, 14)
    assert {name: dict(each.counts) for name, each in twice.spreads.items()} == {name: {7: 2} for name in SPREAD}


def order(**changes: Any) -> dict[str, Any]:
    values = {
        "symbol": "SPY",
        "type": "limit",
        "quantity": 10,
        "value": 1000,
        "status": "filled",
        "created_at": NOW,
        "executed_at": NOW + timedelta(seconds=12),
        "filled_quantity": 10,
        "reviewer": None,
    }
    return {**values, **changes}
