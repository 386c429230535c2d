"""What is open besides an order: added up once, and the same as if it were added up for each by itself."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from orders.assessment import OpenOrder
from orders.open_orders import TOLD_APART, OpenOn, sum_of
from orders.surroundings import Waiting

LEG = ("sell", "put", "SPY", Decimal(440), date(2025, 12, 5), Decimal(1), 100)


def waiting(
    number: int,
    *,
    side: str = "buy",
    quantity: str = "2",
    filled: str = "0",
    loss: str | None = "10",
    legs: bool = False,
) -> Waiting:
    return Waiting(
        order_id=UUID(int=number),
        client_order_id=f"bot-{number}",
        status="approved",
        strategy="momentum",
        underlying="SPY",
        max_loss=None if loss is None else Decimal(loss),
        unbounded=loss is None,
        notional=Decimal(800),
        side="as_defined" if legs else side,
        symbol="SPY",
        price=Decimal(400),
        quantity=Decimal(quantity),
        filled=Decimal(filled),
        legs=(LEG,) if legs else (),
    )


def by_itself(orders: list[Waiting], own: UUID | None) -> tuple[OpenOrder, ...]:
    """The definition: whatever comes after the first ones is added up for this order alone."""
    others = [each for each in orders if each.order_id != own]
    first = OpenOn(others[:TOLD_APART]).others_than(None)
    rest = others[TOLD_APART:]
    return (*first, sum_of(rest).line) if rest else first


kinds = st.fixed_dictionaries(
    {
        "side": st.sampled_from(["buy", "sell"]),
        "quantity": st.sampled_from(["1", "2", "3"]),
        "filled": st.sampled_from(["0", "1", "4"]),
        "loss": st.sampled_from(["10", "2.5", None]),
        "legs": st.booleans(),
    }
)


@given(st.lists(kinds, max_size=TOLD_APART + 6), st.integers(min_value=-1, max_value=TOLD_APART + 7))
def test_each_order_sees_the_others_as_if_it_were_judged_alone(found: list[dict[str, object]], own: int) -> None:
    orders = [waiting(number, **changes) for number, changes in enumerate(found)]
    together = OpenOn(orders)
    # The sums of one must not be spoiled by another's.
    together.others_than(UUID(int=len(orders) // 2))
    order_id = None if own < 0 else UUID(int=own)
    assert together.others_than(order_id) == by_itself(orders, order_id)


def test_the_first_are_told_one_by_one_and_the_rest_in_one_sum() -> None:
    orders = [waiting(number) for number in range(TOLD_APART + 3)]
    told = OpenOn(orders).others_than(UUID(int=3))
    assert [line.client_order_id for line in told][:4] == ["bot-0", "bot-1", "bot-2", "bot-4"]
    assert (len(told), told[-1].client_order_id) == (TOLD_APART + 1, "2 older orders")
    assert (told[-1].max_loss, told[-1].legs[0].quantity) == (20, 4)


def test_a_kind_of_leg_that_only_the_order_itself_has_is_not_in_the_sum() -> None:
    orders = [*(waiting(number) for number in range(TOLD_APART + 1)), waiting(99, side="sell")]
    (leg,) = OpenOn(orders).others_than(UUID(int=99))[-1].legs
    assert leg.quantity == 2
