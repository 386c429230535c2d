"""What the shell of every page shows: which desk this is, whether trading goes on, and whether demo data is in it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from emo_site.db import replicas
from orders import trading_banner
from orders.models import StagedOrder


def desk(request: HttpRequest) -> dict[str, Any]:
    """`desk` is looked up only by templates that use it: an error page must not need the database."""
    return {"desk": SimpleLazyObject(facts)}


def facts() -> dict[str, Any]:
    return {
        "environment": settings.EMO_ENV,
        "version": settings.EMO_VERSION,
        "demo": StagedOrder.objects.demo().exists(),
        # Looked up only where it is shown: not on the login page.
        "trading": SimpleLazyObject(trading_banner.shown),
        # After the look-up of the demo: where it was read from, if that had to be a replica.
        "stand_in": ", ".join(replicas.in_use()) if replicas.takes_any() else "",
    }
