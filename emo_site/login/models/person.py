"""A user whose sessions can be ended."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.utils.crypto import salted_hmac


class Person(User):
    """What a request's user is: a User whose sessions are good only for the epoch of its account."""

    class Meta:
        proxy = True
        default_permissions = ()

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        plain: str = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]  # Django's, not in its stubs
        account = getattr(self, "account", None)
        if account is None or not account.epoch:
            return plain
        key = secret or settings.SECRET_KEY
        return salted_hmac("emo.login.session", f"{plain}:{account.epoch}", secret=key, algorithm="sha256").hexdigest()
