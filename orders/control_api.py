"""The policy in force and the trading state over HTTP, and the kill switch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from pydantic import BaseModel

from emo_site.api.answers import Answer, answer
from emo_site.api.caller import ApiRequest, Caller
from emo_site.api.fields import At, Body, Reason
from emo_site.api.routes import Routes
from emo_site.api.scopes import Scope
from orders import kill_switch, policy_versions, trading_state
from orders.api_reach import require_all_strategies
from orders.choices import TradingState
from orders.entitlement import require
from orders.refusal import Refused
from orders.steps import require_reason
from orders.trading_state import Standing

routes = Routes(tags=["control"])


class PolicyOut(BaseModel):
    """`document` is YAML, word by word as it was proposed, `checksum` its SHA-256, `label` its own policy_version."""

    number: int
    label: str
    checksum: str
    effective_from: At
    document: str
    not_evaluated: list[str]


class TradingStateOut(BaseModel):
    """`number` counts the changes, 0 while there never was one. Only somebody else than `restricted_by` releases it."""

    state: TradingState
    number: int
    changed_by: str
    changed_at: At | None
    reason: str
    restricted_by: str


class TradingStateBody(Body):
    """`expected_number`: of the state that was seen; another one by now is a conflict."""

    state: TradingState
    reason: Reason
    expected_number: int | None = None


class KillSwitchBody(Body):
    reason: Reason


class KillSwitchOut(BaseModel):
    """Orders by client_order_id: `cancelled` were withdrawn here, `left_at_broker` must be withdrawn there."""

    cancelled: list[str]
    left_at_broker: list[str]


@routes.read("/policy", scope=Scope.READ, answers=PolicyOut)
def get_policy(request: ApiRequest) -> Answer:
    """The policy that orders are held against at this moment."""
    version = policy_versions.in_force(request.auth.at)
    return answer(
        PolicyOut(
            number=version.number,
            label=version.label,
            checksum=version.checksum,
            # One that is in force has a time.
            effective_from=version.effective_from or request.auth.at,
            document=version.document,
            not_evaluated=list(policy_versions.policy_of(version).not_evaluated),
        )
    )


@routes.read("/trading-state", scope=Scope.READ, answers=TradingStateOut)
def get_trading_state(request: ApiRequest) -> Answer:
    """Whether the desk trades, since when, and who changed it why."""
    return answer(_out(trading_state.current()))


@routes.write("/trading-state", scope=Scope.ADMIN, answers=TradingStateOut)
def change_trading_state(request: ApiRequest, body: TradingStateBody) -> Answer:
    """Restricts trading, or releases it. Restricting takes one person, the token's owner; releasing takes another one
    than whoever restricted it.
    """
    require_all_strategies(request.auth)
    trading_state.change(
        body.state,
        actor=request.auth.user,
        now=request.auth.at,
        reason=body.reason,
        expected_number=body.expected_number,
    )
    return answer(_out(trading_state.current()))


@routes.write_each("/kill-switch", scope=Scope.ADMIN)
def pull_kill_switch(request: ApiRequest, body: KillSwitchBody) -> Iterable[Callable[[], Answer]]:
    """Halts trading, and withdraws every order that is not at the broker yet. The first result is the trading state;
    the second has `cancelled`, the client_order_id of each order that was withdrawn, and `left_at_broker`, those that
    must be withdrawn there.
    """
    require_all_strategies(request.auth)
    require(request.auth.user, *trading_state.HALTS)
    require_reason(body.reason, "The kill switch needs a reason.")
    # Trading is halted for all before the first order is looked at: what was approved meanwhile would be left.
    return [partial(_halted, request.auth, body.reason), partial(_withdrawn, request.auth, body.reason)]


def _halted(caller: Caller, reason: str) -> Answer:
    try:
        trading_state.change(TradingState.HALTED, actor=caller.user, now=caller.at, reason=reason)
    except Refused as refused:
        if refused.code != "SAME_STATE":
            raise
    return answer(_out(trading_state.current()))


def _withdrawn(caller: Caller, reason: str) -> Answer:
    pulled = kill_switch.pull(actor=caller.user, now=caller.at, reason=reason)
    return answer(KillSwitchOut(cancelled=list(pulled.cancelled), left_at_broker=list(pulled.left)))


def _out(standing: Standing) -> TradingStateOut:
    return TradingStateOut.model_validate({name: getattr(standing, name) for name in TradingStateOut.model_fields})
