"""Fills that no order can take yet: kept as they came, flagged, and matched later. Their only writer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from emo_site.db.fields import current_environment
from orders.entitlement import require
from orders.fill import Fill
from orders.fills import RECORDS_FILLS, record_execution
from orders.models import ExecutedOrder, StagedOrder, UnmatchedFill
from orders.plain_values import as_plain, from_plain
from orders.refusal import Refused
from orders.steps import unknown

# A broker's report is refused for good only where it is no news; else it is kept until it fits.
NO_NEWS = frozenset({"DUPLICATE_EXECUTION"})
NOT_OURS = frozenset({"NOT_PERMITTED"})


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What became of one waiting fill: the row it was booked as, or why it waits on."""

    waiting: UnmatchedFill
    booked: ExecutedOrder | None
    reason: str


def receive(client_order_id: str, fill: Fill, *, actor: User, now: datetime) -> ExecutedOrder | UnmatchedFill:
    """The door for what a broker reports: booked where its order takes it, else kept, with the reason.

    It may name an order that the desk does not know (yet), or one that the desk has not sent (yet). Raises Refused
    where the actor may not record fills, and for an execution_id that was booked before, or is kept and has to wait on.
    """
    require(actor, RECORDS_FILLS, "record fills")
    order_id = _order_of(client_order_id)
    try:
        if order_id is None:
            raise _unknown_name(client_order_id)
        return record_execution(order_id, fill, actor=actor, now=now)
    except Refused as refused:
        if refused.code in NO_NEWS | NOT_OURS:
            raise
        return _keep(client_order_id, fill, refused, actor=actor, now=now)


def match(waiting_id: UUID, order_id: UUID, *, actor: User, now: datetime) -> ExecutedOrder:
    """Books a waiting fill on the order that a person says it belongs to. Raises Refused, and it waits on."""
    require(actor, RECORDS_FILLS, "match fills")
    waiting = UnmatchedFill.objects.filter(pk=waiting_id).first()
    if waiting is None:
        raise Refused("UNKNOWN_FILL", f"There is no unmatched fill {waiting_id}.")
    if waiting.matched_to_id is not None:
        raise Refused("MATCHED_BEFORE", f"{waiting.execution_id} was matched before, by {waiting.matched_by}.")
    return _book(waiting, order_id, actor=actor, now=now)


def waiting_fills() -> QuerySet[UnmatchedFill]:
    """Of this environment, in no order."""
    return UnmatchedFill.objects.filter(matched_to__isnull=True, environment=current_environment()).order_by()


def match_all(*, actor: User, now: datetime) -> Iterator[Tried]:
    """Tries every waiting fill again, oldest first, on the order that it names."""
    for each in waiting_fills().order_by("received_at", "id"):
        order_id = _order_of(each.client_order_id)
        try:
            if order_id is None:
                raise _unknown_name(each.client_order_id)
            yield Tried(waiting=each, booked=_book(each, order_id, actor=actor, now=now), reason="")
        except Refused as refused:
            yield Tried(waiting=each, booked=None, reason=str(refused))


def _unknown_name(client_order_id: str) -> Refused:
    return Refused("UNKNOWN_ORDER", f"There is no order {client_order_id!r} in {current_environment()}.")


def fill_of(waiting: UnmatchedFill) -> Fill:
    return from_plain(Fill, waiting.report)


def _order_of(client_order_id: str) -> UUID | None:
    same = StagedOrder.objects.filter(environment=current_environment(), client_order_id=client_order_id)
    return same.values_list("pk", flat=True).first()


def _keep(client_order_id: str, fill: Fill, refused: Refused, *, actor: User, now: datetime) -> UnmatchedFill:
    if ExecutedOrder.objects.filter(execution_id=fill.execution_id).exists():
        raise _known(fill.execution_id)
    report: dict[str, Any] = as_plain(fill)
    row = UnmatchedFill(
        execution_id=fill.execution_id,
        client_order_id=client_order_id,
        report=report,
        reason=f"{refused.code}: {refused}"[:255],
        received_at=now,
        received_by=actor,
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        if UnmatchedFill.objects.filter(execution_id=fill.execution_id).exists():
            raise _known(fill.execution_id) from error
        raise
    return row


def _known(execution_id: str) -> Refused:
    return Refused("DUPLICATE_EXECUTION", f"execution_id={execution_id!r} is on record already; nothing was changed.")


def _book(waiting: UnmatchedFill, order_id: UUID, *, actor: User, now: datetime) -> ExecutedOrder:
    if not StagedOrder.objects.filter(pk=order_id).exists():
        raise unknown(order_id)
    try:
        with transaction.atomic():
            booked = record_execution(order_id, fill_of(waiting), actor=actor, now=now)
            _note(waiting, booked, actor=actor, now=now)
    except Refused as refused:
        # Reported again, it was booked by another door meanwhile: it waits no longer.
        before = ExecutedOrder.objects.filter(execution_id=waiting.execution_id, staged_order=order_id).first()
        if refused.code not in NO_NEWS or before is None or not _note(waiting, before, actor=actor, now=now):
            raise
        booked = before
    waiting.refresh_from_db()
    return booked


def _note(waiting: UnmatchedFill, booked: ExecutedOrder, *, actor: User, now: datetime) -> bool:
    """Whether nobody else did so before."""
    still = UnmatchedFill.objects.filter(pk=waiting.pk, matched_to__isnull=True)
    return still.update(matched_to=booked, matched_at=now, matched_by=actor.get_username()) == 1
