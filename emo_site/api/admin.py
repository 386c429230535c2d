"""Tokens and calls of the API in the admin: who has which, made and revoked there, and who asked what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from emo_site import display
from emo_site.api import tokens
from emo_site.api.models import ApiCall, ApiToken
from emo_site.api.scopes import Scope
from emo_site.api.tokens import BadToken, Issued
from emo_site.record_admin import ActorRecordAdmin, RecordAdmin, period_filter

CHANGE = "admin:api_apitoken_change"
_TONES = {"in force": "good", "expired": "muted", "revoked": "bad"}


class DaysForm(forms.Form):
    days = forms.IntegerField(
        label="Good for, days",
        min_value=1,
        max_value=tokens.LONGEST.days,
        initial=90,
        help_text=f"1 to {tokens.LONGEST.days}.",
    )


class RotateForm(DaysForm):
    overlap_hours = forms.IntegerField(
        label="The secret so far is good for, hours",
        min_value=0,
        max_value=int(tokens.LONGEST_OVERLAP / timedelta(hours=1)),
        initial=24,
        help_text="As long as it takes until every program has the new one.",
    )


class TokenForm(DaysForm):
    name = forms.CharField(max_length=64, help_text="What it is for, such as bot-1.")
    owner = forms.ModelChoiceField(
        queryset=User.objects.none(), help_text="In whose name it acts: it may do nothing that this user may not."
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, f"{scope.value}: {scope.label}") for scope in Scope], widget=forms.CheckboxSelectMultiple
    )
    strategies = forms.CharField(
        required=False, max_length=1000, help_text="Separated by commas; only these. Empty: all of them."
    )
    signed = forms.BooleanField(required=False, label="Every request must be signed, too")

    field_order = ("name", "owner", "scopes", "strategies", "days", "signed")

    def __init__(self, data: Any = None, *, maker: User) -> None:
        super().__init__(data, initial={"owner": maker})
        people = User.objects.filter(is_active=True).order_by("username")
        # In another's name, one could do what one may not.
        self.fields["owner"].queryset = people if maker.is_superuser else people.filter(pk=maker.pk)  # type: ignore[attr-defined]

    def refuse(self, error: BadToken) -> None:
        """On the field it is about."""
        name = error.field_name
        self.add_error(name if name in self.fields else None, f"{str(error.rule).capitalize()}.")


@dataclass(frozen=True, kw_only=True)
class Fact:
    label: str
    value: str


@admin.register(ApiToken)
class ApiTokenAdmin(RecordAdmin):
    list_display = ("name", "owner", "state", "used_for", "environment", "expires", "last_used", "prefix")
    list_select_related = ("owner",)
    ordering = ("-created_at", "-id")
    search_fields = ("prefix", "name")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("api.add_apitoken")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<uuid:token_id>/rotate/", view(self.rotate_view), name="api_apitoken_rotate"),
            path("<uuid:token_id>/revoke/", view(self.revoke_view), name="api_apitoken_revoke"),
            *super().get_urls(),
        ]

    @admin.display(description="state")
    def state(self, token: ApiToken) -> SafeString:
        word = token.state(timezone.now())
        return format_html('<span class="badge tone-{}">{}</span>', _TONES[word], word)

    @admin.display(description="for")
    def used_for(self, token: ApiToken) -> str:
        return _used_for(token)

    @admin.display(description="expires, UTC")
    def expires(self, token: ApiToken) -> str:
        return display.moment(token.expires_at)

    @admin.display(description="last used, UTC")
    def last_used(self, token: ApiToken) -> str:
        return display.moment(token.last_used_at) if token.last_used_at else "never"

    # ---- one token -------------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        token = self._found(request, object_id)
        may_change = token.revoked_at is None and self._may_change(request, token)
        return self._page(
            request,
            "change_form.html",
            title=str(token),
            token=token,
            state=token.state(timezone.now()),
            tone=_TONES[token.state(timezone.now())],
            facts=_facts(token),
            form=RotateForm() if may_change else None,
        )

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        maker = cast(User, request.user)
        form = TokenForm(request.POST if request.method == "POST" else None, maker=maker)
        if form.is_valid() and (issued := self._created(form, maker)):
            return self._issued(request, issued, "made")
        return self._page(request, "add_form.html", title="New API token", form=form)

    @sensitive_variables()
    def _created(self, form: TokenForm, maker: User) -> Issued | None:
        values, now = form.cleaned_data, timezone.now()
        try:
            return tokens.create(
                name=values["name"],
                owner=values["owner"],
                scopes=values["scopes"],
                strategies=[each for each in values["strategies"].split(",") if each.strip()],
                signed=values["signed"],
                expires_at=now + timedelta(days=values["days"]),
                created_by=maker.get_username(),
                now=now,
            )
        except BadToken as error:
            form.refuse(error)
            return None

    @method_decorator(require_POST)
    @method_decorator(sensitive_variables())
    def rotate_view(self, request: HttpRequest, token_id: UUID) -> HttpResponse:
        token = self._changeable(request, token_id)
        form, now = RotateForm(request.POST), timezone.now()
        if not form.is_valid():
            messages.error(request, "Not rotated: " + "; ".join(str(each[0]) for each in form.errors.values()))
            return redirect(CHANGE, token.pk)
        try:
            issued = tokens.rotate(
                token.pk,
                expires_at=now + timedelta(days=form.cleaned_data["days"]),
                overlap=timedelta(hours=form.cleaned_data["overlap_hours"]),
                now=now,
            )
        except BadToken as error:
            messages.error(request, f"Not rotated: {error}.")
            return redirect(CHANGE, token.pk)
        self.log_change(request, token, "Rotated.")
        return self._issued(request, issued, "rotated")

    @method_decorator(require_POST)
    def revoke_view(self, request: HttpRequest, token_id: UUID) -> HttpResponse:
        token = self._changeable(request, token_id)
        try:
            tokens.revoke(token.pk, by=request.user.get_username(), now=timezone.now())
        except BadToken as error:
            messages.error(request, f"Not revoked: {error}.")
        else:
            self.log_change(request, token, "Revoked.")
            messages.success(request, f"{token} is revoked.")
        return redirect(CHANGE, token.pk)

    def _may_change(self, request: HttpRequest, token: ApiToken) -> bool:
        """Whoever makes tokens changes their own; those of others only a superuser."""
        mine = self.has_add_permission(request) and token.owner_id == request.user.pk
        return mine or bool(getattr(request.user, "is_superuser", False))

    def _changeable(self, request: HttpRequest, token_id: UUID) -> ApiToken:
        token = self._found(request, str(token_id))
        if not self._may_change(request, token):
            raise PermissionDenied
        return token

    def _found(self, request: HttpRequest, object_id: str) -> ApiToken:
        if not self.has_view_permission(request):
            raise PermissionDenied
        token: ApiToken | None = self.get_object(request, object_id)
        if token is None:
            raise Http404(f"There is no token {object_id}.")
        return token

    @sensitive_variables()
    def _issued(self, request: HttpRequest, issued: Issued, done: str) -> HttpResponse:
        """The only page that ever shows a secret; no cache keeps it."""
        if done == "made":
            self.log_addition(request, issued.token, "Made.")
        page = self._page(
            request, "issued.html", title=f"{issued.token.name} is {done}", token=issued.token, issued=issued
        )
        add_never_cache_headers(page)
        return page

    def _page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        return TemplateResponse(
            request,
            f"admin/api/apitoken/{template}",
            {**self.admin_site.each_context(request), "opts": self.opts, **context},
        )


@admin.register(ApiCall)
class ApiCallAdmin(ActorRecordAdmin):
    list_display = ("time", "actor_name", "token_name", "method", "route", "status", "code", "order", "replayed")
    list_display_links = ("time",)
    list_filter = (period_filter("at"),)
    list_select_related = ("token",)
    search_help_text = "The id of an order, or the whole name of who asked."

    @admin.display(description="token")
    def token_name(self, call: ApiCall) -> str:
        return str(call.token)

    @admin.display(description="order")
    def order(self, call: ApiCall) -> str:
        return f"{call.order_id}, event {call.event}" if call.event else str(call.order_id or "")


def _used_for(token: ApiToken) -> str:
    return f"{', '.join(token.scopes)}; {', '.join(token.strategies) or 'all strategies'}"


def _facts(token: ApiToken) -> list[Fact]:
    rows = [
        ("Acts for", token.owner.get_username()),
        ("For", _used_for(token)),
        ("Environment", token.environment),
        ("Requests", "signed" if token.signed else "not signed"),
        ("Made", f"{display.moment(token.created_at)} by {token.created_by}"),
        ("Expires", display.moment(token.expires_at)),
        ("Last used", display.moment(token.last_used_at) if token.last_used_at else "never"),
        ("Secrets so far", str(token.generation)),
    ]
    if token.old_until and token.old_until > timezone.now():
        rows.append(("The secret before is good until", display.moment(token.old_until)))
    if token.revoked_at:
        rows.append(("Revoked", f"{display.moment(token.revoked_at)} by {token.revoked_by}"))
    return [Fact(label=label, value=value) for label, value in rows]
