"""What an outage left behind among orders: each with what can be done about it, and how. The workflow does it.

Nothing is made up: an order without an answer is not sent again, a fill that is not on record is not invented, and a
trail that lacks events is not counted right. Those are a person's, with the broker's report or a backup in hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, F, Max, OuterRef, Q
from django.db.models.functions import Coalesce

from emo_site.db.aliases import PRIMARY_ALIAS
from monitoring.recovery import Leftover, NotMended
from orders import repairs
from orders.choices import FILLABLE, EventKind, OrderStatus
from orders.execution_quality import Filled, add_up
from orders.history import is_imported
from orders.models import ExecutedOrder, OrderEvent, OrderLeg, StagedOrder
from orders.refusal import Refused

ACTOR = "recover"
_BATCH = 500
# A person enters the broker's answer where the desk does not get it by itself.
ASK_THE_BROKER = "left to a person: ask the broker, then record the fill, the refusal or the cancellation"


def unanswered(*, now: datetime, answer_within: timedelta) -> Iterator[Leftover]:
    """Orders that were handed to the broker longer ago than `answer_within`, without its acknowledgement, a fill or a
    refusal since.

    By this desk, or by another system before the import; where the trail tells of neither, since it was made.
    """
    handed = Max("events__at", filter=Q(events__kind__in=(EventKind.SUBMITTED, EventKind.IMPORTED)))
    waiting = (
        StagedOrder.objects.filter(status=OrderStatus.SUBMITTED)
        .exclude(Exists(OrderEvent.objects.filter(order_id=OuterRef("pk"), kind=EventKind.ACKNOWLEDGED)))
        .annotate(since=Coalesce(handed, "created_at"))
        .filter(since__lt=now - answer_within)
        .order_by("since", "pk")
        .values_list("pk", "client_order_id", "since")
    )
    for identifier, client_order_id, since in waiting:
        later = OrderEvent.objects.filter(order_id=identifier, kind=EventKind.UNANSWERED, at__gte=since)
        marked = later.order_by("at").values_list("at", flat=True).first()
        yield Leftover(
            kind="unanswered order",
            database=PRIMARY_ALIAS,
            subject=client_order_id,
            found=f"submitted {since:%Y-%m-%d %H:%M:%S} UTC, no answer on record",
            would=f"{ASK_THE_BROKER} (its history says so since {marked:%Y-%m-%d %H:%M} UTC)"
            if marked
            else f"say in its history that it is to be reconciled; it is not sent again. Then {ASK_THE_BROKER}",
            mend=None if marked else partial(_mark, identifier, now, since),
            closes=False,
        )


def _mark(identifier: UUID, now: datetime, since: datetime) -> str:
    _by_workflow(partial(repairs.mark_unanswered, identifier, now=now, actor=ACTOR, since=since))
    return "its history says that it is to be reconciled"


def miscounted_trails(*, now: datetime) -> Iterator[Leftover]:
    """Orders whose event_count or status disagrees with their events."""
    counted = StagedOrder.objects.order_by("pk").annotate(n=Count("events"), last=Coalesce(Max("events__sequence"), 0))
    for order in counted.exclude(n=F("event_count"), last=F("event_count")).iterator(chunk_size=_BATCH):
        n, last = order.n, order.last  # type: ignore[attr-defined]  # annotated
        behind = n == last > order.event_count and _last_status(order) == order.status
        yield Leftover(
            kind="miscounted trail",
            database=PRIMARY_ALIAS,
            subject=order.client_order_id,
            found=f"event_count is {order.event_count}, the trail holds {n} events up to number {last}",
            would="set the count right, with an event that says so"
            if behind
            else "left to a person: events are missing, or tell of another status; look for them in a backup",
            mend=partial(_recount, order.pk, now) if behind else None,
        )
    # Of a trail that is longer than the count, the event of that number is not the last one.
    later = OrderEvent.objects.filter(order_id=OuterRef("order_id"), sequence__gt=OuterRef("sequence"))
    told = OrderEvent.objects.filter(~Exists(later), sequence=F("order__event_count"))
    told = told.exclude(to_status=F("order__status"))
    for event in told.select_related("order").order_by("order_id").iterator(chunk_size=_BATCH):
        yield Leftover(
            kind="status without event",
            database=PRIMARY_ALIAS,
            subject=event.order.client_order_id,
            found=f"the order is {event.order.status}, its last event says {event.to_status}",
            would="left to a person: somebody changed the row beside the desk; the trail says what happened",
        )


def _last_status(order: StagedOrder) -> str | None:
    return order.events.order_by("-sequence").values_list("to_status", flat=True).first()


def _recount(identifier: UUID, now: datetime) -> str:
    order = _by_workflow(partial(repairs.recount_events, identifier, now=now, actor=ACTOR))
    return f"event_count is {order.event_count}"


def disagreeing_fills(*, now: datetime) -> Iterator[Leftover]:
    """Fills without an order, and orders whose quantity, price or status is not what their fills add up to."""
    for batch in _in_batches(_fills_by_order()):
        orders = StagedOrder.objects.in_bulk([identifier for identifier, _ in batch])
        legs = _legs_of(orders)
        for identifier, fills in batch:
            order = orders.get(identifier)
            if order is None:
                yield _without_order(identifier)
                continue
            filled = add_up(ordered=order.quantity, legs=legs.get(identifier, {}), fills=fills)
            if found := _disagreement(order, filled):
                yield _of_fills(order, filled, found, now)
    for order in _filled_without_fills().iterator(chunk_size=_BATCH):
        yield _of_fills(order, add_up(ordered=order.quantity, legs={}, fills=[]), _missing(order, Decimal(0)), now)


def _without_order(identifier: UUID) -> Leftover:
    fills = ExecutedOrder.objects.filter(staged_order_id=identifier).values_list("execution_id", flat=True)
    return Leftover(
        kind="fill without order",
        database=PRIMARY_ALIAS,
        subject=", ".join(fills),
        found=f"there is no order {identifier}",
        would="left to a person: the fill stays; restore a backup beside and copy its order",
    )


def _of_fills(order: StagedOrder, filled: Filled, found: str, now: datetime) -> Leftover:
    mendable = repairs.can_rebook(order, filled)
    return Leftover(
        kind="fills disagree",
        database=PRIMARY_ALIAS,
        subject=order.client_order_id,
        found=found,
        would="add the fills on record up anew, with an event that says so"
        if mendable
        else "left to a person: fills are missing, or the order never went to a broker; compare the broker's report",
        mend=partial(_rebook, order.pk, now) if mendable else None,
    )


def _rebook(identifier: UUID, now: datetime) -> str:
    order = _by_workflow(partial(repairs.rebook, identifier, now=now, actor=ACTOR))
    return f"{order.get_status_display()}, {order.filled_quantity.normalize():f} filled"


def _disagreement(order: StagedOrder, filled: Filled) -> str:
    """In words; empty where the order says what its fills say. A cancelled or expired order may be partly filled."""
    status = OrderStatus(order.status)
    if filled.quantity < order.filled_quantity:
        return _missing(order, filled.quantity)
    complete = filled.quantity >= order.quantity
    if filled.quantity != order.filled_quantity or filled.average_price != order.average_fill_price:
        return (
            f"its fills add up to {filled.quantity.normalize():f} at {_shown(filled.average_price)}, the order says"
            f" {order.filled_quantity.normalize():f} at {_shown(order.average_fill_price)}"
        )
    if status not in FILLABLE or (complete and status != OrderStatus.EXECUTED):
        return f"its fills add up to {filled.quantity.normalize():f} of {order.quantity.normalize():f}, it is {status}"
    if status == OrderStatus.SUBMITTED and filled.quantity:
        return f"{filled.quantity.normalize():f} are filled, it is still {status}"
    if status == OrderStatus.EXECUTED and not complete and not is_imported(order):
        return _missing(order, filled.quantity)
    return ""


def _missing(order: StagedOrder, on_record: Decimal) -> str:
    said = order.filled_quantity.normalize()
    return f"the order is {order.status} with {said:f} filled, its fills on record add up to {on_record.normalize():f}"


def _shown(price: Decimal | None) -> str:
    return "no price" if price is None else f"{price.normalize():f}"


def _filled_without_fills() -> Any:
    """Orders that say they were filled and have no fill; what another system executed may come without."""
    says_so = Q(status__in=(OrderStatus.PARTIALLY_FILLED, OrderStatus.EXECUTED)) | Q(filled_quantity__gt=0)
    imported = OrderEvent.objects.filter(order_id=OuterRef("pk"), kind=EventKind.IMPORTED)
    fills = ExecutedOrder.objects.filter(staged_order_id=OuterRef("pk"))
    return StagedOrder.objects.filter(says_so, ~Exists(fills), ~Exists(imported)).order_by("pk")


_Fills = tuple[UUID, list[tuple[int | None, Decimal, Decimal]]]


def _fills_by_order() -> Iterator[_Fills]:
    rows = (
        ExecutedOrder.objects.holding()
        .order_by("staged_order_id")
        .values_list("staged_order_id", "leg__position", "execution_quantity", "execution_price")
        .iterator(chunk_size=2000)
    )
    for identifier, of_order in groupby(rows, key=itemgetter(0)):
        yield identifier, [row[1:] for row in of_order]


def _in_batches(fills: Iterator[_Fills]) -> Iterator[Sequence[_Fills]]:
    while batch := list(islice(fills, _BATCH)):
        yield batch


def _legs_of(orders: dict[UUID, StagedOrder]) -> dict[UUID, dict[int, Decimal]]:
    found: dict[UUID, dict[int, Decimal]] = {}
    rows = OrderLeg.objects.filter(order__in=orders).values_list("order_id", "position", "quantity")
    for identifier, position, quantity in rows:
        found.setdefault(identifier, {})[position] = quantity
    return found


def _by_workflow(step: Callable[[], StagedOrder]) -> StagedOrder:
    try:
        return step()
    except Refused as error:
        raise NotMended(str(error)) from error
