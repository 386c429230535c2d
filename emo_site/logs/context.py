"""Whose work a line of the log is about: the request, the person, the order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest

# Keys of the request's META, and so of the WSGI environment that gunicorn's log of accesses sees.
REQUEST_ID = "emo.request_id"
USER = "emo.user"
ORDER_ID = "emo.order_id"
# The name of what answered where no URL did; see request_watch.py.
VIEW = "emo.view"

_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


@contextmanager
def about_request(request: HttpRequest) -> Iterator[None]:
    """Lines inside the block carry its id, its person, and the order that it names."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def name_order(request: HttpRequest, order_id: object) -> None:
    """From here on the request is about this order."""
    request.META[ORDER_ID] = str(order_id)


def user_of(request: HttpRequest) -> str:
    """The name of the person, where that has been looked up already: a line of the log must not ask a database."""
    user = getattr(request, "_cached_user", None)
    return str(user.get_username()) if user is not None and user.is_authenticated else ""


def of(record: logging.LogRecord) -> dict[str, str]:
    """request_id, user and order_id, as far as they are known.

    Django logs answers of 400 and more after the request's block has ended, but names the request; gunicorn's log of
    accesses names the environment's values as {name}e.
    """
    found = _of_atoms(record.args) if record.name == "gunicorn.access" else _of_request(record)
    if order_id := getattr(record, "order_id", None):
        # Of a line that is about an order by itself (extra).
        found["order_id"] = str(order_id)
    return {name: value for name, value in found.items() if value}


def _of_request(record: logging.LogRecord) -> dict[str, str]:
    request = getattr(record, "request", None) or _request.get()
    if not isinstance(request, HttpRequest):
        return {}
    return {
        "request_id": str(request.META.get(REQUEST_ID, "")),
        "user": user_of(request),
        "order_id": str(request.META.get(ORDER_ID, "")),
    }


def _of_atoms(atoms: Any) -> dict[str, str]:
    if not isinstance(atoms, Mapping):
        return {}
    names = {"request_id": REQUEST_ID, "user": USER, "order_id": ORDER_ID}
    return {name: str(atoms.get(f"{{{key}}}e", "")) for name, key in names.items()}
