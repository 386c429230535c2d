"""Second factors and the end of sessions. The only writer of Account and BackupCode."""

from __future__ import annotations

import logging
import secrets
from datetime import datetime

from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import transaction
from django.db.models import F

from emo_site.login import secret_box, totp
from emo_site.login.models import Account, BackupCode

logger = logging.getLogger("emo.login")

BACKUP_CODES = 10
# Without letters and digits that look alike: thirty-one, so that a code has 39 bits.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_BACKUP_LENGTH = 8
RESETS = "login.reset_account"


class Refused(Exception):
    """Nothing was changed; the message says why, to the person."""


def account_of(user: AbstractBaseUser | AnonymousUser) -> Account | None:
    """As it was read with the user; else one look-up."""
    return getattr(user, "account", None)


def is_enrolled(user: AbstractBaseUser | AnonymousUser) -> bool:
    account = account_of(user)
    return account is not None and account.enrolled_at is not None


def is_missing(user: AbstractBaseUser | AnonymousUser, permission: str) -> bool:
    """Whether the desk demands a second factor for this permission, and the person has none.

    Who has one could not log in without it, and their older sessions ended when they set it up.
    """
    demanded = settings.EMO_SECOND_FACTOR == "required" and permission in settings.SECOND_FACTOR_PERMISSIONS
    return demanded and not is_enrolled(user)


def enrol(user: User, secret: bytes, code: str, *, now: datetime) -> list[str]:
    """Sets the second factor up once a code shows that the app has the secret; returns the backup codes, which are
    told this once. All sessions of the person end. Raises Refused.
    """
    step = totp.matching_step(secret, as_typed(code), now=now, after=0)
    if step is None:
        raise Refused("That is not the code of this secret. Look at the app again; is the phone's clock right?")
    with transaction.atomic():
        account, _ = Account.objects.get_or_create(user_id=user.pk)
        changed = Account.objects.filter(pk=account.pk, enrolled_at=None).update(
            sealed_secret=secret_box.close(secret), enrolled_at=now, last_step=step, epoch=F("epoch") + 1
        )
        if not changed:
            raise Refused("A second factor is set up already: remove it first.")
        codes = _new_backup_codes(account)
        _record(user, by=user, what="Second factor set up.")
    return codes


def accepts(user: User, code: str, *, now: datetime) -> bool:
    """Whether it is the app's code of about now or one of the backup codes, never used before. It is used up by that:
    of two who send the same code at once, one is let in.
    """
    account = Account.objects.filter(user_id=user.pk).exclude(enrolled_at=None).first()
    if account is None:
        return False
    typed = as_typed(code)
    return _accepts_backup(account, typed, now) if len(typed) == _BACKUP_LENGTH else _accepts_app(account, typed, now)


def backup_codes_left(user: User) -> int:
    return BackupCode.objects.filter(account_id=user.pk, used_at=None).count()


def renew_backup_codes(user: User, *, now: datetime) -> list[str]:
    """Ten new ones; the old ones are void. Raises Refused for who has no second factor."""
    with transaction.atomic():
        account = Account.objects.filter(user_id=user.pk).exclude(enrolled_at=None).first()
        if account is None:
            raise Refused("No second factor is set up.")
        codes = _new_backup_codes(account)
        _record(user, by=user, what="New backup codes.")
    return codes


def remove(user: User) -> None:
    """The person's own decision, once a code has shown that it is theirs. Raises Refused."""
    _remove(user, by=user, what="Second factor removed.")


def reset(user: User, *, by: User | None) -> None:
    """Takes a lost second factor off somebody: a second person does, or the operator of the machine (`by` None).

    All sessions of the person end. Raises Refused.
    """
    if by is not None and by.pk == user.pk:
        raise Refused(f"{user} can't reset their own second factor: somebody else must, or remove it with a code.")
    _remove(user, by=by, what="Second factor reset.")


def end_sessions(user: User) -> None:
    """Whoever is logged in as them is logged out, on every machine."""
    if not Account.objects.filter(user_id=user.pk).update(epoch=F("epoch") + 1):
        Account.objects.create(user_id=user.pk, epoch=1)


def as_typed(code: str) -> str:
    """Without the blanks and dashes that people and apps put in."""
    return "".join(code.split()).replace("-", "").lower()


# ---- the parts of the above ------------------------------------------------------------------------------------------


def _accepts_app(account: Account, code: str, now: datetime) -> bool:
    secret = secret_box.open_closed(account.sealed_secret)
    step = totp.matching_step(secret, code, now=now, after=account.last_step)
    if step is None:
        return False
    # Under the newest key from now on, so that older ones can go.
    sealed = secret_box.close(secret) if settings.SECRET_KEY_FALLBACKS else account.sealed_secret
    unused = Account.objects.filter(pk=account.pk, enrolled_at=account.enrolled_at, last_step__lt=step)
    return unused.update(last_step=step, sealed_secret=sealed) == 1


def _accepts_backup(account: Account, code: str, now: datetime) -> bool:
    unused = BackupCode.objects.filter(account=account, hash__in=_hashes(account, code), used_at=None)
    return unused.update(used_at=now) == 1


def _new_backup_codes(account: Account) -> list[str]:
    codes: set[str] = set()
    while len(codes) < BACKUP_CODES:
        codes.add("".join(secrets.choice(_ALPHABET) for _ in range(_BACKUP_LENGTH)))
    BackupCode.objects.filter(account=account).delete()
    BackupCode.objects.bulk_create([BackupCode(account=account, hash=_hashes(account, code)[0]) for code in codes])
    return sorted(f"{code[:4]}-{code[4:]}" for code in codes)


def _hashes(account: Account, code: str) -> list[str]:
    return secret_box.keyed_hashes("emo.login.backup_code", f"{account.pk}:{code}")


def _remove(user: User, *, by: User | None, what: str) -> None:
    with transaction.atomic():
        changed = (
            Account.objects.filter(user_id=user.pk)
            .exclude(enrolled_at=None)
            .update(sealed_secret="", enrolled_at=None, epoch=F("epoch") + 1)
        )
        if not changed:
            raise Refused(f"{user} has no second factor.")
        BackupCode.objects.filter(account_id=user.pk).delete()
        _record(user, by=by, what=what)


def _record(user: User, *, by: User | None, what: str) -> None:
    """In the person's history in the admin, and in the log. An operator of the machine is nobody's user: the log alone
    says so.
    """
    if by is not None:
        subject = User(pk=user.pk, username=user.get_username())
        LogEntry.objects.log_actions(by.pk, [subject], CHANGE, change_message=what, single_object=True)
    logger.warning("%s: %s By %s.", user, what, by or "the operator of this machine")
