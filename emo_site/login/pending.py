"""A login whose password was right and whose code is still to come: kept in the session of nobody yet."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from emo_site.login.backend import DeskBackend
from emo_site.login.models import Person

KEY = "login_waits_for_code"
# To find the phone and type six digits.
GOOD_FOR = timedelta(minutes=5)


def begin(request: HttpRequest, person: Person, *, now: datetime) -> None:
    # Another session id than before the password was known.
    request.session.flush()
    request.session[KEY] = {"user": person.pk, "hash": person.get_session_auth_hash(), "at": now.timestamp()}


def person_of(request: HttpRequest, *, now: datetime) -> Person | None:
    """Whose code is waited for. None: nobody's, it took too long, or password or second factor changed meanwhile."""
    kept = request.session.get(KEY)
    if kept is None or not 0 <= now.timestamp() - kept["at"] <= GOOD_FOR.total_seconds():
        return None
    person = DeskBackend().get_user(kept["user"])
    same = person is not None and constant_time_compare(kept["hash"], person.get_session_auth_hash())
    return person if same else None


def end(request: HttpRequest) -> None:
    request.session.pop(KEY, None)
