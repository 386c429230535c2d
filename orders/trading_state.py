"""Whether the desk trades at all: ACTIVE, REDUCING or HALTED. The only writer of its changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.fields import current_environment
from orders.choices import TradingState
from orders.entitlement import require
from orders.models import TradingStateChange
from orders.refusal import Refused
from orders.steps import require_reason

HALTS = ("orders.halt_tradingstatechange", "restrict trading")
RELEASES = ("orders.release_tradingstatechange", "release trading")
# From less to more restricted.
_ORDER = (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The state as it is; `number` 0 and nobody while trading was never restricted. `restricted_by` is whoever
    restricted it, by user name; somebody else must release it.
    """

    state: TradingState
    number: int
    changed_by: str
    changed_at: datetime | None
    reason: str
    restricted_by: str
    restricted_by_id: int | None


def current(environment: str | None = None, *, using: str | None = PRIMARY_ALIAS) -> Standing:
    """From the primary: a replica that is behind would say that trading goes on. `using=None` is for pages that only
    show it, and are read from a replica while the primary is away.
    """
    rows = TradingStateChange.objects.using(using).filter(environment=environment or current_environment())
    last = rows.select_related("changed_by", "restricted_by").order_by("-number").first()
    if last is None:
        return Standing(
            state=TradingState.ACTIVE,
            number=0,
            changed_by="",
            changed_at=None,
            reason="",
            restricted_by="",
            restricted_by_id=None,
        )
    released = last.state == TradingState.ACTIVE
    restricter = (
        last.changed_by if _restricts(TradingState(last.before), TradingState(last.state)) else last.restricted_by
    )
    return Standing(
        state=TradingState(last.state),
        number=last.number,
        changed_by=last.changed_by.get_username(),
        changed_at=last.at,
        reason=last.reason,
        restricted_by="" if released or restricter is None else restricter.get_username(),
        restricted_by_id=None if released or restricter is None else restricter.pk,
    )


def change(
    to: TradingState, *, actor: User, now: datetime, reason: str, expected_number: int | None = None
) -> TradingStateChange:
    """Restricting takes one person with the permission; whatever lets more through takes another one than whoever
    restricted it. `expected_number` is of the state that the actor saw. Raises Refused.
    """
    require_reason(reason, "A change of the trading state needs its reason.")
    before = current()
    if expected_number not in (None, before.number):
        raise _changed_meanwhile()
    check(before, to, actor=actor)
    row = TradingStateChange(
        number=before.number + 1,
        at=now,
        state=to,
        before=before.state,
        restricted_by_id=before.restricted_by_id,
        changed_by=actor,
        reason=reason,
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        if current().number > before.number:
            raise _changed_meanwhile() from error
        raise
    return row


def check(before: Standing, to: TradingState, *, actor: User) -> None:
    """Raises the refusal that can be told before trying. Reads nothing."""
    if before.state == to:
        raise Refused("SAME_STATE", f"Trading is {to.label} already.")
    if _restricts(before.state, to):
        require(actor, *HALTS)
        return
    require(actor, *RELEASES)
    if actor.pk == before.restricted_by_id:
        raise Refused("SELF_RELEASE", f"{actor} restricted trading: somebody else must release it.")


def _changed_meanwhile() -> Refused:
    return Refused("CHANGED_MEANWHILE", "Somebody else changed the trading state; look again.")


def _restricts(before: TradingState, to: TradingState) -> bool:
    return _ORDER.index(to) > _ORDER.index(before)
