"""An order as signed legs that together cost its net price."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal as D

import pytest

from orders.choices import Instrument, LegAction, Side
from orders.options import max_loss
from orders.options.legs import net_premium
from orders.order_legs import legs_of, net_unit_price, osi_of
from orders.ticket import Ticket, TicketLeg
from tests.factories import EXPIRY, iron_condor, ticket


def test_a_credit_stands_on_a_short_leg_and_a_debit_on_a_long_one() -> None:
    credit = legs_of(iron_condor(), D("-1.20"))
    assert [leg.price for leg in credit] == [0, D("1.20"), 0, 0]
    assert net_premium(credit) == D(-120)
    assert max_loss(credit) == D(380)
    debit = legs_of(iron_condor(), D("1.20"))
    assert [leg.price for leg in debit] == [D("1.20"), 0, 0, 0]
    assert net_premium(debit) == D(120)


def test_the_net_price_counts_once_for_each_combination() -> None:
    one = iron_condor()
    three = replace(one, quantity=D(3), legs=tuple(replace(leg, quantity=D(3)) for leg in one.legs))
    assert net_premium(legs_of(three, D("-1.20"))) == D(-360)
    assert net_premium(legs_of(three, None)) == 0


def test_a_covered_call_pays_its_net_price_per_share() -> None:
    call = TicketLeg(
        action=LegAction.SELL, instrument=Instrument.CALL, symbol="SPY", strike=D(460), expiry=EXPIRY, quantity=D(1)
    )
    shares = TicketLeg(action=LegAction.BUY, instrument=Instrument.STOCK, symbol="SPY", quantity=D(100), multiplier=1)
    order = ticket(side=Side.AS_DEFINED, quantity=D(1), price=D("445.50"), legs=(shares, call))
    legs = legs_of(order, order.price)
    assert net_premium(legs) == D(44550)
    assert [leg.right for leg in legs if leg.price] == ["S"]


def test_a_single_option_keeps_its_expiry_and_its_osi_symbol() -> None:
    order = ticket(symbol="SPY   251219P00440000", side=Side.SELL, price=D("1.25"))
    (leg,) = legs_of(order, order.price)
    assert (leg.quantity, leg.price, leg.expiry, leg.underlying) == (D(-2), D("1.25"), date(2025, 12, 19), "SPY")
    assert osi_of(leg) == "SPY   251219P00440000"


@pytest.mark.parametrize(
    ("changes", "why"), [({"expiry": None}, "no expiry"), ({"underlying": "TOOLONGROOT"}, "no root of an option")]
)
def test_an_option_that_no_quote_can_name_has_no_osi_symbol(changes: dict[str, object], why: str) -> None:
    leg = legs_of(iron_condor(), None)[0]
    assert osi_of(replace(leg, **changes)) == "", why


def test_a_combination_costs_what_its_legs_do() -> None:
    order: Ticket = iron_condor()
    assert net_unit_price(order, [D("2"), D("3"), D("2.5"), D("1.3")]) == D("-2.2")
    assert net_unit_price(order, [D("2"), None, D("2.5"), D("1.3")]) is None
