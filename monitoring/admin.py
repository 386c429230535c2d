"""Market events and health records, to be read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from emo_site import display
from emo_site.db.uuid7 import time_of
from emo_site.keyset_admin import KeysetAdmin
from emo_site.record_admin import RecordAdmin, period_filter, values_filter
from monitoring import alerts_admin, incidents_admin  # noqa: F401  # they register their pages
from monitoring.models import MarketEvent, RetentionRun, SystemHealth


class TimeSeriesAdmin(KeysetAdmin):
    """Newest first, along the index."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        """Looks in the one chunk that holds the id's time: the id alone would be looked up in every chunk."""
        try:
            identifier = UUID(object_id)
            return self.get_queryset(request).filter(timestamp=time_of(identifier), pk=identifier).first()
        except (ValueError, OverflowError):
            # No UUID, none with a time in it, or one of a time beyond the calendar.
            return None

    @admin.display(description="time")
    def time(self, row: Any) -> str:
        return display.moment(row.timestamp)


@admin.register(MarketEvent)
class MarketEventAdmin(TimeSeriesAdmin):
    list_display = ("time", "symbol", "event_type", "shown_price", "shown_volume", "level", "source")
    list_filter = (period_filter("timestamp"),)
    search_fields = ("symbol",)
    search_help_text = "A whole symbol."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(symbol__in={search_term, search_term.upper()}) if search_term else queryset), False

    @admin.display(description="price")
    def shown_price(self, event: MarketEvent) -> str:
        return "" if event.price is None else display.number(event.price)

    @admin.display(description="volume")
    def shown_volume(self, event: MarketEvent) -> str:
        return "" if event.volume is None else display.number(event.volume)


@admin.register(SystemHealth)
class SystemHealthAdmin(TimeSeriesAdmin):
    list_display = ("time", "component_name", "status", "health_score", "took", "environment")
    list_filter = (values_filter("component_name", "component"), period_filter("timestamp"))

    @admin.display(description="took")
    def took(self, record: SystemHealth) -> str:
        return "" if record.response_ms is None else f"{record.response_ms:.1f} ms"


@admin.register(RetentionRun)
class RetentionRunAdmin(RecordAdmin):
    list_display = ("started", "table_name", "before", "way", "rows", "chunks", "outcome")
    list_filter = (values_filter("table_name", "table"),)
    ordering = ("-started_at", "-id")

    @admin.display(description="started")
    def started(self, run: RetentionRun) -> str:
        return display.moment(run.started_at)

    @admin.display(description="let go what was before")
    def before(self, run: RetentionRun) -> str:
        return display.moment(run.cutoff)

    @admin.display(description="outcome")
    def outcome(self, run: RetentionRun) -> str:
        if run.failure:
            return run.failure
        return "done" if run.finished_at else "running, or cut off"
