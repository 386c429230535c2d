"""Decisions about many orders at once: each by itself, so that one that is refused does not hold the others up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User

from orders import changes, end_prices, journal, refused_decisions
from orders.choices import Attempt, OrderStatus
from orders.journal import Change
from orders.judgement import judge_each
from orders.models import StagedOrder
from orders.reading import Recorded, read
from orders.refusal import Refused
from orders.steps import check, not_written, require_reason, require_seen, unknown


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one of several orders: `order` as it is now, or why it was refused."""

    order_id: UUID
    order: StagedOrder | None = None
    refused: Refused | None = None


def approve_each(
    order_ids: Sequence[UUID],
    *,
    actor: User,
    now: datetime,
    note: str = "",
    expected_events: Mapping[UUID, int] | None = None,
) -> list[Outcome]:
    """`approve` of many. They are judged together."""

    def make(passed: Sequence[Recorded]) -> Iterable[Change | Refused]:
        questions = [changes.question(each, reviewer=actor) for each in passed]
        for each, judgement in zip(passed, judge_each(questions, now=now) if questions else (), strict=True):
            try:
                yield changes.approved(each.order, judgement, actor, now, note)
            except Refused as refused:
                yield refused

    outcomes = _decided(OrderStatus.APPROVED, order_ids, expected_events, actor, make)
    _record(outcomes, Attempt.APPROVE, actor, now)
    return outcomes


def reject_each(
    order_ids: Sequence[UUID],
    *,
    actor: User,
    now: datetime,
    reason: str,
    expected_events: Mapping[UUID, int] | None = None,
) -> list[Outcome]:
    """`reject` of many."""
    require_reason(reason, "A rejection needs its reason.")

    def make(passed: Sequence[Recorded]) -> Iterable[Change]:
        return [changes.rejected(each.order, actor, now, reason) for each in passed]

    outcomes = _decided(OrderStatus.REJECTED, order_ids, expected_events, actor, make)
    _record(outcomes, Attempt.REJECT, actor, now)
    return outcomes


def cancel_each(
    order_ids: Sequence[UUID],
    *,
    actor: User,
    now: datetime,
    reason: str = "",
    expected_events: Mapping[UUID, int] | None = None,
) -> list[Outcome]:
    """`cancel` of many."""

    def make(passed: Sequence[Recorded]) -> Iterable[Change]:
        ends = end_prices.columns([each.order for each in passed], now=now)
        return [changes.cancelled(each.order, actor, now, reason, ends.get(each.order.pk, {})) for each in passed]

    outcomes = _decided(OrderStatus.CANCELLED, order_ids, expected_events, actor, make)
    _record(outcomes, Attempt.CANCEL, actor, now)
    return outcomes


def _record(outcomes: Sequence[Outcome], attempt: Attempt, actor: User, now: datetime) -> None:
    refusals = {each.order_id: each.refused for each in outcomes if each.refused is not None}
    refused_decisions.record(refusals, attempt, actor=actor, now=now)


def _decided(
    to: OrderStatus,
    order_ids: Sequence[UUID],
    seen: Mapping[UUID, int] | None,
    actor: User,
    make: Callable[[Sequence[Recorded]], Iterable[Change | Refused]],
) -> list[Outcome]:
    """By the place of its order. `seen`: how many events of each the caller knows of; `make`: the change of each order
    that may be led to `to` as far as its row and the actor tell.
    """
    on_record = read(order_ids)
    outcomes: dict[UUID, Outcome] = {}
    passed, wanted = [], []
    for order_id in dict.fromkeys(order_ids):
        try:
            if order_id not in on_record:
                raise unknown(order_id)
            require_seen(on_record[order_id].order, None if seen is None else seen.get(order_id))
            check(on_record[order_id].order, to, actor=actor)
            passed.append(on_record[order_id])
        except Refused as refused:
            outcomes[order_id] = Outcome(order_id=order_id, refused=refused)
    for recorded, made in zip(passed, make(passed), strict=True):
        if isinstance(made, Refused):
            outcomes[recorded.order.pk] = Outcome(order_id=recorded.order.pk, refused=made)
        else:
            wanted.append(made)
    for change, written in zip(wanted, journal.write_each(wanted), strict=True):
        order = change.order
        outcomes[order.pk] = (
            Outcome(order_id=order.pk, order=order)
            if written
            else Outcome(order_id=order.pk, refused=not_written(change))
        )
    return [outcomes[order_id] for order_id in dict.fromkeys(order_ids)]
