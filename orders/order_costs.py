"""What an order's fills and its waiting cost: each fill, sums, and the implementation shortfall. Positive = cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from emo_site import display
from orders.choices import FillKind, Side
from orders.execution_quality import (
    ImplementationShortfall,
    implementation_shortfall,
    slippage_bps,
    slippage_money,
)
from orders.models import ExecutedOrder, StagedOrder

NA = "n/a"


@dataclass(frozen=True, kw_only=True)
class FillRow:
    """One fill. `struck`: a correction or a bust took its place, which `other` leads to."""

    id: str
    anchor: str
    at: str
    recorded: str
    execution_id: str
    leg: str
    quantity: str
    price: str
    fees: str
    slippage: str
    slippage_money: str
    venue: str
    broker_order_id: str
    kind: str
    struck: bool
    note: str
    other: str


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """One part of the cost: money in account currency, and how it is counted or why it is n/a."""

    label: str
    money: str
    note: str
    total: bool = False


@dataclass(frozen=True, kw_only=True)
class OrderCosts:
    fills: tuple[FillRow, ...]
    note: str
    costs: tuple[CostRow, ...]


def order_costs(
    order: StagedOrder,
    fills: Sequence[ExecutedOrder],
    *,
    positions: Mapping[int, int],
    multiplier: int,
    multipliers: Mapping[int, int],
    end_price: Decimal | None,
) -> OrderCosts:
    """`positions` and `multipliers` by a leg's key; `end_price`: what one unit costs where the order ended, or now."""
    successors = {fill.corrects_id: fill for fill in fills if fill.corrects_id is not None}
    by_id = {fill.pk: fill for fill in fills}
    rows = tuple(
        _fill(fill, successors.get(fill.pk), by_id, positions, _multiplier(fill, multiplier, multipliers))
        for fill in fills
    )
    standing = [fill for fill in fills if fill.pk not in successors and fill.kind != FillKind.BUST]
    return OrderCosts(
        fills=rows,
        note=_note(order),
        costs=_costs(order, standing, multiplier, multipliers, end_price),
    )


def _multiplier(fill: ExecutedOrder, multiplier: int, multipliers: Mapping[int, int]) -> int:
    return multiplier if fill.leg_id is None else multipliers[fill.leg_id]


def slippage(fill: ExecutedOrder) -> str:
    """Basis points, positive = cost to us, or "n/a: reason"."""
    metrics = fill.performance_metrics
    bps = fill.slippage_bps if fill.slippage_bps is not None else metrics.get("slippage_bps")
    if bps is None:
        return str(metrics.get("reason", "n/a: not computed"))
    against = ""
    if metrics.get("benchmark_price") is not None:
        against = f" against the {metrics['benchmark']} {display.number(Decimal(metrics['benchmark_price']))}"
    return f"{Decimal(bps):+.2f} bps{against}"


def money_lost(fill: ExecutedOrder, multiplier: int) -> Decimal | None:
    """Slippage in account currency, None where no benchmark is on record."""
    if fill.slippage_money is not None:
        return Decimal(fill.slippage_money)
    benchmark = fill.performance_metrics.get("benchmark_price")
    if benchmark is None or fill.side == Side.AS_DEFINED:
        return None
    return slippage_money(fill.side, fill.execution_price, Decimal(benchmark), fill.execution_quantity, multiplier)


def _fill(
    fill: ExecutedOrder,
    successor: ExecutedOrder | None,
    by_id: Mapping[object, ExecutedOrder],
    positions: Mapping[int, int],
    multiplier: int,
) -> FillRow:
    corrected = by_id.get(fill.corrects_id)
    money = None if fill.kind == FillKind.BUST else money_lost(fill, multiplier)
    note, other = "", ""
    if corrected is not None:
        note = f"{'takes back' if fill.kind == FillKind.BUST else 'takes the place of'} {corrected.execution_id}"
        other = f"fill-{corrected.pk}"
    elif successor is not None:
        done = "taken back by" if successor.kind == FillKind.BUST else "corrected by"
        note, other = f"{done} {successor.execution_id}", f"fill-{successor.pk}"
    return FillRow(
        id=str(fill.pk),
        anchor=f"fill-{fill.pk}",
        at=display.moment(fill.execution_timestamp),
        recorded=display.moment(fill.recorded_at),
        execution_id=fill.execution_id,
        leg="whole order" if fill.leg_id is None else f"leg {positions[fill.leg_id]}",
        quantity=display.number(fill.execution_quantity),
        price=display.number(fill.execution_price),
        fees=display.number(fill.fees),
        slippage="" if fill.kind == FillKind.BUST else slippage(fill),
        slippage_money="" if money is None else f"{money:+,.2f}",
        venue=fill.venue,
        broker_order_id=fill.broker_order_id,
        kind="" if fill.kind == FillKind.FILL else fill.get_kind_display(),
        struck=successor is not None or fill.kind == FillKind.BUST,
        note=note,
        other=other,
    )


def _note(order: StagedOrder) -> str:
    if order.filled_quantity == 0:
        return "Nothing has been filled."
    parts = [f"Filled {display.number(order.filled_quantity)} of {display.number(order.quantity)}"]
    if order.average_fill_price is not None:
        parts.append(f"average price {display.number(order.average_fill_price)}")
    parts.append(
        f"overfilled by {display.number(order.overfill)}"
        if order.overfill
        else f"{display.number(order.leaves_quantity)} left"
    )
    return ", ".join(parts) + "."


def _costs(
    order: StagedOrder,
    fills: Sequence[ExecutedOrder],
    multiplier: int,
    multipliers: Mapping[int, int],
    end_price: Decimal | None,
) -> tuple[CostRow, ...]:
    rows = [_review_delay(order, multiplier)]
    if fills:
        rows += _of_fills(fills, multiplier, multipliers)
    if fills or order.end_price is not None:
        rows += _shortfall(order, fills, multiplier, end_price)
    return tuple(rows)


def _review_delay(order: StagedOrder, multiplier: int) -> CostRow:
    """s x (approval - decision) x quantity x multiplier: what the price did while a person looked, for all of it."""
    label = "Review, decision to approval"
    if order.reviewed_at is None:
        return CostRow(label=label, money=NA, note="nobody has decided yet")
    waited = f"{(order.reviewed_at - order.created_at).total_seconds() / 60:,.1f} min"
    if order.decision_price is None or order.approval_price is None:
        missing = "staged" if order.decision_price is None else "approved"
        return CostRow(label=label, money=NA, note=f"{waited}; no price is on record for when it was {missing}")
    money = slippage_money(side_of(order), order.approval_price, order.decision_price, order.quantity, multiplier)
    prices = f"{display.number(order.decision_price)} to {display.number(order.approval_price)}"
    return CostRow(label=label, money=f"{money:+,.2f}", note=f"{waited}; {prices}, for the whole quantity")


def side_of(order: StagedOrder) -> str:
    """A combination is bought at its net price: positive for a debit, negative for a credit."""
    return "sell" if order.side == Side.SELL else "buy"


def _of_fills(fills: Sequence[ExecutedOrder], multiplier: int, multipliers: Mapping[int, int]) -> list[CostRow]:
    found = [money_lost(fill, _multiplier(fill, multiplier, multipliers)) for fill in fills]
    known = [money for money in found if money is not None]
    fees = sum((fill.fees for fill in fills), Decimal(0))
    lost = sum(known, Decimal(0))
    missing = len(found) - len(known)
    if missing:
        reason = f"{missing} of {len(found)} fills have no benchmark price"
        return [
            CostRow(label="Slippage of the fills", money=NA, note=reason),
            CostRow(label="Fees", money=f"{fees:+,.2f}", note="negative is a rebate"),
            CostRow(label="Fills in all", money=NA, note=reason, total=True),
        ]
    basis = _in_basis_points(fills)
    return [
        CostRow(label="Slippage of the fills", money=f"{lost:+,.2f}", note=basis),
        CostRow(label="Fees", money=f"{fees:+,.2f}", note="negative is a rebate"),
        CostRow(label="Fills in all", money=f"{lost + fees:+,.2f}", note="slippage and fees", total=True),
    ]


def _in_basis_points(fills: Sequence[ExecutedOrder]) -> str:
    """Of all fills together, by what they were worth at their benchmarks."""
    pairs = [
        (fill, Decimal(fill.performance_metrics["benchmark_price"]))
        for fill in fills
        if fill.performance_metrics.get("benchmark_price") is not None
    ]
    quantity = sum((fill.execution_quantity for fill, _ in pairs), Decimal(0))
    if len(pairs) < len(fills) or not quantity or len({fill.side for fill, _ in pairs}) > 1:
        return "against the benchmark of each fill"
    price = sum((fill.execution_quantity * fill.execution_price for fill, _ in pairs), Decimal(0)) / quantity
    benchmark = sum((fill.execution_quantity * against for fill, against in pairs), Decimal(0)) / quantity
    if benchmark <= 0 or pairs[0][0].side == Side.AS_DEFINED:
        return "against the benchmark of each fill"
    return f"{slippage_bps(pairs[0][0].side, price, benchmark):+.2f} bps against the benchmark of each fill"


def _shortfall(
    order: StagedOrder, fills: Sequence[ExecutedOrder], multiplier: int, end_price: Decimal | None
) -> list[CostRow]:
    label = "Implementation shortfall"
    if reason := _why_no_shortfall(order, fills, end_price):
        return [CostRow(label=label, money=NA, note=reason)]
    found = implementation_shortfall(
        side_of(order),
        order.quantity,
        order.decision_price or Decimal(0),
        order.arrival_price,
        [(fill.execution_quantity, fill.execution_price) for fill in fills],
        end_price,
        sum((fill.fees for fill in fills), Decimal(0)),
        order.approval_price,
        multiplier,
    )
    return _parts(found, label)


def _why_no_shortfall(order: StagedOrder, fills: Sequence[ExecutedOrder], end_price: Decimal | None) -> str:
    if any(fill.leg_id is not None for fill in fills):
        return "its legs were filled one by one, their fills have no net price"
    if order.decision_price is None:
        return "no price is on record for when it was staged"
    if order.arrival_price is None and fills:
        return "no price is on record for when it was submitted"
    if order.leaves_quantity and end_price is None:
        return "no price is on record for what was not filled"
    return ""


def _parts(found: ImplementationShortfall, label: str) -> list[CostRow]:
    in_bps = NA if found.total_bps is None else f"{found.total_bps:+.2f} bps of the decision's value"
    parts = [
        ("Review delay of what was filled", found.review_delay, "decision to approval"),
        ("Broker delay", found.broker_delay, "approval to arrival"),
        ("Execution", found.execution, "arrival to fill"),
        ("Opportunity", found.opportunity, "what was not filled, decision to end"),
        ("Fees", found.fees, "as above"),
    ]
    if found.review_delay is None:
        parts[:2] = [("Delay", found.delay, "decision to arrival; no price is on record for the approval")]
    rows = [CostRow(label=name, money=f"{money:+,.2f}", note=note) for name, money, note in parts if money is not None]
    return [*rows, CostRow(label=label, money=f"{found.total:+,.2f}", note=in_bps, total=True)]
