"""The admin's search box: what one text can mean, each answered by an index."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from django.db.models import Q

from emo_site.db.distinct import distinct_values
from emo_site.db.prefix import beginning_with
from orders.models import StagedOrder
from orders.querysets import StagedOrderQuerySet

SHORTEST_PREFIX = 2


def find(orders: StagedOrderQuerySet, text: str) -> StagedOrderQuerySet:
    """Orders with exactly this id, client_order_id or source file, or a symbol or strategy that begins with it."""
    text = text.strip()
    if not text:
        return orders
    wanted = Q(source_file=text) | Q(environment__in=_environments(orders), client_order_id=text)
    for variant in {text, text.upper()}:
        wanted |= _named("symbol", variant)
    for variant in {text, text.lower()}:
        wanted |= _named("strategy", variant)
    with suppress(ValueError):
        wanted |= Q(pk=UUID(text))
    return orders.filter(wanted)


def _named(field_name: str, text: str) -> Q:
    # One letter begins a quarter of all symbols.
    return beginning_with(field_name, text) if len(text) >= SHORTEST_PREFIX else Q(**{field_name: text})


def _environments(orders: StagedOrderQuerySet) -> list[str]:
    """Their index leads with the environment."""
    return distinct_values(StagedOrder, "environment", using=orders.db)
