"""What an order does to what is held: loss, margin and Greeks before it and after it. Pure.

Before it: the positions and the other open orders as if they were filled, as the rules saw them. After it: the same
with this order filled. Every figure that can't be told says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from emo_site import display
from orders.assessment import Context, Holding
from orders.options import Greeks, Leg, greeks, margin_requirement, max_loss
from orders.options.legs import net_premium
from orders.order_legs import osi_of
from orders.payoff_curve import RATE, Volatilities, missing_volatilities, years_until

MONEY = "account currency"
# What grouping for the least margin may take on a page: about a third of a second.
MOST_CONTRACTS = 24
NET = "at expiry, net of premium"
UNBOUNDED = "unbounded"
GREEKS = (
    ("delta", "shares"),
    ("gamma", "shares per 1 of spot"),
    ("vega", f"{MONEY} per volatility point"),
    ("theta", f"{MONEY} per calendar day"),
)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The worst-case loss of one order: `amount` None where it is unbounded, or where `unknown` says why."""

    amount: Decimal | None
    unknown: str = ""


@dataclass(frozen=True, kw_only=True)
class EffectRow:
    """One figure, as texts; `note` says what it counts, or why it is n/a."""

    label: str
    unit: str
    before: str
    after: str
    change: str
    note: str
    unbounded: bool


@dataclass(frozen=True, kw_only=True)
class HeldRow:
    """One line of what the order meets: a position, or a leg of another open order."""

    what: str
    quantity: str
    whose: str


@dataclass(frozen=True, kw_only=True)
class PortfolioEffect:
    underlying: str
    here: tuple[EffectRow, ...]
    book: tuple[EffectRow, ...]
    held: tuple[HeldRow, ...]


@dataclass(frozen=True, kw_only=True)
class Market:
    """What the figures that need a price are computed with."""

    spot: Decimal | None
    volatilities: Volatilities
    at: datetime


class _NotKnown(Exception):
    """Why a figure can't be told."""


def portfolio_effect(
    context: Context, legs: Sequence[Leg], *, underlying: str, loss: Loss, market: Market
) -> PortfolioEffect:
    """`legs` are the order's own, with their premium; `loss` its worst case at its last assessment."""
    before = holdings_as_legs(context, underlying)
    after = [*before, *legs]
    here = _here(context, before, after, market)
    return PortfolioEffect(
        underlying=underlying,
        here=here,
        book=_book(context, loss, here[1], underlying),
        held=_held(context),
    )


def holdings_as_legs(context: Context, underlying: str) -> list[Leg]:
    """Positions and the legs of the other open orders; a premium that is not known counts as 0."""
    lines = [*context.holdings, *(leg for order in context.open_orders for leg in order.legs)]
    return [_leg(line, underlying) for line in lines if line.quantity]


def _leg(line: Holding, underlying: str) -> Leg:
    return Leg(
        line.right,
        line.strike,
        line.quantity,
        line.price or Decimal(0),
        Decimal(line.multiplier),
        line.expiry,
        underlying,
    )


def _held(context: Context) -> tuple[HeldRow, ...]:
    positions = [(line, line.strategy or "no strategy") for line in context.holdings]
    waiting = [
        (leg, f"order {order.client_order_id} ({order.status.replace('_', ' ')})")
        for order in context.open_orders
        for leg in order.legs
    ]
    return tuple(
        HeldRow(what=_named(line), quantity=f"{line.quantity.normalize():+,f}", whose=whose)
        for line, whose in (*positions, *waiting)
    )


def _named(line: Holding) -> str:
    if line.right == "S":
        return "stock"
    expiry = f" {line.expiry:%Y-%m-%d}" if line.expiry else ""
    return f"{'call' if line.right == 'C' else 'put'} {display.number(line.strike)}{expiry}"


def _here(context: Context, before: Sequence[Leg], after: Sequence[Leg], market: Market) -> tuple[EffectRow, ...]:
    lines = [*context.holdings, *(leg for order in context.open_orders for leg in order.legs)]
    unpriced = sum(line.price is None for line in lines)
    note = f"at expiry; the premium of {unpriced} legs is not known and not counted" if unpriced else NET
    rows = [
        _row("Worst-case loss", MONEY, note, lambda: _worst(before), lambda: _worst(after)),
        _row(
            "Margin",
            MONEY,
            "by strategy, grouped for the least",
            lambda: _margin(before, market),
            lambda: _margin(after, market),
        ),
    ]
    rows += [_greek(name, unit, before, after, market) for name, unit in GREEKS]
    return tuple(rows)


def _greek(name: str, unit: str, before: Sequence[Leg], after: Sequence[Leg], market: Market) -> EffectRow:
    def part(legs: Sequence[Leg]) -> Decimal:
        return Decimal(repr(getattr(_greeks(legs, market), name)))

    note = "net, Black-Scholes at a rate of 0 %"
    return _row(name.capitalize(), unit, note, lambda: part(before), lambda: part(after))


def _book(context: Context, loss: Loss, margin: EffectRow, underlying: str) -> tuple[EffectRow, ...]:
    def before() -> Decimal:
        return _book_loss(context)

    def after() -> Decimal:
        return _book_loss(context) + _own(loss)

    note = "positions, open orders and this order, each at its worst"
    shared = "the worst-case loss as a share of the account's equity"
    return (
        _row("Worst-case loss", MONEY, note, before, after),
        _row(
            "Of the equity",
            "%",
            shared,
            lambda: _share(before(), context),
            lambda: _share(after(), context),
        ),
        # Underlyings are margined apart, so the change is known where the total is not.
        replace(
            margin,
            before="n/a",
            after="n/a",
            note=f"the total needs the price of every underlying; only {underlying} changes",
        ),
    )


def _book_loss(context: Context) -> Decimal:
    if any(entry.max_loss is None for entry in context.book) or any(each.unbounded for each in context.commitments):
        raise _NotKnown(UNBOUNDED)
    if unknown := sum(each.unknown for each in context.commitments):
        raise _NotKnown(f"the loss of {unknown} open orders is not known")
    held = sum((entry.max_loss for entry in context.book if entry.max_loss is not None), Decimal(0))
    return held + sum((each.max_loss for each in context.commitments), Decimal(0))


def _own(loss: Loss) -> Decimal:
    if loss.unknown:
        raise _NotKnown(loss.unknown)
    if loss.amount is None:
        raise _NotKnown(UNBOUNDED)
    return loss.amount


def _share(amount: Decimal, context: Context) -> Decimal:
    if context.equity is None or context.equity <= 0:
        raise _NotKnown("no equity of the account is on record")
    return amount / context.equity * 100


def _worst(legs: Sequence[Leg]) -> Decimal:
    found = max_loss(legs)
    if found is None:
        raise _NotKnown(UNBOUNDED)
    return found


def _margin(legs: Sequence[Leg], market: Market) -> Decimal:
    if market.spot is None:
        raise _NotKnown("no price of the underlying is on record")
    netted = _netted(legs)
    if len(netted) > MOST_CONTRACTS:
        raise _NotKnown(f"{len(netted)} contracts are more than the {MOST_CONTRACTS} that a page has the time to group")
    try:
        return margin_requirement(netted, market.spot)
    except ValueError as error:
        raise _NotKnown(str(error)) from error


def _netted(legs: Sequence[Leg]) -> list[Leg]:
    """One line for each contract: a broker nets them. Its premium is what is left of all that was paid and received."""
    groups: dict[Leg, list[Leg]] = {}
    for leg in legs:
        groups.setdefault(replace(leg, quantity=Decimal(0), price=Decimal(0)), []).append(leg)
    lines = []
    for contract, parts in groups.items():
        if quantity := sum((leg.quantity for leg in parts), Decimal(0)):
            price = net_premium(parts) / (quantity * contract.multiplier)
            lines.append(replace(contract, quantity=quantity, price=price))
    return lines


def _greeks(legs: Sequence[Leg], market: Market) -> Greeks:
    """The sums over all legs, each times its units."""
    if market.spot is None:
        raise _NotKnown("no price of the underlying is on record")
    options = [leg for leg in legs if leg.right != "S"]
    if missing := missing_volatilities(options, market.volatilities):
        raise _NotKnown(f"no implied volatility is on record for {len(missing)} of {len(options)} options")
    shares = float(sum((leg.units for leg in legs if leg.right == "S"), Decimal(0)))
    each = [(float(leg.units), _greeks_of(leg, float(market.spot), market)) for leg in options]
    return Greeks(
        delta=shares + sum(units * one.delta for units, one in each),
        gamma=sum(units * one.gamma for units, one in each),
        vega=sum(units * one.vega for units, one in each),
        theta=sum(units * one.theta for units, one in each),
        rho=sum(units * one.rho for units, one in each),
    )


def _greeks_of(leg: Leg, spot: float, market: Market) -> Greeks:
    # Whoever has a volatility has an expiry and a strike: it is found by the OSI symbol.
    years = years_until(leg.expiry or market.at.date(), market.at)
    return greeks(leg.right, spot, float(leg.strike or 0), years, RATE, market.volatilities[osi_of(leg)])


def _row(
    label: str,
    unit: str,
    note: str,
    before: Callable[[], Decimal],
    after: Callable[[], Decimal],
) -> EffectRow:
    (then, why_then), (now, why_now) = _told(before), _told(after)
    change = None if then is None or now is None else now - then
    return EffectRow(
        label=label,
        unit=unit,
        before=_figure(then, why_then),
        after=_figure(now, why_now),
        change="n/a" if change is None else f"{change:+,.2f}" if change else "none",
        note=note,
        unbounded=why_now == UNBOUNDED,
    )


def _told(figure: Callable[[], Decimal]) -> tuple[Decimal | None, str]:
    try:
        return figure(), ""
    except _NotKnown as reason:
        return None, str(reason)


def _figure(value: Decimal | None, reason: str) -> str:
    if value is not None:
        return f"{value:,.2f}"
    return reason if reason == UNBOUNDED else f"n/a: {reason}"
