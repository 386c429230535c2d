"""The names of the desk's databases, and which app lives in which: a look-up by app label."""

from __future__ import annotations

from django.conf import settings

PRIMARY_ALIAS = "default"
TIMESERIES_ALIAS = "timeseries"
REPLICA_PREFIX = "replica"
SHARD_PREFIX = "shard"
TIMESERIES_APPS = frozenset({"monitoring"})


def database_of(app_label: str) -> str:
    """The alias of the database that holds this app's tables."""
    if app_label in TIMESERIES_APPS and TIMESERIES_ALIAS in settings.DATABASES:
        return TIMESERIES_ALIAS
    return PRIMARY_ALIAS


def is_replica(alias: str) -> bool:
    return alias.startswith(REPLICA_PREFIX)


def shards() -> list[str]:
    """The databases that market events are spread over, in the order of the settings; mostly there are none."""
    return list(filter(is_shard, settings.DATABASES))


def is_shard(alias: str) -> bool:
    return alias.startswith(SHARD_PREFIX)


def holders_of(app_label: str) -> list[str]:
    """Every database that has rows of the app, its own first."""
    return [database_of(app_label), *(shards() if app_label in TIMESERIES_APPS else ())]


def is_with_orders(app_label: str) -> bool:
    """Whether all of the app is where orders are, so that where it can't be asked nothing at all works."""
    return holders_of(app_label) == [PRIMARY_ALIAS]


def is_made_in(alias: str, app_label: str) -> bool:
    """Whether the app's tables are made here: a shard has those of the time series, though it fills one of them."""
    return alias == database_of(app_label) or (is_shard(alias) and app_label in TIMESERIES_APPS)


def apps_of(alias: str, app_labels: list[str]) -> list[str]:
    """Those of the labels whose tables live in this database (a replica holds what its primary holds)."""
    if is_shard(alias):
        return [label for label in app_labels if is_made_in(alias, label)]
    home = PRIMARY_ALIAS if is_replica(alias) else alias
    return [label for label in app_labels if database_of(label) == home]
