"""The admin of tables that nobody edits there, and of tables that are too big to count or to search through."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from emo_site import display
from emo_site.db.distinct import distinct_values
from emo_site.db.estimates import BoundedPaginator
from emo_site.db.selective import matching


@dataclass(frozen=True, kw_only=True)
class Step:
    """One link of the date navigation; the day being looked at has no query."""

    label: str
    query: str


class BigChangeList(ChangeList):
    """Date navigation by the calendar between the first and the last row: two index look-ups.

    (Django's own asks for the distinct dates of all rows, which takes seconds on a million.)
    """

    date_hierarchy: str

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        for part in ("year", "month", "day"):
            value = self.params.get(f"{self.date_hierarchy}__{part}") if self.date_hierarchy else None
            if value is not None and _impossible(part, str(value)):
                raise IncorrectLookupParameters(f"{part}={value!r} is not of the calendar")
        return super().get_queryset(request, *args, **kwargs)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.multi_page:
            self.result_list = self.paginator.page(1).object_list

    def date_steps(self) -> list[Step]:
        """The way back, and the years, months or days to choose from."""
        first, last = self._bounds()
        if first is None or last is None:
            return []
        year, month, day = (self._chosen(part) for part in ("year", "month", "day"))
        if year is None:
            return [self._step(str(each), year=each) for each in range(first.year, last.year + 1)]
        back = [self._step("All dates")]
        if month is None:
            inside = (date(year, each, 1) for each in range(1, 13))
            months = [each for each in inside if first.replace(day=1) <= each <= last]
            return [*back, *(self._step(f"{each:%Y-%m}", year=year, month=each.month) for each in months)]
        back.append(self._step(f"{year:04d}", year=year))
        if day is not None:
            back.append(self._step(f"{year:04d}-{month:02d}", year=year, month=month))
            return [*back, Step(label=f"{year:04d}-{month:02d}-{day:02d}", query="")]
        dates = (date(year, month, each) for each in range(1, monthrange(year, month)[1] + 1))
        days = [each for each in dates if first <= each <= last]
        return [*back, *(self._step(f"{each:%Y-%m-%d}", year=year, month=month, day=each.day) for each in days)]

    def _bounds(self) -> tuple[date | None, date | None]:
        times = self.root_queryset.select_related(None).values_list(self.date_hierarchy, flat=True)
        first = times.order_by(self.date_hierarchy).first()
        last = times.order_by(f"-{self.date_hierarchy}").first()
        return (first and timezone.localdate(first), last and timezone.localdate(last))

    def _chosen(self, part: str) -> int | None:
        # An impossible date was refused before the list was filtered by it.
        value = self.params.get(f"{self.date_hierarchy}__{part}")
        return None if value is None else int(value)

    def _step(self, label: str, **parts: int) -> Step:
        chosen = {f"{self.date_hierarchy}__{part}": value for part, value in parts.items()}
        return Step(label=label, query=self.get_query_string(chosen, [f"{self.date_hierarchy}__"]))


def _impossible(part: str, value: str) -> bool:
    """Whether no row can have it; the last year of the calendar has no following one, which a period ends with."""
    lowest, highest = {"year": (1, 9998), "month": (1, 12), "day": (1, 31)}[part]
    return not (value.isascii() and value.isdigit() and lowest <= int(value) <= highest)


class BigTableAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list that stays fast on a million rows: no COUNT(*), no counts beside filters, no sorting without an index."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    # "Show all" would load what the estimate only guesses at.
    list_max_show_all = 0
    sortable_by: ClassVar[tuple[str, ...]] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BigChangeList


class RecordAdmin(BigTableAdmin):
    """Reading only, for everybody, superusers too: the table has one writer, and it is not the admin."""

    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ActorRecordAdmin(RecordAdmin):
    """Rows of what somebody did (`actor_name`) at a moment (`at`), mostly to an order (`order_id`): found by both."""

    ordering = ("-at", "-id")
    search_fields = ("actor_name",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(order_id=UUID(search_term)), False
        except ValueError:
            return matching(queryset, "actor_name", [search_term]), False

    @admin.display(description="at, UTC")
    def time(self, row: Any) -> str:
        return display.moment(row.at)


class ValuesFilter(admin.SimpleListFilter):
    """Exact values of one column that leads an index: listed by jumping through it, not by DISTINCT over all rows."""

    field_name = ""
    # Whether its index goes on with the list's order, and so serves the list by itself.
    in_order = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        using = model_admin.get_queryset(request).db
        return [
            (value, value or "none stated")
            for value in distinct_values(model_admin.model, self.field_name, using=using)
        ]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1 or self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not isinstance(value, str):
            return queryset
        if "\0" in value:
            # No text of the database has it, and PostgreSQL refuses to be asked.
            return queryset.none()
        if self.in_order and not queryset.query.where:
            return queryset.filter(**{self.field_name: value})
        return matching(queryset, self.field_name, [value])


def values_filter(field_name: str, title: str = "", *, in_order: bool = True) -> type[ValuesFilter]:
    """A ValuesFilter of that column; it stays hidden while there is only one value."""
    return type(
        f"{field_name.title().replace('_', '')}Filter",
        (ValuesFilter,),
        {
            "field_name": field_name,
            "parameter_name": field_name,
            "title": title or field_name.replace("_", " "),
            "in_order": in_order,
        },
    )


class PeriodFilter(admin.SimpleListFilter):
    """The last hour, day, week or month of an indexed time column."""

    title = "time"
    parameter_name = "within"
    field_name: str
    PERIODS: ClassVar[dict[str, tuple[str, timedelta]]] = {
        "1h": ("last hour", timedelta(hours=1)),
        "24h": ("last 24 hours", timedelta(hours=24)),
        "7d": ("last 7 days", timedelta(days=7)),
        "30d": ("last 30 days", timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in self.PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        period = self.PERIODS.get(self.value() or "")
        return (
            queryset if period is None else queryset.filter(**{f"{self.field_name}__gte": timezone.now() - period[1]})
        )


def period_filter(field_name: str) -> type[PeriodFilter]:
    return type("PeriodFilter", (PeriodFilter,), {"field_name": field_name})


class DefaultingFilter(admin.SimpleListFilter):
    """A filter with one of its own choices, not "All", in force while nobody has chosen."""

    def default(self, request: HttpRequest) -> str:
        raise NotImplementedError

    def chosen(self, request: HttpRequest) -> str:
        return self.value() or self.default(request)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        chosen = self.chosen(self.request)
        for value, label in self.lookup_choices:
            yield {
                "selected": value == chosen,
                "query_string": changelist.get_query_string({str(self.parameter_name): value}),
                "display": label,
            }
