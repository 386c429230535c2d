"""What is written down of an attempt to log in: a line of the log, and a count."""

from __future__ import annotations

import logging

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest

from emo_site.login.attempts import Attempt
from emo_site.login.choices import LoginOutcome
from emo_site.login.client_address import client_address
from emo_site.metrics import instruments

logger = logging.getLogger("emo.login")


def address_of(request: HttpRequest) -> str:
    """Empty where it can't be known: the desk is behind a proxy, and was not told by which address that asks."""
    if settings.EMO_BEHIND_TLS_PROXY and not settings.EMO_TRUSTED_PROXIES:
        return ""
    return client_address(
        peer=request.META.get("REMOTE_ADDR", ""),
        forwarded_for=request.headers.get("X-Forwarded-For", ""),
        trusted=settings.EMO_TRUSTED_PROXIES,
    )


def note(outcome: LoginOutcome, attempt: Attempt) -> None:
    """A name is told only where somebody has it: what is typed as a name may be a password."""
    instruments.LOGINS.labels(str(outcome.value)).inc()
    known = User.objects.filter(username=attempt.name).exists()
    who = attempt.name if known else "a name that nobody has"
    logger.info("login of %s from %s: %s", who, attempt.address or "an unknown address", outcome.label.lower())
