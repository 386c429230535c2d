"""What every page says while trading is restricted: since when, by whom, and why."""

from __future__ import annotations

from dataclasses import dataclass

from emo_site import display
from orders import trading_state
from orders.choices import TradingState
from orders.trading_state import Standing

_MEANS = {
    TradingState.REDUCING: "Only orders that reduce a position go through.",
    TradingState.HALTED: "No order is approved or handed to the broker.",
}


@dataclass(frozen=True, kw_only=True)
class Banner:
    """`title` and `text` are empty while trading is active; `number` is of the last change of the trading state."""

    number: int
    state: str
    title: str
    text: str


def shown() -> Banner:
    """One query, to wherever the page is read from: it must be told from a replica too while the primary is away."""
    return banner(trading_state.current(using=None))


def banner(standing: Standing) -> Banner:
    if standing.state == TradingState.ACTIVE or standing.changed_at is None:
        return Banner(number=standing.number, state=standing.state, title="", text="")
    since = display.moment(standing.changed_at)
    return Banner(
        number=standing.number,
        state=standing.state,
        title=f"Trading is {standing.state.label}.",
        text=f"{_MEANS[standing.state]} By {standing.changed_by}, {since}: {standing.reason}",
    )
