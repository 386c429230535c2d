"""Which database an app lives in, by app label, so that RunSQL and RunPython are routed rightly too."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from emo_site.db.aliases import PRIMARY_ALIAS, database_of, is_made_in
from emo_site.db.replicas import alias_for_read


class AppRouter:
    """Whole apps in one database each; replicas are read inside reading_from_replica() only, and never migrated."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        home = database_of(model._meta.app_label)
        return alias_for_read() if home == PRIMARY_ALIAS else home

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return database_of(model._meta.app_label)

    def allow_relation(self, obj1: Model, obj2: Model, **hints: Any) -> bool:
        return database_of(obj1._meta.app_label) == database_of(obj2._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool:
        return is_made_in(db, app_label)
