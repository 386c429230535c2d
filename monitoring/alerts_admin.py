"""Channels, rules, silences and messages in the admin. The only writer of the first three."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import ModelAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import URLValidator, validate_email
from django.db.models import F, Field, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from emo_site import display
from emo_site.record_admin import DefaultingFilter, RecordAdmin
from monitoring import alert_log
from monitoring.alert_trial import try_out
from monitoring.choices import ChannelKind
from monitoring.models import AlertChannel, AlertRule, Notification, Silence

SILENCE_ADD = "admin:monitoring_silence_add"
# How long a silence lasts unless somebody says otherwise.
USUAL_SILENCE = timedelta(hours=1)
_LOCAL_TIME = "%Y-%m-%dT%H:%M"


def badge(word: str, tone: str) -> SafeString:
    return format_html('<span class="badge tone-{}">{}</span>', tone, word)


# ---- channels --------------------------------------------------------------------------------------------------------


class TitledAdmin(ModelAdmin):  # type: ignore[type-arg]
    """A list whose title is what it lists."""

    show_facets = admin.ShowFacets.NEVER

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = str(self.opts.verbose_name_plural).capitalize()
        return super().changelist_view(request, {"title": title, **(extra_context or {})})


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]
    """`url` and `secret` are taken and never given back: left empty, what is stored stays."""

    kind = forms.ChoiceField(choices=ChannelKind.choices, initial=ChannelKind.EMAIL, widget=forms.RadioSelect)
    url = forms.CharField(
        label="URL", required=False, widget=forms.URLInput(attrs={"autocomplete": "off", "class": "vURLField"})
    )
    secret = forms.CharField(
        required=False, max_length=200, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )

    class Meta:
        model = AlertChannel
        fields = ("name", "kind", "addresses", "url", "secret", "enabled")
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "addresses": forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}),
        }
        help_texts: ClassVar[dict[str, str]] = {"addresses": "Of e-mail: one a line. Each gets a mail of its own."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.update(url="", secret="")
        stored = self.instance.url and f"Stored: one at {urlsplit(self.instance.url).hostname}. "
        self.fields["url"].help_text = f"Of a webhook. {stored}Not shown again; leave it empty to keep what is stored."
        stored = "One is stored. " if self.instance.secret else ""
        self.fields[
            "secret"
        ].help_text = f"Signs what a webhook is sent. {stored}Not shown again; leave it empty to keep what is stored."

    def clean_addresses(self) -> str:
        addresses = self.cleaned_data["addresses"].replace(",", " ").split()
        for address in addresses:
            try:
                validate_email(address)
            except ValidationError:
                raise ValidationError(f"{address} is no e-mail address.") from None
        return "\n".join(addresses)

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        if not url:
            return str(self.instance.url)
        URLValidator(schemes=["http", "https"])(url)
        return url

    def clean_secret(self) -> str:
        return str(self.cleaned_data["secret"] or self.instance.secret)


@admin.register(AlertChannel)
class AlertChannelAdmin(TitledAdmin):
    form = ChannelForm
    list_display = ("name", "kind", "place", "state", "last")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # What was told refers to it: it is disabled instead.
        return False

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        if self.has_change_permission(request, obj) or (obj is None and self.has_add_permission(request)):
            return ChannelForm.Meta.fields
        # Who may only look would be shown what is stored.
        return "name", "kind", "place", "enabled"

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return () if self.has_change_permission(request, obj) else ("place",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.test_view)
        return [path("<uuid:channel_id>/test/", view, name="monitoring_alertchannel_test"), *super().get_urls()]

    @method_decorator(require_POST)
    def test_view(self, request: HttpRequest, channel_id: UUID) -> HttpResponseRedirect:
        """Sends a real message, and says what came of it."""
        channel = AlertChannel.objects.filter(pk=channel_id).first()
        if channel is None:
            raise Http404(f"There is no channel {channel_id}.")
        if not self.has_change_permission(request, channel):
            raise PermissionDenied
        tried = try_out(channel, by=request.user.get_username(), now=timezone.now())
        if tried.failure:
            messages.error(request, f"The test was not delivered. {tried.failure}")
        else:
            messages.success(request, f"The test was delivered to {_place(channel)}.")
        return redirect("admin:monitoring_alertchannel_change", channel.pk)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"may_test": self.has_change_permission(request), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    @admin.display(description="leads to")
    def place(self, channel: AlertChannel) -> str:
        return _place(channel)

    @admin.display(description="state")
    def state(self, channel: AlertChannel) -> SafeString:
        return badge("enabled", "good") if channel.enabled else badge("disabled", "muted")

    @admin.display(description="last message")
    def last(self, channel: AlertChannel) -> SafeString | str:
        last = channel.notifications.order_by("-created_at").first()
        return "none yet" if last is None else format_html("{} {}", outcome(last), display.moment(last.created_at))


def _place(channel: AlertChannel) -> str:
    """Without what a URL keeps to itself."""
    if channel.kind == ChannelKind.EMAIL:
        return ", ".join(channel.addresses.split()) or "nobody yet"
    return urlsplit(channel.url).hostname or "nowhere yet"


# ---- rules -----------------------------------------------------------------------------------------------------------


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = AlertRule
        fields = "__all__"
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "quiet_from": forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
            "quiet_until": forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
        }
        help_texts: ClassVar[dict[str, str]] = {
            "component_pattern": "* is anything: database:* are all databases.",
            "lasting_minutes": "What is over sooner is not told.",
            "repeat_minutes": "Until somebody acknowledges it. Empty: told once.",
            "quiet_from": "What comes in quiet hours is told when they end, if it lasts.",
            "time_zone": "Of the quiet hours, as in Europe/London.",
        }

    def clean_time_zone(self) -> str:
        zone = str(self.cleaned_data["time_zone"])
        try:
            ZoneInfo(zone)
        except (OSError, ValueError, LookupError):
            raise ValidationError(f"{zone} is no time zone.") from None
        return zone


@admin.register(AlertRule)
class AlertRuleAdmin(TitledAdmin):
    form = RuleForm
    list_display = ("name", "component_pattern", "least_severity", "lasting", "told_to", "quiet", "repeat", "state")
    fieldsets = (
        (None, {"fields": ("name", "enabled", "channels")}),
        ("What it is about", {"fields": ("component_pattern", "least_severity", "lasting_minutes")}),
        ("How it is told", {"fields": ("repeat_minutes",)}),
        ("Quiet hours", {"fields": ("quiet_from", "quiet_until", "time_zone", "critical_breaks_quiet")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        return AlertRule.objects.prefetch_related("channels")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(
            db_field, request, **{**kwargs, "widget": forms.CheckboxSelectMultiple, "help_text": ""}
        )

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        # Django's own time widget would replace the form's.
        if db_field.name in ("quiet_from", "quiet_until"):
            return db_field.formfield(**kwargs)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="lasting")
    def lasting(self, rule: AlertRule) -> str:
        return f"{rule.lasting_minutes} min" if rule.lasting_minutes else "at once"

    @admin.display(description="told to")
    def told_to(self, rule: AlertRule) -> str:
        return ", ".join(channel.name for channel in rule.channels.all())

    @admin.display(description="quiet")
    def quiet(self, rule: AlertRule) -> str:
        if rule.quiet_from is None or rule.quiet_until is None:
            return "never"
        return f"{rule.quiet_from:%H:%M} to {rule.quiet_until:%H:%M} {rule.time_zone}"

    @admin.display(description="repeated")
    def repeat(self, rule: AlertRule) -> str:
        return f"every {rule.repeat_minutes} min" if rule.repeat_minutes else "no"

    @admin.display(description="state")
    def state(self, rule: AlertRule) -> SafeString:
        return badge("enabled", "good") if rule.enabled else badge("disabled", "muted")


# ---- silences --------------------------------------------------------------------------------------------------------


class SilenceForm(forms.ModelForm):  # type: ignore[type-arg]
    begins_at = forms.DateTimeField(
        label="From, UTC", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_LOCAL_TIME)
    )
    ends_at = forms.DateTimeField(
        label="Until, UTC", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_LOCAL_TIME)
    )

    class Meta:
        model = Silence
        fields = ("component_pattern", "begins_at", "ends_at", "reason")
        widgets: ClassVar[dict[str, forms.Widget]] = {"reason": forms.Textarea(attrs={"rows": 3})}
        help_texts: ClassVar[dict[str, str]] = {"component_pattern": "* is anything: database:* are all databases."}


@admin.register(Silence)
class SilenceAdmin(TitledAdmin):
    form = SilenceForm
    list_display = ("component_pattern", "state", "begins", "ends", "created_by", "reason")
    actions = ("end_now",)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # That something was not told, and by whose word, stays known.
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        now = timezone.now()
        given = super().get_changeform_initial_data(request)
        return {"begins_at": now.strftime(_LOCAL_TIME), "ends_at": (now + USUAL_SILENCE).strftime(_LOCAL_TIME), **given}

    def save_model(self, request: HttpRequest, obj: Silence, form: forms.Form, change: bool) -> None:
        if not change:
            obj.created_by = request.user.get_username()
        super().save_model(request, obj, form, change)

    @admin.action(description="End the selected silences now", permissions=["change"])
    def end_now(self, request: HttpRequest, queryset: QuerySet[Silence]) -> None:
        now = timezone.now()
        ended = queryset.filter(begins_at__lt=now, ends_at__gt=now).update(ends_at=now)
        messages.info(request, f"{ended} of {queryset.count()} ended; the others are not in force.")

    @admin.display(description="state")
    def state(self, silence: Silence) -> SafeString:
        now = timezone.now()
        if silence.ends_at <= now:
            return badge("over", "muted")
        return badge("in force", "warn") if silence.begins_at <= now else badge("to come", "accent")

    @admin.display(description="from")
    def begins(self, silence: Silence) -> str:
        return display.moment(silence.begins_at)

    @admin.display(description="until")
    def ends(self, silence: Silence) -> str:
        return display.moment(silence.ends_at)


# ---- messages --------------------------------------------------------------------------------------------------------


def outcome(message: Notification) -> SafeString:
    if message.sent_at is not None:
        return badge("sent", "good")
    return badge("dead letter", "bad") if message.dead_at is not None else badge("under way", "accent")


class OutcomeFilter(DefaultingFilter):
    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("all", "All"), ("dead", "Dead letters"), ("under_way", "Under way"), ("sent", "Sent")]

    def default(self, request: HttpRequest) -> str:
        return "all"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        self.request = request
        wanted: dict[str, dict[str, Any]] = {
            "dead": {"dead_at__isnull": False},
            "under_way": {"dead_at__isnull": True, "sent_at__isnull": True},
            "sent": {"sent_at__isnull": False},
        }
        return queryset.filter(**wanted.get(self.chosen(request), {}))


@admin.register(Notification)
class NotificationAdmin(RecordAdmin, TitledAdmin):
    list_display = ("created", "shown_subject", "channel", "kind", "state", "attempts", "why")
    list_display_links = ("created", "shown_subject")
    list_filter = (OutcomeFilter,)
    list_select_related = ("channel",)
    ordering = (F("created_at").desc(), "-id")
    actions = ("send_again",)  # type: ignore[assignment]  # other records have none
    fields = (
        "subject",
        "channel",
        "kind",
        "state",
        "attempts",
        "failure",
        "still_waiting",
        "created",
        "next_try",
        "sent",
        "body",
    )
    readonly_fields = fields

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("monitoring.change_notification")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.send_again_view)
        return [path("<uuid:message_id>/again/", view, name="monitoring_notification_again"), *super().get_urls()]

    @admin.action(description="Send the selected dead letters again", permissions=["send_again"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Notification]) -> None:
        self._send_again(request, [message.pk for message in queryset])

    @method_decorator(require_POST)
    def send_again_view(self, request: HttpRequest, message_id: UUID) -> HttpResponseRedirect:
        if not self.has_send_again_permission(request):
            raise PermissionDenied
        self._send_again(request, [message_id])
        return redirect("admin:monitoring_notification_change", message_id)

    def _send_again(self, request: HttpRequest, ids: list[UUID]) -> None:
        again = alert_log.send_again(ids)
        if again:
            messages.success(request, f"{again} of {len(ids)} under way again: the watch sends them in its next round.")
        else:
            messages.warning(request, "None of them is a dead letter.")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"may_send_again": self.has_send_again_permission(request), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    @admin.display(description="subject")
    def shown_subject(self, message: Notification) -> str:
        return message.subject

    @admin.display(description="outcome")
    def state(self, message: Notification) -> SafeString:
        return outcome(message)

    @admin.display(description="failure")
    def why(self, message: Notification) -> str:
        return message.failure[:200]

    @admin.display(description="has not reached")
    def still_waiting(self, message: Notification) -> str:
        return ", ".join(message.waiting_for) or "-"

    @admin.display(description="created")
    def created(self, message: Notification) -> str:
        return display.moment(message.created_at)

    @admin.display(description="next try")
    def next_try(self, message: Notification) -> str:
        if message.sent_at or message.dead_at:
            return "-"
        return display.moment(message.next_try_at) if message.next_try_at else "in the next round of the watch"

    @admin.display(description="sent")
    def sent(self, message: Notification) -> str:
        return display.moment(message.sent_at) if message.sent_at else "-"


def silence_url(component: str) -> str:
    """The form of a new silence, with this one component in it."""
    return reverse(SILENCE_ADD, query={"component_pattern": _literally(component)})


def _literally(component: str) -> str:
    """A pattern that matches this name only."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in component)
