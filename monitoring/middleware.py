"""Answers load balancers, and what collects metrics, before anything else looks at the request."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from emo_site.logs.context import VIEW
from monitoring.views import healthz, metrics, readyz

VIEWS = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}


def answer_load_balancers(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """They ask by address, so that the host would be refused; by plain HTTP, so that they would be redirected."""

    def middleware(request: HttpRequest) -> HttpResponse:
        view = VIEWS.get(request.path)
        if view is None:
            return get_response(request)
        request.META[VIEW] = request.path.strip("/")
        return view(request)

    return middleware
