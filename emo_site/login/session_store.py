"""Sessions that end when nobody uses them, and at the latest a fixed time after the login.

A session's row says until when it is good (expire_date): EMO_SESSION_IDLE_MINUTES from the last use, and no longer than
EMO_SESSION_HOURS from the login. Django leaves rows out that are past it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from emo_site.db import deadline, replicas
from emo_site.db.outage import reason_of

logger = logging.getLogger("emo.login")

BEGAN = "began_at"
# Each use is not worth a write.
PRECISION = timedelta(minutes=1)
PATIENCE_SECONDS = 1.0
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_Errors = (DatabaseError, InterfaceError, psycopg.Error)


class SessionStore(db.SessionStore):
    """Django's in the database, with an end that goes along with the use. SESSION_ENGINE names this module."""

    good_until: datetime | None = None
    """As the row said when it was read."""

    def _get_session_from_db(self) -> Session | None:
        found: Session | None = super()._get_session_from_db()  # type: ignore[misc]  # Django's, not in its stubs
        if found is not None:
            self.good_until = found.expire_date
        return found

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        idle = super().get_expiry_date(**kwargs)
        began = self.get(BEGAN)
        if began is None:
            return idle
        return min(idle, datetime.fromtimestamp(began, UTC) + timedelta(hours=settings.EMO_SESSION_HOURS))

    def prolong(self) -> None:
        """One UPDATE of a session that is still good, at most once in PRECISION; what it holds is left alone."""
        until = self.get_expiry_date()
        if self.good_until is None or until - self.good_until < PRECISION:
            return
        good = Session.objects.filter(session_key=self.session_key, expire_date__gt=timezone.now())
        good.filter(expire_date__lt=until).update(expire_date=until)


def note_beginning(request: HttpRequest, **kwargs: object) -> None:
    """Receives user_logged_in."""
    request.session[BEGAN] = timezone.now().timestamp()


def prolonged(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: whoever uses the desk stays logged in. While the database can't be written, sessions just age."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        session = request.session
        # A session that was not read, or could not be, is not to be read for this: it would be waited for once more.
        known = isinstance(session, SessionStore) and session.good_until is not None
        if known and is_use(request) and session.session_key and SESSION_KEY in session:
            _prolong(session)
        return response

    return middleware


def is_use(request: HttpRequest) -> bool:
    """A page that asks for its newest version by itself, while nobody looks, is no use; browsers tell them apart."""
    mode = request.headers.get("Sec-Fetch-Mode", "navigate")
    return mode == "navigate" or request.method not in _SAFE_METHODS


def _prolong(session: Any) -> None:
    if replicas.primary_is_down():
        return
    try:
        with deadline.patience(PATIENCE_SECONDS):
            session.prolong()
    except _Errors as error:
        # The page is as good as it was; the session ends a little earlier.
        logger.info("a session was not prolonged: %s", reason_of(error))
