"""What a token that is for some strategies only may ask of what is about more than one order."""

from __future__ import annotations

from emo_site.api.caller import Caller
from orders.refusal import Refused


def require_all_strategies(caller: Caller) -> None:
    """For what is about all of them at once. Raises Refused."""
    if caller.strategies:
        raise Refused(
            "STRATEGY_NOT_ALLOWED", f"This is about all strategies; the token is for {_allowed(caller)} only."
        )


def require_strategy(caller: Caller, strategy: str | None) -> None:
    """For what is about one; None is about all of them. Raises Refused."""
    if strategy is None:
        require_all_strategies(caller)
    elif not caller.may_act_for(strategy):
        raise Refused("STRATEGY_NOT_ALLOWED", f"strategy={strategy!r}: the token is for {_allowed(caller)} only.")


def _allowed(caller: Caller) -> str:
    return ", ".join(caller.strategies)
