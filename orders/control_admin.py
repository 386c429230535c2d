"""What controls the desk and what it holds, in the admin: trading state, positions, unmatched fills, overrides."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from emo_site import display
from emo_site.db.fields import current_environment
from emo_site.record_admin import BigChangeList, DefaultingFilter, RecordAdmin, period_filter
from orders import badges, kill_switch, position_groups, trading_state, trading_state_page, unmatched
from orders.choices import TradingState
from orders.decisions import REFUSALS
from orders.fills import RECORDS_FILLS
from orders.models import Position, RuleOverride, StagedOrder, TradingStateChange, UnmatchedFill
from orders.order_names import title
from orders.queue_admin import CHANGE, actor_of, orders_in_words
from orders.refusal import Refused
from orders.standing import trading_day
from orders.trading_state_page import STATE_TONES, Options

STATE_CHANGE = "admin:orders_tradingstatechange_change"
UNMATCHED_LIST = "admin:orders_unmatchedfill_changelist"


class DeskRecordAdmin(RecordAdmin):
    """A list with pages of its own."""

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        return TemplateResponse(
            request,
            f"admin/orders/{self.opts.model_name}/{template}",
            {**self.admin_site.each_context(request), "opts": self.opts, **context},
        )

    def _of_url(self, request: HttpRequest, object_id: str) -> Any:
        """The row of the address. Raises PermissionDenied, Http404."""
        self._require_view(request)
        try:
            row = self.get_queryset(request).filter(pk=UUID(object_id)).first()
        except ValueError as error:
            raise Http404(f"{object_id!r} is no id.") from error
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id}.")
        return row


# ---- the trading state -----------------------------------------------------------------------------------------------


class TradingStateForm(forms.Form):
    """What is declared, why, and that its consequences were read. `seen_number` is of the state on the page."""

    seen_number = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
    to = forms.ChoiceField(label="Trading becomes", widget=forms.RadioSelect)
    reason = forms.CharField(
        max_length=2000, widget=forms.Textarea(attrs={"rows": 2}), help_text="Kept, and shown on every page."
    )
    confirmed = forms.BooleanField(label="I have read what this does", error_messages={"required": "Confirm it first."})

    def __init__(
        self, data: Any = None, *, allowed: tuple[TradingState, ...], initial: dict[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=initial)
        choices = [(state.value, trading_state_page.MEANINGS[state]) for state in allowed]
        self.fields["to"].choices = choices  # type: ignore[attr-defined]  # a choice field


@admin.register(TradingStateChange)
class TradingStateChangeAdmin(DeskRecordAdmin):
    list_display = ("time", "badge", "before", "who", "reason", "environment")
    list_display_links = ("time",)
    list_select_related = ("changed_by",)
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return any(request.user.has_perm(each) for each, _ in (trading_state.HALTS, trading_state.RELEASES))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Trading state", **(extra_context or {})})

    @admin.display(description="at, UTC")
    def time(self, change: TradingStateChange) -> str:
        return display.moment(change.at)

    @admin.display(description="trading became")
    def badge(self, change: TradingStateChange) -> SafeString:
        return badges.badge(change.get_state_display(), STATE_TONES[TradingState(change.state)])

    @admin.display(description="declared by")
    def who(self, change: TradingStateChange) -> str:
        return change.changed_by.get_username()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        page = trading_state_page.page_of(self._of_url(request, object_id))
        return self._page(request, "change_form.html", {"title": page.title, "page": page})

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        options = trading_state_page.options(actor_of(request))
        if request.method == "POST":
            form = TradingStateForm(request.POST, allowed=tuple(TradingState))
            if form.is_valid() and (number := self._declared(request, form)):
                return redirect(STATE_CHANGE, _change_numbered(number).pk)
        else:
            form = TradingStateForm(allowed=options.allowed, initial=_asked_for(request, options))
        return self._page(
            request, "add_form.html", {"title": "Change the trading state", "form": form, "options": options}
        )

    def _declared(self, request: HttpRequest, form: TradingStateForm) -> int:
        """The number of the state that is in force now, 0 (and why on the form) where the change was refused."""
        values, actor, now = form.cleaned_data, actor_of(request), timezone.now()
        to = TradingState(values["to"])
        try:
            if to == TradingState.HALTED:
                # Whatever was declared meanwhile: a halt is never held up.
                pulled = kill_switch.pull(actor=actor, now=now, reason=values["reason"])
                messages.success(
                    request,
                    f"Trading is halted; {orders_in_words(len(pulled.cancelled))} withdrawn,"
                    f" {orders_in_words(len(pulled.left))} at the broker.",
                )
            else:
                trading_state.change(
                    to, actor=actor, now=now, reason=values["reason"], expected_number=values["seen_number"]
                )
                messages.success(request, f"Trading is {to.label}.")
        except Refused as refused:
            form.add_error(None, str(refused))
            return 0
        return trading_state.current().number


def _asked_for(request: HttpRequest, options: Options) -> dict[str, Any]:
    """A link may choose the state beforehand."""
    to = request.GET.get("to")
    chosen = {"to": to} if to in options.allowed else {}
    return {"seen_number": options.standing.number, **chosen}


def _change_numbered(number: int) -> TradingStateChange:
    return TradingStateChange.objects.get(environment=current_environment(), number=number)


# ---- positions -------------------------------------------------------------------------------------------------------


class PositionChangeList(BigChangeList):
    def get_results(self, request: HttpRequest) -> None:
        """Each row with the worst-case loss of its group, told where the group begins."""
        super().get_results(request)
        rows = list(self.result_list)
        losses = position_groups.losses(map(position_groups.group_of, rows), today=trading_day(timezone.now()))
        before = None
        for row in rows:
            group = position_groups.group_of(row)
            row.begins, row.group_loss = group != before, losses.get(group)
            before = group
        self.result_list = rows


@admin.register(Position)
class PositionAdmin(DeskRecordAdmin):
    list_display = ("underlying", "strategy_name", "worst_loss", "instrument", "amount", "paid", "time", "environment")
    list_display_links = ("instrument",)
    ordering = ("environment", "underlying", "strategy", "instrument")
    search_fields = ("underlying",)
    search_help_text = "The whole symbol of an underlying."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PositionChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Positions", **(extra_context or {})})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Position]:
        return Position.objects.filter(position_groups.held(trading_day(timezone.now())))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(underlying=search_term.strip().upper()) if search_term else queryset), False

    @admin.display(description="strategy")
    def strategy_name(self, position: Position) -> str:
        return position.strategy or "none stated"

    @admin.display(description="max loss together")
    def worst_loss(self, position: Any) -> str:
        if not position.begins:
            return "〃"
        return "unbounded" if position.group_loss is None else display.money(position.group_loss)

    @admin.display(description="quantity")
    def amount(self, position: Position) -> str:
        return f"{position.quantity.normalize():+,f}"

    @admin.display(description="cost")
    def paid(self, position: Position) -> str:
        return f"{position.cost:+,.2f}"

    @admin.display(description="changed at, UTC")
    def time(self, position: Position) -> str:
        return display.moment(position.updated_at)


# ---- fills that no order took ----------------------------------------------------------------------------------------


class MatchForm(forms.Form):
    client_order_id = forms.CharField(max_length=128, label="Client order id", help_text="Of the order it belongs to.")

    def order_id(self) -> UUID | None:
        """The order's id; None (and an error on the field) where this environment has no such order."""
        name = self.cleaned_data["client_order_id"]
        same = StagedOrder.objects.filter(environment=current_environment(), client_order_id=name)
        found = same.values_list("pk", flat=True).first()
        if found is None:
            self.add_error("client_order_id", f"There is no order {name!r} in {current_environment()}.")
        return found


class WaitingFilter(DefaultingFilter):
    """Opens on the fills that wait for their order."""

    title = "matched"
    parameter_name = "matched"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "waiting"), ("yes", "matched"), ("all", "all")]

    def default(self, request: HttpRequest) -> str:
        return "all" if request.GET.get("q") else "no"

    def queryset(self, request: HttpRequest, queryset: QuerySet[UnmatchedFill]) -> QuerySet[UnmatchedFill]:
        wanted = {"no": True, "yes": False}.get(self.chosen(request))
        return queryset if wanted is None else queryset.filter(matched_to__isnull=wanted)


@admin.register(UnmatchedFill)
class UnmatchedFillAdmin(DeskRecordAdmin):
    list_display = (
        "execution_id",
        "standing",
        "client_order_id",
        "what",
        "why",
        "received",
        "received_from",
        "environment",
    )
    list_filter = (WaitingFilter,)
    list_select_related = ("received_by", "matched_to")
    ordering = ("-id",)
    search_fields = ("execution_id",)
    search_help_text = "The broker's id of a fill."

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("try-again/", view(self.try_again_view), name="orders_unmatchedfill_try_again"),
            *super().get_urls(),
        ]

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        # What waits is worked off from its old end.
        waiting = request.GET.get("matched", "all" if request.GET.get("q") else "no") == "no"
        return ("id",) if waiting else ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(execution_id=search_term.strip()) if search_term else queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {
            "title": "Unmatched fills",
            "may_match": request.user.has_perm(RECORDS_FILLS),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    @admin.display(description="matched")
    def standing(self, fill: UnmatchedFill) -> SafeString:
        return badges.badge("waiting", "warn") if fill.matched_to_id is None else badges.badge("matched", "good")

    @admin.display(description="fill")
    def what(self, fill: UnmatchedFill) -> str:
        return _reported(fill)

    @admin.display(description="why it was kept")
    def why(self, fill: UnmatchedFill) -> str:
        return fill.reason

    @admin.display(description="received")
    def received(self, fill: UnmatchedFill) -> SafeString:
        return badges.age(fill.received_at, timezone.now())

    @admin.display(description="from")
    def received_from(self, fill: UnmatchedFill) -> str:
        return fill.received_by.get_username()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        fill = self._of_url(request, object_id)
        may_match = request.user.has_perm(RECORDS_FILLS)
        if request.method == "POST":
            if not may_match:
                raise PermissionDenied
            form = MatchForm(request.POST)
            if self._matched(request, fill, form):
                return redirect(CHANGE, fill.matched_to.staged_order_id)
        else:
            form = MatchForm(initial={"client_order_id": fill.client_order_id})
        context = {
            "title": f"Unmatched fill {fill.execution_id}",
            "fill": fill,
            "what": _reported(fill),
            "report": fill.report,
            "received": display.moment(fill.received_at),
            "matched": display.moment(fill.matched_at) if fill.matched_at else "",
            "order_url": reverse(CHANGE, args=[fill.matched_to.staged_order_id]) if fill.matched_to else "",
            "form": form if may_match and fill.matched_to is None else None,
        }
        return self._page(request, "change_form.html", context)

    def _matched(self, request: HttpRequest, fill: UnmatchedFill, form: MatchForm) -> bool:
        order_id = form.order_id() if form.is_valid() else None
        if order_id is None:
            return False
        try:
            booked = unmatched.match(fill.pk, order_id, actor=actor_of(request), now=timezone.now())
        except Refused as refused:
            form.add_error(None, str(refused))
            return False
        fill.refresh_from_db()
        messages.success(request, f"Fill {booked.execution_id} is recorded: {booked}.")
        return True

    @method_decorator(require_POST)
    def try_again_view(self, request: HttpRequest) -> HttpResponse:
        """Every waiting fill, on the order that it names."""
        self._require_view(request)
        if not request.user.has_perm(RECORDS_FILLS):
            raise PermissionDenied
        try:
            tried = list(unmatched.match_all(actor=actor_of(request), now=timezone.now()))
        except REFUSALS as refused:
            messages.error(request, f"Refused: {refused}")
            return redirect(UNMATCHED_LIST)
        booked = sum(each.booked is not None for each in tried)
        messages.info(request, f"{len(tried)} tried, {booked} booked, {len(tried) - booked} wait on.")
        return redirect(UNMATCHED_LIST)


def _reported(fill: UnmatchedFill) -> str:
    report = unmatched.fill_of(fill)
    return f"{display.number(report.quantity)} at {display.number(report.price)}, {display.moment(report.executed_at)}"


# ---- overrides -------------------------------------------------------------------------------------------------------


@admin.register(RuleOverride)
class RuleOverrideAdmin(DeskRecordAdmin):
    list_display = ("time", "code", "order_link", "giver", "stager", "until", "reason")
    list_display_links = ("time",)
    list_filter = (period_filter("given_at"),)
    list_select_related = ("order", "given_by", "staged_by")
    ordering = ("-given_at", "-id")
    search_fields = ("code",)
    search_help_text = "The code of a rule, or the id of an order."

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Overrides", **(extra_context or {})})

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # Reports lead to those of the orders that they are of.
        return lookup.startswith("order__") or super().lookup_allowed(lookup, value, request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RuleOverride]:
        return RuleOverride.objects.defer("order__workflow_state", "order__metadata")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(order=UUID(search_term)), False
        except ValueError:
            return queryset.filter(code=search_term.strip().upper()), False

    @admin.display(description="given at, UTC")
    def time(self, override: RuleOverride) -> str:
        return display.moment(override.given_at)

    @admin.display(description="order")
    def order_link(self, override: RuleOverride) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse(CHANGE, args=[override.order_id]), title(override.order))

    @admin.display(description="given by")
    def giver(self, override: RuleOverride) -> str:
        return override.given_by.get_username()

    @admin.display(description="order staged by")
    def stager(self, override: RuleOverride) -> str:
        return override.staged_by.get_username()

    @admin.display(description="until")
    def until(self, override: RuleOverride) -> SafeString | str:
        if override.expires_at <= timezone.now():
            return f"over since {display.moment(override.expires_at)}"
        return badges.time_left(override.expires_at, timezone.now())
