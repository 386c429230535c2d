"""Middleware: lines of the log that a page of one order writes carry the order's id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse

from emo_site.logs.context import name_order

_PAGES = "orders_stagedorder_"


class OrderInLog:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        name = request.resolver_match.url_name if request.resolver_match else None
        if name and name.startswith(_PAGES) and (order_id := _order_id(kwargs)):
            name_order(request, order_id)


def _order_id(kwargs: Mapping[str, Any]) -> UUID | None:
    """What the desk's own URLs call order_id, the admin's call object_id, which may be anything."""
    try:
        return UUID(str(kwargs.get("order_id") or kwargs.get("object_id")))
    except ValueError:
        return None
