"""Which database an app lives in: a look-up by app label, so that RunSQL and RunPython are routed rightly too."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

TIMESERIES_ALIAS = "timeseries"
REPLICA_PREFIX = "replica"
TIMESERIES_APPS = frozenset({"monitoring"})


def database_of(app_label: str) -> str:
    """The alias of the database that holds this app's tables."""
    if app_label in TIMESERIES_APPS and TIMESERIES_ALIAS in settings.DATABASES:
        return TIMESERIES_ALIAS
    return DEFAULT_DB_ALIAS


def is_replica(alias: str) -> bool:
    return alias.startswith(REPLICA_PREFIX)


def apps_of(alias: str, app_labels: list[str]) -> list[str]:
    """Those of the labels whose tables live in this database (a replica holds what its primary holds)."""
    home = DEFAULT_DB_ALIAS if is_replica(alias) else alias
    return [label for label in app_labels if database_of(label) == home]


class AppRouter:
    """Whole apps in one database each; replicas are read only where a caller names them, and never migrated."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return database_of(model._meta.app_label)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return database_of(model._meta.app_label)

    def allow_relation(self, obj1: Model, obj2: Model, **hints: Any) -> bool:
        return database_of(obj1._meta.app_label) == database_of(obj2._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool:
        return db == database_of(app_label)
