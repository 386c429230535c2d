"""Who looked at orders and who took them out, for auditors: a list that is read and searched, and nothing else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from emo_site import display
from emo_site.db.selective import matching
from emo_site.record_admin import RecordAdmin, period_filter
from orders import order_page
from orders.models import OrderAccess


@admin.register(OrderAccess)
class OrderAccessAdmin(RecordAdmin):
    list_display = ("time", "actor_name", "kind", "what", "order_link", "row_count", "environment")
    list_filter = (period_filter("at"),)
    list_select_related = ("order",)
    ordering = ("-at", "-id")
    search_fields = ("actor_name",)
    search_help_text = "The id of an order, or the whole name of who looked."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(order=UUID(search_term)), False
        except ValueError:
            return matching(queryset, "actor_name", [search_term]), False

    @admin.display(description="at, UTC")
    def time(self, access: OrderAccess) -> str:
        return display.moment(access.at)

    @admin.display(description="order")
    def order_link(self, access: OrderAccess) -> SafeString | str:
        if access.order is None:
            return "none alone"
        url = reverse("admin:orders_stagedorder_change", args=[access.order.pk])
        return format_html('<a href="{}">{}</a>', url, order_page.title(access.order))
