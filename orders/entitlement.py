"""Whether a person may do something at all: the permission, and where the desk demands it a second factor."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser, User

from emo_site.login import accounts
from orders.refusal import Refused


def require(actor: User | AnonymousUser, permission: str, what: str) -> None:
    """Raises Refused."""
    if not actor.has_perm(permission):
        raise Refused("NOT_PERMITTED", f"{actor} may not {what}: the permission {permission} is missing.")
    if accounts.is_missing(actor, permission):
        raise Refused(
            "SECOND_FACTOR_REQUIRED",
            f"{actor} may {what} only with a second factor: set one up, then every login asks for it.",
        )
