"""Who tried to decide about an order and was refused: the only writer of RefusedDecision.

A refusal changes nothing of its order and leaves no event there. Its row is written after whatever transaction the
workflow began for the decision is undone, and never stands in its way: where it can't be written, it is a line of the
log "emo.audit".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, transaction

from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.fields import current_environment
from emo_site.db.outage import is_outage, reason_of
from orders import journal
from orders.choices import SECOND_PERSONS, Attempt
from orders.models import RefusedDecision, StagedOrder
from orders.refusal import Refused
from orders.standing import trading_day

logger = logging.getLogger("emo.audit")

_P = ParamSpec("_P")
_R = TypeVar("_R")


def recorded(attempt: Attempt) -> Callable[[Callable[Concatenate[UUID, _P], _R]], Callable[Concatenate[UUID, _P], _R]]:
    """Of a decision that takes the order's id, then `actor` and `now` by name: its refusals are recorded."""

    def decorate(decide: Callable[Concatenate[UUID, _P], _R]) -> Callable[Concatenate[UUID, _P], _R]:
        @wraps(decide)
        def deciding(order_id: UUID, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
            with recording(order_id, attempt, actor=cast(User, kwargs["actor"]), now=cast(datetime, kwargs["now"])):
                return decide(order_id, *args, **kwargs)

        return deciding

    return decorate


@contextmanager
def recording(order_id: UUID, attempt: Attempt, *, actor: User, now: datetime) -> Iterator[None]:
    """A refusal inside is on record before the caller hears of it."""
    try:
        yield
    except Refused as refused:
        record({order_id: refused}, attempt, actor=actor, now=now)
        raise


def record(refusals: Mapping[UUID, Refused], attempt: Attempt, *, actor: User, now: datetime) -> None:
    """Of some orders, by id; three statements. Raises nothing. Whoever has no account is named in the log alone."""
    if not refusals:
        return
    if actor.pk is None:
        _log_each(refusals, attempt, actor=actor, now=now, reason="no account")
        return
    try:
        # Inside somebody else's transaction, its failure must not be the failure of that.
        with transaction.atomic(using=PRIMARY_ALIAS):
            _write(refusals, attempt, actor, now)
    except (DatabaseError, InterfaceError) as error:
        reason = reason_of(error) if is_outage(error) else type(error).__name__
        _log_each(refusals, attempt, actor=actor, now=now, reason=reason)


def _write(refusals: Mapping[UUID, Refused], attempt: Attempt, actor: User, now: datetime) -> None:
    found = StagedOrder.objects.using(PRIMARY_ALIAS).filter(pk__in=list(refusals))
    rows = list(found.values_list("pk", "created_by_id", "environment", "created_at"))
    orders = {pk: rest for pk, *rest, _ in rows}
    journal.days_changed({(trading_day(at), environment) for _, _, environment, at in rows})
    RefusedDecision.objects.using(PRIMARY_ALIAS).bulk_create(_rows(refusals, orders, attempt, actor, now))


def _rows(
    refusals: Mapping[UUID, Refused], orders: Mapping[UUID, list[Any]], attempt: Attempt, actor: User, now: datetime
) -> Iterable[RefusedDecision]:
    for order_id, refused in refusals.items():
        creator, environment = orders.get(order_id, (None, current_environment()))
        yield RefusedDecision(
            at=now,
            attempt=attempt,
            code=refused.code,
            actor=actor,
            actor_name=actor.get_username(),
            order_id=order_id if order_id in orders else None,
            own=creator == actor.pk and attempt in SECOND_PERSONS,
            environment=environment,
        )


def _log_each(refusals: Mapping[UUID, Refused], attempt: Attempt, *, actor: User, now: datetime, reason: str) -> None:
    for order_id, refused in refusals.items():
        logger.warning(
            "%s was refused to %s order %s (%s), at %s; not in the database: %s",
            actor.get_username() or "somebody",
            attempt,
            order_id,
            refused.code,
            now.isoformat(),
            reason,
            extra={"order_id": order_id},
        )
