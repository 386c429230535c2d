"""A fill as values, before it is a row. Pure; a fill that exists is well-formed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from orders.ticket import MAX_PRICE, MAX_QUANTITY, PRICE_STEP, QUANTITY_STEP, InvalidTicket, check_number, check_text

# Long before any fill; ids made from a time begin in 1970.
EARLIEST_YEAR = 1971


@dataclass(frozen=True, kw_only=True)
class Fill:
    """What a broker reports. `quantity` in shares, contracts or combinations; `leg` the position of the leg (from 1)
    that was filled, None for the order as a whole. Negative prices are legal for combinations. Raises InvalidTicket.
    """

    execution_id: str
    price: Decimal
    quantity: Decimal
    executed_at: datetime
    fees: Decimal = Decimal(0)
    venue: str = ""
    broker_order_id: str = ""
    leg: int | None = None

    def __post_init__(self) -> None:
        for name, limit in (("execution_id", 128), ("venue", 64), ("broker_order_id", 128)):
            check_text(name, getattr(self, name), limit)
        if not self.execution_id.strip():
            raise InvalidTicket("execution_id", self.execution_id, "the broker's id of the fill is needed")
        check_number("price", self.price, low=-MAX_PRICE, high=MAX_PRICE, step=PRICE_STEP)
        check_number("quantity", self.quantity, low=QUANTITY_STEP, high=MAX_QUANTITY, step=QUANTITY_STEP)
        check_number("fees", self.fees, low=-MAX_PRICE, high=MAX_PRICE, step=PRICE_STEP)
        if self.executed_at.tzinfo is None:
            raise InvalidTicket("executed_at", self.executed_at, "needs a time zone")
        if self.executed_at.year < EARLIEST_YEAR:
            raise InvalidTicket("executed_at", self.executed_at, f"is before {EARLIEST_YEAR}")
