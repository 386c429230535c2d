"""What the rules see and what they say: pure values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

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
class Context:
    """Everything outside the order that the rules see, at the moment `now`; None where it is not on record.

    Money in account currency; `iv_rank` from 0 to 1; people by user name.
    """

    now: datetime
    quote: Quote | None = None
    equity: Decimal | None = None
    equity_at: datetime | None = None
    iv_rank: Decimal | None = None
    iv_rank_at: datetime | None = None
    created_by: str = ""
    reviewer: str = ""


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


def contribution_as_json(item: Contribution) -> dict[str, Any]:
    """Numbers as strings: they are exact, and JSON's are not."""
    return {
        "code": item.code,
        "severity": str(item.severity),
        "message": item.message,
        "citation": item.citation,
        "points": str(item.points),
        "measured": item.measured,
        "limit": item.limit,
        "applicable": item.applicable,
    }


def assessment_as_json(assessment: Assessment) -> dict[str, Any]:
    return {
        "score": str(assessment.score),
        "contributions": [contribution_as_json(item) for item in assessment.contributions],
    }


def context_as_json(context: Context) -> dict[str, Any]:
    """What the rules saw, so that a decision can be explained later."""
    quote = context.quote
    return {
        "now": context.now.isoformat(),
        "quote": {"symbol": quote.symbol, "price": str(quote.price), "at": quote.at.isoformat()} if quote else None,
        "equity": _text(context.equity),
        "equity_at": _text(context.equity_at),
        "iv_rank": _text(context.iv_rank),
        "iv_rank_at": _text(context.iv_rank_at),
        "created_by": context.created_by,
        "reviewer": context.reviewer,
    }


def _text(value: Decimal | datetime | None) -> str | None:
    if value is None:
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value)
