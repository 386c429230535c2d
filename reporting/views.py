"""The report pages: parse, build, render."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from emo_site.db.keyset import BadPlace, Place
from emo_site.outages import reads_from_replica
from monitoring import health
from orders import access, saved_filters
from orders.choices import FilterPlace
from orders.models import StagedOrder
from orders.moments import InvalidMoment, moment
from reporting import health_report, order_export, order_scope, rendering
from reporting.order_scope import BadScope, Scope
from reporting.rendering import Report
from reporting.shared_report import SharedReport
from reporting.shared_review import SharedReviews

# Many viewers, one probe run and one rendering.
_shared = SharedReport(health.SharedRun(max_age=5.0))
_reviews = SharedReviews()


@require_safe
@reads_from_replica
@login_required
@never_cache
def institutional(request: HttpRequest) -> HttpResponse:
    if (at := request.GET.get("at")) is not None:
        return _past(request, at)
    current = _shared.current()
    if _wanted(request) == "html" and request.headers.get("If-None-Match") == current.tag:
        # Asked for by the page's own script, which keeps what it shows.
        return HttpResponseNotModified(headers={"ETag": current.tag})
    response = _respond(request, current.report, body=current.body, version=current.tag)
    if response.status_code == 200:
        response["ETag"] = current.tag
    return response


@require_safe
@reads_from_replica
@login_required
@never_cache
def orders(request: HttpRequest) -> HttpResponseBase:
    now = datetime.now(UTC)
    try:
        scope = order_scope.parse(request.GET, now=now)
        place = Place.parse("older", request.GET["older"]) if "older" in request.GET else None
    except (BadScope, BadPlace) as error:
        return JsonResponse({"error": str(error)}, status=400)
    if _wanted(request) in order_export.FORMATS:
        return _exported(request, scope, now)
    current = _reviews.current(scope, now, place)
    return _respond(
        request,
        current.report,
        body=current.body,
        saved_views=saved_filters.of(cast(User, request.user), FilterPlace.REVIEW),
        query=urlencode(scope.query),
    )


def _exported(request: HttpRequest, scope: Scope, now: datetime) -> HttpResponseBase:
    wanted = _wanted(request)
    found = scope.with_reviewer().orders(StagedOrder.objects.filter(created_at__lte=now))
    what = f"orders.{wanted}?{urlencode(scope.query)}"
    access.record_export(actor=cast(User, request.user), what=what, row_count=found.count(), now=now)
    content_type, lines = order_export.FORMATS[wanted]
    headers = {"Content-Disposition": f'attachment; filename="orders_{now:%Y%m%d_%H%M%S}.{wanted}"'}
    return StreamingHttpResponse(lines(found), content_type=content_type, headers=headers)


def _past(request: HttpRequest, text: str) -> HttpResponse:
    try:
        at = moment("at", text)
    except InvalidMoment as error:
        return JsonResponse({"error": str(error)}, status=400)
    if at > datetime.now(UTC):
        return JsonResponse({"error": f"at={text}: must not be in the future"}, status=400)
    report = health_report.build_past(at=at)
    return _respond(request, report, body=rendering.body_html(report))


def _wanted(request: HttpRequest) -> str:
    return request.GET.get("format", "html")


def _respond(request: HttpRequest, report: Report, **shown: Any) -> HttpResponse:
    wanted = _wanted(request)
    if wanted == "json":
        what, rows = f"{rendering.name_of(report)} report, json", rendering.rows_of(report)
        # The view has let in only who is logged in.
        access.record_export(actor=cast(User, request.user), what=what, row_count=rows, now=datetime.now(UTC))
        return HttpResponse(rendering.json_text(report), content_type="application/json")
    if wanted != "html":
        return JsonResponse({"error": f"format={wanted!r}: allowed are html and json"}, status=400)
    return render(request, rendering.template_of(report), {"report": report, **shown})
