"""The queue: the list of orders, its filters and counts, saved filters, and what is decided for several at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from emo_site import display
from emo_site.record_admin import BigChangeList, BigTableAdmin, DefaultingFilter, values_filter
from orders import badges, order_page, queue, saved_filters, search, trading_banner, trading_state, workflow
from orders.badges import badge, score_bar
from orders.choices import TONES, FilterPlace, OrderStatus
from orders.decisions import BULK, DECISIONS, REFUSALS, Decision
from orders.forms import BulkDecisionForm, DecisionForm
from orders.models import StagedOrder
from orders.querysets import StagedOrderQuerySet
from orders.refusal import Refused

CHANGE_LIST = "admin:orders_stagedorder_changelist"
CHANGE = "admin:orders_stagedorder_change"
MAX_BULK = 500
REFRESH_SECONDS = 15


class PartFilter(DefaultingFilter):
    """Opens on what needs whoever looks; whoever searches, searches all."""

    title = "queue"
    parameter_name = "status"
    template = "admin/orders/stagedorder/part_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(queue.CHOICES)

    def default(self, request: HttpRequest) -> str:
        return default_part(request)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        counts = cast(QueueChangeList, changelist).counts
        for (name, _), choice in zip(self.lookup_choices, super().choices(changelist), strict=True):
            yield {**choice, "name": name, "count": counts.get(str(name))}

    def queryset(self, request: HttpRequest, queryset: QuerySet[StagedOrder]) -> QuerySet[StagedOrder]:
        return queue.orders_in(self.chosen(request), queryset, actor_of(request))


class QueueChangeList(BigChangeList):
    counts: dict[str, int]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.counts = queue.counts(actor_of(request))


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


class QueueAdmin(BigTableAdmin):
    list_display = (
        "order",
        "strategy_name",
        "status_badge",
        "age",
        "time_left",
        "risk",
        "compliance",
        "worst_violation",
        "worst_loss",
        "value",
        "staged_by",
        "decided_by",
    )
    list_display_links = ("order",)
    list_filter = (
        PartFilter,
        values_filter("strategy"),
        values_filter("environment", in_order=False),
        values_filter("source"),
    )
    sortable_by: ClassVar[tuple[str, ...]] = ("age",)
    date_hierarchy = "created_at"
    search_fields = ("symbol",)
    search_help_text = "A whole id, client order id or source file, else the beginning of a symbol, else of a strategy."
    actions = ("approve_selected", "reject_selected", "cancel_selected")

    def has_review_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(workflow.PERMISSIONS[OrderStatus.APPROVED][0])

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(workflow.PERMISSIONS[OrderStatus.CANCELLED][0])

    # ---- the list -------------------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return QueueChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[StagedOrder]:
        return StagedOrder.objects.with_people().defer("workflow_state", "metadata")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # What reports count by is in the facts: their numbers lead here.
        return lookup.startswith("facts__") or super().lookup_allowed(lookup, value, request)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        part = request.GET.get("status") or default_part(request)
        return ("created_at", "id") if queue.is_worked_off(part) else ("-created_at", "-id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return search.find(cast(StagedOrderQuerySet, queryset), search_term), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {
            "title": "Orders",
            "saved_filters": list(saved_filters.of(actor_of(request), FilterPlace.QUEUE)),
            "may_halt": request.user.has_perm(trading_state.HALTS[0]),
            "refresh_seconds": REFRESH_SECONDS,
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    @admin.display(description="order")
    def order(self, order: StagedOrder) -> str:
        return order_page.title(order)

    @admin.display(description="strategy")
    def strategy_name(self, order: StagedOrder) -> str:
        return order.strategy or "none stated"

    @admin.display(description="status")
    def status_badge(self, order: StagedOrder) -> SafeString:
        told = badge(order.get_status_display(), TONES.get(OrderStatus(order.status), "muted"))
        if order.approved_by_policy:
            return format_html('{}<span class="under">by the policy</span>', told)
        if order.status == OrderStatus.PENDING_REVIEW and order.changes_asked_at is not None:
            return format_html('{}<span class="under">changes asked</span>', told)
        return told

    @admin.display(description="age", ordering="created_at")
    def age(self, order: StagedOrder) -> SafeString:
        return badges.age(order.created_at, timezone.now())

    @admin.display(description="ends in")
    def time_left(self, order: StagedOrder) -> SafeString | str:
        return badges.time_left(queue.ends_at(order), timezone.now())

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
        return format_html(
            '<span class="rule-code">{}</span><span class="under">{}</span>', code, badge(severity, tone)
        )

    @admin.display(description="max loss")
    def worst_loss(self, order: StagedOrder) -> str:
        return "unbounded" if order.unbounded_loss else display.money(order.max_loss)

    @admin.display(description="notional")
    def value(self, order: StagedOrder) -> str:
        return display.money(order.notional)

    @admin.display(description="staged by")
    def staged_by(self, order: StagedOrder) -> str:
        return order.created_by.get_username()

    @admin.display(description="reviewed by")
    def decided_by(self, order: StagedOrder) -> str:
        if order.reviewed_by:
            return order.reviewed_by.get_username()
        return "the policy" if order.approved_by_policy else "nobody"

    # ---- counts and saved filters ---------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("counts/", view(self.counts_view), name="orders_stagedorder_counts"),
            path("filters/save/", view(self.save_filter_view), name="orders_stagedorder_save_filter"),
            path(
                "filters/<int:filter_id>/delete/",
                view(self.delete_filter_view),
                name="orders_stagedorder_delete_filter",
            ),
            path("decide/<slug:decision>/", view(self.decide_selected_view), name="orders_stagedorder_decide_selected"),
            *super().get_urls(),
        ]

    @method_decorator(require_safe)
    def counts_view(self, request: HttpRequest) -> HttpResponse:
        """What the queue's page asks for every REFRESH_SECONDS: how many orders wait, and whether trading goes on."""
        self._require_view(request)
        banner = trading_banner.shown()
        response = JsonResponse(
            {
                "counts": queue.counts(actor_of(request)),
                "trading": {
                    "number": banner.number,
                    "state": banner.state,
                    "title": banner.title,
                    "text": banner.text,
                },
            }
        )
        # Somebody who opens several pages asks once.
        patch_cache_control(response, private=True, max_age=1)
        return response

    @method_decorator(require_POST)
    def save_filter_view(self, request: HttpRequest) -> HttpResponse:
        self._require_view(request)
        name, query = request.POST.get("name", ""), request.POST.get("query", "")
        try:
            kept = saved_filters.save(actor_of(request), FilterPlace.QUEUE, name=name, query=query, now=timezone.now())
        except Refused as refused:
            messages.error(request, f"Refused: {refused}")
            return redirect(CHANGE_LIST)
        messages.success(request, f"The list is saved as {kept.name}.")
        return redirect(f"{reverse(CHANGE_LIST)}?{kept.query}")

    @method_decorator(require_POST)
    def delete_filter_view(self, request: HttpRequest, filter_id: int) -> HttpResponse:
        self._require_view(request)
        try:
            name = saved_filters.delete(actor_of(request), FilterPlace.QUEUE, filter_id)
            messages.success(request, f"{name} is no saved filter any more.")
        except Refused as refused:
            messages.error(request, f"Refused: {refused}")
        return redirect(CHANGE_LIST)

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
        now, actor = timezone.now(), actor_of(request)
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
        chosen = decision_named(decision, BULK)
        seen = _seen_orders(request.POST.getlist("order"))
        form = BulkDecisionForm(request.POST, decision=chosen)
        if len(seen) > MAX_BULK:
            messages.error(request, too_many())
            return redirect(CHANGE_LIST)
        if not form.is_valid():
            orders = self.get_queryset(request).in_bulk(list(seen))
            return self._confirmation(request, chosen, (orders[each] for each in seen if each in orders), form)
        self._decide_selected(request, chosen, seen, form.words)
        return redirect(CHANGE_LIST)

    def _decide_selected(self, request: HttpRequest, decision: Decision, seen: Mapping[UUID, int], words: str) -> None:
        try:
            outcomes = decision.decide_each(seen, actor_of(request), timezone.now(), words)
        except REFUSALS as refused:
            messages.error(request, f"Refused: {refused}")
            return
        refusals = {each.order_id: each.refused for each in outcomes if each.refused is not None}
        orders = StagedOrder.objects.in_bulk(list(refusals))
        for order_id, why in refusals.items():
            name = order_page.named(orders[order_id]) if order_id in orders else str(order_id)
            messages.error(request, f"{name}: {why}")
        if done := len(outcomes) - len(refusals):
            messages.success(request, f"{orders_in_words(done)} {decision.done}.")

    # ---- what the order's page needs too --------------------------------------------------------------------------

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        return TemplateResponse(
            request,
            f"admin/orders/stagedorder/{template}",
            {**self.admin_site.each_context(request), "opts": self.opts, **context},
        )


def default_part(request: HttpRequest) -> str:
    return queue.ALL if request.GET.get("q") else queue.NEEDS_ME


def actor_of(request: HttpRequest) -> User:
    # The admin site lets only people in.
    return cast(User, request.user)


def decision_named(name: str, allowed: Iterable[str]) -> Decision:
    if name not in allowed:
        raise Http404(f"There is no decision {name!r}.")
    return DECISIONS[name]


def orders_in_words(number: int) -> str:
    return "1 order" if number == 1 else f"{number} orders"


def too_many() -> str:
    return f"More than {MAX_BULK} orders are selected: nothing was changed. Choose {MAX_BULK} or fewer at a time."


def _chosen(order: StagedOrder, decision: Decision, actor: User, now: datetime) -> Chosen:
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


def _seen_orders(texts: Iterable[str]) -> dict[UUID, int]:
    """The chosen orders from "id:number", each with how many of its events the confirmation page knew of."""
    # One field for both: Django refuses a form of more than a thousand fields.
    pairs = (text.rpartition(":")[::2] for text in texts)
    try:
        return {UUID(order_id): int(seen_events) for order_id, seen_events in pairs}
    except ValueError as error:
        raise BadRequest(f"An order's id and the number of its events are expected: {error}") from error
