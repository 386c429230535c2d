"""The audit trail of orders: makes its events, each sealed upon the one before, and verifies all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef

from emo_site.db.aliases import PRIMARY_ALIAS
from orders import audit_keys
from orders.anchors import Anchored, Anchors
from orders.choices import EventKind, OrderStatus
from orders.models import OrderEvent, StagedOrder
from orders.seals import fingerprint, refuse_floats, seal

# More are counted, not named: with a wrong key every order is one.
MAX_NAMED = 1000
_READ_AT_ONCE = 2000


def sealed(
    order: StagedOrder,
    *,
    sequence: int,
    previous: str,
    at: datetime,
    kind: EventKind,
    actor: User | str,
    from_status: str,
    to_status: str,
    reason: str,
    seen: dict[str, Any],
) -> OrderEvent:
    """An event with its seal, not yet written. `order` has its id; `previous` is the seal of its event before.

    `actor` is a person, or the name of what acted where no person did. Raises TypeError for a float in `seen`.
    """
    if order.pk is None:
        raise ValueError("order.pk is None: an order has its id before its first event is sealed")
    refuse_floats(seen)
    event = OrderEvent(
        order=order,
        sequence=sequence,
        at=at,
        kind=kind,
        actor=None if isinstance(actor, str) else actor,
        actor_name=actor if isinstance(actor, str) else actor.get_username(),
        from_status=from_status,
        to_status=OrderStatus(to_status),
        reason=reason,
        seen=seen,
    )
    event.seal = seal(
        audit_keys.current(),
        previous=previous,
        order_id=order.pk,
        sequence=event.sequence,
        at=event.at,
        kind=event.kind,
        actor_id=event.actor_id,
        actor_name=event.actor_name,
        from_status=event.from_status,
        to_status=event.to_status,
        reason=event.reason,
        seen=event.seen,
    )
    return event


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The first row of one order's trail that is not as it was written, or what was found instead of a row."""

    order_id: UUID
    client_order_id: str
    sequence: int | None
    event_id: UUID | None
    what: str


@dataclass(frozen=True, kw_only=True)
class KeyUse:
    """How many events one key has sealed, and until when."""

    fingerprint: str
    is_current: bool
    events: int
    last_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Verification:
    """`bad` orders are not as they were written; the first MAX_NAMED are named. `anchored` heads were compared."""

    as_of: datetime
    orders: int
    events: int
    anchored: int
    bad: int
    findings: tuple[Finding, ...]
    anchor_problems: tuple[str, ...]
    keys: tuple[KeyUse, ...]

    @property
    def is_sound(self) -> bool:
        return self.bad == 0 and not self.anchor_problems


def verify(*, orders: Iterable[UUID] | None = None, now: datetime, anchors: Anchors | None = None) -> Verification:
    """Reads every trail (or those of `orders`) and says where one is not as it was written.

    Each event must follow from the one before, number, seal and all; the order's row must say how many there are, how
    they end and what they lead to; what was anchored must still be there. Row by row, whatever their number. What the
    file of anchors says must have been read before: orders go on changing.
    """
    wanted = None if orders is None else list(orders)
    look = _Look(keys=audit_keys.every())
    promised = _promises(anchors.in_order(wanted)) if anchors else iter(())
    # A server's cursor outside a transaction would first copy all of it.
    with transaction.atomic(using=PRIMARY_ALIAS):
        for trail, anchored in _beside(_trails(wanted), promised):
            look.at(trail, anchored)
        if wanted is None:
            look.at_strays()
    return look.result(now, anchors.problems if anchors else ())


def head_of(order: StagedOrder) -> str:
    """The seal of the last event of the order's trail. Raises NotWhole where its events don't follow one another."""
    look, end = _Look(keys=audit_keys.every()), _End()
    for trail in _trails([order.pk]):
        end = look.read(trail, {})
    if end.wrong:
        raise NotWhole(f"event {end.wrong.sequence}: {end.wrong.what}")
    return end.head


class NotWhole(Exception):
    """The events of a trail don't follow from each other; the message names the first bad row."""


class _Event(NamedTuple):
    id: UUID
    sequence: int
    at: datetime
    kind: str
    actor_id: int | None
    actor_name: str
    from_status: str
    to_status: str
    reason: str
    seen: dict[str, Any]
    seal: str


class _Trail(NamedTuple):
    order_id: UUID
    client_order_id: str
    status: str
    event_count: int
    audit_head: str
    events: Iterator[_Event]


class _Wrong(NamedTuple):
    sequence: int | None
    event_id: UUID | None
    what: str


_OF_ORDER = ("pk", "client_order_id", "status", "event_count", "audit_head")
_OF_EVENT = tuple(f"events__{name}" for name in _Event._fields)


def _trails(wanted: list[UUID] | None) -> Iterator[_Trail]:
    """By order, in one statement, so that an order is seen together with its events."""
    rows = StagedOrder.objects.using(PRIMARY_ALIAS).order_by("pk", "events__sequence")
    if wanted is not None:
        rows = rows.filter(pk__in=wanted)
    told = rows.values_list(*_OF_ORDER, *_OF_EVENT).iterator(chunk_size=_READ_AT_ONCE)
    width = len(_OF_ORDER)
    for of_order, of_events in groupby(told, key=itemgetter(slice(width))):
        # An order without events comes as one row of which that half is empty.
        events = (_Event._make(row[width:]) for row in of_events if row[width] is not None)
        yield _Trail._make((*of_order, events))


def _promises(anchored: Iterator[Anchored]) -> Iterator[tuple[UUID, dict[int, Anchored]]]:
    for order_id, of_order in groupby(anchored, key=lambda each: each.order_id):
        yield order_id, {each.events: each for each in of_order}


def _beside(
    trails: Iterator[_Trail], promised: Iterator[tuple[UUID, dict[int, Anchored]]]
) -> Iterator[tuple[_Trail | None, dict[int, Anchored]]]:
    """Each trail with what was anchored of it, both by order; None where there is no such order any more."""
    following = next(promised, None)
    for trail in trails:
        while following is not None and following[0] < trail.order_id:
            yield None, following[1]
            following = next(promised, None)
        if following is not None and following[0] == trail.order_id:
            yield trail, following[1]
            following = next(promised, None)
        else:
            yield trail, {}
    while following is not None:
        yield None, following[1]
        following = next(promised, None)


def _wrong_anchor(event: _Event, promised: Mapping[int, Anchored]) -> str:
    anchored = promised.get(event.sequence)
    if anchored is None or anchored.head == event.seal:
        return ""
    return f"it was anchored with another seal at {anchored.at}: the trail was written anew since"


def _wrong_row(trail: _Trail, end: _End) -> _Wrong | None:
    """Where the order's row disagrees with its events, which follow from each other."""
    said = f"the order says {trail.event_count} events"
    if trail.event_count > end.sequence or end.sequence == 0:
        return _Wrong(end.sequence + 1, None, f"it is gone: {said}")
    if trail.event_count < end.sequence:
        return _Wrong(trail.event_count + 1, None, f"{said}, the trail holds {end.sequence}")
    if trail.audit_head != end.head:
        return _Wrong(end.sequence, None, "the order's audit_head is not the seal of its last event")
    if trail.status != end.to_status:
        return _Wrong(end.sequence, None, f"the order is {trail.status}, its last event says {end.to_status}")
    return None


@dataclass(kw_only=True)
class _End:
    """How a trail ends, as far as it was read."""

    sequence: int = 0
    head: str = ""
    to_status: str = ""
    key: int | None = None
    """The number of the key that the last sound event was sealed with."""
    wrong: _Wrong | None = None


@dataclass(kw_only=True)
class _Look:
    """One look at many trails, one after the other."""

    keys: Sequence[bytes]
    orders: int = 0
    events: int = 0
    anchored: int = 0
    bad: int = 0
    findings: list[Finding] = field(default_factory=list)
    used: dict[int, tuple[int, datetime]] = field(default_factory=dict)
    """By key: how many events, and the time of the last."""

    def at(self, trail: _Trail | None, promised: Mapping[int, Anchored]) -> None:
        self.anchored += len(promised)
        if trail is None:
            last = promised[max(promised)]
            what = f"anchored with {last.events} events at {last.at}: the order and its trail are gone"
            self._note(last.order_id, "", _Wrong(None, None, what))
            return
        self.orders += 1
        end = self.read(trail, promised)
        if found := end.wrong or _wrong_row(trail, end):
            self._note(trail.order_id, trail.client_order_id, found)

    def at_strays(self) -> None:
        """Events whose order is not there: the database's own key refuses them, unless somebody took it away."""
        order = StagedOrder.objects.filter(pk=OuterRef("order_id"))
        strays = OrderEvent.objects.using(PRIMARY_ALIAS).filter(~Exists(order)).order_by("order_id", "sequence")
        rows = strays.values_list("order_id", "sequence", "pk").iterator(chunk_size=_READ_AT_ONCE)
        for order_id, of_order in groupby(rows, key=itemgetter(0)):
            _, sequence, event_id = next(of_order)
            self._note(order_id, "", _Wrong(sequence, event_id, "its order is not there"))

    def read(self, trail: _Trail, promised: Mapping[int, Anchored]) -> _End:
        """Reads all events; what is wrong is the first of them that does not follow, or is not what was anchored."""
        end = _End()
        for event in trail.events:
            self.events += 1
            if end.wrong is None:
                what = self._wrong_event(trail.order_id, event, end) or _wrong_anchor(event, promised)
                end.wrong = _Wrong(event.sequence, event.id, what) if what else None
            end.sequence, end.head, end.to_status = event.sequence, event.seal, event.to_status
        last = promised[max(promised)] if promised else None
        if end.wrong is None and last is not None and last.events > end.sequence:
            what = f"it is gone: {last.events} events were anchored at {last.at}"
            end.wrong = _Wrong(end.sequence + 1, None, what)
        return end

    def _wrong_event(self, order_id: UUID, event: _Event, before: _End) -> str:
        if event.sequence != before.sequence + 1:
            return f"event {before.sequence + 1} is missing before it"
        if not event.seal:
            return "it has no seal"
        key = self._key_of(order_id, event, before.head)
        if key is None:
            return "its seal does not follow from what it says and the event before it"
        if before.key is not None and key > before.key:
            return "it is sealed with an older key than the event before it"
        before.key = key
        number, last_at = self.used.get(key, (0, event.at))
        self.used[key] = (number + 1, max(last_at, event.at))
        return ""

    def _key_of(self, order_id: UUID, event: _Event, previous: str) -> int | None:
        for number, key in enumerate(self.keys):
            made = seal(
                key,
                previous=previous,
                order_id=order_id,
                sequence=event.sequence,
                at=event.at,
                kind=event.kind,
                actor_id=event.actor_id,
                actor_name=event.actor_name,
                from_status=event.from_status,
                to_status=event.to_status,
                reason=event.reason,
                seen=event.seen,
            )
            if made == event.seal:
                return number
        return None

    def _note(self, order_id: UUID, client_order_id: str, wrong: _Wrong) -> None:
        self.bad += 1
        if len(self.findings) < MAX_NAMED:
            self.findings.append(
                Finding(
                    order_id=order_id,
                    client_order_id=client_order_id,
                    sequence=wrong.sequence,
                    event_id=wrong.event_id,
                    what=wrong.what,
                )
            )

    def result(self, now: datetime, anchor_problems: Sequence[str]) -> Verification:
        return Verification(
            as_of=now,
            orders=self.orders,
            events=self.events,
            anchored=self.anchored,
            bad=self.bad,
            findings=tuple(self.findings),
            anchor_problems=tuple(anchor_problems),
            keys=tuple(self._use(number, key) for number, key in enumerate(self.keys)),
        )

    def _use(self, number: int, key: bytes) -> KeyUse:
        events, last_at = self.used.get(number, (0, None))
        return KeyUse(fingerprint=fingerprint(key), is_current=number == 0, events=events, last_at=last_at)
