"""One order from staging to its fill through the workflow's own doors, undone at the end: does the desk still work?

Everything happens in transactions that are rolled back: two people, a price, an account, the order and its trail. None
of it is ever seen by others, and nothing of it stays but numbers that sequences have given out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import uuid4

from django.contrib.auth.models import Permission, User
from django.db import transaction

from emo_site.db.aliases import PRIMARY_ALIAS, holders_of
from emo_site.db.health import models_asked_within
from monitoring import events
from monitoring.choices import EventType
from orders import audit, workflow
from orders.audit import Verification
from orders.choices import OrderStatus, OrderType, Side
from orders.context import policy_in_force
from orders.fill import Fill
from orders.models import StagedOrder
from orders.refusal import Refused
from orders.ticket import Ticket

NAME = "system check"
# No such symbol is listed anywhere; where the policy permits only some, the first of those is taken.
SYMBOL = "EMOCHECK"
PRICE = Decimal(1)
# One share against an account in which it is nothing, and which has never been larger.
EQUITY = Decimal(10) ** 9
STEPS = ("staged", "approved by a second person", "submitted", "filled")
_PERMISSIONS = ("add", "review", "submit", "execute")


class Failed(Exception):
    """The desk did something else than it should; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """`blocked_by`: the rules that let nothing through now, where that ended it. `trail` is None where it did.

    `steps` are those that were done, in order; times in seconds.
    """

    steps: tuple[str, ...]
    blocked_by: tuple[str, ...]
    trail: Verification | None
    trip_seconds: float
    audit_seconds: float = 0.0


def rehearse(*, now: datetime, seconds: float) -> Rehearsal:
    """Raises Failed, Refused, and what the drivers raise; nothing is left behind then either."""
    aliases = list(dict.fromkeys((PRIMARY_ALIAS, *holders_of("monitoring"))))
    with ExitStack() as asked:
        for alias in aliases:
            asked.enter_context(models_asked_within(alias, seconds))
        with _undone(aliases):
            order, found = _played(now)
        if StagedOrder.objects.using(PRIMARY_ALIAS).filter(pk=order.pk).exists():
            raise Failed(f"the order {order.client_order_id} is still there: the transaction was not rolled back")
    return found


@contextmanager
def _undone(aliases: list[str]) -> Iterator[None]:
    with ExitStack() as stack:
        for alias in aliases:
            stack.enter_context(transaction.atomic(using=alias))
        try:
            yield
        finally:
            for alias in aliases:
                transaction.set_rollback(True, using=alias)


def _played(now: datetime) -> tuple[StagedOrder, Rehearsal]:
    started = time.perf_counter()
    symbol = _permitted_symbol(now)
    _quote(symbol, now)
    trader, reviewer = _person("trader"), _person("reviewer")
    order = workflow.stage(_ticket(symbol), created_by=trader, now=now)
    if order.status == OrderStatus.BLOCKED:
        blocks = tuple(code for code, severity in order.violation_codes if severity == "block")
        seconds = time.perf_counter() - started
        return order, Rehearsal(steps=STEPS[:1], blocked_by=blocks, trail=None, trip_seconds=seconds)
    _require_second_person(order, trader, now)
    workflow.approve(order.pk, actor=reviewer, now=now, note=NAME)
    workflow.submit(order.pk, actor=trader, now=now)
    workflow.record_execution(order.pk, _fill(order, now), actor=trader, now=now)
    _require_executed(order)
    played = time.perf_counter()
    trail = audit.verify(orders=[order.pk], now=now)
    return order, Rehearsal(
        steps=STEPS,
        blocked_by=(),
        trail=trail,
        trip_seconds=played - started,
        audit_seconds=time.perf_counter() - played,
    )


def _permitted_symbol(now: datetime) -> str:
    policy = policy_in_force(now).policy
    allowed = sorted(set(policy.permitted_symbols) - set(policy.restricted_symbols))
    return allowed[0] if allowed else SYMBOL


def _quote(symbol: str, now: datetime) -> None:
    events.record(
        [
            events.Event(symbol=symbol, event_type=EventType.QUOTE, timestamp=now, price=PRICE, source=NAME),
            events.Event(symbol="", event_type=EventType.EQUITY, timestamp=now, price=EQUITY, source=NAME),
        ]
    )


def _person(role: str) -> User:
    user = User(username=f"{NAME} {role} {uuid4().hex[:12]}")
    user.set_unusable_password()
    user.save()
    wanted = [f"{verb}_stagedorder" for verb in _PERMISSIONS]
    # Both may do all of it, so that it is their being two that counts.
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="orders", codename__in=wanted))
    return user


def _ticket(symbol: str) -> Ticket:
    return Ticket(
        symbol=symbol,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(1),
        price=PRICE,
        strategy=NAME,
        source=NAME,
    )


def _fill(order: StagedOrder, now: datetime) -> Fill:
    return Fill(execution_id=f"{NAME} {order.pk}", price=PRICE, quantity=Decimal(1), executed_at=now, venue=NAME)


def _require_second_person(order: StagedOrder, trader: User, now: datetime) -> None:
    try:
        workflow.approve(order.pk, actor=trader, now=now)
    except Refused:
        return
    raise Failed(f"{trader.username} approved an order of their own")


def _require_executed(order: StagedOrder) -> None:
    status = StagedOrder.objects.using(PRIMARY_ALIAS).values_list("status", flat=True).get(pk=order.pk)
    if status != OrderStatus.EXECUTED:
        raise Failed(f"the order is {status} after its fill, and not {OrderStatus.EXECUTED}")
