"""Model fields that every app uses."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models

from emo_site.db.uuid7 import uuid7


class TimeOrderedUUIDField(models.UUIDField):  # type: ignore[type-arg]  # Django itself has no generic fields
    """A primary key made, when the row is first saved, from the row's field `time_field`."""

    def __init__(self, time_field: str, **kwargs: Any) -> None:
        self.time_field = time_field
        super().__init__(primary_key=True, editable=False, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["primary_key"], kwargs["editable"]
        return name, path, [*args, self.time_field], kwargs

    def get_pk_value_on_save(self, instance: models.Model) -> uuid.UUID:
        return uuid7(getattr(instance, self.time_field))


def current_environment() -> str:
    """The environment this process runs in; the default of every `environment` column."""
    return str(settings.EMO_ENV)


class EnvironmentField(models.CharField):  # type: ignore[type-arg]
    """Which desk wrote the row: dev, staging or prod."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 16)
        kwargs.setdefault("default", current_environment)
        super().__init__(**kwargs)
