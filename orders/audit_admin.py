"""Who looked at orders, who took them out, and who was refused to decide: lists that are read, and nothing else."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from emo_site.record_admin import ActorRecordAdmin, period_filter
from orders import order_page
from orders.models import OrderAccess, RefusedDecision


class OfOrderAdmin(ActorRecordAdmin):
    """With a link to the order."""

    list_filter = (period_filter("at"),)
    list_select_related = ("order",)
    without_order: ClassVar[str]

    @admin.display(description="order")
    def order_link(self, row: Any) -> SafeString | str:
        if row.order is None:
            return self.without_order
        url = reverse("admin:orders_stagedorder_change", args=[row.order.pk])
        return format_html('<a href="{}">{}</a>', url, order_page.title(row.order))


@admin.register(OrderAccess)
class OrderAccessAdmin(OfOrderAdmin):
    list_display = ("time", "actor_name", "kind", "what", "order_link", "row_count", "environment")
    search_help_text = "The id of an order, or the whole name of who looked."
    without_order = "none alone"


@admin.register(RefusedDecision)
class RefusedDecisionAdmin(OfOrderAdmin):
    list_display = ("time", "actor_name", "attempt", "order_link", "code", "own", "environment")
    search_help_text = "The id of an order, or the whole name of who was refused."
    without_order = "there is none"

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("orders.view_orderaccess")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # Reports lead to those about the orders that they are of.
        return lookup.startswith("order__") or super().lookup_allowed(lookup, value, request)
