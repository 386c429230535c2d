"""What the desk has of the bot's orders already, and the way in for the others. Calls workflow, writes no order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction

from emo_site.db.fields import current_environment
from orders import workflow
from orders.fill import Fill
from orders.history import import_history
from orders.legacy_import import staged_rows
from orders.legacy_import.incoming import History, Incoming
from orders.legacy_import.report import Unreadable
from orders.models import StagedOrder
from orders.querysets import StagedOrderQuerySet
from orders.ticket import InvalidTicket, Ticket

IMPORTER = "legacy_import"
SUFFIX_LENGTH = 8
# What must agree before two records are taken for one order.
_FIGURES = ("symbol", "side", "quantity", "order_type", "price", "stop_price", "time_in_force")


class AlreadyImported(Exception):
    """The desk has this order; the message says where from."""


def take_in(incoming: Incoming, *, now: datetime) -> StagedOrder:
    """Stages the order and takes over what became of it. Raises AlreadyImported, Unreadable, InvalidTicket, Refused."""
    if incoming.created_at is not None and incoming.created_at > now + workflow.CLOCK_TOLERANCE:
        raise InvalidTicket("created_at", incoming.created_at.isoformat(), "is in the future")
    ticket = replace(incoming.ticket, client_order_id=_free_id(incoming))
    with transaction.atomic():
        creator = _person(incoming.user)
        order = workflow.stage(ticket, created_by=creator, now=now, created_at=incoming.created_at)
        if incoming.history is not None:
            order = _with_history(order, incoming.history, now=now)
    return order


def _with_history(order: StagedOrder, history: History, *, now: datetime) -> StagedOrder:
    reviewer = None
    if history.reviewer is not None:
        reviewer = _person(history.reviewer or IMPORTER)
        if reviewer == order.created_by:
            reviewer = _person(IMPORTER)
    if reviewer is not None and reviewer == order.created_by:
        raise Unreadable(f"{IMPORTER} is the importer's own name: it can't have created the order too", field="user")
    return import_history(
        order.pk,
        status=history.status,
        actor=_person(IMPORTER),
        now=now,
        reason=history.reason,
        reviewer=reviewer,
        reviewed_at=history.reviewed_at,
        fill=_fill(order, history, now=now),
    )


def _fill(order: StagedOrder, history: History, *, now: datetime) -> Fill | None:
    if history.price is None or history.quantity is None or history.executed_at is None:
        return None
    if history.executed_at > now + workflow.CLOCK_TOLERANCE:
        raise InvalidTicket("executed_at", history.executed_at.isoformat(), "is in the future")
    return Fill(
        execution_id=f"legacy:{order.client_order_id}",
        price=history.price,
        quantity=history.quantity,
        executed_at=history.executed_at,
    )


def _person(username: str) -> User:
    """Who is on record under this name, else an inactive user that nobody can log in as."""
    user, _ = User.objects.get_or_create(
        username=username, defaults={"is_active": False, "password": make_password(None)}
    )
    return user


def _free_id(incoming: Incoming) -> str:
    """The client_order_id to stage under. Raises AlreadyImported, or Unreadable where the id is another order's."""
    ticket = incoming.ticket
    # The same bytes again, perhaps under another name.
    if same := _orders().filter(checksum=ticket.checksum, source__startswith="legacy:").first():
        raise AlreadyImported(_already(same))
    other = _orders().filter(client_order_id=ticket.client_order_id).first() or _earlier_state(ticket)
    if other is None:
        return ticket.client_order_id
    if _records_of_one_order(other, ticket):
        _require_agreement(other, incoming)
        raise AlreadyImported(_already(other))
    if incoming.states_its_id or not ticket.source_file or _same_path(other.source_file, ticket.source_file):
        raise Unreadable(f"{_taken(other)}, with other content", field="client_order_id")
    # Two folders may hold two files of one name.
    return f"{ticket.client_order_id}-{ticket.checksum[:SUFFIX_LENGTH]}"


def _orders() -> StagedOrderQuerySet:
    return StagedOrder.objects.filter(environment=current_environment())


def _earlier_state(ticket: Ticket) -> StagedOrder | None:
    """The order of the same database row as it was before it changed, where the row's id is made from its content."""
    row = ticket.metadata.get("row")
    if ticket.source != staged_rows.SOURCE or row is None or row["raw_file"]:
        return None
    prefix = staged_rows.unnamed_prefix(row["id"])
    earlier = _orders().filter(client_order_id__startswith=prefix, symbol=ticket.symbol)
    return next(
        (
            order
            for order in earlier
            if order.metadata["document"]["created_at"] == ticket.metadata["document"]["created_at"]
        ),
        None,
    )


def _records_of_one_order(other: StagedOrder, ticket: Ticket) -> bool:
    """A database row and the file it names, or one draft as YAML and as JSON."""
    rows = [source == staged_rows.SOURCE for source in (other.source, ticket.source)]
    if rows[0] != rows[1]:
        return other.source.startswith("legacy:")
    theirs, ours = PurePosixPath(other.source_file), PurePosixPath(ticket.source_file)
    twins = _same_path(str(theirs.with_suffix("")), str(ours.with_suffix("")))
    return not rows[0] and twins and theirs.suffix != ours.suffix


def _require_agreement(other: StagedOrder, incoming: Incoming) -> None:
    ticket = incoming.ticket
    differing = [
        f"{name} {_shown(getattr(ticket, name))}, on record {_shown(getattr(other, name))}"
        for name in _FIGURES
        if getattr(ticket, name) != getattr(other, name)
    ]
    if differing:
        raise Unreadable(f"{_taken(other)}, and the two disagree: {'; '.join(differing)}", field="client_order_id")
    if incoming.tampered:
        raise Unreadable(
            "the signature does not fit the document;"
            f" the same order is on record as {other.pk} from {other.source_file}",
            field="signature",
        )


def _same_path(one: str, other: str) -> bool:
    """Seen from different folders, a file's path is shorter or longer, with the same end."""
    return one == other or one.endswith(f"/{other}") or other.endswith(f"/{one}")


def _taken(other: StagedOrder) -> str:
    origin = f" from {other.source_file}" if other.source_file else ""
    return f"client_order_id={other.client_order_id!r} is taken by another order ({other.pk}{origin})"


def _already(other: StagedOrder) -> str:
    return f"already imported as {other.pk} from {other.source_file}"


def _shown(value: Any) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
