"""A decision made again as it was made: the inputs and the policy that it saw, through the rules of today."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orders import policy_versions
from orders.assessment import context_from_json
from orders.judgement import judge_in, ticket_of
from orders.models import OrderEvent, StagedOrder

# What an event holds that was made on an assessment; see Judgement.as_json.
ASSESSED = frozenset({"policy_version", "policy_number", "code_version", "risk", "compliance", "seen"})


class NotReviewable(Exception):
    """There is nothing to make again; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where the two assessments part, as a path, with what each says there; None where it says nothing."""

    path: str
    recorded: Any
    again: Any


@dataclass(frozen=True, kw_only=True)
class Review:
    """The assessment on record and the same one made again."""

    order_id: UUID
    client_order_id: str
    sequence: int
    kind: str
    at: datetime
    recorded: dict[str, Any]
    again: dict[str, Any]

    @property
    def is_equal(self) -> bool:
        """Byte for byte."""
        return canonical(self.recorded) == canonical(self.again)

    @property
    def differences(self) -> tuple[Difference, ...]:
        return tuple(_differences("", self.recorded, self.again))


def as_of(name: str, *, at: datetime) -> Review:
    """The last assessment of an order at or before `at`, made again. Raises NotReviewable, and InvalidPolicy for a
    policy that this version of the desk can't read.
    """
    order = _order(name)
    event = _assessed(order, at)
    recorded: dict[str, Any] = event.seen
    number = recorded["policy_number"]
    if number is None:
        raise NotReviewable(f"{name} was judged under a policy that is not on record ({recorded['policy_version']}).")
    version = policy_versions.history().filter(number=number).first()
    if version is None:
        raise NotReviewable(f"{name} was judged under policy {number}, which is not on record.")
    policy, context = policy_versions.policy_of(version), context_from_json(recorded["seen"])
    return Review(
        order_id=order.pk,
        client_order_id=order.client_order_id,
        sequence=event.sequence,
        kind=event.kind,
        at=event.at,
        recorded=recorded,
        again=judge_in(ticket_of(order), context, policy, number=number).as_json(),
    )


def canonical(document: Any) -> str:
    """One text for one document, whatever order a database keeps its keys in."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _order(name: str) -> StagedOrder:
    try:
        found = list(StagedOrder.objects.filter(pk=UUID(name)))
    except ValueError:
        found = []
    # A client_order_id may look like an id, and belongs to one environment.
    found = found or list(StagedOrder.objects.filter(client_order_id=name)[:2])
    if not found:
        raise NotReviewable(f"There is no order {name}.")
    if len(found) > 1:
        raise NotReviewable(f"{name} names orders of several environments: give the order's id.")
    return found[0]


def _assessed(order: StagedOrder, at: datetime) -> OrderEvent:
    for event in order.events.filter(at__lte=at).order_by("-sequence"):
        if event.seen.keys() >= ASSESSED:
            return event
    raise NotReviewable(f"{order.client_order_id} was not judged by {at.isoformat()}.")


def _differences(path: str, recorded: Any, again: Any) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(again, dict):
        for key in sorted(recorded.keys() | again.keys()):
            yield from _differences(f"{path}.{key}".removeprefix("."), recorded.get(key), again.get(key))
    elif isinstance(recorded, list) and isinstance(again, list) and len(recorded) == len(again):
        for place, pair in enumerate(zip(recorded, again, strict=True)):
            yield from _differences(f"{path}[{place}]", *pair)
    elif recorded != again:
        yield Difference(path=path, recorded=recorded, again=again)
