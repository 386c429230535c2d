"""The outermost middleware: gives each request an id, and counts how it was answered and how long that took."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter

from django.http import HttpRequest, HttpResponse

from emo_site import tallies
from emo_site.logs import context
from emo_site.metrics import instruments

performance = logging.getLogger("emo.performance")

HEADER = "X-Request-ID"
# Longer than a person waits without wondering.
SLOW_SECONDS = 2.0
FAILED = 500
NO_VIEW = "none"
OTHER_METHOD = "OTHER"
# A client may send any word as its method; each one would be a series of its own for ever.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# What a proxy or another program may call a request: enough to be its own, nothing that a log could take for more.
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}")


def watched(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        request_id = request.META[context.REQUEST_ID] = id_of(request.headers.get(HEADER, ""))
        started = perf_counter()
        with context.about_request(request), instruments.IN_PROGRESS.track_inprogress():
            status = FAILED
            try:
                response = get_response(request)
                status = response.status_code
            finally:
                # Where even the error page fails there is no response, and the server answers 500.
                _note(request, status, perf_counter() - started)
        request.META[context.USER] = context.user_of(request)
        response[HEADER] = request_id
        return response

    return middleware


def id_of(given: str) -> str:
    """The id that the request came with, where it is well-formed; else a new one."""
    return given if _WELL_FORMED.fullmatch(given) else uuid.uuid4().hex


def view_of(request: HttpRequest) -> str:
    """The name of the view, never the path: paths are endless, and hold what people typed."""
    if answered_by := request.META.get(context.VIEW):
        return str(answered_by)
    match = request.resolver_match
    return match.view_name if match is not None else NO_VIEW


def _note(request: HttpRequest, status: int, seconds: float) -> None:
    method = request.method if request.method in METHODS else OTHER_METHOD
    view = view_of(request)
    instruments.REQUESTS.labels(method, view, str(status)).inc()
    instruments.REQUEST_SECONDS.labels(method, view).observe(seconds)
    if context.VIEW in request.META:
        # A load balancer that asks every second would hide that every page fails.
        return
    slow = seconds > SLOW_SECONDS
    tallies.of_process.note_request(failed=status >= FAILED, slow=slow, at=datetime.now(UTC))
    if slow:
        performance.warning("%s %s took %.1f s", method, view, seconds, extra={"view": view, "seconds": seconds})
