"""Failed logins are counted before anybody looks at the password, and locked out. The only writer of FailedLogins.

An attempt counts as a failure until it has succeeded: a hundred at once get no more guesses than one after the other.
The rows are in the database, which all workers and hosts share.
"""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Case, DateTimeField, F, Q, QuerySet, Value, When

from emo_site.login import lockout
from emo_site.login.choices import LoginKey
from emo_site.login.lockout import Limit
from emo_site.login.models import FailedLogins
from emo_site.login.secret_box import keyed_hashes

logger = logging.getLogger("emo.login")

_LIMITS = {LoginKey.NAME: lockout.NAME, LoginKey.ADDRESS: lockout.ADDRESS}
_KEPT = max(limit.forgotten_after for limit in _LIMITS.values())


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Somebody who tries to log in as `name` from `address` (empty: not known, and not counted)."""

    name: str
    address: str

    @property
    def name_key(self) -> str:
        return keyed_hashes("emo.login.name", unicodedata.normalize("NFKC", self.name).casefold())[0]


def begin(attempt: Attempt, *, now: datetime) -> timedelta | None:
    """Counts the attempt. Returns how long to wait where name or address is locked: nothing is to be tried then."""
    if attempt.address and (wait := _count(LoginKey.ADDRESS, attempt.address, None, now)):
        return wait
    # Asked for every name alike, so that its time tells nothing of who is known here.
    user_id = User.objects.filter(username=attempt.name).values_list("pk", flat=True).first()
    wait = _count(LoginKey.NAME, attempt.name_key, user_id, now)
    if wait and attempt.address:
        # No password is tried: who shares the address with them is not to suffer.
        _uncount(LoginKey.ADDRESS, attempt.address)
    return wait


def passed(attempt: Attempt) -> None:
    """The password was right, and a code is still to come: only this attempt is forgiven."""
    _uncount(LoginKey.NAME, attempt.name_key)
    _uncount(LoginKey.ADDRESS, attempt.address)


def succeeded(attempt: Attempt) -> None:
    """The person is in: the name's failures are forgotten. Of the address only this attempt is: else whoever has an
    account could guess other people's passwords for ever.
    """
    _rows(LoginKey.NAME, attempt.name_key).delete()
    _uncount(LoginKey.ADDRESS, attempt.address)


def release(rows: QuerySet[FailedLogins], *, by: str) -> int:
    """Forgets the failures, locked or not; returns how many names and addresses that were."""
    said = [str(row) for row in rows.select_related("user")]
    rows.delete()
    for row in said:
        logger.info("failed logins of %s are forgotten: released by %s", row, by)
    return len(said)


def of_name(name: str) -> QuerySet[FailedLogins]:
    return _rows(LoginKey.NAME, Attempt(name=name, address="").name_key)


def of_address(address: str) -> QuerySet[FailedLogins]:
    return _rows(LoginKey.ADDRESS, address)


def _count(kind: LoginKey, key: str, user_id: int | None, now: datetime) -> timedelta | None:
    # Until it is counted or locked out: those that come first at the same moment find no row, and may find a lock next.
    while not _counted(kind, key, now):
        locked_until = _rows(kind, key).filter(locked_until__gt=now).values_list("locked_until", flat=True).first()
        if locked_until is not None:
            return locked_until - now
        # The first failure, or the first for long: a good moment to forget what is older.
        FailedLogins.objects.filter(last_at__lt=now - _KEPT).delete()
        FailedLogins.objects.bulk_create(
            [FailedLogins(kind=kind, key=key, user_id=user_id, last_at=now)], ignore_conflicts=True
        )
    _tell_of_lock(kind, key, now)
    return None


def _counted(kind: LoginKey, key: str, now: datetime) -> bool:
    """One UPDATE, so that attempts at the same moment count one after the other. False: locked, or there is no row."""
    limit = _LIMITS[kind]
    begins_anew = Q(last_at__lt=now - limit.forgotten_after)
    free = _rows(kind, key).filter(Q(locked_until=None) | Q(locked_until__lte=now))
    changed = free.update(
        failures=Case(When(begins_anew, then=Value(1)), default=F("failures") + 1),
        last_at=now,
        locked_until=Case(
            When(begins_anew, then=Value(None)), *_locks(limit, now), default=Value(None), output_field=DateTimeField()
        ),
    )
    return changed == 1


def _locks(limit: Limit, now: datetime) -> list[When]:
    """When it is locked until, by the failures before this one; the longest wait comes first."""
    first = limit.failures - 1
    return [
        When(failures__gte=first + number, then=Value(now + wait))
        for number, wait in reversed(list(enumerate(limit.waits)))
    ]


def _uncount(kind: LoginKey, key: str) -> None:
    rows = _rows(kind, key).filter(failures__gt=0)
    rows.update(failures=F("failures") - 1, locked_until=None)


def _tell_of_lock(kind: LoginKey, key: str, now: datetime) -> None:
    row = _rows(kind, key).filter(locked_until__gt=now).select_related("user").first()
    if row is not None and row.locked_until is not None:
        wait = lockout.told(row.locked_until - now)
        logger.warning("%s is locked for %s unless this login succeeds: %d failures", row, wait, row.failures)


def _rows(kind: LoginKey, key: str) -> QuerySet[FailedLogins]:
    return FailedLogins.objects.filter(kind=kind, key=key)
