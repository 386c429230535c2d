"""The admin's search box: what one text can mean, each answered by an index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

from django.db.models import Q

from emo_site.db.distinct import distinct_values
from emo_site.db.prefix import beginning_with
from emo_site.db.selective import is_broad
from orders.models import StagedOrder
from orders.querysets import StagedOrderQuerySet


def find(orders: StagedOrderQuerySet, text: str) -> StagedOrderQuerySet:
    """What the text means first: an id, a client_order_id, a source file, the beginning of a symbol or of a strategy.

    One meaning at a time: asked for any of them at once, a database reads and sorts every match of each.
    """
    text = text.strip()
    if not text:
        return orders
    everything = StagedOrder.objects.using(orders.db)
    for identity in _identities(everything, text):
        if everything.filter(identity).exists():
            return orders.filter(identity)
    for field_name, variants in (("symbol", (text, text.upper())), ("strategy", (text, text.lower()))):
        for variant in dict.fromkeys(variants):
            if everything.filter(beginning_with(field_name, variant)).exists():
                return orders.filter(_beginning(everything, field_name, variant))
    return orders.none()


def _identities(everything: StagedOrderQuerySet, text: str) -> Iterator[Q]:
    with suppress(ValueError):
        yield Q(pk=UUID(text))
    # The index of client_order_id leads with the environment.
    environments = distinct_values(StagedOrder, "environment", using=everything.db)
    yield Q(environment__in=environments, client_order_id=text)
    yield Q(source_file=text)


def _beginning(everything: StagedOrderQuerySet, field_name: str, prefix: str) -> Q:
    """The cheapest way to say it: one value, a range of the index, or a look at each row of the list."""
    narrow = beginning_with(field_name, prefix)
    found = everything.filter(narrow).order_by(field_name).values_list(field_name, flat=True)
    first = found[0]
    if not found.filter(**{f"{field_name}__gt": first}).exists():
        return Q(**{field_name: first})
    if is_broad(everything, field_name, narrow):
        return Q(**{f"{field_name}__startswith": prefix})
    return narrow
