"""What the rules see and what they say: pure values."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from orders.choices import TradingState
from orders.plain_values import as_plain, from_plain

POINT = Decimal("0.01")


class Severity(StrEnum):
    INFO = "info"
    WARN = "warn"
    BLOCK = "block"


@dataclass(frozen=True, kw_only=True)
class Quote:
    """The last known market price of a symbol, at the time `at` (aware)."""

    symbol: str
    price: Decimal
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What is held of one instrument, or a leg of an order that is not filled yet.

    `right` is C, P or S (the stock); `quantity` is positive for long and negative for short; `price` is what one unit
    cost (None where it is not known); `strategy` is the one it belongs to.
    """

    right: str
    strike: Decimal | None
    expiry: date | None
    quantity: Decimal
    multiplier: int
    price: Decimal | None = None
    strategy: str = ""


@dataclass(frozen=True, kw_only=True)
class OpenOrder:
    """Another order on the same underlying that is open, as if it were filled. `max_loss` None: see `unbounded`."""

    client_order_id: str
    status: str
    strategy: str
    max_loss: Decimal | None
    unbounded: bool
    notional: Decimal | None
    legs: tuple[Holding, ...]


@dataclass(frozen=True, kw_only=True)
class Commitment:
    """What the other open orders of one strategy on one underlying add up to, as if they were filled, money in account
    currency. `unbounded` and `unknown` count those whose worst-case loss has no bound or can't be told.
    """

    strategy: str
    underlying: str
    orders: int
    max_loss: Decimal
    unbounded: int = 0
    unknown: int = 0


@dataclass(frozen=True, kw_only=True)
class BookEntry:
    """The positions of one strategy in one underlying: their worst-case loss at expiry net of what they cost.

    None where it has no bound; the whole book is a tuple of these.
    """

    strategy: str
    underlying: str
    max_loss: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Override:
    """One rule of this order, set aside by a second person until `expires_at` (aware)."""

    code: str
    given_by: str
    reason: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything outside the order that the rules see, at the moment `now`; None where it is not on record.

    Money in account currency; `iv_rank` from 0 to 1; people by user name. `holdings` and `open_orders` are those on
    the order's own underlying; `book` and `commitments` are the whole account's, the order itself left out.
    """

    now: datetime
    quote: Quote | None = None
    underlying_quote: Quote | None = None
    equity: Decimal | None = None
    equity_at: datetime | None = None
    equity_high: Decimal | None = None
    equity_high_at: datetime | None = None
    iv_rank: Decimal | None = None
    iv_rank_at: datetime | None = None
    created_by: str = ""
    reviewer: str = ""
    trading_state: TradingState = TradingState.ACTIVE
    holdings: tuple[Holding, ...] = ()
    open_orders: tuple[OpenOrder, ...] = ()
    book: tuple[BookEntry, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    pairs: int | None = None
    """How many pairs of strategy and underlying `book` and `commitments` hold between them, where one line without a
    name stands for all other underlyings; None where each pair has a line of its own.
    """
    staged_today: Commitment | None = None
    """All strategies together (its names are empty): what was staged since midnight in New York and still stands."""
    duplicates: tuple[str, ...] = ()
    """client_order_ids of equal orders that stand, staged within the policy's window before `now`."""
    orders_in_window: int = 0
    """Orders of the same strategy that were staged within the policy's window before `now`, whatever became of them."""
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """One rule's word on one order. `measured` and `limit` are texts with their unit, empty where there is none."""

    code: str
    severity: Severity
    message: str
    citation: str
    points: Decimal = Decimal(0)
    measured: str = ""
    limit: str = ""
    applicable: bool = True
    overridden: str = ""
    """Who set this rule aside for this order, until when and why; it then warns instead of blocking."""


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """A score from 0 to 100 that is the sum of its contributions' points."""

    score: Decimal
    contributions: tuple[Contribution, ...]

    @property
    def violations(self) -> tuple[Contribution, ...]:
        """The contributions that block or warn."""
        return tuple(item for item in self.contributions if item.severity != Severity.INFO)

    @property
    def blocks(self) -> tuple[Contribution, ...]:
        return tuple(item for item in self.contributions if item.severity == Severity.BLOCK)


def scored(contributions: Sequence[Contribution]) -> Assessment:
    return Assessment(
        score=sum((item.points for item in contributions), Decimal(0)), contributions=tuple(contributions)
    )


def assessment_as_json(assessment: Assessment) -> dict[str, Any]:
    """Numbers as strings: they are exact, and JSON's are not."""
    return {"score": str(assessment.score), "contributions": as_plain(assessment.contributions)}


def context_as_json(context: Context) -> dict[str, Any]:
    """What the rules saw, so that a decision can be explained, and made again, later."""
    return typing.cast(dict[str, Any], as_plain(context))


def context_from_json(document: dict[str, Any]) -> Context:
    return from_plain(Context, document)
