"""The market then and now, and what waiting has cost."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest

from orders.assessment import Context, Quote
from orders.market_context import MarketContext, Reading, Snapshot, market_context, not_waited, snapshot_of, waited
from tests.factories import NOW

LATER = NOW + timedelta(minutes=20)


def seen(price: str | None, at: datetime = NOW) -> Snapshot:
    quote = None if price is None else Quote(symbol="SPY", price=D(price), at=at - timedelta(seconds=9))
    equity_at = NOW - timedelta(hours=3)
    return snapshot_of(Context(now=at, quote=quote, equity=D(100_000), equity_at=equity_at), "When staged")


def compared(*snapshots: Snapshot) -> MarketContext:
    return market_context(snapshots, symbols=("SPY",), waiting=not_waited("It waits no more."), unavailable="")


def test_each_value_stands_with_its_age_and_what_it_changed_by() -> None:
    found = compared(seen("449.80"), seen("450.65", LATER))
    spy, rank, equity = found.rows
    assert [(cell.value, cell.age) for cell in spy.cells] == [("449.8", "9 s old"), ("450.65", "9 s old")]
    assert spy.change == "+0.85 (+18.9 bps)"
    assert [cell.value for cell in rank.cells] == ["not on record", "not on record"]
    assert rank.change == "n/a"
    assert (equity.cells[0].age, equity.change) == ("3 h old", "unchanged")
    assert [column.value for column in found.columns] == ["When staged", "When staged"]


def test_a_quote_that_was_not_on_record_is_said_and_not_compared() -> None:
    row = compared(seen(None), seen("450.65", LATER)).rows[0]
    assert (row.cells[0].value, row.cells[0].age, row.change) == ("not on record", "", "n/a")


def test_the_rank_has_no_basis_points() -> None:
    then, now = (
        Snapshot(name="", at=NOW, quotes={}, equity=Reading(value=None), iv_rank=Reading(value=D(value)))
        for value in ("0.42", "0.44")
    )
    assert compared(then, now).rows[1].change == "+0.02"


def test_the_underlying_is_known_beside_the_options_own_quote() -> None:
    context = Context(
        now=NOW,
        quote=Quote(symbol="SPY   251219P00440000", price=D("1.25"), at=NOW),
        underlying_quote=Quote(symbol="SPY", price=D("449.80"), at=NOW),
    )
    assert set(snapshot_of(context, "x").quotes) == {"SPY", "SPY   251219P00440000"}


@pytest.mark.parametrize(
    ("side", "then", "now", "money", "bps", "tone"),
    [
        ("buy", "400", "401", "+200.00", "+25.0 bps", "bad"),
        ("sell", "400", "401", "-200.00", "-25.0 bps", "good"),
        ("buy", "401", "400", "-200.00", "-24.9 bps", "good"),
        ("buy", "400", "400", "+0.00", "+0.0 bps", "muted"),
        # A combination whose credit has grown: waiting has paid.
        ("buy", "-1.25", "-2.47", "-244.00", "no basis points at a credit", "good"),
        ("buy", "-1.25", "-1.05", "+40.00", "no basis points at a credit", "bad"),
    ],
)
def test_waiting_costs_what_the_price_moved_against_us(
    side: str, then: str, now: str, money: str, bps: str, tone: str
) -> None:
    found = waited(
        side=side, price_then=D(then), price_now=D(now), quantity=D(2), multiplier=100, name_then="when staged"
    )
    assert (found.money, found.basis_points, found.tone) == (money, bps, tone)
    assert found.reason == f"{then} when staged, {now} now. Positive is a cost."
