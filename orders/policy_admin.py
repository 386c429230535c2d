"""The policy's versions in the admin: the list, a version's page, and the form that proposes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet, Value
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from emo_site import display
from emo_site.record_admin import RecordAdmin
from orders import policy_versions
from orders.models import PolicyVersion
from orders.order_page import Fact
from orders.policy import InvalidPolicy
from orders.policy_versions import Present
from orders.refusal import Refused

CHANGE = "admin:orders_policyversion_change"
STANDING_TONES = {"in force": "good", "waits for approval": "warn", "scheduled": "accent"}
EFFECT_TONES = {"loosens": "bad", "tightens": "good"}
# Worth telling to whoever looks for the button.
TOLD = {"SELF_APPROVAL", "SECOND_FACTOR_REQUIRED", "STALE"}


class ProposalForm(forms.Form):
    document = forms.CharField(
        strip=False,
        max_length=200_000,
        widget=forms.Textarea(attrs={"rows": 36, "class": "policy-text", "spellcheck": "false"}),
        help_text="The whole policy. A limit that is left out limits nothing.",
    )
    reason = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 2}), help_text="Kept with it.")
    effective_from = forms.DateTimeField(
        required=False,
        label="In force from, UTC",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"),
        input_formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"],
        help_text="Empty: at once, or as soon as it is approved.",
    )

    def refuse(self, refused: InvalidPolicy | Refused) -> None:
        """Each problem on the field it is about."""
        if isinstance(refused, InvalidPolicy):
            for problem in refused.problems:
                self.add_error("document", str(problem))
        else:
            self.add_error("effective_from" if refused.code == "EFFECTIVE_IN_PAST" else None, str(refused))


@dataclass(frozen=True, kw_only=True)
class ChangeRow:
    name: str
    before: str
    after: str
    effect: str
    tone: str
    against: str


@dataclass(frozen=True, kw_only=True)
class PolicyPage:
    number: int
    title: str
    standing: str
    tone: str
    facts: tuple[Fact, ...]
    reason: str
    changes: tuple[ChangeRow, ...]
    document: str
    can_approve: bool
    can_withdraw: bool
    withheld: tuple[str, ...]


@admin.register(PolicyVersion)
class PolicyVersionAdmin(RecordAdmin):
    list_display = ("version", "standing", "effect", "holds_from", "proposer", "time", "approver", "reason")
    list_display_links = ("version",)
    list_select_related = ("proposed_by", "approved_by")
    ordering = ("-number",)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm(policy_versions.PROPOSE)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PolicyVersion]:
        present = policy_versions.present(timezone.now())
        rows = PolicyVersion.objects.defer("document")
        return rows.annotate(in_force=Value(present.in_force), newest=Value(present.newest))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:number>/approve/", view(self.approve_view), name="orders_policyversion_approve"),
            path("<int:number>/withdraw/", view(self.withdraw_view), name="orders_policyversion_withdraw"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Policy", **(extra_context or {})})

    @admin.display(description="version")
    def version(self, version: PolicyVersion) -> str:
        return str(version)

    @admin.display(description="standing")
    def standing(self, version: Any) -> SafeString:
        word = Present(in_force=version.in_force, newest=version.newest).standing(version)
        return _badge(word, STANDING_TONES.get(word, "muted"))

    @admin.display(description="effect")
    def effect(self, version: PolicyVersion) -> SafeString | str:
        words = sorted({change["effect"] for change in version.changes} & EFFECT_TONES.keys())
        return format_html_join(" ", "{}", ((_badge(word, EFFECT_TONES[word]),) for word in words)) or "none"

    @admin.display(description="in force from")
    def holds_from(self, version: PolicyVersion) -> str:
        return _since(version.effective_from)

    @admin.display(description="proposed by")
    def proposer(self, version: PolicyVersion) -> str:
        return _who(version.proposed_by)

    @admin.display(description="proposed at, UTC")
    def time(self, version: PolicyVersion) -> str:
        return display.moment(version.proposed_at)

    @admin.display(description="approved by")
    def approver(self, version: PolicyVersion) -> str:
        return _who(version.approved_by)

    # ---- one version ----------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        self._require_view(request)
        version = policy_versions.history().filter(number=int(object_id)).first() if object_id.isdecimal() else None
        if version is None:
            raise Http404(f"There is no policy {object_id}.")
        page = build(version, actor=_actor(request), now=timezone.now())
        return self._page(request, "change_form.html", {"title": page.title, "page": page})

    @method_decorator(require_POST)
    def approve_view(self, request: HttpRequest, number: int) -> HttpResponse:
        return self._decide(request, number, policy_versions.approve, "approved")

    @method_decorator(require_POST)
    def withdraw_view(self, request: HttpRequest, number: int) -> HttpResponse:
        return self._decide(request, number, policy_versions.withdraw, "withdrawn")

    def _decide(
        self, request: HttpRequest, number: int, decide: Callable[..., PolicyVersion], done: str
    ) -> HttpResponse:
        self._require_view(request)
        try:
            version = decide(number, actor=_actor(request), now=timezone.now())
        except (Refused, InvalidPolicy) as refused:
            messages.error(request, f"Refused: {refused}")
            return redirect("admin:orders_policyversion_changelist")
        messages.success(request, f"{version} is {done}.")
        return redirect(CHANGE, number)

    # ---- proposing ------------------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            form = ProposalForm(request.POST)
            if form.is_valid() and (version := self._proposed(request, form)):
                return redirect(CHANGE, version.number)
        else:
            form = ProposalForm(initial={"document": policy_versions.in_force(timezone.now()).document})
        return self._page(request, "add_form.html", {"title": "Propose a policy", "form": form})

    def _proposed(self, request: HttpRequest, form: ProposalForm) -> PolicyVersion | None:
        values = form.cleaned_data
        try:
            version = policy_versions.propose(
                values["document"],
                actor=_actor(request),
                now=timezone.now(),
                reason=values["reason"],
                effective_from=values["effective_from"],
            )
        except (InvalidPolicy, Refused) as refused:
            form.refuse(refused)
            return None
        if version.loosens:
            messages.warning(request, f"{version} loosens a limit: it waits for another person's approval.")
        else:
            messages.success(request, f"{version} is in force {_since(version.effective_from)}.")
        return version

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        return TemplateResponse(
            request,
            f"admin/orders/policyversion/{template}",
            {**self.admin_site.each_context(request), "opts": self.opts, **context},
        )


def build(version: PolicyVersion, *, actor: User, now: datetime) -> PolicyPage:
    """Everything on record about one version, and what the actor may do with it."""
    present = policy_versions.present(now)
    standing = present.standing(version)
    approval = _objection(lambda: policy_versions.check_approval(version, actor=actor, newest=present.newest))
    withdrawal = _objection(lambda: policy_versions.check_withdrawal(version, actor=actor, now=now))
    return PolicyPage(
        number=version.number,
        title=f"Policy {version.number} ({version.label})",
        standing=standing,
        tone=STANDING_TONES.get(standing, "muted"),
        facts=_facts(version),
        reason=version.reason,
        changes=tuple(_row(change, version) for change in version.changes),
        document=version.document,
        can_approve=approval is None,
        can_withdraw=withdrawal is None,
        withheld=tuple(str(each) for each in (approval, withdrawal) if each is not None and each.code in TOLD),
    )


def _objection(check: Callable[[], None]) -> Refused | None:
    try:
        check()
    except Refused as refused:
        return refused
    return None


def _facts(version: PolicyVersion) -> tuple[Fact, ...]:
    rows = [
        ("In force", _since(version.effective_from)),
        ("Wanted from", display.moment(version.wanted_from) if version.wanted_from else "as soon as it may be"),
        ("Compared with", f"policy {version.follows_id}" if version.follows_id else "nothing: it is the first"),
        ("Proposed", f"{_who(version.proposed_by)}, {display.moment(version.proposed_at)}"),
        ("Approved", _deed(version.approved_by, version.approved_at)),
        ("Withdrawn", _deed(version.withdrawn_by, version.withdrawn_at)),
        ("SHA-256 of the document", version.checksum),
    ]
    return tuple(Fact(label=label, value=value) for label, value in rows)


def _row(change: dict[str, Any], version: PolicyVersion) -> ChangeRow:
    return ChangeRow(
        name=change["name"],
        before=change["before"],
        after=change["after"],
        effect=change["effect"],
        tone=EFFECT_TONES.get(change["effect"], "muted"),
        against="" if change["against"] == version.follows_id else f"against policy {change['against']}",
    )


def _badge(word: str, tone: str) -> SafeString:
    return format_html('<span class="badge tone-{}">{}</span>', tone, word)


def _deed(by: User | None, at: datetime | None) -> str:
    return f"{_who(by)}, {display.moment(at)}" if at else "no"


def _who(person: User | None) -> str:
    return person.get_username() if person else "nobody"


def _since(at: datetime | None) -> str:
    if at is None:
        return "not in force"
    return "from the beginning" if at == policy_versions.BEGINNING else f"from {display.moment(at)}"


def _actor(request: HttpRequest) -> User:
    # The admin site lets only people in.
    return cast(User, request.user)
