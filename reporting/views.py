"""The report pages: parse, build, render."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from emo_site.db.keyset import BadPlace, Place
from emo_site.outages import reads_from_replica
from monitoring import health
from orders import saved_filters
from orders.choices import FilterPlace
from orders.models import StagedOrder
from orders.moments import InvalidMoment, moment
from reporting import health_report, order_export, order_scope, page_answers, rendering
from reporting.order_scope import BadScope, Scope
from reporting.rendering import Report
from reporting.shared_report import SharedReport
from reporting.shared_review import SharedReviews

# Many viewers, one probe run and one rendering.
_shared = SharedReport(health.SharedRun(max_age=5.0))
_reviews = SharedReviews()
_HEALTH_FORMATS = (page_answers.PAGE, page_answers.FILE, "json")
_ORDER_FORMATS = (*_HEALTH_FORMATS, *order_export.FORMATS)


@require_safe
@reads_from_replica
@login_required
@never_cache
def institutional(request: HttpRequest) -> HttpResponse:
    try:
        page_answers.check_names(request.GET, ("at", "format"))
        wanted = page_answers.wanted(request, _HEALTH_FORMATS)
        if (at := request.GET.get("at")) is not None:
            return _past(request, at, wanted)
    except (BadScope, InvalidMoment) as error:
        return page_answers.refused(request, error)
    current = _shared.current()
    if wanted == page_answers.PAGE and request.headers.get("If-None-Match") == current.tag:
        # Asked for by the page's own script, which keeps what it shows.
        return HttpResponseNotModified(headers={"ETag": current.tag})
    response = _respond(request, current.report, wanted, body=current.body, version=current.tag)
    response["ETag"] = current.tag
    return response


@require_safe
@reads_from_replica
@login_required
@never_cache
def orders(request: HttpRequest) -> HttpResponseBase:
    now = datetime.now(UTC)
    try:
        page_answers.check_names(request.GET, (*order_scope.ASKED, "older", "format"))
        scope = order_scope.parse(request.GET, now=now)
        place = Place.parse("older", request.GET["older"]) if "older" in request.GET else None
        wanted = page_answers.wanted(request, _ORDER_FORMATS)
    except (BadScope, BadPlace) as error:
        return page_answers.refused(request, error)
    if wanted in order_export.FORMATS:
        return _exported(request, scope, wanted, now)
    current = _reviews.current(scope, now, place)
    return _respond(
        request,
        current.report,
        wanted,
        body=current.body,
        saved_views=saved_filters.of(cast(User, request.user), FilterPlace.REVIEW),
        query=urlencode(scope.query),
    )


def _exported(request: HttpRequest, scope: Scope, wanted: str, now: datetime) -> HttpResponseBase:
    found = scope.with_reviewer().orders(StagedOrder.objects.filter(created_at__lte=now))
    page_answers.record(request, f"orders.{wanted}", scope.query, rows=found.count(), now=now)
    content_type, lines = order_export.FORMATS[wanted]
    headers = {"Content-Disposition": f'attachment; filename="orders_{now:%Y%m%d_%H%M%S}.{wanted}"'}
    return StreamingHttpResponse(lines(found), content_type=content_type, headers=headers)


def _past(request: HttpRequest, text: str, wanted: str) -> HttpResponse:
    """Raises InvalidMoment, BadScope."""
    at = moment("at", text)
    if at > datetime.now(UTC):
        raise BadScope(f"at={text}: must not be in the future")
    report = health_report.build_past(at=at)
    return _respond(request, report, wanted, body=rendering.body_html(report))


def _respond(request: HttpRequest, report: Report, wanted: str, **shown: Any) -> HttpResponse:
    if wanted == page_answers.PAGE:
        return render(request, rendering.template_of(report), {"report": report, **shown})
    now = datetime.now(UTC)
    what, rows = f"{rendering.name_of(report)} report, {wanted}", rendering.rows_of(report)
    page_answers.record(request, what, {}, rows=rows, now=now)
    if wanted == page_answers.FILE:
        return page_answers.file(report, now)
    return HttpResponse(rendering.json_text(report), content_type="application/json")
