"""The report pages: parse, build, render."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from emo_site.outages import reads_from_replica
from monitoring import health
from orders import access
from reporting import health_report, order_review, rendering
from reporting.rendering import Report

PROBE_TIMEOUT_SECONDS = 5.0
# Many viewers, one probe run.
_shared = health.SharedRun(max_age=5.0)


@require_safe
@reads_from_replica
@login_required
@never_cache
def institutional(request: HttpRequest) -> HttpResponse:
    results = _shared.results(health.configured(), timeout=PROBE_TIMEOUT_SECONDS)
    return _respond(request, health_report.build(now=datetime.now(UTC), results=results))


@require_safe
@reads_from_replica
@login_required
@never_cache
def orders(request: HttpRequest) -> HttpResponse:
    return _respond(request, order_review.build(now=datetime.now(UTC)))


def _respond(request: HttpRequest, report: Report) -> HttpResponse:
    wanted = request.GET.get("format", "html")
    if wanted == "json":
        what, rows = f"{rendering.name_of(report)} report, json", rendering.rows_of(report)
        # The view has let in only who is logged in.
        access.record_export(actor=cast(User, request.user), what=what, row_count=rows, now=datetime.now(UTC))
        return HttpResponse(rendering.json_text(report), content_type="application/json")
    if wanted != "html":
        return JsonResponse({"error": f"format={wanted!r}: allowed are html and json"}, status=400)
    return render(request, rendering.template_of(report), {"report": report})
