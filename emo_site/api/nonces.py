"""Nonces that signed requests came with. The only writer of UsedNonce."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from emo_site.api import signing
from emo_site.api.models import ApiToken, UsedNonce
from emo_site.db.aliases import PRIMARY_ALIAS

# A timestamp may be as far ahead as behind.
KEPT = 2 * signing.TOLERANCE


def use(token: ApiToken, nonce: str, *, now: datetime) -> bool:
    """False where it was used before."""
    try:
        with transaction.atomic(using=PRIMARY_ALIAS):
            UsedNonce(token=token, nonce=nonce, at=now).save(force_insert=True, using=PRIMARY_ALIAS)
    except IntegrityError:
        return False
    return True


def prune(*, now: datetime) -> int:
    """How many were too old to matter."""
    return int(UsedNonce.objects.using(PRIMARY_ALIAS).filter(at__lt=now - KEPT).delete()[0])
