"""An order's page and what can be decided there, and the lists of what belongs to orders. Parses, calls, reports."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

import orders.audit_admin  # registers its list
import orders.control_admin  # noqa: F401  # registers its lists
from emo_site import display
from emo_site.record_admin import RecordAdmin, period_filter
from orders import (
    access,
    decisions,
    dossier,
    order_page,
    policy_admin,  # noqa: F401  # registers the policy's pages
    workflow,
)
from orders.choices import FillKind, OrderStatus
from orders.decisions import DECISIONS, REFUSALS, offers
from orders.forms import BustForm, CorrectionForm, DecisionForm, FillForm, OverrideForm, TicketForm, as_ticket
from orders.models import ExecutedOrder, OrderEvent, OrderLeg, StagedOrder
from orders.queue_admin import CHANGE, QueueAdmin, actor_of, decision_named


@admin.register(StagedOrder)
class StagedOrderAdmin(QueueAdmin):
    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # Nobody edits a row: the workflow changes orders.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    # ---- one order ------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<uuid:order_id>/decide/<slug:decision>/", view(self.decide_view), name="orders_stagedorder_decide"),
            path("<uuid:order_id>/dossier/", view(self.dossier_view), name="orders_stagedorder_dossier"),
            path("<uuid:order_id>/override/", view(self.override_view), name="orders_stagedorder_override"),
            path("<uuid:order_id>/fill/", view(self.fill_view), name="orders_stagedorder_fill"),
            path(
                "<uuid:order_id>/fill/<uuid:fill_id>/",
                view(self.set_aside_view),
                name="orders_stagedorder_set_aside",
            ),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        self._require_view(request)
        try:
            order_id = UUID(object_id)
        except ValueError as error:
            raise Http404(f"{object_id!r} is not the id of an order.") from error
        return self._order_page(request, order_id)

    def _order_page(
        self,
        request: HttpRequest,
        order_id: UUID,
        fill_form: FillForm | None = None,
        override_form: OverrideForm | None = None,
    ) -> HttpResponse:
        page = order_page.build(order_id, now=timezone.now())
        if page is None:
            raise Http404(f"There is no order {order_id}.")
        actor = actor_of(request)
        access.record_view(page.order, actor=actor, what="order page", now=timezone.now())
        offered = offers(page.order, actor)
        if override_form is None and offered.overridable:
            override_form = OverrideForm(codes=offered.overridable, seen_events=page.order.event_count)
        if fill_form is None and offered.records_fills:
            fill_form = FillForm(legs=list(page.legs_on_record), initial={"executed_at": timezone.now()})
        context = {
            "title": page.title,
            "page": page,
            "decisions": [
                (decision, DecisionForm(decision=decision, seen_events=page.order.event_count))
                for decision in offered.decisions
            ],
            "offered": offered,
            "override_form": override_form,
            "fill_form": fill_form,
            "is_combination": bool(page.legs),
        }
        return self._page(request, "change_form.html", context)

    @method_decorator(require_POST)
    def decide_view(self, request: HttpRequest, order_id: UUID, decision: str) -> HttpResponse:
        self._require_view(request)
        chosen = decision_named(decision, DECISIONS)
        form = DecisionForm(request.POST, decision=chosen)
        if not form.is_valid():
            messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
            return redirect(CHANGE, order_id)
        try:
            order = chosen.decide(
                order_id, actor_of(request), timezone.now(), form.words, expected_events=form.expected_events
            )
        except REFUSALS as refused:
            messages.error(request, f"Refused: {refused}")
        else:
            messages.success(request, _became(order))
        return redirect(CHANGE, order_id)

    @method_decorator(require_POST)
    def override_view(self, request: HttpRequest, order_id: UUID) -> HttpResponse:
        self._require_view(request)
        order = self._order(request, order_id)
        actor, now = actor_of(request), timezone.now()
        form = OverrideForm(request.POST, codes=[code for code, _ in order.violation_codes])
        if not form.is_valid():
            return self._order_page(request, order_id, override_form=form)
        values = form.cleaned_data
        try:
            order = decisions.override(
                order_id,
                code=values["code"],
                actor=actor,
                now=now,
                reason=values["reason"],
                expires_at=form.expires_at(now),
                expected_events=values["seen_events"],
            )
        except REFUSALS as refused:
            messages.error(request, f"Refused: {refused}")
        else:
            messages.success(request, f"{values['code']} is set aside. {_became(order)}")
        return redirect(CHANGE, order_id)

    def _order(self, request: HttpRequest, order_id: UUID) -> StagedOrder:
        order = self.get_queryset(request).filter(pk=order_id).first()
        if order is None:
            raise Http404(f"There is no order {order_id}.")
        return order

    @method_decorator(require_safe)
    def dossier_view(self, request: HttpRequest, order_id: UUID) -> HttpResponse:
        self._require_view(request)
        found = dossier.build(order_id, now=timezone.now(), by=actor_of(request).get_username())
        if found is None:
            raise Http404(f"There is no order {order_id}.")
        actor, order, now = actor_of(request), found.page.order, timezone.now()
        if "download" not in request.GET:
            access.record_view(order, actor=actor, what="dossier", now=now)
            return TemplateResponse(request, dossier.TEMPLATE, {"dossier": found, "page": found.page})
        access.record_export(actor=actor, what=found.file_name, row_count=1, now=now, order=order)
        headers = {"Content-Disposition": f'attachment; filename="{found.file_name}"'}
        return HttpResponse(dossier.html_file(found), headers=headers)

    @method_decorator(require_POST)
    def fill_view(self, request: HttpRequest, order_id: UUID) -> HttpResponse:
        self._require_view(request)
        form = FillForm(request.POST, legs=list(OrderLeg.objects.filter(order=order_id).order_by("position")))
        fill = form.fill() if form.is_valid() else None
        if fill is None:
            return self._order_page(request, order_id, form)
        try:
            booked = workflow.record_execution(order_id, fill, actor=actor_of(request), now=timezone.now())
        except workflow.Refused as refused:
            form.refuse(refused)
            return self._order_page(request, order_id, form)
        messages.success(request, f"Fill {booked.execution_id} is recorded: {booked}.")
        return redirect(CHANGE, order_id)

    def set_aside_view(self, request: HttpRequest, order_id: UUID, fill_id: UUID) -> HttpResponse:
        """What the broker put right or took back of one fill."""
        self._require_view(request)
        old = ExecutedOrder.objects.holding().select_related("leg").filter(pk=fill_id, staged_order=order_id).first()
        if old is None or not request.user.has_perm(workflow.RECORDS_FILLS):
            raise Http404(f"Order {order_id} has no fill {fill_id} for you to correct.")
        legs = list(OrderLeg.objects.filter(order=order_id).order_by("position"))
        taken_back = "bust_id" in request.POST
        correction = CorrectionForm(
            request.POST if request.method == "POST" and not taken_back else None, legs=legs, initial=_as_fill(old)
        )
        bust = BustForm(request.POST if taken_back else None)
        row = self._busted(request, old, bust) if taken_back else self._corrected(request, old, correction)
        if row is not None:
            done = "taken back" if row.kind == FillKind.BUST else f"put right by {row.execution_id}"
            messages.success(request, f"Fill {old.execution_id} is {done}.")
            return redirect(f"{reverse(CHANGE, args=[order_id])}#fills")
        context = {
            "title": f"Fill {old.execution_id}",
            "fill": old,
            "order_url": reverse(CHANGE, args=[order_id]),
            "correction": correction,
            "bust": bust,
        }
        return self._page(request, "set_aside.html", context)

    def _corrected(self, request: HttpRequest, old: ExecutedOrder, form: CorrectionForm) -> ExecutedOrder | None:
        fill = form.fill() if form.is_bound and form.is_valid() else None
        if fill is None:
            return None
        try:
            return workflow.correct_execution(
                old.execution_id,
                fill,
                actor=actor_of(request),
                now=timezone.now(),
                reason=form.cleaned_data["reason"],
            )
        except workflow.Refused as refused:
            form.refuse(refused)
            return None

    def _busted(self, request: HttpRequest, old: ExecutedOrder, form: BustForm) -> ExecutedOrder | None:
        if not form.is_valid():
            return None
        try:
            return workflow.bust_execution(
                old.execution_id, actor=actor_of(request), now=timezone.now(), **form.cleaned_data
            )
        except workflow.Refused as refused:
            form.refuse(refused)
            return None

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            form = TicketForm(request.POST)
            if form.is_valid() and (order := self._staged(request, form)):
                return redirect(CHANGE, order.pk)
            replaced = form.cleaned_data.get("replaces")
        else:
            form, replaced = self._empty_ticket(request)
        title = "Stage a replacement" if replaced else "Stage an order"
        return self._page(request, "add_form.html", {"title": title, "form": form, "replaced": replaced})

    def _empty_ticket(self, request: HttpRequest) -> tuple[TicketForm, UUID | None]:
        """The form, filled in from the order that is to be replaced where there is one."""
        if "replaces" not in request.GET:
            return TicketForm(), None
        try:
            old = self._order(request, UUID(request.GET["replaces"]))
        except ValueError as error:
            raise Http404(f"{request.GET['replaces']!r} is not the id of an order.") from error
        if not decisions.replaceable(old, actor_of(request)) or old.legs.exists():
            raise Http404(f"Order {old.pk} is not replaced by this form.")
        return TicketForm(initial=as_ticket(old)), old.pk

    def _staged(self, request: HttpRequest, form: TicketForm) -> StagedOrder | None:
        ticket = form.ticket()
        if ticket is None:
            return None
        try:
            order = decisions.stage(
                ticket,
                actor=actor_of(request),
                now=timezone.now(),
                replaces=form.cleaned_data["replaces"],
                replaced_events=form.cleaned_data["replaced_events"],
            )
        except REFUSALS as refused:
            form.refuse(refused)
            return None
        blocked = order.status == OrderStatus.BLOCKED
        messages.add_message(
            request,
            messages.WARNING if blocked else messages.SUCCESS,
            f"{order_page.title(order)} is staged and {order.get_status_display()}.",
        )
        return order

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # An order's history is its events, not the admin's own log.
        return HttpResponseRedirect(reverse(CHANGE, args=[object_id]) + "#history")


class OfOrderAdmin(RecordAdmin):
    """Rows that belong to an order, and lead to its page."""

    list_select_related: ClassVar[tuple[str, ...]] = ("order",)
    search_help_text = "The id of an order."
    search_fields = ("order",)
    order_field = "order"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        try:
            return (queryset.filter(**{self.order_field: UUID(search_term)}) if search_term else queryset), False
        except ValueError:
            return queryset.none(), False

    @admin.display(description="order")
    def order_link(self, row: Any) -> SafeString:
        order = getattr(row, self.order_field)
        return format_html('<a href="{}">{}</a>', reverse(CHANGE, args=[order.pk]), order_page.title(order))


@admin.register(OrderEvent)
class OrderEventAdmin(OfOrderAdmin):
    list_display = ("time", "order_link", "sequence", "kind", "actor_name", "before", "to_status", "reason")
    list_filter = (period_filter("at"),)
    ordering = ("-at", "-id")

    @admin.display(description="at, UTC")
    def time(self, event: OrderEvent) -> str:
        return display.moment(event.at)

    @admin.display(description="from status")
    def before(self, event: OrderEvent) -> str:
        return OrderStatus(event.from_status).label if event.from_status else "new"


@admin.register(ExecutedOrder)
class ExecutedOrderAdmin(OfOrderAdmin):
    list_display = (
        "time",
        "order_link",
        "execution_id",
        "symbol",
        "side",
        "quantity",
        "price",
        "fees",
        "slippage",
        "venue",
        "environment",
    )
    list_filter = (period_filter("execution_timestamp"),)
    list_select_related = ("staged_order",)
    ordering = ("-execution_timestamp", "-id")
    search_help_text = "The id of an order, or the broker's id of a fill."
    order_field = "staged_order"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        by_broker = queryset.filter(execution_id=search_term)
        if search_term and by_broker.exists():
            return by_broker, False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description="executed at, UTC")
    def time(self, fill: ExecutedOrder) -> str:
        return display.moment(fill.execution_timestamp)

    @admin.display(description="quantity")
    def quantity(self, fill: ExecutedOrder) -> str:
        return display.number(fill.execution_quantity)

    @admin.display(description="price")
    def price(self, fill: ExecutedOrder) -> str:
        return display.number(fill.execution_price)

    @admin.display(description="slippage")
    def slippage(self, fill: ExecutedOrder) -> str:
        return order_page.slippage(fill)


@admin.register(OrderLeg)
class OrderLegAdmin(OfOrderAdmin):
    list_display = ("order_link", "position", "action", "instrument", "symbol", "strike", "expiry", "quantity")
    # Not the first column, which leads to the order: a link inside a link leads nowhere.
    list_display_links = ("position",)
    ordering = ("-id",)


def _became(order: StagedOrder) -> str:
    if order.status == OrderStatus.PENDING_REVIEW and order.changes_asked_at is not None:
        return f"{order_page.title(order)} waits for {order.created_by.get_username()}: changes are requested."
    return f"{order_page.title(order)} is {order.get_status_display()}."


def _as_fill(fill: ExecutedOrder) -> dict[str, Any]:
    """What the form of a correction begins with: everything but the id, which the broker gives anew."""
    return {
        "price": f"{fill.execution_price.normalize():f}",
        "quantity": f"{fill.execution_quantity.normalize():f}",
        "executed_at": fill.execution_timestamp,
        "fees": f"{fill.fees.normalize():f}",
        "venue": fill.venue,
        "broker_order_id": fill.broker_order_id,
        "leg": str(fill.leg.position) if fill.leg else "",
    }
