"""What reports add up of one order, as whole numbers, made when its row is written. Pure.

Money is in ten-thousandths of the account currency, slippage in tenths of a basis point or of a percent, points and
scores in hundredths, times in milliseconds to three significant digits. Whole numbers add up exactly, and fast, on
every engine; few different ones make a distribution that a database counts quickly. None where something is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import IntEnum
from typing import Any

from orders.choices import AT_BROKER, TERMINAL, OrderStatus, Side
from orders.execution_quality import slippage_bps, slippage_money, slippage_of_spread
from orders.instruments import terms_of_symbol
from orders.rule_registry import Module, rules_of
from orders.standing import trading_day

# Of larger amounts ten thousand would no longer fit into a sum of 64 bits.
LARGEST_MONEY = Decimal(10) ** 11
LARGEST_TENTHS = 10**9
POINTS = {rule.code: f"points_{rule.code.lower()}" for rule in rules_of(Module.RISK)}
"""The column of each rule that adds to the risk score."""


class Stage(IntEnum):
    """How far an order came, whatever it is now. Each stage includes those before it."""

    STAGED = 0
    DECIDED = 1
    APPROVED = 2
    SUBMITTED = 3
    FILLED_PARTLY = 4
    FILLED = 5


@dataclass(frozen=True, kw_only=True)
class Known:
    """The values of an order's row that facts are made of; by the names of its columns."""

    symbol: str
    side: str
    status: str
    quantity: Decimal
    created_at: datetime
    price: Decimal | None = None
    notional: Decimal | None = None
    risk_score: Decimal | None = None
    compliance_score: Decimal | None = None
    performance_score: Decimal | None = None
    decision_price: Decimal | None = None
    approval_price: Decimal | None = None
    arrival_price: Decimal | None = None
    arrival_bid: Decimal | None = None
    arrival_ask: Decimal | None = None
    end_price: Decimal | None = None
    reviewed_at: datetime | None = None
    submitted_at: datetime | None = None
    filled_quantity: Decimal = Decimal(0)
    average_fill_price: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class FillSums:
    """What the fills of an order that hold add up to beside quantity and price; no times where there are none."""

    fees: Decimal = Decimal(0)
    first_at: datetime | None = None
    last_at: datetime | None = None

    def and_one_more(self, fees: Decimal, at: datetime) -> FillSums:
        return FillSums(
            fees=self.fees + fees,
            first_at=at if self.first_at is None else min(at, self.first_at),
            last_at=at if self.last_at is None else max(at, self.last_at),
        )


COLUMNS = tuple(each.name for each in fields(Known))


def of_order(known: Known) -> dict[str, Any]:
    """The columns that follow from the order's row alone."""
    filled, ordered = known.filled_quantity, known.quantity
    stage = stage_of(known)
    return {
        "status": known.status,
        "stage": stage,
        "day": trading_day(known.created_at),
        "value": money(known.notional),
        "risk_score": _hundredths(known.risk_score),
        "compliance_score": _hundredths(known.compliance_score),
        "performance_score": _hundredths(known.performance_score),
        "fill_share": _share(filled, ordered) if stage >= Stage.SUBMITTED else None,
        "overfilled": filled > ordered,
        "review_ms": between(known.created_at, known.reviewed_at),
        "broker_ms": between(known.reviewed_at, known.submitted_at),
        **_slippages(known),
        "spread_slippage": _spread_slippage(known),
        **_costs(known),
        "opportunity": _opportunity(known),
    }


def of_fills(known: Known, sums: FillSums) -> dict[str, Any]:
    """The columns that follow from the fills beside their quantity and price."""
    return {
        "fees": money(sums.fees) if sums.first_at else None,
        "fill_ms": between(known.submitted_at, sums.first_at),
        "execution_ms": between(known.created_at, sums.last_at),
    }


def of_event(seen: Mapping[str, Any]) -> dict[str, int]:
    """What each rule added to the risk score, from what an event of the trail keeps; empty where no rule was run."""
    assessed = seen.get("risk")
    if not isinstance(assessed, Mapping):
        return {}
    found = dict.fromkeys(POINTS.values(), 0)
    for item in assessed["contributions"]:
        if (column := POINTS.get(item["code"])) is not None:
            found[column] = _hundredths(Decimal(item["points"])) or 0
    return found


def stage_of(known: Known) -> Stage:
    if known.filled_quantity > 0:
        return Stage.FILLED if known.filled_quantity >= known.quantity else Stage.FILLED_PARTLY
    if known.submitted_at or known.status in AT_BROKER or known.status == OrderStatus.BROKER_REJECTED:
        return Stage.SUBMITTED
    if known.status == OrderStatus.REJECTED:
        return Stage.DECIDED
    return Stage.APPROVED if known.reviewed_at or known.status == OrderStatus.APPROVED else Stage.STAGED


def money(amount: Decimal | None) -> int | None:
    """None too for what is beyond LARGEST_MONEY."""
    if amount is None or abs(amount) > LARGEST_MONEY:
        return None
    return int(amount.scaleb(4).to_integral_value(ROUND_HALF_EVEN))


def between(since: datetime | None, until: datetime | None) -> int | None:
    """Milliseconds to three significant digits; 0 where clocks of two machines put the end before the beginning."""
    if since is None or until is None:
        return None
    whole = max(0, (until - since) // timedelta(milliseconds=1))
    unit: int = 10 ** max(0, len(str(whole)) - 3)
    return (whole + unit // 2) // unit * unit


def _hundredths(score: Decimal | None) -> int | None:
    return None if score is None else int((score * 100).to_integral_value(ROUND_HALF_EVEN))


def _share(filled: Decimal, ordered: Decimal) -> int:
    """In ten-thousandths, rounded down: 1 is for what is filled whole."""
    return int(min(filled, ordered) * 10_000 / ordered)


def _slippages(known: Known) -> dict[str, int | None]:
    """Of the average fill. A combination has no market price of its own, so that it has its limit's alone."""
    side = side_of(known.side)
    benchmarks = {
        "decision_slippage": known.decision_price,
        "arrival_slippage": known.arrival_price,
        "limit_slippage": known.price,
    }
    return {name: _tenths(side, known.average_fill_price, price) for name, price in benchmarks.items()}


def _tenths(side: str, fill: Decimal | None, benchmark: Decimal | None) -> int | None:
    if fill is None or benchmark is None or benchmark <= 0:
        return None
    return _bounded(slippage_bps(side, fill, benchmark))


def _bounded(slippage: Decimal) -> int | None:
    tenths = int((slippage * 10).to_integral_value(ROUND_HALF_EVEN))
    return tenths if abs(tenths) <= LARGEST_TENTHS else None


def _spread_slippage(known: Known) -> int | None:
    """0 at the middle of the quote at the arrival, 50 % at its far side. None without a quote that has a spread."""
    bid, ask, fill = known.arrival_bid, known.arrival_ask, known.average_fill_price
    if bid is None or ask is None or fill is None:
        return None
    found = slippage_of_spread(side_of(known.side), fill, (bid + ask) / 2, bid, ask)
    return None if found is None else _bounded(found)


def _costs(known: Known) -> dict[str, int | None]:
    """The waterfall of what was filled, from the decision to the fill; all parts, or none where a price is missing."""
    unknown: dict[str, int | None] = dict.fromkeys(("decided_value", "review_delay", "broker_delay", "execution"))
    decision, approval, arrival = known.decision_price, known.approval_price, known.arrival_price
    average, quantity = known.average_fill_price, known.filled_quantity
    if decision is None or approval is None or arrival is None or average is None or quantity <= 0:
        return unknown
    side, size = side_of(known.side), terms_of_symbol(known.symbol).multiplier
    found = {
        "decided_value": money(decision * quantity * size),
        "review_delay": money(slippage_money(side, approval, decision, quantity, size)),
        "broker_delay": money(slippage_money(side, arrival, approval, quantity, size)),
        "execution": money(slippage_money(side, average, arrival, quantity, size)),
    }
    return unknown if None in found.values() else found


def _opportunity(known: Known) -> int | None:
    """s x (ordered - filled) x (end - decision): what it cost that the rest was never filled. The end's price is stored
    with an order that ends at the broker, and with no other: what the desk itself decided not to send missed nothing.
    """
    end, decision, left = known.end_price, known.decision_price, known.quantity - known.filled_quantity
    ended_there = known.status in TERMINAL and stage_of(known) >= Stage.SUBMITTED
    if end is None or decision is None or left <= 0 or not ended_there:
        return None
    return money(slippage_money(side_of(known.side), end, decision, left, terms_of_symbol(known.symbol).multiplier))


def side_of(side: str) -> str:
    """A combination is bought at its net price: positive for a debit, negative for a credit."""
    return "sell" if side == Side.SELL else "buy"
