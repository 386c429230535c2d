"""The secrets of this desk as they may stand in a text: in settings, in a URL, in a repr, in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from django.conf import settings


def raw() -> Iterator[str]:
    """Keys, tokens and passwords of the settings, without empty ones."""
    databases = [*settings.DATABASES.values(), settings.EMO_BACKUP_SCRATCH or {}]
    for database in databases:
        yield from _passwords(database)
    keys = (
        settings.SECRET_KEY,
        *settings.SECRET_KEY_FALLBACKS,
        settings.EMO_AUDIT_KEY,
        *settings.EMO_AUDIT_OLD_KEYS,
        settings.EMO_BACKUP_KEY,
        *settings.EMO_METRICS_TOKENS,
        settings.EMAIL_HOST_PASSWORD,
    )
    yield from filter(None, map(str, keys))


def as_written(secrets: Iterable[str]) -> Iterator[str]:
    """Each secret in every form in which a text may hold it."""
    for secret in secrets:
        plain = (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1])
        yield from dict.fromkeys((*plain, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]))


def _passwords(database: dict[str, Any]) -> Iterator[str]:
    found = (database.get("PASSWORD"), database.get("OPTIONS", {}).get("password"))
    yield from filter(None, (str(each or "") for each in found))
