"""System checks of settings that must fit each other; each has an id of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.utils.module_loading import import_string

from emo_site.db.routers import TIMESERIES_ALIAS, is_replica
from emo_site.db.urls import ENGINE_POSTGRESQL, ENGINE_SQLITE


def _place(database: dict[str, Any]) -> tuple[str, str, str, str]:
    # The same servers are another place when asked for a standby: that is how reads outlive a failover.
    role = str(database.get("OPTIONS", {}).get("target_session_attrs", ""))
    return database.get("HOST") or "", str(database.get("PORT") or ""), str(database["NAME"]), role


@register(Tags.security)
def production_uses_postgresql(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMO_ENV != "prod":
        return []
    return [
        Error(
            f"Database {alias!r} is SQLite in production.",
            hint="Set POSTGRES_URL or EMO_DB_URL to a PostgreSQL server.",
            id="emo.E001",
        )
        for alias, database in settings.DATABASES.items()
        if database["ENGINE"] == ENGINE_SQLITE
    ]


@register(Tags.security)
def hosts_are_named(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMO_ENV == "dev" or (settings.ALLOWED_HOSTS and "*" not in settings.ALLOWED_HOSTS):
        return []
    return [
        Error(
            f"ALLOWED_HOSTS={settings.ALLOWED_HOSTS} in {settings.EMO_ENV}: every request is refused, or none.",
            hint="Name the hosts that the desk is reached by, separated by commas.",
            id="emo.E002",
        )
    ]


@register
def databases_are_different(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    primary = _place(settings.DATABASES["default"])
    return [
        Error(
            f"Database {alias!r} is the same place as 'default'.",
            hint="Leave EMO_TIMESERIES_URL unset to keep one database."
            if alias == TIMESERIES_ALIAS
            else "EMO_REPLICA_URLS must name other servers than EMO_DB_URL.",
            id="emo.E003",
        )
        for alias, database in settings.DATABASES.items()
        if alias != "default" and _place(database) == primary
    ]


@register
def several_hosts_are_told_apart(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"Database {alias!r} names several hosts without target_session_attrs=read-write.",
            hint="Without it a connection may land on a read-only standby, and every write fails.",
            id="emo.E004",
        )
        for alias, database in settings.DATABASES.items()
        if database["ENGINE"] == ENGINE_POSTGRESQL
        and not is_replica(alias)
        and "," in (database.get("HOST") or "")
        and database["OPTIONS"].get("target_session_attrs") not in ("read-write", "primary")
    ]


@register
def probes_can_be_made(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    names: list[str] = []
    messages: list[CheckMessage] = []
    for path, thresholds in settings.PROBES:
        try:
            names.append(import_string(path)(**thresholds).name)
        except (ImportError, TypeError, ValueError) as error:
            messages.append(Error(f"Probe {path} with {thresholds} can't be made: {error}", id="emo.E005"))
    for name, count in Counter(names).items():
        if count > 1:
            messages.append(Error(f"{count} probes are named {name!r}.", id="emo.E006"))
    return messages


@register(Tags.security)
def debug_is_off(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMO_ENV == "dev" or not settings.DEBUG:
        return []
    return [Error("EMO_DEBUG is on: error pages would show settings to anybody.", id="emo.E007")]


@register(deploy=True)
def statements_are_not_logged(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not settings.EMO_DB_DEBUG:
        return []
    return [Warning("EMO_DB_DEBUG is on: SQL with its parameters goes to the log.", id="emo.W008")]
