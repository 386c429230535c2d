"""What a request gets while a database is away: another server where it only reads, else a clean 503, never a hang."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import Any

import psycopg
from django.conf import settings
from django.core.signing import BadSignature
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, close_old_connections, connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.defaults import server_error as failed

from emo_site import problem
from emo_site.db import deadline, replicas
from emo_site.db.connections import commits_asked, counting_commits
from emo_site.db.outage import is_lost_connection, is_outage, is_pool_timeout, reason_of
from emo_site.problem import Problem

logger = logging.getLogger(__name__)

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
RETRY_AFTER_SECONDS = 5
# How long a page waits for the primary while a replica could show it.
PATIENCE_SECONDS = 1.0
# What a person has written is on every replica that is read from long before.
PIN_COOKIE = "emo_written"
PIN_SECONDS = 120

GetResponse = Callable[[HttpRequest], HttpResponse]
View = Callable[..., HttpResponseBase]
Errors = (DatabaseError, InterfaceError, psycopg.Error)

_first_time: ContextVar[bool] = ContextVar("first_time", default=False)


def will_be_repeated(error: BaseException) -> bool:
    """Whether a page that raises it is read once more: who could do without a part of it should raise it then."""
    if not _first_time.get() or not is_lost_connection(error):
        return False
    # Who has waited for a connection in vain would only wait again, unless there is another server.
    return not is_pool_timeout(error) or replicas.can_stand_in()


@contextmanager
def _repeatable() -> Iterator[None]:
    token = _first_time.set(True)
    try:
        yield
    finally:
        _first_time.reset(token)


def bounded(get_response: GetResponse) -> GetResponse:
    """Middleware: no request waits longer than EMO_REQUEST_TIMEOUT_SECONDS; who has written reads what they wrote."""

    def middleware(request: HttpRequest) -> HttpResponse:
        replicas.keep_watch()
        with deadline.within(settings.EMO_REQUEST_TIMEOUT_SECONDS), counting_commits(), replicas.noting_use():
            response = get_response(request)
            wrote = request.method not in SAFE_METHODS and commits_asked() > 0
            if wrote and response.status_code < 500 and replicas.aliases():
                _pin(response)
        return response

    return middleware


def reads_from_replica(view: View) -> View:
    """A page that may be shown from a replica which has all that this person wrote."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with replicas.reading_from_replica(position=_pinned_at(request)):
            return view(request, *args, **kwargs)

    return wrapped


class Outages:
    """Middleware around the view alone: repeats a read once, elsewhere if it can; turns an outage into a 503.

    A request that may have written is never repeated: the connection may have been lost after the commit.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: View, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        if request.method not in SAFE_METHODS:
            return None
        with _repeatable():
            try:
                return self._first(request, view, args, kwargs)
            except Errors as error:
                if not will_be_repeated(error):
                    raise
                logger.warning("%s %s is repeated: %s", request.method, request.path, reason_of(error))
                for alias in replicas.in_use():
                    if connections[alias].errors_occurred:
                        replicas.leave_out(alias, "a read from it failed")
        close_old_connections()
        with replicas.noting_use(), _elsewhere(request), _patient():
            return _rendered(view(request, *args, **kwargs))

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return unavailable(request, exception) if is_outage(exception) else None

    def _first(self, request: HttpRequest, view: View, args: Sequence[Any], kwargs: dict[str, Any]) -> HttpResponseBase:
        if replicas.can_stand_in() and replicas.primary_is_down():
            with _elsewhere(request), _patient():
                return _rendered(view(request, *args, **kwargs))
        with _patient():
            return _rendered(view(request, *args, **kwargs))


def _elsewhere(request: HttpRequest) -> AbstractContextManager[None]:
    return replicas.reading_from_replica(position=_pinned_at(request), any_will_do=True)


def _patient() -> AbstractContextManager[None]:
    """Of several servers none is waited for long, the primary neither: some of what a page shows is only there."""
    return deadline.patience(PATIENCE_SECONDS) if replicas.can_stand_in() else nullcontext()


def unavailable(request: HttpRequest, error: BaseException) -> HttpResponse:
    """The 503 that says whether anything was written."""
    reason = reason_of(error)
    logger.warning("%s %s is answered 503: %s", request.method, request.path, reason)
    unknown = request.method not in SAFE_METHODS and commits_asked() > 0
    outcome = (
        "The database was lost while this was being written: it may or may not be on record. Look before you repeat it."
        if unknown
        else "Nothing was written. Try again in a few seconds."
    )
    facts = {"error": "database unavailable", "reason": reason, "outcome": "unknown" if unknown else "nothing written"}
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS), "Cache-Control": "no-store"}
    if problem.is_wanted(request):
        code = "OUTCOME_UNKNOWN" if unknown else "UNAVAILABLE"
        return problem.response(Problem(503, code, f"{reason} {outcome}", headers=headers), request)
    if request.GET.get("format") == "json":
        return JsonResponse(facts, status=503, headers=headers)
    response = render(None, "503.html", {"reason": reason, "outcome": outcome}, status=503)
    for name, value in headers.items():
        response[name] = value
    return response


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's handler500: an outage that came up outside a view (a session that can't be saved) is a 503 too."""
    error = sys.exc_info()[1]
    if error is not None and is_outage(error):
        return unavailable(request, error)
    if problem.is_wanted(request):
        return problem.response(Problem(500, "FAILED", "The desk failed; its log says why."), request)
    return failed(request)


def _rendered(response: HttpResponseBase) -> HttpResponseBase:
    # A template response reads the database while it is rendered, which must happen where a failure is caught.
    render_now = getattr(response, "render", None)
    return response if render_now is None else render_now()


def _pin(response: HttpResponse) -> None:
    """Remembers, with the person, how far a replica must be before they read from it."""
    try:
        with deadline.patience(PATIENCE_SECONDS), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
            position = int(cursor.fetchone()[0])
    except Errors as error:
        # It was written and is answered so; only the next page may be a moment old.
        logger.warning("the position of a write is not known: %s", reason_of(error))
        return
    response.set_signed_cookie(
        PIN_COOKIE,
        str(position),
        salt=PIN_COOKIE,
        max_age=PIN_SECONDS,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )


def _pinned_at(request: HttpRequest) -> int:
    try:
        return int(request.get_signed_cookie(PIN_COOKIE, "0", salt=PIN_COOKIE, max_age=PIN_SECONDS) or 0)
    except (BadSignature, ValueError):
        return 0
