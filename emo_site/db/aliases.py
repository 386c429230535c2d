"""The names of the desk's databases, and which app lives in which: a look-up by app label."""

from __future__ import annotations

from django.conf import settings

PRIMARY_ALIAS = "default"
TIMESERIES_ALIAS = "timeseries"
REPLICA_PREFIX = "replica"
TIMESERIES_APPS = frozenset({"monitoring"})


def database_of(app_label: str) -> str:
    """The alias of the database that holds this app's tables."""
    if app_label in TIMESERIES_APPS and TIMESERIES_ALIAS in settings.DATABASES:
        return TIMESERIES_ALIAS
    return PRIMARY_ALIAS


def is_replica(alias: str) -> bool:
    return alias.startswith(REPLICA_PREFIX)


def apps_of(alias: str, app_labels: list[str]) -> list[str]:
    """Those of the labels whose tables live in this database (a replica holds what its primary holds)."""
    home = PRIMARY_ALIAS if is_replica(alias) else alias
    return [label for label in app_labels if database_of(label) == home]
