"""Answers load balancers before anything else looks at the request."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from monitoring.views import healthz, readyz

VIEWS = {"/healthz": healthz, "/readyz": readyz}


def answer_load_balancers(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """They ask by address, so that the host would be refused; by plain HTTP, so that they would be redirected."""

    def middleware(request: HttpRequest) -> HttpResponse:
        view = VIEWS.get(request.path)
        return get_response(request) if view is None else view(request)

    return middleware
