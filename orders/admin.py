"""The review desk: the queue, the order page and what can be decided there. Parses, calls the workflow, reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, PermissionDenied
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

import orders.audit_admin  # noqa: F401  # registers its list
from emo_site import display
from emo_site.db.selective import matching
from emo_site.record_admin import BigTableAdmin, DefaultingFilter, RecordAdmin, period_filter, values_filter
from orders import (
    access,
    dossier,
    order_page,
    policy_admin,  # noqa: F401  # registers the policy's pages
    search,
    workflow,
)
from orders.choices import OPEN, TONES, OrderStatus
from orders.decisions import BULK, DECISIONS, REFUSALS, Decision, fill_offered, offers
from orders.forms import BulkDecisionForm, DecisionForm, FillForm, TicketForm
from orders.models import ExecutedOrder, OrderEvent, OrderLeg, StagedOrder
from orders.querysets import StagedOrderQuerySet

CHANGE_LIST = "admin:orders_stagedorder_changelist"
CHANGE = "admin:orders_stagedorder_change"
MAX_BULK = 500


class StatusFilter(DefaultingFilter):
    """Opens on what needs a person now; whoever searches, searches all."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        others = [choice for choice in OrderStatus.choices if choice[0] != OrderStatus.PENDING_REVIEW]
        return [(OrderStatus.PENDING_REVIEW, "needs review"), ("open", "all open"), ("all", "all"), *others]

    def default(self, request: HttpRequest) -> str:
        return "all" if request.GET.get("q") else OrderStatus.PENDING_REVIEW

    def queryset(self, request: HttpRequest, queryset: QuerySet[StagedOrder]) -> QuerySet[StagedOrder]:
        chosen = self.chosen(request)
        if chosen == "all":
            return queryset
        return matching(queryset, "status", sorted(OPEN)) if chosen == "open" else queryset.filter(status=chosen)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """One line of the confirmation page."""

    id: UUID
    url: str
    name: str
    client_order_id: str
    strategy: str
    status: str
    tone: str
    age: str
    scores: str
    notional: str
    created_by: str
    seen_events: int
    objection: str


@admin.register(StagedOrder)
class StagedOrderAdmin(BigTableAdmin):
    list_display = (
        "order",
        "strategy_name",
        "status_badge",
        "age",
        "risk",
        "compliance",
        "worst_violation",
        "value",
        "staged_by",
        "decided_by",
    )
    list_display_links = ("order",)
    list_filter = (
        StatusFilter,
        values_filter("strategy"),
        values_filter("environment", in_order=False),
        values_filter("source"),
    )
    sortable_by: ClassVar[tuple[str, ...]] = ("age",)
    date_hierarchy = "created_at"
    search_fields = ("symbol",)
    search_help_text = "A whole id, client order id or source file, else the beginning of a symbol, else of a strategy."
    actions = ("approve_selected", "reject_selected", "cancel_selected")

    # ---- who may --------------------------------------------------------------------------------------------------

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # Nobody edits a row: the workflow changes orders.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_review_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(workflow.PERMISSIONS[OrderStatus.APPROVED][0])

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(workflow.PERMISSIONS[OrderStatus.CANCELLED][0])

    # ---- the list -------------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[StagedOrder]:
        return StagedOrder.objects.with_people().defer("workflow_state", "metadata")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        # The queue is worked off from its old end; everything else is read from its new one.
        queue = request.GET.get("status", "" if request.GET.get("q") else OrderStatus.PENDING_REVIEW)
        return ("created_at", "id") if queue == OrderStatus.PENDING_REVIEW else ("-created_at", "-id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return search.find(cast(StagedOrderQuerySet, queryset), search_term), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Orders", **(extra_context or {})})

    @admin.display(description="order")
    def order(self, order: StagedOrder) -> str:
        return order_page.title(order)

    @admin.display(description="strategy")
    def strategy_name(self, order: StagedOrder) -> str:
        return order.strategy or "none stated"

    @admin.display(description="status")
    def status_badge(self, order: StagedOrder) -> SafeString:
        return badge(order.get_status_display(), TONES.get(OrderStatus(order.status), "muted"))

    @admin.display(description="age", ordering="created_at")
    def age(self, order: StagedOrder) -> SafeString:
        return format_html(
            '<time datetime="{}" title="{}">{}</time>',
            order.created_at.isoformat(),
            display.moment(order.created_at),
            display.age(timezone.now() - order.created_at),
        )

    @admin.display(description="risk")
    def risk(self, order: StagedOrder) -> SafeString | str:
        return score_bar(order.risk_score)

    @admin.display(description="compliance")
    def compliance(self, order: StagedOrder) -> SafeString | str:
        return score_bar(order.compliance_score)

    @admin.display(description="worst violation")
    def worst_violation(self, order: StagedOrder) -> SafeString | str:
        if not order.violation_codes:
            return "none"
        code, severity = order.violation_codes[0]
        tone = order_page.SEVERITY_TONES.get(severity, "muted")
        return format_html('<span class="rule-code">{}</span> {}', code, badge(severity, tone))

    @admin.display(description="notional")
    def value(self, order: StagedOrder) -> str:
        return display.money(order.notional)

    @admin.display(description="created by")
    def staged_by(self, order: StagedOrder) -> str:
        return order.created_by.get_username()

    @admin.display(description="reviewed by")
    def decided_by(self, order: StagedOrder) -> str:
        return order.reviewed_by.get_username() if order.reviewed_by else "nobody"

    # ---- several orders at once -----------------------------------------------------------------------------------

    @admin.action(description="Approve selected orders", permissions=("review",))
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[StagedOrder]) -> HttpResponse | None:
        return self._confirm_selected(request, DECISIONS["approve"], queryset)

    @admin.action(description="Reject selected orders", permissions=("review",))
    def reject_selected(self, request: HttpRequest, queryset: QuerySet[StagedOrder]) -> HttpResponse | None:
        return self._confirm_selected(request, DECISIONS["reject"], queryset)

    @admin.action(description="Cancel selected orders", permissions=("cancel",))
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[StagedOrder]) -> HttpResponse | None:
        return self._confirm_selected(request, DECISIONS["cancel"], queryset)

    def _confirm_selected(
        self, request: HttpRequest, decision: Decision, queryset: QuerySet[StagedOrder]
    ) -> HttpResponse | None:
        orders = list(queryset[: MAX_BULK + 1])
        if len(orders) > MAX_BULK:
            messages.error(request, too_many())
            return None
        return self._confirmation(request, decision, orders, BulkDecisionForm(decision=decision))

    def _confirmation(
        self, request: HttpRequest, decision: Decision, orders: Iterable[StagedOrder], form: DecisionForm
    ) -> TemplateResponse:
        now, actor = timezone.now(), _actor(request)
        rows = [_chosen(order, decision, actor, now) for order in orders]
        refused = sum(bool(row.objection) for row in rows)
        context = {
            "title": f"{decision.label} {orders_in_words(len(rows))}?",
            "decision": decision,
            "rows": rows,
            "refused": orders_in_words(refused) if refused else "",
            "form": form,
            "action_url": reverse("admin:orders_stagedorder_decide_selected", args=[decision.name]),
        }
        return self._page(request, "confirm_selected.html", context)

    @method_decorator(require_POST)
    def decide_selected_view(self, request: HttpRequest, decision: str) -> HttpResponse:
        self._require_view(request)
        chosen = _decision(decision, BULK)
        seen = _seen_orders(request.POST.getlist("order"))
        form = BulkDecisionForm(request.POST, decision=chosen)
        if len(seen) > MAX_BULK:
            messages.error(request, too_many())
            return redirect(CHANGE_LIST)
        orders = self.get_queryset(request).in_bulk(list(seen))
        if not form.is_valid():
            return self._confirmation(request, chosen, (orders[each] for each in seen if each in orders), form)
        self._decide_selected(request, chosen, seen, orders, form.words)
        return redirect(CHANGE_LIST)

    def _decide_selected(
        self,
        request: HttpRequest,
        decision: Decision,
        seen: dict[UUID, int],
        orders: dict[UUID, StagedOrder],
        words: str,
    ) -> None:
        actor, done = _actor(request), 0
        for order_id, expected_events in seen.items():
            try:
                decision.decide(order_id, actor, timezone.now(), words, expected_events=expected_events)
                done += 1
            except REFUSALS as refused:
                name = order_page.named(orders[order_id]) if order_id in orders else str(order_id)
                messages.error(request, f"{name}: {refused}")
        if done:
            messages.success(request, f"{orders_in_words(done)} {decision.to.label}.")

    # ---- one order ------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("decide/<slug:decision>/", view(self.decide_selected_view), name="orders_stagedorder_decide_selected"),
            path("<uuid:order_id>/decide/<slug:decision>/", view(self.decide_view), name="orders_stagedorder_decide"),
            path("<uuid:order_id>/dossier/", view(self.dossier_view), name="orders_stagedorder_dossier"),
            path("<uuid:order_id>/fill/", view(self.fill_view), name="orders_stagedorder_fill"),
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

    def _order_page(self, request: HttpRequest, order_id: UUID, fill_form: FillForm | None = None) -> HttpResponse:
        page = order_page.build(order_id, now=timezone.now())
        if page is None:
            raise Http404(f"There is no order {order_id}.")
        actor = _actor(request)
        access.record_view(page.order, actor=actor, what="order page", now=timezone.now())
        offered = offers(page.order, actor)
        if fill_form is None and fill_offered(page.order, actor):
            fill_form = FillForm(legs=list(page.legs_on_record), initial={"executed_at": timezone.now()})
        context = {
            "title": page.title,
            "page": page,
            "decisions": [
                (decision, DecisionForm(decision=decision, seen_events=page.order.event_count))
                for decision in offered.decisions
            ],
            "withheld": offered.withheld,
            "fill_form": fill_form,
        }
        return self._page(request, "change_form.html", context)

    @method_decorator(require_POST)
    def decide_view(self, request: HttpRequest, order_id: UUID, decision: str) -> HttpResponse:
        self._require_view(request)
        chosen = _decision(decision, DECISIONS)
        form = DecisionForm(request.POST, decision=chosen)
        if not form.is_valid():
            messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
            return redirect(CHANGE, order_id)
        try:
            order = chosen.decide(
                order_id, _actor(request), timezone.now(), form.words, expected_events=form.expected_events
            )
        except REFUSALS as refused:
            messages.error(request, f"Refused: {refused}")
        else:
            messages.success(request, f"{order_page.title(order)} is {order.get_status_display()}.")
        return redirect(CHANGE, order_id)

    @method_decorator(require_safe)
    def dossier_view(self, request: HttpRequest, order_id: UUID) -> HttpResponse:
        self._require_view(request)
        found = dossier.build(order_id, now=timezone.now(), by=_actor(request).get_username())
        if found is None:
            raise Http404(f"There is no order {order_id}.")
        actor, order, now = _actor(request), found.page.order, timezone.now()
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
            booked = workflow.record_execution(order_id, fill, actor=_actor(request), now=timezone.now())
        except workflow.Refused as refused:
            form.refuse(refused)
            return self._order_page(request, order_id, form)
        messages.success(request, f"Fill {booked.execution_id} is recorded: {booked}.")
        return redirect(CHANGE, order_id)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TicketForm(request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid() and (order := self._staged(request, form)):
            return redirect(CHANGE, order.pk)
        return self._page(request, "add_form.html", {"title": "Stage an order", "form": form})

    def _staged(self, request: HttpRequest, form: TicketForm) -> StagedOrder | None:
        ticket = form.ticket()
        if ticket is None:
            return None
        try:
            order = workflow.stage(ticket, created_by=_actor(request), now=timezone.now())
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

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        return TemplateResponse(
            request,
            f"admin/orders/stagedorder/{template}",
            {**self.admin_site.each_context(request), "opts": self.opts, **context},
        )


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
    ordering = ("-id",)


def badge(word: str, tone: str) -> SafeString:
    return format_html('<span class="badge tone-{}">{}</span>', tone, word)


def score_bar(score: Any) -> SafeString | str:
    """The number, and a bar from 0 to 100 beside it."""
    if score is None:
        return "n/a"
    return format_html(
        '<span class="score">{}<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="bar-track" width="100" height="6"/><rect class="bar-fill" width="{}" height="6"/></svg></span>',
        display.score(score),
        f"{score:.1f}",
    )


def orders_in_words(number: int) -> str:
    return "1 order" if number == 1 else f"{number} orders"


def too_many() -> str:
    return f"More than {MAX_BULK} orders are selected: nothing was changed. Choose {MAX_BULK} or fewer at a time."


def _chosen(order: StagedOrder, decision: Decision, actor: User, now: Any) -> Chosen:
    return Chosen(
        id=order.pk,
        url=reverse(CHANGE, args=[order.pk]),
        name=order_page.title(order),
        client_order_id=order.client_order_id,
        strategy=order.strategy or "none stated",
        status=order.get_status_display(),
        tone=TONES.get(OrderStatus(order.status), "muted"),
        age=display.age(now - order.created_at),
        scores=f"{display.score(order.risk_score)} / {display.score(order.compliance_score)}",
        notional=display.money(order.notional),
        created_by=order.created_by.get_username(),
        seen_events=order.event_count,
        objection=str(decision.objection(order, actor) or ""),
    )


def _actor(request: HttpRequest) -> User:
    # The admin site lets only people in.
    return cast(User, request.user)


def _decision(name: str, allowed: Iterable[str]) -> Decision:
    if name not in allowed:
        raise Http404(f"There is no decision {name!r}.")
    return DECISIONS[name]


def _seen_orders(texts: Iterable[str]) -> dict[UUID, int]:
    """The chosen orders from "id:number", each with how many of its events the confirmation page knew of."""
    # One field for both: Django refuses a form of more than a thousand fields.
    pairs = (text.rpartition(":")[::2] for text in texts)
    try:
        return {UUID(order_id): int(seen_events) for order_id, seen_events in pairs}
    except ValueError as error:
        raise BadRequest(f"An order's id and the number of its events are expected: {error}") from error
