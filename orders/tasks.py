"""Background tasks on orders and their audit trail."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django_tasks import task

from orders import anchors, audit, unmatched, workflow
from orders.anchors import Anchors
from orders.audit import Verification


class NotAsWritten(Exception):
    """The audit trail was changed; the message names the first order."""


class NoSuchUser(LookupError):
    """A task is to act for somebody who is not there."""


@task
def expire_orders() -> dict[str, int]:
    """Ends the orders whose time has passed; returns how many."""
    return {"expired": len(workflow.expire(now=datetime.now(UTC)))}


@task
def match_fills(by: str) -> dict[str, int]:
    """Tries unmatched fills again in the name of the user `by`; returns how many were booked, and how many wait on.

    Raises NoSuchUser, and Refused where that user may not record fills.
    """
    actor = User.objects.filter(username=by, is_active=True).first()
    if actor is None:
        raise NoSuchUser(f"by={by!r}: there is no active user of that name")
    tried = list(unmatched.match_all(actor=actor, now=datetime.now(UTC)))
    booked = sum(each.booked is not None for each in tried)
    return {"booked": booked, "waiting": len(tried) - booked}


@task
def anchor_audit() -> dict[str, Any]:
    """Writes down the heads of all trails that have grown, on this host; returns how many, and the last seal.

    Raises NotAsWritten before it writes: what was changed must not become what is compared with.
    """
    _verify()
    done = anchors.append(settings.EMO_AUDIT_ANCHOR_FILE, now=datetime.now(UTC))
    return {"orders": done.orders, "events": done.events, "changed": done.changed, "seal": done.seal}


@task
def verify_audit() -> dict[str, int]:
    """Reads every trail; returns how many orders and events. Raises NotAsWritten where one is not as it was written."""
    found = _verify()
    return {"orders": found.orders, "events": found.events, "anchors": found.anchored}


def _verify() -> Verification:
    with _anchors() as known:
        found = audit.verify(now=datetime.now(UTC), anchors=known)
    if not found.is_sound:
        first = [f"order {each.order_id}: {each.what}" for each in found.findings] + list(found.anchor_problems)
        raise NotAsWritten(f"{found.bad} orders are not as written, first {first[0]}; run manage.py verify_audit")
    return found


def _anchors() -> AbstractContextManager[Anchors | None]:
    if not settings.EMO_AUDIT_ANCHOR_FILE.exists():
        return nullcontext()
    return anchors.read(settings.EMO_AUDIT_ANCHOR_FILE)
