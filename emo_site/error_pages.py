"""What Django's debug page may show of a failure: everything but passwords, wherever in a variable they stand."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class PasswordFilter(SafeExceptionReporterFilter):
    """Django's hides settings by their name; a driver's frames hold the password among their arguments."""

    def cleanse_setting(self, key: str | int, value: Any) -> Any:
        # `manage.py runserver` puts the environment, and so the databases' URLs, among what a request brings.
        return super().cleanse_setting(key, self._without_secret(value) if isinstance(value, str) else value)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: Any) -> ItemsView[str, Any]:
        found = super().get_traceback_frame_variables(request, tb_frame)
        return {name: self._without_secret(value) for name, value in found}.items()

    def _without_secret(self, value: Any) -> Any:
        try:
            told = repr(value)
        except Exception:  # noqa: BLE001  # the edge: a variable of somebody else's that can't even be told
            return self.cleansed_substitute
        return self.cleansed_substitute if any(secret in told for secret in _secrets()) else value


def _secrets() -> Iterator[str]:
    """As they stand in settings, in a URL, and in a repr."""
    databases = settings.DATABASES.values()
    passwords = [str(each.get("PASSWORD") or "") for each in databases]
    passwords += [str(each.get("OPTIONS", {}).get("password") or "") for each in databases]
    for secret in (*passwords, settings.SECRET_KEY, settings.EMO_AUDIT_KEY, *settings.EMO_AUDIT_OLD_KEYS):
        if secret:
            yield from (secret, quote(secret, safe=""), repr(secret)[1:-1])
