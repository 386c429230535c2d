"""App configurations of the project package."""

from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin.apps import AdminConfig
from django.db.backends.signals import connection_created

from emo_site.db import statements
from emo_site.db.connections import note_autocommits_on
from emo_site.db.urls import ENGINE_SQLITE


class EmoAdminConfig(AdminConfig):
    default_site = "emo_site.admin_site.DeskAdminSite"


class EmoSiteConfig(AppConfig):
    name = "emo_site"
    verbose_name = "EMO Desk"

    def ready(self) -> None:
        from emo_site import checks  # noqa: F401  # registers the system checks

        for database in settings.DATABASES.values():
            if database["ENGINE"] == ENGINE_SQLITE:
                _make_folder(Path(database["NAME"]))
        connection_created.connect(statements.count_on, dispatch_uid="emo_statements")
        connection_created.connect(note_autocommits_on, dispatch_uid="emo_autocommits")
        if settings.EMO_DB_DEBUG:
            connection_created.connect(_log_sql, dispatch_uid="emo_db_debug")


def _make_folder(database: Path) -> None:
    # Only below the project's own data folder: a mistyped path elsewhere should fail, not be made.
    if settings.EMO_DATA_DIR in database.parents:
        database.parent.mkdir(parents=True, exist_ok=True)


def _log_sql(*, connection, **kwargs: object) -> None:  # type: ignore[no-untyped-def]  # a signal's receiver
    connection.force_debug_cursor = True
