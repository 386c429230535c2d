"""What the report pages share: which form is wanted, one file to keep, and the answer to what can't be understood."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import cast
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from orders import access
from reporting import rendering
from reporting.order_scope import BadScope
from reporting.rendering import Report

PAGE, FILE = "html", "file"


def wanted(request: HttpRequest, formats: Collection[str]) -> str:
    """The form that the address asks for; a page where it says none. Raises BadScope."""
    form = request.GET.get("format", PAGE)
    if form not in formats:
        raise BadScope(f"format={form[:20]!r}: allowed are {', '.join(formats)}")
    return form


def check_names(asked: Mapping[str, str], known: Collection[str]) -> None:
    """A name that is mistyped would show everything as if nothing had been asked. Raises BadScope."""
    for name, value in asked.items():
        if name not in known:
            raise BadScope(f"{name[:40]}={value[:40]}: this page knows {', '.join(known)}")


def refused(request: HttpRequest, error: Exception) -> HttpResponse:
    """400 with the reason: as a page for people, as JSON for programs, which ask for another form than a page."""
    if request.GET.get("format", PAGE) in (PAGE, FILE):
        return render(request, "reports/refused.html", {"reason": str(error)}, status=400)
    return JsonResponse({"error": str(error)}, status=400)


def record(request: HttpRequest, what: str, query: Mapping[str, str], *, rows: int, now: datetime) -> None:
    """Into the auditors' list. The view has let in only who is logged in; `rows` tell of single orders."""
    asked = f"?{urlencode(query)}" if query else ""
    access.record_export(actor=cast(User, request.user), what=f"{what}{asked}", row_count=rows, now=now)


def file(report: Report, now: datetime) -> HttpResponse:
    """The report as one HTML file that needs nothing else, to be kept or sent."""
    return attachment(rendering.html_file(report), rendering.name_of(report), "html", now)


def attachment(text: str, name: str, suffix: str, now: datetime) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}_{now:%Y%m%d_%H%M%S}.{suffix}"'}
    return HttpResponse(text, content_type=f"text/{suffix}; charset=utf-8", headers=headers)
