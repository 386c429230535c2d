"""The queue: what waits for whom, the named parts of the order list, and how many orders are in each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet

from emo_site.db.selective import matching
from orders.choices import OPEN, OrderStatus
from orders.kill_switch import AT_BROKER
from orders.models import StagedOrder
from orders.steps import PERMISSIONS

NEEDS_ME = "needs_me"
ALL = "all"
_PENDING, _APPROVED = OrderStatus.PENDING_REVIEW, OrderStatus.APPROVED


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the list. `changes_asked`: only orders that wait for their trader's answer, only the others, or both.

    What is worked off is read from its old end, everything else from its new one.
    """

    name: str
    label: str
    statuses: frozenset[OrderStatus]
    changes_asked: bool | None = None
    oldest_first: bool = False


COUNTED = (
    Part(
        name="needs_review",
        label="needs review",
        statuses=frozenset({_PENDING}),
        changes_asked=False,
        oldest_first=True,
    ),
    Part(
        name="changes_asked",
        label="changes asked",
        statuses=frozenset({_PENDING}),
        changes_asked=True,
        oldest_first=True,
    ),
    Part(name="blocked", label="blocked", statuses=frozenset({OrderStatus.BLOCKED}), oldest_first=True),
    Part(name="approved", label="approved", statuses=frozenset({_APPROVED}), oldest_first=True),
    Part(name="at_broker", label="at the broker", statuses=frozenset(AT_BROKER)),
)
PARTS = {
    part.name: part
    for part in (
        *COUNTED,
        Part(name="open", label="all open", statuses=OPEN),
        *(
            Part(name=status.value, label=status.label, statuses=frozenset({status}))
            for status in OrderStatus
            if status.value not in {part.name for part in COUNTED}
        ),
    )
}
CHOICES = (
    (NEEDS_ME, "needs me"),
    *((part.name, part.label) for part in COUNTED),
    ("open", "all open"),
    (ALL, "all"),
    *((name, part.label) for name, part in PARTS.items() if name != "open" and part not in COUNTED),
)


def is_worked_off(name: str) -> bool:
    """Whether the part is read from its old end."""
    return name == NEEDS_ME or (name in PARTS and PARTS[name].oldest_first)


def orders_in(name: str, orders: QuerySet[StagedOrder], person: User) -> QuerySet[StagedOrder]:
    """The orders of the part; none for a name that no part has."""
    if name == ALL:
        return orders
    if name == NEEDS_ME:
        return orders.filter(needs(person))
    if name not in PARTS:
        return orders.none()
    part = PARTS[name]
    if len(part.statuses) == 1:
        found = orders.filter(status=next(iter(part.statuses)))
    else:
        found = matching(orders, "status", sorted(part.statuses))
    return found if part.changes_asked is None else found.filter(changes_asked_at__isnull=not part.changes_asked)


def needs(person: User) -> Q:
    """What the person is to do something about now: answer, review (never their own), hand to the broker."""
    wanted = Q(status=_PENDING, changes_asked_at__isnull=False, created_by=person)
    if person.has_perm(PERMISSIONS[OrderStatus.APPROVED][0]):
        wanted |= Q(status=_PENDING, changes_asked_at__isnull=True) & ~Q(created_by=person)
    if person.has_perm(PERMISSIONS[OrderStatus.SUBMITTED][0]):
        wanted |= Q(status=_APPROVED)
    # Said of both as well: no database finds the statuses in an OR of three. And asked apart, or SQLite walks all
    # orders from their old end until it has met a page of those that are open.
    found = StagedOrder.objects.filter(wanted, status__in=[_APPROVED, _PENDING]).order_by()
    return Q(pk__in=found.values("pk"))


def counts(person: User) -> dict[str, int]:
    """How many orders need the person, and are in each of COUNTED: three queries, each on an index of the statuses."""
    by_status = StagedOrder.objects.open().counted_by_status()
    asked = StagedOrder.objects.filter(status=_PENDING, changes_asked_at__isnull=False).count()
    found = {part.name: sum(by_status.get(status, 0) for status in part.statuses) for part in COUNTED}
    found["needs_review"] -= asked
    found["changes_asked"] = asked
    return {NEEDS_ME: StagedOrder.objects.filter(needs(person)).aggregate(n=Count("pk"))["n"], **found}


def ends_at(order: StagedOrder) -> datetime | None:
    """When an open order ends by itself, or its approval does; None where nothing ends it."""
    if order.status not in OPEN:
        return None
    times = (order.expires_at, order.approval_expires_at if order.status == _APPROVED else None)
    return min((each for each in times if each is not None), default=None)
