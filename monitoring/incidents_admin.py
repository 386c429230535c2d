"""Incidents in the admin: open ones first, each with its history, and the doors to acknowledge and to silence it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from emo_site import display
from emo_site.record_admin import RecordAdmin, values_filter
from monitoring import incidents
from monitoring.alerts_admin import TitledAdmin, badge, outcome, silence_url
from monitoring.choices import HealthStatus
from monitoring.models import Incident, Notification

ACKNOWLEDGES = "monitoring.change_incident"
SILENCES = "monitoring.add_silence"
TONES = {HealthStatus.ERROR: "bad", HealthStatus.WARNING: "warn", HealthStatus.HEALTHY: "good"}


class AcknowledgeForm(forms.Form):
    note = forms.CharField(
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "aria-describedby": "id_note_helptext"}),
        help_text="What you know or do about it. Kept with the incident.",
    )


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("over", "Over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Incident]) -> QuerySet[Incident]:
        wanted = {"open": True, "over": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(ended_at__isnull=wanted)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change of a component's state."""

    at: str
    status: str
    tone: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Telling:
    """One message about the incident."""

    url_id: UUID
    at: str
    subject: str
    channel: str
    outcome: SafeString


@admin.register(Incident)
class IncidentAdmin(RecordAdmin, TitledAdmin):
    list_display = ("component_name", "severity_badge", "state", "began", "lasted", "acknowledged", "shown_message")
    list_filter = (OpenFilter, values_filter("component_name", "component", in_order=False))
    ordering = (F("ended_at").desc(nulls_first=True), "-began_at", "-id")

    @admin.display(description="severity")
    def severity_badge(self, incident: Incident) -> SafeString:
        return badge(incident.severity, _tone(incident.severity))

    @admin.display(description="state")
    def state(self, incident: Incident) -> SafeString:
        return badge("open", "bad") if incident.ended_at is None else badge("over", "muted")

    @admin.display(description="since")
    def began(self, incident: Incident) -> str:
        return display.moment(incident.began_at)

    @admin.display(description="lasted")
    def lasted(self, incident: Incident) -> str:
        return _lasted(incident, timezone.now())

    @admin.display(description="acknowledged by")
    def acknowledged(self, incident: Incident) -> str:
        return incident.acknowledged_by or "nobody"

    @admin.display(description="message")
    def shown_message(self, incident: Incident) -> str:
        return incident.message if len(incident.message) <= 200 else f"{incident.message[:199]}…"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        incident = self._of_url(request, object_id)
        may = request.user.has_perm(ACKNOWLEDGES)
        form = AcknowledgeForm(request.POST if request.method == "POST" else None)
        if request.method == "POST":
            if not may:
                raise PermissionDenied
            if form.is_valid():
                self._acknowledge(request, incident, form.cleaned_data["note"])
                return redirect("admin:monitoring_incident_change", incident.pk)
        waits = incident.ended_at is None and incident.acknowledged_at is None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{incident.component_name}: {incident.severity}",
            "incident": incident,
            "tone": _tone(incident.severity),
            "facts": _facts(incident, timezone.now()),
            "steps": [_step(change) for change in incident.changes],
            "tellings": _tellings(incident),
            "form": form if may and waits else None,
            "silence_url": silence_url(incident.component_name) if request.user.has_perm(SILENCES) else "",
        }
        return TemplateResponse(request, "admin/monitoring/incident/change_form.html", context)

    def _of_url(self, request: HttpRequest, object_id: str) -> Incident:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            incident = Incident.objects.filter(pk=UUID(object_id)).first()
        except ValueError as error:
            raise Http404(f"{object_id!r} is no id.") from error
        if incident is None:
            raise Http404(f"There is no incident {object_id}.")
        return incident

    def _acknowledge(self, request: HttpRequest, incident: Incident, note: str) -> None:
        by = request.user.get_username()
        if incidents.acknowledge(incident.pk, by=by, note=note, now=timezone.now()):
            messages.success(request, "Acknowledged: it is not told again until it is over.")
            return
        incident.refresh_from_db()
        reason = f"{incident.acknowledged_by} did" if incident.acknowledged_by else "it is over"
        messages.warning(request, f"Not acknowledged: {reason}.")


def _tone(severity: str) -> str:
    return TONES.get(HealthStatus(severity), "muted")


def _lasted(incident: Incident, now: datetime) -> str:
    return display.age((incident.ended_at or now) - incident.began_at)


def _facts(incident: Incident, now: datetime) -> list[tuple[str, str]]:
    facts = [
        ("Since", display.moment(incident.began_at)),
        ("Until", display.moment(incident.ended_at) if incident.ended_at else "it lasts"),
        ("Lasted" if incident.ended_at else "Lasting", _lasted(incident, now)),
        ("Last seen", display.moment(incident.last_seen_at)),
        ("Critical", "yes: the desk can't work without it" if incident.critical else "no"),
        ("Environment", incident.environment),
    ]
    if incident.acknowledged_at is not None:
        facts.append(("Acknowledged", f"{incident.acknowledged_by}, {display.moment(incident.acknowledged_at)}"))
    return facts


def _step(change: Mapping[str, str]) -> Step:
    return Step(
        at=display.moment(datetime.fromisoformat(change["at"])),
        status=change["status"],
        tone=_tone(change["status"]),
        message=change["message"],
    )


def _tellings(incident: Incident) -> list[Telling]:
    rows = Notification.objects.filter(incidents__incident_id=incident.pk).select_related("channel")
    return [
        Telling(
            url_id=row.pk,
            at=display.moment(row.created_at),
            subject=row.subject,
            channel=row.channel.name,
            outcome=outcome(row),
        )
        for row in rows.order_by("created_at", "pk")[:100]
    ]
