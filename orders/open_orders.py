"""The other open orders on an underlying, as the rules see them: the first ones one by one, the rest in one sum.

Orders that are judged together see nearly the same ones: what they have in common is added up once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from orders.assessment import Holding, OpenOrder
from orders.choices import Instrument, LegAction, Side
from orders.instruments import terms_of_symbol
from orders.surroundings import Waiting

# Of the other open orders on one underlying so many are told one by one; what the others take is told in one sum.
TOLD_APART = 20
RIGHTS = {Instrument.CALL: "C", Instrument.PUT: "P", Instrument.STOCK: "S"}
ZERO = Decimal(0)


class Kind(NamedTuple):
    """Legs that add up: long and short apart, since one of them may be filled alone."""

    right: str
    strike: Decimal | None
    expiry: date | None
    multiplier: int
    short: bool


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Several orders: of each kind of leg the signed quantity, and how many legs it is the sum of."""

    orders: int
    max_loss: Decimal
    notional: Decimal
    unbounded: int
    legs: Mapping[Kind, tuple[Decimal, int]]

    def without(self, waiting: Waiting) -> Sum:
        """The same without one of them."""
        legs = dict(self.legs)
        for kind, (quantity, number) in sum_of([waiting]).legs.items():
            held, count = legs.pop(kind)
            if count > number:
                legs[kind] = (held - quantity, count - number)
        return Sum(
            orders=self.orders - 1,
            max_loss=self.max_loss - (waiting.max_loss or ZERO),
            notional=self.notional - (waiting.notional or ZERO),
            unbounded=self.unbounded - waiting.unbounded,
            legs=legs,
        )

    @property
    def line(self) -> OpenOrder:
        return OpenOrder(
            client_order_id=f"{self.orders} older orders",
            status="live",
            strategy="",
            max_loss=self.max_loss,
            unbounded=self.unbounded > 0,
            notional=self.notional,
            legs=tuple(
                Holding(
                    right=kind.right,
                    strike=kind.strike,
                    expiry=kind.expiry,
                    quantity=quantity,
                    multiplier=kind.multiplier,
                )
                for kind, (quantity, _) in sorted(self.legs.items(), key=repr)
            ),
        )


def sum_of(waiting: Sequence[Waiting]) -> Sum:
    legs: dict[Kind, tuple[Decimal, int]] = {}
    for leg in (leg for each in waiting for leg in legs_of(each)):
        kind = Kind(leg.right, leg.strike, leg.expiry, leg.multiplier, leg.quantity < 0)
        quantity, number = legs.get(kind, (ZERO, 0))
        legs[kind] = (quantity + leg.quantity, number + 1)
    return Sum(
        orders=len(waiting),
        max_loss=sum((each.max_loss or ZERO for each in waiting), ZERO),
        notional=sum((each.notional or ZERO for each in waiting), ZERO),
        unbounded=sum(each.unbounded for each in waiting),
        legs=legs,
    )


class OpenOn:
    """The live orders on one underlying, in the order in which they are told."""

    def __init__(self, waiting: Sequence[Waiting]) -> None:
        self._waiting = waiting
        self._places = {each.order_id: place for place, each in enumerate(waiting)}
        self._told: dict[int, tuple[OpenOrder, ...]] = {}
        self._rest: dict[int, Sum] = {}

    def others_than(self, order_id: UUID | None) -> tuple[OpenOrder, ...]:
        """What somebody sees who judges that order (None: one that is not on record yet)."""
        place = None if order_id is None else self._places.get(order_id)
        # Where it is one of the first, the one after them is told in its place.
        apart = TOLD_APART + (place is not None and place < TOLD_APART)
        told, rest = self._parts(apart)
        if place is not None and place < apart:
            told = (*told[:place], *told[place + 1 :])
        elif place is not None:
            rest = rest.without(self._waiting[place])
        return (*told, rest.line) if rest.orders else told

    def _parts(self, apart: int) -> tuple[tuple[OpenOrder, ...], Sum]:
        if apart not in self._rest:
            self._told[apart] = tuple(_open_order(each) for each in self._waiting[:apart])
            self._rest[apart] = sum_of(self._waiting[apart:])
        return self._told[apart], self._rest[apart]


def _open_order(waiting: Waiting) -> OpenOrder:
    return OpenOrder(
        client_order_id=waiting.client_order_id,
        status=waiting.status,
        strategy=waiting.strategy,
        max_loss=waiting.max_loss,
        unbounded=waiting.unbounded,
        notional=waiting.notional,
        legs=tuple(legs_of(waiting)),
    )


def legs_of(waiting: Waiting) -> list[Holding]:
    """What is still to be filled of it."""
    left = max(Decimal(0), waiting.quantity - waiting.filled)
    if not waiting.legs:
        own = terms_of_symbol(waiting.symbol)
        signed = -left if waiting.side == Side.SELL else left
        return [
            Holding(
                right=own.right,
                strike=own.strike,
                expiry=own.expiry,
                quantity=signed,
                multiplier=own.multiplier,
                price=waiting.price,
                strategy=waiting.strategy,
            )
        ]
    return [
        Holding(
            right=RIGHTS[instrument],  # type: ignore[index]  # the word of the enumeration
            strike=strike,
            expiry=expiry,
            quantity=(-quantity if action == LegAction.SELL else quantity) * left / waiting.quantity,
            multiplier=multiplier,
            strategy=waiting.strategy,
        )
        for action, instrument, _, strike, expiry, quantity, multiplier in waiting.legs
    ]
