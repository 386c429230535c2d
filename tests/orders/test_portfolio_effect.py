"""What an order does to what is held: each figure before and after, or why there is none."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest

from orders.assessment import BookEntry, Commitment, Context, Holding, OpenOrder
from orders.options import Leg, greeks
from orders.order_legs import legs_of, osi_of
from orders.payoff_curve import years_until
from orders.portfolio_effect import EffectRow, Loss, Market, PortfolioEffect, portfolio_effect
from tests.factories import EXPIRY, NOW, iron_condor

CONDOR = legs_of(iron_condor(), D("-1.20"))
SHORT_CALL = Holding(right="C", strike=D(470), expiry=EXPIRY, quantity=D(-1), multiplier=100, price=D("1.50"))
SHARES = Holding(right="S", strike=None, expiry=None, quantity=D(100), multiplier=1, price=D(400))


def effect(
    legs: list[Leg], *, spot: str | None = "450", volatility: float | None = 0.2, loss: Loss | None = None, **seen: Any
) -> PortfolioEffect:
    context = Context(now=NOW, **seen)
    held = [leg for leg in (SHORT_CALL,) if leg in seen.get("holdings", ())]
    options = [*legs, *(Leg(h.right, h.strike, h.quantity, expiry=h.expiry, underlying="SPY") for h in held)]
    known = {} if volatility is None else {osi_of(leg): volatility for leg in options if leg.right != "S"}
    market = Market(spot=D(spot) if spot else None, volatilities=known, at=NOW)
    return portfolio_effect(context, legs, underlying="SPY", loss=loss or Loss(amount=D(380)), market=market)


def here(found: PortfolioEffect) -> dict[str, EffectRow]:
    return {row.label: row for row in found.here}


def book(found: PortfolioEffect) -> dict[str, EffectRow]:
    return {row.label: row for row in found.book}


def told(row: EffectRow) -> tuple[str, str, str]:
    return row.before, row.after, row.change


def test_a_condor_on_nothing_adds_its_loss_and_its_margin() -> None:
    rows = here(effect(CONDOR))
    assert told(rows["Worst-case loss"]) == ("0.00", "380.00", "+380.00")
    assert told(rows["Margin"]) == ("0.00", "500.00", "+500.00")
    assert rows["Worst-case loss"].unit == "account currency"


def test_an_order_that_covers_what_is_held_takes_loss_and_margin_away() -> None:
    long_call = [Leg("C", D(475), D(1), D("1.00"), D(100), EXPIRY, "SPY")]
    rows = here(effect(long_call, holdings=(SHORT_CALL,)))
    assert told(rows["Worst-case loss"]) == ("unbounded", "450.00", "n/a")
    assert not rows["Worst-case loss"].unbounded
    margin = rows["Margin"]
    assert D(margin.after.replace(",", "")) < D(margin.before.replace(",", ""))
    assert margin.change.startswith("-")


def test_what_becomes_unbounded_is_called_out() -> None:
    naked = [Leg("C", D(470), D(-1), D("2.10"), D(100), EXPIRY, "SPY")]
    row = here(effect(naked))["Worst-case loss"]
    assert told(row) == ("0.00", "unbounded", "n/a")
    assert row.unbounded
    # The shares that are held cover it.
    assert not here(effect(naked, holdings=(SHARES,)))["Worst-case loss"].unbounded


def test_contracts_are_netted_for_the_margin() -> None:
    bought_back = Leg("C", D(470), D(1), D("1.00"), D(100), EXPIRY, "SPY")
    assert told(here(effect([bought_back], holdings=(SHORT_CALL,)))["Margin"])[1] == "0.00"


def test_a_book_that_takes_too_long_to_group_has_no_margin_and_says_so() -> None:
    many = tuple(
        Holding(right="P", strike=D(300 + strike), expiry=EXPIRY, quantity=D(1), multiplier=100, price=D(1))
        for strike in range(25)
    )
    assert here(effect([], holdings=many))["Margin"].before == (
        "n/a: 25 contracts are more than the 24 that a page has the time to group"
    )


def test_open_orders_count_as_if_they_were_filled() -> None:
    waiting = OpenOrder(
        client_order_id="o-1",
        status="pending_review",
        strategy="short_call",
        max_loss=None,
        unbounded=True,
        notional=None,
        legs=(SHORT_CALL,),
    )
    found = effect(CONDOR, open_orders=(waiting,))
    assert here(found)["Worst-case loss"].before == "unbounded"
    assert [(line.what, line.quantity, line.whose) for line in found.held] == [
        ("call 470 2025-12-05", "-1", "order o-1 (pending review)")
    ]


def test_greeks_are_net_and_in_their_units() -> None:
    leg = Leg("C", D(450), D(2), D("3.00"), D(100), EXPIRY, "SPY")
    rows = here(effect([leg], holdings=(SHARES,)))
    one = greeks("C", 450, 450, years_until(EXPIRY, NOW), 0, 0.2)
    assert told(rows["Delta"]) == ("100.00", f"{100 + 200 * one.delta:,.2f}", f"{200 * one.delta:+,.2f}")
    assert rows["Vega"].after == f"{200 * one.vega:,.2f}"
    assert rows["Theta"].change == f"{200 * one.theta:+,.2f}"
    assert [rows[name].unit for name in ("Delta", "Gamma", "Vega", "Theta")] == [
        "shares",
        "shares per 1 of spot",
        "account currency per volatility point",
        "account currency per calendar day",
    ]


@pytest.mark.parametrize(
    ("changes", "label", "reason"),
    [
        ({"volatility": None}, "Delta", "n/a: no implied volatility is on record for 4 of 4 options"),
        ({"spot": None}, "Delta", "n/a: no price of the underlying is on record"),
        ({"spot": None}, "Margin", "n/a: no price of the underlying is on record"),
    ],
)
def test_a_figure_that_cannot_be_told_says_why(changes: dict[str, Any], label: str, reason: str) -> None:
    row = here(effect(CONDOR, **changes))[label]
    assert (row.after, row.change) == (reason, "n/a")


def test_legs_whose_premium_is_not_known_are_counted_and_said() -> None:
    found = effect(CONDOR, holdings=(Holding(right="P", strike=D(400), expiry=EXPIRY, quantity=D(1), multiplier=100),))
    assert here(found)["Worst-case loss"].note == "at expiry; the premium of 1 legs is not known and not counted"


def test_the_book_is_the_sum_of_every_worst_case_and_its_share_of_the_equity() -> None:
    found = effect(
        CONDOR,
        equity=D(100_000),
        book=(BookEntry(strategy="iron_condor", underlying="QQQ", max_loss=D(900)),),
        commitments=(Commitment(strategy="momentum", underlying="IWM", orders=2, max_loss=D(720)),),
    )
    rows = book(found)
    assert told(rows["Worst-case loss"]) == ("1,620.00", "2,000.00", "+380.00")
    assert told(rows["Of the equity"]) == ("1.62", "2.00", "+0.38")
    assert told(rows["Margin"]) == ("n/a", "n/a", "+500.00")
    assert rows["Margin"].note == "the total needs the price of every underlying; only SPY changes"


def commitment(**changes: int) -> Commitment:
    return Commitment(strategy="x", underlying="IWM", orders=3, max_loss=D(1), **changes)


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({"book": (BookEntry(strategy="x", underlying="QQQ", max_loss=None),)}, "unbounded", "unbounded"),
        ({"commitments": (commitment(unbounded=1),)}, "unbounded", "unbounded"),
        (
            {"commitments": (commitment(unknown=2),)},
            "n/a: the loss of 2 open orders is not known",
            "n/a: the loss of 2 open orders is not known",
        ),
        ({"loss": Loss(amount=None)}, "0.00", "unbounded"),
        ({"loss": Loss(amount=None, unknown="no price")}, "0.00", "n/a: no price"),
    ],
)
def test_one_member_without_a_figure_leaves_the_book_without_one(
    changes: dict[str, Any], before: str, after: str
) -> None:
    row = book(effect(CONDOR, **changes))["Worst-case loss"]
    assert told(row)[:2] == (before, after)


def test_without_equity_there_is_no_share_of_it() -> None:
    assert book(effect(CONDOR))["Of the equity"].after == "n/a: no equity of the account is on record"


def test_an_option_of_another_expiry_is_another_contract() -> None:
    later = Holding(right="C", strike=D(470), expiry=date(2026, 1, 16), quantity=D(-1), multiplier=100, strategy="diag")
    assert effect(CONDOR, holdings=(later,)).held[0].what == "call 470 2026-01-16"
