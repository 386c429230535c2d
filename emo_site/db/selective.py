"""Which way to filter a million rows: through a column's index, or along the order of the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce

# From here on, fetching and sorting all matches costs more than walking the list until a page is full.
MANY = 10_000


def is_broad(queryset: QuerySet[Any], field_name: str, condition: Q) -> bool:
    """Whether many rows of the whole table match, counted in the column's index; always False on PostgreSQL.

    PostgreSQL's planner knows it from its statistics. SQLite has none, and takes any index for a selective one.
    """
    if connections[queryset.db].vendor != "sqlite":
        return False
    matches = queryset.model._base_manager.using(queryset.db).filter(condition).order_by().values(field_name)
    return bool(matches[: MANY + 1].count() > MANY)


def matching(queryset: QuerySet[Any], field_name: str, values: Sequence[str]) -> QuerySet[Any]:
    """Rows with one of these values, found through the column's index only where that is selective."""
    condition = Q(**{f"{field_name}__in": values})
    if not is_broad(queryset, field_name, condition):
        return queryset.filter(condition)
    walked = f"walked_{field_name}"
    # An expression has no index.
    each_row: QuerySet[Any] = queryset.alias(**{walked: Coalesce(field_name, Value(""))})
    return each_row.filter(**{f"{walked}__in": values})
