"""Positions grouped as the rules count their risk: by strategy and underlying, each with its worst-case loss."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.db.models import Q

from orders.models import Position
from orders.options import Leg, max_loss

Group = tuple[str, str, str]


def group_of(position: Position) -> Group:
    return (position.environment, position.underlying, position.strategy)


def held(today: date) -> Q:
    """What is held still: an option that has expired is no position any more, whatever the table says."""
    return ~Q(quantity=0) & (Q(expiry__isnull=True) | Q(expiry__gte=today))


def losses(groups: Iterable[Group], *, today: date) -> dict[Group, Decimal | None]:
    """The worst-case loss at expiry of each group, net of what it cost; None where it has no bound. One query."""
    wanted = set(groups)
    rows = Position.objects.filter(held(today), underlying__in={underlying for _, underlying, _ in wanted})
    legs: dict[Group, list[Leg]] = {}
    for row in rows.filter(environment__in={environment for environment, _, _ in wanted}):
        legs.setdefault(group_of(row), []).append(_leg(row))
    return {group: max_loss(legs[group]) for group in wanted if group in legs}


def _leg(row: Position) -> Leg:
    return Leg(
        row.right,
        row.strike,
        row.quantity,
        row.cost / (row.quantity * row.multiplier),
        Decimal(row.multiplier),
        row.expiry,
        row.underlying,
    )
