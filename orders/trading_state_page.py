"""The trading state's pages: what it is, what may be declared, what a change withdrew. Templates only place it."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from emo_site import display
from orders import kill_switch, trading_state
from orders.choices import TONES, OrderStatus, TradingState
from orders.decisions import objection
from orders.kill_switch import Reach
from orders.models import StagedOrder, TradingStateChange
from orders.order_names import title
from orders.order_page import Fact
from orders.trading_state import Standing

STATE_TONES = {TradingState.ACTIVE: "good", TradingState.REDUCING: "warn", TradingState.HALTED: "bad"}
MEANINGS = {
    TradingState.ACTIVE: "Active: orders are judged by the rules alone.",
    TradingState.REDUCING: "Reducing: only orders that reduce a position go through.",
    TradingState.HALTED: "Halted: nothing is approved or handed to the broker; what is not at the broker is withdrawn.",
}
# More than these are counted, not listed.
MOST = 200


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person may declare now, and what the desk would do. `withheld`: why they may not declare another state."""

    standing: Standing
    state: str
    tone: str
    facts: tuple[Fact, ...]
    allowed: tuple[TradingState, ...]
    withheld: tuple[str, ...]
    reach: Reach


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    id: str
    title: str
    client_order_id: str
    status: str
    tone: str
    staged_by: str


@dataclass(frozen=True, kw_only=True)
class ChangePage:
    """One change; `left` are orders at the broker now, told only of a halt that is still in force."""

    title: str
    state: str
    tone: str
    facts: tuple[Fact, ...]
    reason: str
    halts: bool
    in_force: bool
    withdrawn: tuple[OrderLine, ...]
    withdrawn_count: int
    left: tuple[OrderLine, ...]
    left_count: int


def options(actor: User) -> Options:
    """What the actor may declare. Three queries."""
    standing = trading_state.current()
    objections = {
        state: objection(lambda state=state: trading_state.check(standing, state, actor=actor))  # type: ignore[misc]  # bound now
        for state in TradingState
        if state != standing.state
    }
    allowed = [state for state, refused in objections.items() if refused is None]
    # Whoever may halt may withdraw what was staged since trading was halted.
    if standing.state == TradingState.HALTED and actor.has_perm(trading_state.HALTS[0]):
        allowed.append(TradingState.HALTED)
    return Options(
        standing=standing,
        state=standing.state.label,
        tone=STATE_TONES[standing.state],
        facts=_standing_facts(standing),
        allowed=tuple(allowed),
        withheld=tuple(dict.fromkeys(str(refused) for refused in objections.values() if refused is not None)),
        reach=kill_switch.reach(),
    )


def page_of(change: TradingStateChange) -> ChangePage:
    """A constant number of queries."""
    halts = change.state == TradingState.HALTED
    in_force = trading_state.current(change.environment).number == change.number
    withdrawn = kill_switch.withdrawals(change).select_related("order__created_by") if halts else None
    left = kill_switch.left_at_broker().select_related("created_by") if halts and in_force else None
    return ChangePage(
        title=f"Trading {TradingState(change.before).label} → {TradingState(change.state).label}",
        state=TradingState(change.state).label,
        tone=STATE_TONES[TradingState(change.state)],
        facts=_change_facts(change, in_force=in_force),
        reason=change.reason,
        halts=halts,
        in_force=in_force,
        withdrawn=() if withdrawn is None else tuple(_line(event.order) for event in withdrawn[:MOST]),
        withdrawn_count=0 if withdrawn is None else withdrawn.count(),
        left=() if left is None else tuple(_line(order) for order in left[:MOST]),
        left_count=0 if left is None else left.count(),
    )


def _standing_facts(standing: Standing) -> tuple[Fact, ...]:
    if standing.changed_at is None:
        return (Fact(label="Since", value="the beginning: trading was never restricted"),)
    rows = [
        ("Since", display.moment(standing.changed_at)),
        ("Declared by", standing.changed_by),
        ("Reason", standing.reason),
    ]
    if standing.restricted_by:
        rows.append(("To be released by", f"anybody who may but {standing.restricted_by}"))
    return tuple(Fact(label=label, value=value) for label, value in rows)


def _change_facts(change: TradingStateChange, *, in_force: bool) -> tuple[Fact, ...]:
    rows = (
        ("Declared by", change.changed_by.get_username()),
        ("At", display.moment(change.at)),
        ("Before", TradingState(change.before).label),
        ("In force", "yes" if in_force else "no, another change followed"),
        ("Number", str(change.number)),
        ("Environment", change.environment),
    )
    return tuple(Fact(label=label, value=value) for label, value in rows)


def _line(order: StagedOrder) -> OrderLine:
    return OrderLine(
        id=str(order.pk),
        title=title(order),
        client_order_id=order.client_order_id,
        status=order.get_status_display(),
        tone=TONES.get(OrderStatus(order.status), "muted"),
        staged_by=order.created_by.get_username(),
    )
