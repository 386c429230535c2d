"""How many rows there are, near enough, without counting a million of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Page, Paginator
from django.db import connections
from django.db.models import Model, QuerySet

from emo_site.db.timescale import chunks

# Up to here a list is counted exactly; it costs a few milliseconds.
EXACT_UP_TO = 1_000
# OFFSET reads what it skips, so nobody pages deeper than this: filters and dates lead further.
MAX_PAGES = 200


def rows_about(model: type[Model], *, using: str) -> int | None:
    """The size of the whole table as the database remembers it; None where it has never looked."""
    connection = connections[using]
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A hypertable's rows are in its chunks, which inherit from it.
            cursor.execute(
                "SELECT SUM(reltuples), current_setting('timescaledb.license', true) FROM pg_catalog.pg_class"
                " WHERE reltuples >= 0 AND (oid = %s::regclass"
                " OR oid IN (SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = %s::regclass))",
                [f'"{table}"', f'"{table}"'],
            )
            about, licence = cursor.fetchone()
            if licence == chunks.COMMUNITY and (compressed := chunks.rows_not_in_statistics(connection, table)):
                about = (about or 0) + compressed
        else:
            # SQLite numbers rows as they come; both ends are one step into the table.
            name = connection.ops.quote_name(table)
            cursor.execute(f"SELECT (SELECT MAX(rowid) FROM {name}) - (SELECT MIN(rowid) FROM {name}) + 1")  # noqa: S608
            (about,) = cursor.fetchone()
    return None if about is None else int(about)


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of a queryset that may have millions of rows.

    Counts exactly up to EXACT_UP_TO. Beyond, a whole table is "about" its remembered size, and a filtered one "more
    than" the bound. `count_text` says which.
    """

    object_list: QuerySet[Any]

    def page(self, number: int | str) -> Page[Any]:
        """Its ids first, without columns and joins that would be fetched for every row that is skipped or sorted."""
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        ids = list(self.object_list.select_related(None).values_list("pk", flat=True)[start : start + self.per_page])
        rows = self._without_filters().in_bulk(ids)
        return Page([rows[each] for each in ids if each in rows], number, self)

    def _without_filters(self) -> QuerySet[Any]:
        """The same columns and joins of any row: a planner may prefer the filters to the keys."""
        rows = self.object_list.order_by()
        rows.query.clear_where()
        return rows

    @cached_property
    def count(self) -> int:
        return self._estimate or min(self._counted, EXACT_UP_TO)

    @cached_property
    def count_text(self) -> str:
        if self._estimate:
            return f"about {self._estimate:,}"
        return f"more than {EXACT_UP_TO:,}" if self._counted > EXACT_UP_TO else f"{self._counted:,}"

    @cached_property
    def num_pages(self) -> int:
        return min(-(-self.count // self.per_page) or 1, MAX_PAGES)

    @cached_property
    def _estimate(self) -> int:
        """0 where the rows are to be counted."""
        query = self.object_list.query
        if query.where or query.distinct or query.is_sliced:
            return 0
        about = rows_about(self.object_list.model, using=self.object_list.db) or 0
        return about if about > EXACT_UP_TO else 0

    @cached_property
    def _counted(self) -> int:
        return self.object_list.order_by().select_related(None).values("pk")[: EXACT_UP_TO + 1].count()
