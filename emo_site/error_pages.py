"""What Django's debug page may show of a failure: everything but passwords, wherever in a variable they stand."""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

from emo_site import known_secrets


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
        secrets = known_secrets.as_written(known_secrets.raw())
        return self.cleansed_substitute if any(secret in told for secret in secrets) else value
